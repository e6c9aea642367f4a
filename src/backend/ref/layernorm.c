/* layernorm: two passes in double for mean and biased variance, then affine, then the optional position. */
#include "backend/ref/ref.h"

#include <math.h>

static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_layernorm_args *a = ctx;
    int64_t t = i / a->x.dim[1], n = i % a->x.dim[1], channels = a->x.dim[2];
    int64_t from = ib_ref_row(&a->x, t, n), to = ib_ref_row(&a->y, t, n);
    double mean = 0, var = 0;
    for (int64_t c = 0; c < channels; c++) mean += ib_ref_get(&a->x, from + c);
    mean /= (double)channels;
    for (int64_t c = 0; c < channels; c++) {
        double d = ib_ref_get(&a->x, from + c) - mean;
        var += d * d;
    }
    var /= (double)channels;
    double inverse = 1.0 / sqrt(var + (double)a->eps);
    for (int64_t c = 0; c < channels; c++) {
        double v = (ib_ref_get(&a->x, from + c) - mean) * inverse;
        v = v * ib_ref_get(&a->weight, c) + ib_ref_get(&a->bias, c);
        if (ib_tensor_present(&a->pos)) v += ib_ref_get(&a->pos, t * a->pos.stride[0] + c);
        ib_ref_set(&a->y, to + c, v);
    }
}

isobath_status ib_ref_layernorm(ib_backend *b, const ib_layernorm_args *a)
{
    ib_pool_run(b->pool, a->x.dim[0] * a->x.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
