/* Rounding of convolution kernels to 16-bit types by error diffusion.
 *
 * Neighbouring positions of an image or of a feature map hold nearly the same value, so what a kernel's rounding does to a
 * result is nearly (sum of the errors) times that value, and rounding each weight by itself wastes the freedom to let errors
 * cancel. Here each weight, row by row, first takes over what its neighbours to the left, above and above left were rounded
 * by, weighted as is best for values whose correlation falls by IB_DIFFUSE_NEAR a position in either direction. Nothing is
 * computed differently afterwards: it costs nothing where the network runs. Weights that the type holds stay as they are.
 * docs/MODEL.md has what it gains. */
#ifndef IB_BASE_DIFFUSE_H
#define IB_BASE_DIFFUSE_H

#include "base/half.h"
#include "tensor/tensor.h"

#ifdef __CUDACC__
#define IB_DIFFUSE_FN static inline __host__ __device__
#else
#define IB_DIFFUSE_FN static inline
#endif

#define IB_DIFFUSE_NEAR 0.9f
#define IB_DIFFUSE_SIDE 14 /* the largest kernel: a patch */

/* What to round instead of w, position i of a side x side kernel, when error[0 .. i) are those of the positions before. */
IB_DIFFUSE_FN float ib_diffuse_target(const float *error, int side, int i, float w)
{
    const float r = IB_DIFFUSE_NEAR;
    float left = i % side ? error[i - 1] : 0.0f, above = i >= side ? error[i - side] : 0.0f;
    float both = i % side && i >= side ? error[i - side - 1] : 0.0f;
    return w - (r * (left + above) - r * r * both);
}

/* What was made of `target`; nothing is passed on from a weight that is not finite or too large for the type. */
IB_DIFFUSE_FN float ib_diffuse_error(float rounded, float target)
{
    float e = rounded - target;
    return e - e == 0.0f ? e : 0.0f;
}

/* Rounds `count` kernels of side x side weights (side <= IB_DIFFUSE_SIDE), one behind the other, to what `type` holds;
 * IB_F32: nothing to do. */
static inline void ib_diffuse_kernels(float *w, int64_t count, int side, ib_dtype type)
{
    float error[IB_DIFFUSE_SIDE * IB_DIFFUSE_SIDE];
    if (type != IB_F16 && type != IB_BF16) return;
    for (int64_t k = 0; k < count; k++, w += side * side)
        for (int i = 0; i < side * side; i++) {
            float target = ib_diffuse_target(error, side, i, w[i]);
            w[i] = type == IB_F16 ? ib_f16_to_f32(ib_f32_to_f16(target)) : ib_bf16_to_f32(ib_f32_to_bf16(target));
            error[i] = ib_diffuse_error(w[i], target);
        }
}

#endif
