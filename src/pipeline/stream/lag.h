/* Streaming with a few frames of look-ahead: between the reference's streaming mode, which sees no future, and its windows of 22 new
 * frames. Every `step` frames a window of 32 is computed whose last `step` frames are new; before them come frame 0, one frame from
 * a while ago and the frames just before, whose features are kept. Formulas: docs/MODEL.md, "Streaming with a lag". */
#ifndef IB_PIPELINE_STREAM_LAG_H
#define IB_PIPELINE_STREAM_LAG_H

#include "model/vda.h"
#include "pipeline/plan.h"
#include "pipeline/source.h"

#define IB_LAG_MAX 16

typedef struct ib_lag_options {
    ib_vda *vda;              /* all stay the caller's and must outlive the object */
    const ib_vda_shape *shape;
    int step;                 /* 1 .. IB_LAG_MAX: frames between windows, the largest delay in frames plus one */
    int metric;               /* 1: no scale and shift between windows */
    /* The network in fp32, should a window need it; NULL: vda is in fp32. */
    isobath_status (*open_redo)(void *ctx, ib_vda **vda);
    void *ctx;
    ib_diag *diag;
} ib_lag_options;

typedef struct ib_lag ib_lag;
isobath_status ib_lag_create(const ib_lag_options *options, ib_lag **out);
void ib_lag_destroy(ib_lag *lag); /* NULL allowed */

/* The next frame (a reference is taken). *ready: how many frames became final with it, 0 or `step`; ib_lag_frame and ib_lag_depth
 * show them until the next call. *nonfinite: values that were not finite and were redone in fp32. */
isobath_status ib_lag_push(ib_lag *lag, ib_source_frame *frame, int *ready, int64_t *nonfinite);
/* After the last frame: the rest. */
isobath_status ib_lag_flush(ib_lag *lag, int *ready, int64_t *nonfinite);
/* Frame i of those ready, and its aligned depth, f32 (height,width) of the network. */
ib_source_frame *ib_lag_frame(const ib_lag *lag, int i);
const float *ib_lag_depth(const ib_lag *lag, int i);

#endif
