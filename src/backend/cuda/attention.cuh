/* Variants of encoder attention (attention.cu chooses): all take the packed qkv of ib_attention_args. */
#ifndef IB_BACKEND_CUDA_ATTENTION_CUH
#define IB_BACKEND_CUDA_ATTENTION_CUH

#include "backend/cuda/common.cuh"

/* Any path, any float type, D <= 64: fp32 arithmetic. */
isobath_status ib_cuda_attention_simt(ib_backend *backend, const ib_attention_args *a);
/* sm_90a, half types, D = 64, 16-byte aligned rows: warpgroup products. */
isobath_status ib_cuda_attention_wgmma(ib_backend *backend, const ib_attention_args *a);

#endif
