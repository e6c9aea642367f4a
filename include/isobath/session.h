/* A session: one input video to depth files. Create, look at the plan, run, look at the result, destroy. */
#ifndef ISOBATH_SESSION_H
#define ISOBATH_SESSION_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to do. Fill with isobath_run_options_init, then change fields; strings must live until isobath_session_create
 * returns. Fields that are 0 or NULL mean what the comment says. */
typedef struct isobath_run_options {
    const char *input;       /* file, URL, folder, glob or pattern of images, "-" for stdin */
    const char *output;      /* folder for the result, created when missing */
    const char *name;        /* NAME of the result files; NULL: the input's base name */
    const char *model;       /* name or path of a checkpoint, or exec:COMMAND (docs/EXEC.md); NULL: the default model */
    int metric;              /* 1: the checkpoint gives metres, 0: relative disparity, -1: as the checkpoint says */
    double max_depth;        /* metres, of a metric Depth Anything V2 whose file does not say (20 indoor, 80 outdoor); 0: as it says */
    double hfov_deg;         /* horizontal field of view of the camera, for metric models whose metres depend on it (nano); 0: unknown */
    double stabilize_s;      /* models that see one frame at a time: scale and shift follow the model's with this time constant, so
                                that depth does not flicker; 0: every frame as it is */
    double exec_timeout_s;   /* of a model exec:COMMAND: seconds that a frame may take; 0: 60 */
    int input_size;          /* of the network; 0: as the model recommends (518) */
    int max_res;             /* limit of the longer source side; 0: none; init sets 1280 */
    double target_fps;       /* 0: every frame */
    int64_t max_frames;      /* 0: all */
    double start_s, end_s;   /* part of the input, seconds; end 0: to the end */
    int64_t start_frame, end_frame; /* the same by frame number of the input; end exclusive, 0: to the end */
    const char *crop;        /* NULL: none; "auto": without letterbox bars; "WxH+X+Y" */
    int square_pixels;       /* 1: undo a pixel aspect ratio */
    int deinterlace;         /* 1: frames flagged as interlaced use one field */
    int keep_hdr;            /* 1: PQ and HLG are not tone-mapped */
    const char *precision;   /* "auto", "fp32", "fp16", "bf16"; NULL: auto */
    const char *devices;     /* NULL or "auto": every GPU, or the CPU where there is none; else a list, "cuda:0,cuda:1",
                                "cpu,cpu,cpu". Several are worker processes */
    int segment_windows;     /* several devices: windows that one computes in a row; 0: as memory allows, 4 to 8. Above 0 one
                                device is a worker process, too. Never changes a byte */
    const char *program;     /* of worker processes; NULL: this program when it is isobath, else the installed one */
    const char *cpu_isa;     /* NULL: best; "sse4", "avx2", "avx512", "amx" */
    int threads;             /* CPU threads; 0: all */
    const char *formats;     /* comma-separated sink names; NULL: "png16,preview" */
    const char *cuts;        /* NULL or "off": one shot; "auto": at detected cuts; else a file of frame numbers */
    int guard;               /* 1 (init): keep the last good alignment when a fit is not sane; 0: as the reference */
    int overwrite;           /* 1: replace an existing result */
    int resume;              /* 1: go on with an unfinished result; nothing there: begin; a finished one: verify it */
    const char *output_size; /* "source" (NULL), "model" or "WxH" */
    const char *upsample;    /* "bilinear" (NULL) or "guided": edges from the picture (docs/MODEL.md, "Guided upsampling") */
    size_t device_memory;    /* bytes that this process may take of a GPU in all, 0: no limit. Less memory makes smaller batches,
                                not another result. On the CPU: of the network's memory */
    int decoder_sessions;    /* on a card, at a time, for one input; 0: one. The frames are the same (docs/SPEED.md says when it pays) */
    const char *decoder;     /* NULL or "auto": the network's GPU where it can, "software", "cuda" (or fail) */
    const char *decoders;    /* several devices: "one" decoder for all, "each" its own; NULL or "auto": each, where the run itself needs no
                                pictures and the input can be read more than once. Never changes a byte */
    double stall_s;          /* a URL or camera that gives nothing for so many seconds counts as broken off; 0: it is waited for */
    const char *raw_format;  /* "WIDTHxHEIGHT:PIXFMT:FPS" of headerless raw video on stdin; of a camera: its mode, where parts may be
                              * empty and the format may be a codec (":mjpeg:30") */
    int on_error_repeat;     /* 1: damaged frames repeat the last good one; 0: stop */
    /* formats' own options, see docs/FORMATS.md */
    int start_number;
    double range_min, range_max;
    int png_max;
    int npz_half;
    int npz_level; /* -1 (init): default */
    int grayscale;
    const char *colormap;
    int side_by_side;
    const char *preview_encoder; /* NULL or "auto": the network's GPU where it can (NVENC), else x264; "software" */
    const char *exr_compression;
    int exr_half;
    int exr_z_only;          /* exr: channel Z alone, without its copy Y that viewers show */
    double focal_px;
    double focal_y_px;       /* 0: as focal_px */
    const char *camera;      /* ply: camera file with fx, fy, cx, cy of each frame, in pixels of the output; NULL: focal_px */
    int ply_stride;
    struct isobath_engine *engine; /* of batch.h: the device stays open with the model loaded; NULL: the session's own */
    /* called with one line of text for notes and warnings, from any thread; NULL: dropped */
    void (*note)(void *ctx, const char *line);
    void *note_ctx;
} isobath_run_options;

