/* One network on one device, computing windows: encodes each frame once while windows follow each other, checks every window for
 * values that are not finite and redoes it in fp32 when there are any. Used by the worker thread and by worker processes. */
#ifndef IB_PIPELINE_COMPUTE_H
#define IB_PIPELINE_COMPUTE_H

#include "backend/backend.h"
#include "model/vda.h"
#include "pipeline/plan.h"
#include "pipeline/source.h"

/* How to make the network again in fp32, should a window need it; open NULL: it is in fp32. When open says
 * ISOBATH_ERR_MEMORY, the fast network makes room: it is unloaded, and brought back by `reload` when the window is done. The same
 * when the device has no more memory in the middle of a run: the network is unloaded and comes back as the next smaller plan that
 * there is room for (ib_vda_shrink), and the window begins again; same bytes. Errors of both go to the network's diag and are the
 * run's only when nothing smaller helps. `smaller`: it is another plan than before. */
typedef struct ib_compute_redo {
    isobath_status (*open)(void *ctx, ib_diag *diag, ib_backend **backend, ib_vda **vda);
    isobath_status (*reload)(void *ctx, ib_vda *vda, int smaller);
    void *ctx;
} ib_compute_redo;

/* What it works with; all of it stays the caller's and must outlive the object. */
typedef struct ib_compute_options {
    ib_vda *vda;
    ib_backend *backend;
    const ib_vda_shape *shape;   /* copied */
    const ib_vda_memory *memory; /* copied */
    ib_compute_redo redo;
    int (*tick)(void *ctx); /* called between batches; not 0: stop. NULL allowed */
    void *tick_ctx;
    ib_diag *diag;
} ib_compute_options;

typedef struct ib_compute ib_compute;
isobath_status ib_compute_create(const ib_compute_options *options, ib_compute **out);
void ib_compute_destroy(ib_compute *compute); /* NULL allowed */

/* Starts window k of a shot on its 32 frames (clamped ones are the last frame again); they are kept until it is finished. When the
 * window before it was the last one begun only slots 10..31 are encoded, else all 32: the same bits. The depth goes to `raw`,
 * f32 (32,height,width), preferably from ib_host_alloc. At most shape.depth_slots windows may be in flight.
 * ISOBATH_ERR_INTERRUPTED: `tick` said stop; ISOBATH_ERR_MEMORY: not even the smallest plan fits (any more). */
isobath_status ib_compute_begin(ib_compute *compute, int64_t shot, int64_t k, ib_source_frame *const frames[IB_PLAN_WINDOW],
                                float *raw);
/* Waits for the oldest window in flight, checks it and redoes it if it must be. */
isobath_status ib_compute_finish(ib_compute *compute, int *redone, int64_t *nonfinite);
/* For tests: the device has no memory left for the next window, nor for the first `plans` - 1 smaller plans. */
void ib_compute_starve(ib_compute *compute, int plans);
int ib_compute_in_flight(const ib_compute *compute);

/* Any thread: FLOPs of the network so far, and seconds busy. */
double ib_compute_flops(const ib_compute *compute);
double ib_compute_busy_s(const ib_compute *compute);

#endif
