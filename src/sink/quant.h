/* Depth to 16 bits with one step for the whole video (DESIGN.md section 5). Pure arithmetic.
 *
 * Automatic: q = floor(d / step), reader (q + 0.5) * step. step = 2^e for disparity and 2^e millimetres (e >= 0) for
 * metric depth, with the smallest e for which the largest value of the video fits; all products below are exact, and
 * floor(floor(x) / 2) = floor(x / 2), so a file made with an earlier, smaller step becomes the final one by a shift.
 * Metric files: 0 means "no depth" (and anything below one step). 65.536 m and more: the step doubles to 2 mm, 4 mm ...
 * Fixed (--range A:B): step = (B - A) / levels; values outside are clamped. 65536 levels for disparity; 65535 levels,
 * from q = 1, for metric depth, where a depth of 0 stays 0. */
#ifndef IB_SINK_QUANT_H
#define IB_SINK_QUANT_H

#include "sink/sink.h"

#define IB_QUANT_MIN_EXPONENT (-40) /* of disparity: the step of a video that is 0 everywhere */

typedef struct ib_quant {
    ib_depth_kind kind;
    int fixed;              /* --range: the exponent is ignored */
    double range_min, step; /* of the fixed range */
} ib_quant;

/* How far the automatic step can grow is not limited below the largest float.
 * Errors: ISOBATH_ERR_USAGE (a range that is empty, not finite or, for metric depth, negative). */
isobath_status ib_quant_init(const ib_sink_config *config, ib_diag *diag, ib_quant *quant);
/* The smallest exponent that holds `max` (finite, >= 0). */
int ib_quant_exponent(const ib_quant *quant, float max);
/* A reader's depth is (q + offset) * scale, and q == 0 is "no depth" when `has_invalid`. */
double ib_quant_scale(const ib_quant *quant, int exponent);
double ib_quant_offset(const ib_quant *quant);
int ib_quant_has_invalid(const ib_quant *quant);
/* Quantises n values. Returns how many did not fit and were clamped (fixed range), or -1 when a value is negative, not
 * finite or, without a fixed range, above 65535 steps; q is then unspecified. */
int64_t ib_quant_apply(const ib_quant *quant, int exponent, const float *depth, int64_t n, uint16_t *q);

#endif
