/* The robust line between two depths of the same pixels. Pure. */
#ifndef IB_JOIN_FIT_H
#define IB_JOIN_FIT_H

#include <stddef.h>

typedef enum ib_fit_model { IB_FIT_NONE, IB_FIT_SCALE, IB_FIT_BOTH } ib_fit_model;

typedef struct ib_fit {
    double scale, shift;
    double residual;  /* 1.4826 * median |scale x + shift - y| / median |y|, over all samples */
    double agreement; /* share of y's spread that the line explains, by medians: sqrt(1 - (spread of errors / spread of
                         y)^2), 0..1 */
} ib_fit;

/* y ~ scale * x + shift over n samples, finite. Iteratively reweighted least squares: Huber's weights, then Tukey's,
 * which leave gross errors out. Both x and y are noisy, in proportion, so at the end the line is the geometric mean of
 * the two regressions: the ordinary one would make every chunk a little flatter than the one before. IB_FIT_NONE: scale
 * 1, shift 0, only measured. `scratch` holds n doubles. 0: no line (fewer than 16 samples, one value only, or no
 * positive slope). */
int ib_line_fit(const float *x, const float *y, size_t n, ib_fit_model model, double *scratch, ib_fit *out);

#endif
