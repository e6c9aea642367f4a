/* conv3x3: padding 1, stride 1 or 2: y = relu?(conv(relu?(x)) + bias) + residual + residual2. */
#include "backend/ref/ref.h"

/* One row of output pixels. */
static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_conv3x3_args *a = ctx;
    const ib_ref_weight *w = ib_ref_weight_of(a->w);
    int64_t in = w->base.in_channels, out = w->base.out_channels;
    int64_t t = i / a->y.dim[1], oy = i % a->y.dim[1];
    for (int64_t ox = 0; ox < a->y.dim[2]; ox++) {
        int64_t to = ib_ref_pixel(&a->y, t, oy, ox);
        for (int64_t first = 0; first < out; first += IB_REF_LANES) {
            double sum[IB_REF_LANES] = {0};
            for (int tap = 0; tap < 9; tap++) {
                int64_t y = oy * a->stride + tap / 3 - 1, x = ox * a->stride + tap % 3 - 1;
                if (y < 0 || y >= a->x.dim[1] || x < 0 || x >= a->x.dim[2]) continue;
                int64_t from = ib_ref_pixel(&a->x, t, y, x);
                for (int64_t c = 0; c < in; c++) {
                    float v = ib_ref_get(&a->x, from + c);
                    if (a->relu_in && v < 0) v = 0;
                    ib_ref_madd(sum, v, w->data + (tap * in + c) * w->pitch + first);
                }
            }
            for (int64_t c = first; c < first + IB_REF_LANES && c < out; c++) {
                double v = sum[c - first];
                if (ib_tensor_present(&a->bias)) v += ib_ref_get(&a->bias, c);
                if (a->relu_out && v < 0) v = 0;
                if (ib_tensor_present(&a->residual))
                    v += ib_ref_get(&a->residual, ib_ref_pixel(&a->residual, t, oy, ox) + c);
                if (ib_tensor_present(&a->residual2))
                    v += ib_ref_get(&a->residual2, ib_ref_pixel(&a->residual2, t, oy, ox) + c);
                ib_ref_set(&a->y, to + c, v);
            }
        }
    }
}

isobath_status ib_ref_conv3x3(ib_backend *b, const ib_conv3x3_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
