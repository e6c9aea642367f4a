/* The packed weight of output_head (kind HEAD): its layout belongs to output_head.cu, weights.cu only stores it. */
#ifndef IB_BACKEND_CUDA_HEAD_CUH
#define IB_BACKEND_CUDA_HEAD_CUH

#include <stddef.h>
#include <stdint.h>

/* Bytes of the packed form for `ci` input channels; the same in every precision. */
size_t ib_cuda_head_bytes(int64_t ci);
/* From f32 [32, ci, 3, 3] followed by f32 [32] to the packed form; host memory on both sides. */
void ib_cuda_head_pack(const float *src, int64_t ci, float *dst);

#endif
