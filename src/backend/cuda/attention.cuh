/* Variants of encoder attention (attention.cu chooses): all take the packed qkv of ib_attention_args. */
#ifndef IB_BACKEND_CUDA_ATTENTION_CUH
#define IB_BACKEND_CUDA_ATTENTION_CUH

#include "backend/cuda/common.cuh"

/* Any path, any float type, D <= 64: fp32 arithmetic. */
isobath_status ib_cuda_attention_simt(ib_backend *backend, const ib_attention_args *a);
/* sm_90a, half types, D = 64, 16-byte aligned rows of qkv (y may lie anyhow): warpgroup products. */
isobath_status ib_cuda_attention_wgmma(ib_backend *backend, const ib_attention_args *a);

/* 16 bytes of shared memory to eight values of y, which may lie at any address. */
template <typename T> __device__ __forceinline__ void ib_attention_store8(T *y, const uint8_t *from, int aligned)
{
    if (aligned) {
        *reinterpret_cast<uint4 *>(y) = *reinterpret_cast<const uint4 *>(from);
    } else {
#pragma unroll
        for (int e = 0; e < 8; e++) y[e] = reinterpret_cast<const T *>(from)[e];
    }
}

#endif
