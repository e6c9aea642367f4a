/* What a run is made of, decided before the first frame: input, model, sizes, device, memory, outputs. */
#ifndef IB_PIPELINE_SETUP_H
#define IB_PIPELINE_SETUP_H

#include "backend/backend.h"
#include "media/media.h"
#include "model/vda.h"
#include "pipeline/precision.h"
#include "pipeline/exec/exec_protocol.h"
#include "pipeline/fleet/child.h"
#include "pipeline/devices.h"
#include "sink/sink.h"
#include <isobath/session.h>

#define IB_MAX_SINKS 8

/* Owns copies of all strings. */
typedef struct ib_setup {
    isobath_run_options options;
    char *strings[25]; /* what the option strings point to */
    int string_count;
    char name[256];       /* NAME of the result files */
    char model_path[4096];
    int64_t model_bytes; /* of its file */
    char cuda_reason[256]; /* why `auto` did not take a GPU */
    ib_media *media;
    ib_pool *media_pool; /* of its colour conversion; NULL: one thread */
    ib_media_options media_options; /* what it was opened with */
    struct ib_exec *exec; /* the depth program, where --model names one (and it was not told): config has no more than name and metric then */
    ib_vda_config config;
    ib_vda_shape shape;
    ib_vda_memory memory;
    ib_budget budget; /* of --device-memory; the shape points to it */
    ib_dtype act;
    ib_precision_verdict precision; /* behind `act`, where it was tested */
    char model_sha256[65];          /* "" until somebody asked ib_setup_hash_model for it */
    char early_sha256[65];          /* of the thread that hashes beside the rest of the set-up */
    pthread_t hash_thread;
    int hashing;
    ib_device_list devices;
    int device; /* the first one: CUDA ordinal, IB_DEVICE_CPU or IB_DEVICE_NULL */
    int fleet;  /* 1: every device is a worker process; the members below count then */
    int decodes;             /* 1: worker processes read the input, each for itself; 0: this one reads it for all */
    double pixel_aspect;          /* of the source pictures: width / height of a pixel */
    char decoder[96], colour[96]; /* as of ib_media_info: of whoever decodes */
    size_t fleet_bytes;      /* what worker processes and shared memory take; of plan.host_bytes */
    int segment;             /* windows of a segment at most */
    ib_shared_layout shared; /* look-ahead and results */
    char program[4096];      /* of worker processes */
    ib_child *child[IB_MAX_DEVICES]; /* opened already, for the fleet to take; or NULL */
    int threads;
    int render_threads, render_windows, render_ahead; /* of the render stage (render.h) */
    int cuts_auto; /* --cuts auto */
    int guided;    /* --upsample guided */
    size_t source_queue_bytes;
    const ib_sink_format *formats[IB_MAX_SINKS]; /* in finishing order */
    int format_count;
    ib_sink_config sink;
    isobath_plan plan;
} ib_setup;

