/* conv_transpose: kernel = stride = k, so every output pixel has exactly one input pixel and one tap. */
#include "backend/ref/ref.h"

/* One row of output pixels. */
static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_conv_transpose_args *a = ctx;
    const ib_ref_weight *w = ib_ref_weight_of(a->w);
    int64_t in = w->base.in_channels, out = w->base.out_channels, k = w->base.kernel;
    int64_t t = i / a->y.dim[1], oy = i % a->y.dim[1];
    for (int64_t ox = 0; ox < a->y.dim[2]; ox++) {
        int64_t from = ib_ref_pixel(&a->x, t, oy / k, ox / k), to = ib_ref_pixel(&a->y, t, oy, ox);
        int64_t tap = oy % k * k + ox % k;
        for (int64_t first = 0; first < out; first += IB_REF_LANES) {
            double sum[IB_REF_LANES] = {0};
            for (int64_t c = 0; c < in; c++)
                ib_ref_madd(sum, ib_ref_get(&a->x, from + c), w->data + (tap * in + c) * w->pitch + first);
            for (int64_t c = first; c < first + IB_REF_LANES && c < out; c++)
                ib_ref_set(&a->y, to + c, sum[c - first] + ib_ref_get(&a->bias, c));
        }
    }
}

isobath_status ib_ref_conv_transpose(ib_backend *b, const ib_conv_transpose_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