void isobath_run_options_init(isobath_run_options *options);

/* Known before the first frame is computed. */
typedef struct isobath_plan {
    int source_width, source_height;   /* after rotation and max_res */
    int network_width, network_height;
    int output_width, output_height;
    double fps;
    int64_t frames_hint;               /* -1: unknown */
    char model[64];
    int metric;
    char device[128];                  /* the kind: backend, path, precision */
    int device_count;
    char precision[8];
    size_t host_bytes, device_bytes;   /* peak memory of the process and of the device */
    double disk_bytes;                 /* upper estimate for frames_hint frames; 0: unknown */
    double flops_per_frame;
} isobath_plan;

/* A snapshot of a run. Shares are busy time over wall time of each stage, 0..1. */
typedef struct isobath_progress {
    int64_t frames_decoded, frames_done; /* done: handed to all sinks */
    int64_t windows_done, frames_hint;
    double fraction; /* of the work, 0..1; -1: unknown (a pipe) */
    double elapsed_s, frames_per_s, left_s; /* left_s: -1 when unknown */
    double decode_share, network_share, align_share, write_share;
    const char *slowest; /* "decode", "network", "align" or "write" */
    int64_t guards;      /* alignment guards and fp32 redos so far */
} isobath_progress;

/* One device of a run. */
typedef struct isobath_device_progress {
    char name[32];  /* "cuda:0", "cpu"; of several of one name "cpu#1", "cpu#2" */
    char kind[128]; /* backend, path, precision */
    int64_t frames; /* new frames of the windows that it has done */
    double busy;    /* share of the time so far that it computed, 0..1 */
} isobath_device_progress;

typedef struct isobath_session isobath_session;

/* Opens the input and the model, decides device and precision, computes the plan. *out is set even on failure (unless
 * memory is out), so that isobath_session_error can be read; destroy it in any case.
 * Errors: every status of status.h but INTERRUPTED. */
isobath_status isobath_session_create(const isobath_run_options *options, isobath_session **out);
const isobath_plan *isobath_session_plan(const isobath_session *session);
/* Runs to the end; blocks. ISOBATH_ERR_INTERRUPTED after isobath_session_cancel. */
isobath_status isobath_session_run(isobath_session *session);
/* Asks a run to stop when what is in flight is done; a second call: at once. Async-signal-safe, any thread. What is on disk then
 * is complete, hidden or gone. */
void isobath_session_cancel(isobath_session *session);
/* After a run that did not succeed: 1 when the same run with `resume` goes on where it stopped. */
int isobath_session_can_resume(const isobath_session *session);
/* Any thread, any time between create and destroy. */
void isobath_session_progress(isobath_session *session, isobath_progress *out);
/* The i-th device of the run: 1, or 0 when there are no more (none before it runs). Any thread, as isobath_session_progress. */
int isobath_session_device(isobath_session *session, int i, isobath_device_progress *out);
/* Path of the i-th output (files or folders, then the manifest), NULL after the last; valid after a successful run. */
const char *isobath_session_output(const isobath_session *session, int i);
/* One line about the first error, "" when there was none. */
const char *isobath_session_error(const isobath_session *session);
void isobath_session_destroy(isobath_session *session); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
