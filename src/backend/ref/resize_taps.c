/* resize_taps: nine resized maps, each moved by its tap, added up in double; samples in f32 exactly as ib_bilinear_axis says. */
#include "backend/ref/ref.h"

/* One row of output pixels. */
static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_resize_taps_args *a = ctx;
    int64_t t = i / a->y.dim[1], oy = i % a->y.dim[1], channels = a->y.dim[3], y0, y1, x0, x1;
    float wy, wx;
    for (int64_t ox = 0; ox < a->y.dim[2]; ox++)
        for (int64_t c = 0; c < channels; c++) {
            double sum = ib_ref_get(&a->bias, c);
            for (int64_t tap = 0; tap < 9; tap++) {
                int64_t y = oy + tap / 3 - 1, x = ox + tap % 3 - 1, from = tap * channels + c;
                if (y < 0 || y >= a->y.dim[1] || x < 0 || x >= a->y.dim[2]) continue;
                ib_bilinear_axis(y, a->x.dim[1], a->y.dim[1], &y0, &y1, &wy);
                ib_bilinear_axis(x, a->x.dim[2], a->y.dim[2], &x0, &x1, &wx);
                sum += (double)ib_ref_lerp2(ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y0, x0) + from),
                                            ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y0, x1) + from),
                                            ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y1, x0) + from),
                                            ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y1, x1) + from), wy, wx);
            }
            ib_ref_set(&a->y, ib_ref_pixel(&a->y, t, oy, ox) + c, sum);
        }
}

isobath_status ib_ref_resize_taps(ib_backend *b, const ib_resize_taps_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
