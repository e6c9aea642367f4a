/* What this machine has and how fast a model runs here: facts, a precision self-test, rates, measured in seconds. */
#ifndef ISOBATH_DOCTOR_H
#define ISOBATH_DOCTOR_H

#include <isobath/session.h>
#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ISOBATH_DOCTOR_CARDS 16
#define ISOBATH_DOCTOR_TRIALS 64

/* What a line is about, for colour and order. */
typedef enum isobath_doctor_level {
    ISOBATH_DOCTOR_FACT = 0,
    ISOBATH_DOCTOR_NOTE = 1, /* worth knowing: an extrapolation, a missing GPU */
    ISOBATH_DOCTOR_BAD = 2   /* a run would fail or be wrong */
} isobath_doctor_level;

/* Zeroed: the default model, every device, 1280x720, seven seconds of measuring. */
typedef struct isobath_doctor_options {
    const char *input;     /* what a run would read, NULL: none ("-" cannot be looked at) */
    const char *model;     /* name or path; NULL: the default model */
    const char *output;    /* whose disk is looked at; NULL: the current folder */
    const char *formats;   /* as for a run, for the disk; NULL: "png16,preview" */
    int metric;            /* as for a run; 0: as the checkpoint says */
    int width, height;     /* of the source when there is no input */
    int input_size;        /* of the network; 0: the model's */
    int threads;           /* 0: all */
    const char *devices;   /* "cpu", "cuda:N", NULL or "auto": every device */
    const char *precision; /* "fp32", "fp16", "bf16", NULL or "auto": all that the device has */
    double seconds;        /* for measuring, in all; 0: 7. Loading a large model takes longer than that */
    /* Called as results come, from the calling thread: a topic of one word and one line. NULL: not called. */
    void (*line)(void *ctx, isobath_doctor_level level, const char *topic, const char *text);
    void *ctx;
} isobath_doctor_options;

/* One device with one precision. Errors are against fp32 on the CPU at the same size, relative to its range. */
typedef struct isobath_doctor_trial {
    char device[16], precision[8]; /* "cpu", "cuda:0"; "fp32" ... */
    char kind[128];                /* the backend's own name of what it is */
    isobath_status status;         /* ISOBATH_OK, else `reason` says why it cannot be used */
    char reason[768];
    int width, height;             /* network size of the self-test */
    int64_t values, nonfinite;     /* depth values, and how many of them (and of the features) are NaN or infinite */
    double min, max;               /* of the depth */
    double median_error, p9999_error, worst_error; /* 0 for fp32 on the CPU; -1: nothing to compare with */
    int sane;                      /* 1: finite, and no error beyond 0.1 (fp32: 0.001), which is far more than rounding gives */
    double frames_per_s;           /* of the network at the run's size */
    int extrapolated;              /* 1: measured at the smaller size above, scaled by the number of operations */
    double hours;                  /* for this input, decoding and network side by side; -1: unknown */
} isobath_doctor_trial;

typedef struct isobath_doctor_card {
    char name[96];
    int compute_major, compute_minor;
    size_t memory_bytes;
} isobath_doctor_card;

typedef struct isobath_doctor_report {
    char cpu[128], cpu_features[256];
    int cpus;                                /* that this process may use */
    size_t memory_bytes, memory_available;   /* of the machine, or of the control group when that is less */
    double disk_available;                   /* bytes */
    int cuda_version, card_count;            /* 12040 is 12.4; 0: no driver */
    isobath_doctor_card cards[ISOBATH_DOCTOR_CARDS];
    char cuda_reason[768];                   /* why no card can be used; "" when one can */
    char ffmpeg[512];
    char decoder[96], colour[96];            /* of the input; "" without one */
    double decode_frames_per_s;              /* 0: not measured */
    char model_path[4096];
    isobath_plan plan;                       /* of a run of this input; without one only sizes, model and flops */
    int trial_count;
    isobath_doctor_trial trials[ISOBATH_DOCTOR_TRIALS];
} isobath_doctor_report;

/* Looks at everything, also after a failure; returns the first failure that would stop a run (`error`, may be NULL, holds
 * its line), ISOBATH_OK when a run would work. Errors: every status of status.h but INTERRUPTED. The report is filled in any
 * case. Writes nothing to disk. One call at a time gives meaningful rates. */
isobath_status isobath_doctor_run(const isobath_doctor_options *options, isobath_doctor_report *report, char *error, size_t error_size);

/* The network alone, for benchmarks. */
typedef struct isobath_bench_options {
    const char *model;     /* name or path; NULL: the default model */
    const char *device;    /* "cpu" (NULL), "cuda:N" */
    const char *precision; /* "fp32" (NULL), "fp16", "bf16" */
    int width, height;     /* of the source; 0: 1280x720 */
    int input_size;        /* 0: the model's */
    int threads;           /* 0: all */
    double seconds;        /* measure for about that long, at least one window; 0: 5 */
} isobath_bench_options;

typedef struct isobath_bench_result {
    char model[64], kind[128];
    int network_width, network_height;
    double frames_per_s, flops_per_frame; /* output frames, every frame new */
    double load_s;                        /* opening the device and packing the weights */
    size_t memory_bytes;                  /* of the network: weights, features, activations */
    int64_t nonfinite;
} isobath_bench_result;

/* Measures on synthetic frames: upload, preprocessing, network, finite check and download. Errors: USAGE, MODEL, DEVICE,
 * UNSUPPORTED, MEMORY. */
isobath_status isobath_bench_network(const isobath_bench_options *options, isobath_bench_result *result, char *error,
                                     size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
