/* The arithmetic of the evaluation (pure, double): FACTS of the reference benchmark, see docs/FORMATS.md "eval". */
#ifndef IB_EVAL_METRICS_H
#define IB_EVAL_METRICS_H

#include "sink/camera.h"
#include <stdint.h>

#define IB_EVAL_MIN_DEPTH 1e-3

/* Bilinear, half-pixel centres, replicated border, no antialias (OpenCV's INTER_LINEAR): (in_h,in_w) to (h,w). */
void ib_eval_resize(const float *in, int in_h, int in_w, float *out, int h, int w);

/* Sums of the least-squares fit g = scale * p + shift over the valid pixels of a sequence. */
typedef struct ib_eval_fit {
    double n, p, g, pp, pg;
} ib_eval_fit;
/* Adds the pixels with 1e-3 < gt < max_depth: p = max(pred, 1e-3), g = 1/(gt + 1e-8). Returns how many there were. */
int64_t ib_eval_fit_add(ib_eval_fit *fit, const float *pred, const float *gt, int64_t n, double max_depth);
/* 0 when the system has no solution (a constant prediction). */
int ib_eval_fit_solve(const ib_eval_fit *fit, double *scale, double *shift);

/* Depth in metres of a prediction: disparity p gives clip(1/max(scale*max(p,1e-3) + shift, 1e-3), 1e-3, max_depth);
 * metric p gives clip(p, 1e-3, max_depth). */
void ib_eval_depth(const float *pred, int64_t n, int metric, double scale, double shift, double max_depth,
                   double *depth);

typedef struct ib_eval_frame {
    int64_t n; /* valid pixels */
    double abs_rel, rmse, delta1;
} ib_eval_frame;
ib_eval_frame ib_eval_compare(const double *depth, const float *gt, int64_t n, double max_depth);

/* One direction of TAE: depth `from` (H,W) seen by camera a is carried into camera b; the mean of |to - splat| / to
 * over the pixels where both are positive. `splat` is scratch (H,W). Returns 0 when no pixel is. */
int ib_eval_reprojection(const double *from, const ib_camera *a, const double *to, const ib_camera *b, int height,
                         int width, double *splat, double *error);

#endif
