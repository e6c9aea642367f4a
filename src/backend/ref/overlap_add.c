/* overlap_add: the pixels that neighbouring input positions share, added up in double. */
#include "backend/ref/ref.h"

/* One row of output pixels. */
static void row(void *ctx, int64_t r, int thread)
{
    (void)thread;
    const ib_overlap_add_args *a = ctx;
    int64_t t = r / a->y.dim[1], y = r % a->y.dim[1], k = a->kernel, channels = a->y.dim[3];
    for (int64_t x = 0; x < a->y.dim[2]; x++)
        for (int64_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int64_t i = y / k - 1; i <= y / k + 1; i++)
                for (int64_t j = x / k - 1; j <= x / k + 1; j++) {
                    int64_t u = y + 1 - k * i, v = x + 1 - k * j;
                    if (i < 0 || i >= a->x.dim[1] || j < 0 || j >= a->x.dim[2] || u < 0 || u > k + 1 || v < 0 || v > k + 1) continue;
                    sum += (double)ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, i, j) + (u * (k + 2) + v) * channels + c);
                }
            ib_ref_set(&a->y, ib_ref_pixel(&a->y, t, y, x) + c, sum);
        }
}

isobath_status ib_ref_overlap_add(ib_backend *b, const ib_overlap_add_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
