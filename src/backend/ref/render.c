/* render: the bit-exact definition. Every operation below rounds to f32 on its own (no fused multiply-add), and every
 * backend gives these bits. The range: both NaN when any pixel is NaN, and never -0. */
#include "backend/ref/ref.h"

#include <math.h>

static void row(void *ctx, int64_t y, int thread)
{
    (void)thread;
    const ib_render_args *a = ctx;
    int64_t height = a->y.dim[0], width = a->y.dim[1];
    float weight_b = (float)a->weight, weight_a = (float)(1.0 - a->weight);
    float *out = (float *)a->y.data + y * a->y.stride[0];
    for (int64_t x = 0; x < width; x++) {
        float v = ib_ref_align(ib_ref_upsample(&a->a, y, x, height, width), a->a_scale, a->a_shift);
        if (ib_tensor_present(&a->b)) {
            float vb = ib_ref_align(ib_ref_upsample(&a->b, y, x, height, width), a->b_scale, a->b_shift);
            float part_a = v * weight_a;
            float part_b = vb * weight_b;
            v = part_a + part_b;
        }
        out[x] = v;
    }
}

isobath_status ib_ref_render(ib_backend *b, const ib_render_args *a)
{
    ib_pool_run(b->pool, a->y.dim[0], row, (void *)a);
    if (!a->min_out && !a->max_out) return ISOBATH_OK;
    float low = INFINITY, high = -INFINITY;
    int has_nan = 0;
    for (int64_t y = 0; y < a->y.dim[0]; y++) {
        for (int64_t x = 0; x < a->y.dim[1]; x++) {
            float v = ((const float *)a->y.data)[y * a->y.stride[0] + x];
            if (v < low) low = v;
            if (v > high) high = v;
            has_nan |= v != v;
        }
    }
    if (a->min_out) *a->min_out = has_nan ? NAN : low + 0.0f;
    if (a->max_out) *a->max_out = has_nan ? NAN : high + 0.0f;
    return ISOBATH_OK;
}
