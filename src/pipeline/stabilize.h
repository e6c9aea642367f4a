/* Temporal alignment for estimators that see one frame at a time: the scale and shift of each frame are pulled to those of the
 * frames before, so that the result does not flicker although every frame was estimated by itself. */
#ifndef IB_PIPELINE_STABILIZE_H
#define IB_PIPELINE_STABILIZE_H

#include "base/diag.h"
#include "pipeline/align.h"

/* Not thread-safe. */
typedef struct ib_stabilizer {
    int64_t count;      /* pixels of a map */
    int scale_only;     /* 1: metres, where a shift would move the camera */
    double time_constant_s;
    float *previous;    /* the last frame as it was aligned */
    int64_t previous_us;
    int has;            /* 0: the next frame is the first of a shot and stays as it is */
} ib_stabilizer;

/* Maps of `count` pixels. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_stabilizer_init(ib_stabilizer *stabilizer, int64_t count, int scale_only, double time_constant_s, ib_diag *diag);
void ib_stabilizer_free(ib_stabilizer *stabilizer);
void ib_stabilizer_restart(ib_stabilizer *stabilizer);
/* As if the frame at pts_us had just been given this alignment: where a run that was stopped goes on. */
void ib_stabilizer_set(ib_stabilizer *stabilizer, const float *depth, float scale, float shift, int64_t pts_us);

/* The alignment of the next frame, f32 (count): aligned = max(0, depth*scale + shift). With s, t the robust least-squares fit of the
 * frame to the one before as that was aligned, and a = exp(-dt / time constant): scale = s^a, shift = a*t. Scale and shift of
 * the output thus follow the estimator's own as a first-order low-pass does. A fit that is not sane (s outside 1/4..4) leaves the
 * frame as it is. */
ib_alignment ib_stabilize(ib_stabilizer *stabilizer, const float *depth, int64_t pts_us);

/* Fits y = scale*x + shift over `maps` pairs of maps of n pixels by least squares with Cauchy weights 1 / (1 + (r/c)^2): 5 rounds, c the mean absolute
 * residual of the round before; with scale_only shift is 0. Every `step`-th pixel. Returns 0 when there is no such fit. Pure. */
int ib_robust_fit(const float *const *x, const float *const *y, int maps, int64_t n, int64_t step, int scale_only, double *scale,
                  double *shift);

#endif
