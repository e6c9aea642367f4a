/* The packed weight of output_head (kind HEAD): output_head_weight.cu makes it, weights.cu only stores it. */
#ifndef IB_BACKEND_CUDA_HEAD_CUH
#define IB_BACKEND_CUDA_HEAD_CUH

#include "backend/cuda/common.cuh"

/* Where the parts of the packed weight begin, in f32 words; head_k: channels padded to 8. */
static __host__ __device__ inline int64_t head_k(int64_t ci) { return (ci + 7) / 8 * 8; }
static __host__ __device__ inline int64_t head_last(int64_t ci) { return 9 * head_k(ci) * 32; }
static __host__ __device__ inline int64_t head_tf32(int64_t ci) { return head_last(ci) + 32; }
static __host__ __device__ inline int64_t head_scales(int64_t ci) { return head_tf32(ci) + 9 * head_k(ci) * 32; }
static __host__ __device__ inline int64_t head_f16(int64_t ci) { return head_scales(ci) + 32; }
static __host__ __device__ inline int64_t head_rows(int64_t ci) { return head_f16(ci) + 9 * ((ci + 15) / 16) * 256; }
static inline int64_t head_words(int64_t ci) { return head_rows(ci) + 9 * 32 * head_k(ci) / 2; }

/* The last activation; a value that is not finite stays visible as NaN behind the sigmoid. */
__device__ __forceinline__ float head_end(float v, float sigmoid)
{
    return sigmoid > 0.0f ? sigmoid / (1.0f + expf(-v)) + 0.0f * v : ib_relu(v);
}

/* output_head_rows.cu: 1 when it has taken the call (errors are left for ib_cuda_launched), 0 when it is not made for it. */
int ib_cuda_head_launch_rows(const ib_cuda_backend *be, const ib_output_head_args *a);

/* Bytes of the packed form for `ci` input channels; the same in every precision. */
size_t ib_cuda_head_bytes(int64_t ci);
/* From f32 [32, ci, 3, 3] followed by f32 [32] to the packed form; host memory on both sides. */
void ib_cuda_head_pack(const float *src, int64_t ci, float *dst);

#endif
