/* The worker of this process: a thread that turns source frames into raw windows, in order. */
#ifndef IB_PIPELINE_WORKER_H
#define IB_PIPELINE_WORKER_H

#include "pipeline/compute.h"
#include "pipeline/window.h"

typedef struct ib_worker_options {
    ib_source *source; /* frames from the first one of range.shot on; those that no window needs are dropped */
    ib_vda *vda;
    ib_backend *backend;
    const ib_vda_shape *shape;
    const ib_vda_memory *memory;
    ib_compute_redo redo;
    ib_range range;
    int wants_rgb;               /* 1: windows carry their source frames */
    int held;                    /* windows that whoever reads them has at a time; 0: one */
    const atomic_int *cancelled; /* 1: no window begins any more; 2: stop at once, polled between batches. NULL allowed */
    ib_diag *diag;        /* of the device */
    ib_diag *source_diag; /* of the source; NULL: the same */
} ib_worker_options;

/* Windows never cross a frame that starts a shot: each shot has its own frame 0 and its own windows. A range gives the bytes that
 * a run of everything would have given for it; its start costs 10 more encoded frames.
 * Starts a thread that pulls from `source` and uses `vda` on `backend` (all stay the caller's) until the end of the range. Results
 * wait in a channel that holds one window. Errors later on go to diag: ISOBATH_ERR_INPUT when the video ends before the range
 * begins. */
isobath_status ib_worker_start(const ib_worker_options *options, ib_window_stream **out);

#endif
