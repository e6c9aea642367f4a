/* Attention over frames: parameters that the two kernels share (temporal.cu chooses). */
#ifndef IB_BACKEND_CUDA_TEMPORAL_CUH
#define IB_BACKEND_CUDA_TEMPORAL_CUH

#include "backend/cuda/common.cuh"
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

#endif