/* Steps of ib_setup_init, in its order: setup_model.c, setup_input.c, setup_formats.c, setup_memory.c. */
isobath_status ib_setup_read_model(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_choose_device(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_open_media(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_choose_formats(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_set_metre_scale(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_choose_sizes(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_settle_precision(ib_setup *setup, ib_diag *diag);
/* setup->sink; what is wrong with the outputs' options is told before anything is removed or written. */
isobath_status ib_setup_prepare_sinks(ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_plan_memory(ib_setup *setup, ib_diag *diag);
/* A line for the user. */
void ib_setup_note(const ib_setup *setup, const char *line);

/* Decides everything; touches nothing on disk. On failure the setup can still be freed. */
isobath_status ib_setup_init(ib_setup *setup, const isobath_run_options *options, ib_diag *diag);
/* The same where nothing is computed with a model exec:COMMAND: the program is not started, `told` is what it said of itself before. NULL: as above. */
isobath_status ib_setup_init_told(ib_setup *setup, const isobath_run_options *options, const ib_exec_hello *told, ib_diag *diag);
void ib_setup_free(ib_setup *setup);

/* What ib_setup_init asks first: input and output are named, numbers lie where they mean something. Errors: USAGE. */
isobath_status ib_setup_check_options(const isobath_run_options *options, ib_diag *diag);

/* Whether --model is exec:COMMAND; and the rest of the decisions then: starts the program and asks it (source sizes must be known), unless it is
 * `told`. Errors: USAGE, MODEL, MEMORY. */
int ib_setup_is_exec(const ib_setup *setup);
isobath_status ib_setup_open_exec(ib_setup *setup, const ib_exec_hello *told, ib_diag *diag);
/* What a manifest calls the kind that computes: the bytes depend on it, not on how many there are. */
const char *ib_setup_kind(const ib_setup *setup);

/* NAME of the results of an input: its base name without the extension; the folder's name for a pattern or folder. */
void ib_setup_name(const char *input, char *name, size_t size);

/* Micro-batches for shape->height and width: on the CPU enough frames that all cores have work to the end of an op, which takes no
 * memory that the temporal modules do not need anyway; on a GPU enough frames to fill the card. */
void ib_setup_batches(const ib_vda_config *config, int gpu, ib_dtype act, ib_vda_shape *shape);

/* Opens a backend of the chosen device. Errors: DEVICE, UNSUPPORTED, MEMORY. */
isobath_status ib_setup_open_backend(const ib_setup *setup, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **backend);

/* Opens the backend and loads the network in `act`. Where memory is short, with smaller batches (the same bytes): setup->shape
 * and memory then say what is open, if `act` is the run's. Errors: DEVICE, MEMORY, MODEL. */
isobath_status ib_setup_open_network(ib_setup *setup, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **backend,
                                     ib_vda **vda, char model_sha256[65]);
/* ib_vda_reload with the run's checkpoint. */
isobath_status ib_setup_reload_network(const ib_setup *setup, ib_vda *vda, ib_diag *diag);

/* SHA-256 of the checkpoint in a thread, for ib_setup_hash_model to pick up; ended by that or by ib_setup_end_hash. */
void ib_setup_begin_hash(ib_setup *setup);
void ib_setup_end_hash(ib_setup *setup);
/* SHA-256 of the checkpoint; computed once. Errors: ISOBATH_ERR_MODEL, ISOBATH_ERR_MEMORY. */
isobath_status ib_setup_hash_model(ib_setup *setup, ib_diag *diag, char sha256[65]);

/* Do sinks, or the upsampling, want pictures? */
int ib_setup_wants_rgb(const ib_setup *setup);

/* setup_fleet.c: look-ahead and memory (fleet_bytes); worker processes that say what they are; what each is told; its threads. Beside a run
 * that goes on they leave the plan alone. */
void ib_setup_plan_fleet(ib_setup *setup);
isobath_status ib_setup_open_children(ib_setup *setup, char kinds[128], ib_diag *diag);
void ib_setup_shared_places(const ib_setup *setup, int *frames, int *raws); /* that a video of the hinted length uses */
ib_msg_open ib_setup_child_open(const ib_setup *setup, int device);
int ib_setup_threads_of(const ib_setup *setup, int device);
/* Can workers read the input themselves, as far as can be told before they are asked? All frames must be of no use here. */
int ib_setup_may_decode_apart(const ib_setup *setup);

/* mkdir -p, and it can be written to. Errors: ISOBATH_ERR_IO, ISOBATH_ERR_USAGE. */
isobath_status ib_make_folders(const char *path, ib_diag *diag);

/* Before anything is written: creates the output folder; refuses an existing result, or removes it (`replace`); checks the room on
 * the disk for this part of the result (1: all of it). And all three of them, with --overwrite. */
isobath_status ib_setup_make_folder(const ib_setup *setup, ib_diag *diag);
isobath_status ib_setup_check_outputs(const ib_setup *setup, int replace, ib_diag *diag);
isobath_status ib_setup_check_room(const ib_setup *setup, double part, ib_diag *diag);
isobath_status ib_setup_prepare_output(const ib_setup *setup, ib_diag *diag);

#endif
