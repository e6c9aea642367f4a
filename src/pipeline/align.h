/* Alignment: the chain that gives every window its scale and shift, and the rendering of one output frame. */
#ifndef IB_PIPELINE_ALIGN_H
#define IB_PIPELINE_ALIGN_H

#include "op/op.h"
#include "pipeline/plan.h"
#include "sink/sink.h"

/* What the chain says of one window. */
typedef struct ib_alignment {
    float scale, shift; /* aligned = raw*scale + shift, then < 0 -> 0 */
    int guarded;        /* 1: the fit was not sane and the previous window's numbers were kept */
    double fit_scale, fit_shift; /* what the least squares gave */
} ib_alignment;

/* Least squares from the sums {n, Sp, Spp, Sr, Spr} of ib_fit_sums_args. With `guard`, a fit that is not sane (scale <= 0,
 * not finite, or n*Spp - Sp^2 <= 1e-6*n*Spp: all-zero depth counts as singular) keeps `previous`. Pure. */
ib_alignment ib_align_solve(const double sums[5], int guard, const ib_alignment *previous);

/* The chain over the windows of one shot. Not thread-safe. */
typedef struct ib_align_chain {
    ib_backend *backend; /* runs fit_sums; host memory */
    int metric, guard;
    int64_t height, width;         /* output size: the sums are taken there */
    int64_t net_height, net_width; /* of the raw maps */
    float *first;                  /* raw slot 0 of window 0 */
    float *last12;                 /* raw slot 12 of the window before */
    ib_alignment last;             /* of the window before; (1, 0) at the start */
    int64_t next; /* window expected next */
} ib_align_chain;

/* Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_align_chain_init(ib_align_chain *chain, ib_backend *backend, int metric, int guard, int64_t height,
                                   int64_t width, int64_t net_height, int64_t net_width, ib_diag *diag);
/* Forgets the windows so far: the next one is window 0 of a new shot. */
void ib_align_chain_restart(ib_align_chain *chain);
void ib_align_chain_free(ib_align_chain *chain);
/* Feeds raw window `next`, f32 (32,net_height,net_width) on the host; windows must come in order. */
isobath_status ib_align_chain_window(ib_align_chain *chain, float *raw, ib_alignment *out);

/* Renders one output frame into y f32 (height,width), on the host. `raw` f32 (net_height,net_width) is the frame's map in the
 * window that finishes it; `fade` the map of the window before, with its alignment, NULL when how->fade is 0. */
isobath_status ib_align_render(ib_backend *backend, const ib_plan_render *how, float *raw, const ib_alignment *alignment,
                               float *fade, const ib_alignment *fade_alignment, int64_t net_height, int64_t net_width,
                               float *y, int64_t height, int64_t width, float *min, float *max);
/* The same into f->packed, by a sink that packs (ib_sink_packs), row by row; `backend` is the cpu's. */
isobath_status ib_align_pack(ib_backend *backend, const ib_plan_render *how, float *raw, const ib_alignment *alignment, float *fade,
                             const ib_alignment *fade_alignment, int64_t net_height, int64_t net_width, const ib_sink_format *format, ib_sink *sink,
                             int thread, ib_depth_frame *f);

#endif
