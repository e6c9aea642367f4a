/* resize_bilinear: align_corners = True, in f32 exactly as ib_bilinear_axis says. */
#include "backend/ref/ref.h"

/* One row of output pixels. */
static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_resize_bilinear_args *a = ctx;
    int64_t t = i / a->y.dim[1], y = i % a->y.dim[1], y0, y1, x0, x1;
    float wy, wx;
    ib_bilinear_axis(y, a->x.dim[1], a->y.dim[1], &y0, &y1, &wy);
    for (int64_t x = 0; x < a->y.dim[2]; x++) {
        ib_bilinear_axis(x, a->x.dim[2], a->y.dim[2], &x0, &x1, &wx);
        int64_t p00 = ib_ref_pixel(&a->x, t, y0, x0), p01 = ib_ref_pixel(&a->x, t, y0, x1);
        int64_t p10 = ib_ref_pixel(&a->x, t, y1, x0), p11 = ib_ref_pixel(&a->x, t, y1, x1);
        int64_t to = ib_ref_pixel(&a->y, t, y, x);
        for (int64_t c = 0; c < a->x.dim[3]; c++)
            ib_ref_set(&a->y, to + c,
                       ib_ref_lerp2(ib_ref_get(&a->x, p00 + c), ib_ref_get(&a->x, p01 + c), ib_ref_get(&a->x, p10 + c),
                                    ib_ref_get(&a->x, p11 + c), wy, wx));
    }
}

isobath_status ib_ref_resize_bilinear(ib_backend *b, const ib_resize_bilinear_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
