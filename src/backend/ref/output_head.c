/* output_head: bilinear to (H,W), 3x3 to 32 channels, ReLU, 1x1 to one channel, ReLU or sigmoid. The resized map is f32 and is
 * sampled anew for each of the nine taps that use it. */
#include "backend/ref/ref.h"

#include <math.h>

static double end(double v, double sigmoid)
{
    if (sigmoid > 0) return isfinite(v) ? sigmoid / (1 + exp(-v)) : (double)NAN;
    return v < 0 ? 0 : v;
}

/* One row of output pixels. */
static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_output_head_args *a = ctx;
    const ib_ref_weight *w = ib_ref_weight_of(a->w);
    int64_t in = w->base.in_channels, height = a->y.dim[1], width = a->y.dim[2];
    int64_t t = i / height, oy = i % height, y0, y1, x0, x1;
    const float *last = w->data + 9 * in * w->pitch; /* the 1x1 */
    float wy, wx;
    for (int64_t ox = 0; ox < width; ox++) {
        double sum[IB_REF_LANES] = {0};
        for (int tap = 0; tap < 9; tap++) {
            int64_t y = oy + tap / 3 - 1, x = ox + tap % 3 - 1;
            if (y < 0 || y >= height || x < 0 || x >= width) continue;
            ib_bilinear_axis(y, a->x.dim[1], height, &y0, &y1, &wy);
            ib_bilinear_axis(x, a->x.dim[2], width, &x0, &x1, &wx);
            int64_t p00 = ib_ref_pixel(&a->x, t, y0, x0), p01 = ib_ref_pixel(&a->x, t, y0, x1);
            int64_t p10 = ib_ref_pixel(&a->x, t, y1, x0), p11 = ib_ref_pixel(&a->x, t, y1, x1);
            for (int64_t c = 0; c < in; c++) {
                float v = ib_ref_lerp2(ib_ref_get(&a->x, p00 + c), ib_ref_get(&a->x, p01 + c),
                                       ib_ref_get(&a->x, p10 + c), ib_ref_get(&a->x, p11 + c), wy, wx);
                ib_ref_madd(sum, v, w->data + (tap * in + c) * w->pitch);
            }
        }
        double depth = ib_ref_get(&a->bias, 32);
        for (int c = 0; c < 32; c++) {
            double v = sum[c] + ib_ref_get(&a->bias, c);
            depth += (v < 0 ? 0 : v) * last[c];
        }
        ib_ref_set(&a->y, ib_ref_row(&a->y, t, oy) + ox, end(depth, (double)a->sigmoid));
    }
}

isobath_status ib_ref_output_head(ib_backend *b, const ib_output_head_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
