/* The arithmetic that every backend shares bit for bit (render, fit_sums): each operation rounds to f32 on its own,
 * which the _rn intrinsics promise whatever the compiler's contraction setting. */
#ifndef IB_BACKEND_CUDA_EXACT_CUH
#define IB_BACKEND_CUDA_EXACT_CUH

#include "backend/cuda/common.cuh"

/* A raw depth map (h,w) seen at output size. */
struct ib_exact_map {
    const float *data;
    int64_t stride;
    int h, w;
    float scale_h, scale_w;
};

static inline ib_exact_map ib_exact_map_of(const ib_tensor *t, int64_t height, int64_t width)
{
    ib_exact_map m = {(const float *)t->data,
                      t->stride[0],
                      (int)t->dim[0],
                      (int)t->dim[1],
                      ib_cuda_bilinear_scale(t->dim[0], height),
                      ib_cuda_bilinear_scale(t->dim[1], width)};
    return m;
}

/* Bilinear sample at output pixel (y,x): op.h's order of operations. */
__device__ __forceinline__ float ib_exact_sample(const ib_exact_map &m, int y, int x)
{
    int y0, y1, x0, x1;
    float w1y, w1x;
    ib_bilinear_axis_device(y, m.h, m.scale_h, &y0, &y1, &w1y);
    ib_bilinear_axis_device(x, m.w, m.scale_w, &x0, &x1, &w1x);
    const float w0y = __fsub_rn(1.0f, w1y), w0x = __fsub_rn(1.0f, w1x);
    const float *top = m.data + y0 * m.stride, *bottom = m.data + y1 * m.stride;
    const float a = __fadd_rn(__fmul_rn(w0x, top[x0]), __fmul_rn(w1x, top[x1]));
    const float b = __fadd_rn(__fmul_rn(w0x, bottom[x0]), __fmul_rn(w1x, bottom[x1]));
    return __fadd_rn(__fmul_rn(w0y, a), __fmul_rn(w1y, b));
}

/* v*scale + shift with two roundings, negative to 0, NaN stays. */
__device__ __forceinline__ float ib_exact_align(float v, float scale, float shift)
{
    return ib_relu(__fadd_rn(__fmul_rn(v, scale), shift));
}

#endif
