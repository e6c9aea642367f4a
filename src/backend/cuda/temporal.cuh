/* Attention over frames: parameters that the two kernels share (temporal.cu chooses). */
#ifndef IB_BACKEND_CUDA_TEMPORAL_CUH
#define IB_BACKEND_CUDA_TEMPORAL_CUH

#include "backend/cuda/mma.cuh"
#include <math.h>

#define IB_TEMPORAL_MAX_FRAMES 32

struct ib_temporal_params {
    const void *q, *k, *v;
    void *y;
    int64_t q_t, q_p, k_t, k_p, v_t, v_p, y_t, y_p; /* strides in elements between frames and between pixels */
    int64_t pixels;
    int tq, tk, heads, d;
    float scale_log2; /* log2(e) / sqrt(D) */
};

static inline ib_temporal_params ib_temporal_params_of(const ib_temporal_attention_args *a)
{
    ib_temporal_params p;
    const int64_t d = a->q.dim[2] / a->heads;
    p.q = a->q.data, p.k = a->k.data, p.v = a->v.data, p.y = a->y.data;
    p.q_t = a->q.stride[0], p.q_p = a->q.stride[1];
    p.k_t = a->k.stride[0], p.k_p = a->k.stride[1];
    p.v_t = a->v.stride[0], p.v_p = a->v.stride[1];
    p.y_t = a->y.stride[0], p.y_p = a->y.stride[1];
    p.pixels = a->q.dim[1];
    p.tq = (int)a->q.dim[0], p.tk = (int)a->k.dim[0];
    p.heads = a->heads, p.d = (int)d;
    p.scale_log2 = (float)(1.44269504088896340736 / sqrt((double)d));
    return p;
}

/* Any path, any float type, D a multiple of 4: fp32 arithmetic. */
isobath_status ib_cuda_temporal_simt(ib_backend *backend, const ib_temporal_attention_args *a);

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
/* The sum over the four lanes that share rows of a fragment. */
__device__ __forceinline__ float ib_four_lanes(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* Softmax of 16 queries over 32 keys, of which `tk` exist: scores in fragments become weights as two steps of an A operand, not
 * yet divided by their sums, whose inverses are those of rows g and g + 8. */
template <typename T>
__device__ __forceinline__ void ib_temporal_softmax(float (&s)[4][4], uint32_t (&weights)[2][4], float (&inverse)[2], int tk,
                                                    float scale_log2, int t2)
{
    if (tk < IB_TEMPORAL_MAX_FRAMES) {
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (j * 8 + t2 + (e & 1) >= tk) s[j][e] = -INFINITY;
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = -INFINITY, sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 4; j++) top = fmaxf(top, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float offset = top * scale_log2;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float e0 = ib_exp2_fast(s[j][2 * r] * scale_log2 - offset);
            const float e1 = ib_exp2_fast(s[j][2 * r + 1] * scale_log2 - offset);
            sum += e0 + e1;
            weights[j >> 1][(j & 1) * 2 + r] = ib_pack2<T>(e0, e1);
        }
        inverse[r] = 1.0f / ib_four_lanes(sum);
    }
}
#endif

#endif
