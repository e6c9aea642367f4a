/* yuv_to_rgb: every pixel by the definition in base/yuv_pixel.h. */
#include "backend/ref/ref.h"

static int32_t sample(const ib_yuv_to_rgb_args *a, const ib_tensor *plane, int64_t row, int64_t x)
{
    const uint8_t *p = (const uint8_t *)plane->data + row * plane->stride[0] + x * plane->stride[1];
    int32_t v = (plane->dim[2] == 2 ? p[0] | p[1] << 8 : p[0]) >> a->shift, max = (1 << a->bits) - 1;
    return v < max ? v : max;
}

static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_yuv_to_rgb_args *a = ctx;
    int chroma = ib_chroma_row((int)i, a->ssy, a->interlaced, (int)a->u.dim[0]);
    for (int64_t x = 0; x < a->y.dim[1]; x++)
        ib_yuv_pixel(&a->k, sample(a, &a->luma, i, x), sample(a, &a->u, chroma, x >> a->ssx),
                     sample(a, &a->v, chroma, x >> a->ssx),
                     (uint8_t *)a->y.data + i * a->y.stride[0] + x * a->y.stride[1]);
}

isobath_status ib_ref_yuv_to_rgb(ib_backend *b, const ib_yuv_to_rgb_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0], row, (void *)a);
    return ISOBATH_OK;
}
