/* What a run is made of, decided before the first frame: input, model, sizes, device, memory, outputs. */
#ifndef IB_PIPELINE_SETUP_H
#define IB_PIPELINE_SETUP_H

#include "backend/backend.h"
#include "media/media.h"
#include "model/vda.h"
#include "sink/sink.h"
#include <isobath/session.h>

#define IB_MAX_SINKS 8
#define IB_DEVICE_CPU (-1)
#define IB_DEVICE_NULL (-2) /* computes nothing: for tests of everything around the network */

/* Owns copies of all strings. */
typedef struct ib_setup {
    isobath_run_options options;
    char *strings[24]; /* what the option strings point to */
    int string_count;
    char name[256];       /* NAME of the result files */
    char model_path[4096];
    char cuda_reason[256]; /* why `auto` did not take a GPU */
    ib_media *media;
    ib_media_options media_options; /* what it was opened with */
    struct ib_exec *exec; /* the depth program, where --model names one: config has no more than name and metric then */
    ib_vda_config config;
    ib_vda_shape shape;
    ib_vda_memory memory;
    ib_dtype act;
    int device; /* CUDA ordinal, IB_DEVICE_CPU or IB_DEVICE_NULL */
    int threads;
    int cuts_auto; /* --cuts auto */
    size_t source_queue_bytes;
    const ib_sink_format *formats[IB_MAX_SINKS]; /* in finishing order */
    int format_count;
    ib_sink_config sink;
    isobath_plan plan;
} ib_setup;

/* Decides everything; touches nothing on disk. On failure the setup can still be freed. */
isobath_status ib_setup_init(ib_setup *setup, const isobath_run_options *options, ib_diag *diag);
void ib_setup_free(ib_setup *setup);

/* Whether --model is exec:COMMAND; and the rest of the decisions then: starts the program and asks it (source sizes must be known).
 * Errors: USAGE, MODEL, MEMORY. */
int ib_setup_is_exec(const ib_setup *setup);
isobath_status ib_setup_open_exec(ib_setup *setup, ib_diag *diag);

/* NAME of the results of an input: its base name without the extension; the folder's name for a pattern or folder. */
void ib_setup_name(const char *input, char *name, size_t size);

/* Micro-batches for shape->height and width: on the CPU one frame fills the caches; on a GPU enough frames to fill the card. */
void ib_setup_batches(const ib_vda_config *config, int gpu, ib_vda_shape *shape);

/* Opens a backend of the chosen device. Errors: DEVICE, UNSUPPORTED, MEMORY. */
isobath_status ib_setup_open_backend(const ib_setup *setup, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **backend);

/* Opens the backend and loads the network in `act`. Errors: DEVICE, MEMORY, MODEL. */
isobath_status ib_setup_open_network(const ib_setup *setup, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **backend,
                                     ib_vda **vda, char model_sha256[65]);

/* Creates the output folder, refuses or removes an existing result, checks the room on the disk. */
isobath_status ib_setup_prepare_output(const ib_setup *setup, ib_diag *diag);

#endif
