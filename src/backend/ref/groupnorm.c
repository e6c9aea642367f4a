/* groupnorm: mean and biased variance over the channels of a group and all pixels of one frame, two passes in double.
 */
#include "backend/ref/ref.h"

#include <math.h>

/* One group of one frame. */
static void group(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_groupnorm_args *a = ctx;
    int64_t t = i / a->groups, pixels = a->x.dim[1], size = a->x.dim[2] / a->groups, first = i % a->groups * size;
    double count = (double)(pixels * size), mean = 0, var = 0;
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = first; c < first + size; c++) mean += ib_ref_get(&a->x, ib_ref_row(&a->x, t, p) + c);
    mean /= count;
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t c = first; c < first + size; c++) {
            double d = ib_ref_get(&a->x, ib_ref_row(&a->x, t, p) + c) - mean;
            var += d * d;
        }
    }
    double inverse = 1.0 / sqrt(var / count + (double)a->eps);
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t c = first; c < first + size; c++) {
            double v = (ib_ref_get(&a->x, ib_ref_row(&a->x, t, p) + c) - mean) * inverse;
            ib_ref_set(&a->y, ib_ref_row(&a->y, t, p) + c, v * ib_ref_get(&a->weight, c) + ib_ref_get(&a->bias, c));
        }
    }
}

isobath_status ib_ref_groupnorm(ib_backend *b, const ib_groupnorm_args *a)
{
    ib_pool_run(b->pool, a->x.dim[0] * a->groups, group, (void *)a);
    return ISOBATH_OK;
}
