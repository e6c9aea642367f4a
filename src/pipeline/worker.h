/* The worker: source frames in, raw windows out, in order. Encodes each frame once, checks every window for values that
 * are not finite and redoes it in fp32 when there are any. */
#ifndef IB_PIPELINE_WORKER_H
#define IB_PIPELINE_WORKER_H

#include "backend/backend.h"
#include "model/vda.h"
#include "pipeline/plan.h"
#include "pipeline/source.h"

/* How to make the network again in fp32, should a window need it. */
typedef struct ib_worker_redo {
    isobath_status (*open)(void *ctx, ib_backend **backend, ib_vda **vda);
    void *ctx;
} ib_worker_redo;

/* A raw window; the consumer owns it and gives it back with ib_window_free before the worker is destroyed. */
typedef struct ib_window {
    int64_t shot, shot_first;   /* which shot, and the video's frame that it begins with */
    int64_t k;                  /* within the shot */
    int64_t frames_total;       /* of the shot; -1: not known yet */
    int redone;                 /* 1: computed in fp32 after `nonfinite` values in the fast path */
    int64_t nonfinite;
    ib_source_frame *source[IB_PLAN_WINDOW]; /* frames that are new in this window by slot (0..31 or 10..31); else NULL */
    ib_source_frame *input[IB_PLAN_WINDOW];  /* what every slot was made of: for the fp32 redo */
    float *raw;                 /* f32 (32,height,width) */
    struct ib_worker *worker;   /* takes `raw` back */
} ib_window;
void ib_window_free(ib_window *window); /* NULL allowed */

typedef struct ib_worker ib_worker;

/* Windows never cross a frame that starts a shot: each shot has its own frame 0 and its own windows.
 * Starts a thread that pulls from `source` and uses `vda` on `backend` (all stay the caller's) until the end. Results wait in a channel
 * that holds one window. `cancelled` is polled between batches; NULL allowed. */
isobath_status ib_worker_start(ib_source *source, ib_vda *vda, const ib_vda_shape *shape, const ib_vda_memory *memory,
                               ib_backend *backend, ib_worker_redo redo, const atomic_int *cancelled, ib_diag *diag,
                               ib_worker **out);
/* Next window in order, NULL at the end, after an error (see diag) or after a stop. */
ib_window *ib_worker_next(ib_worker *worker);
void ib_worker_stop(ib_worker *worker); /* any thread */
void ib_worker_destroy(ib_worker *worker);
/* Any thread: FLOPs of the network done so far, and seconds busy. */
double ib_worker_flops(const ib_worker *worker);
double ib_worker_busy_s(const ib_worker *worker);

#endif
