/* Element-wise ops on strided (T,N,C) tensors: a thread owns V neighbouring channels of one row; types are looked at at
 * run time (the branch is the same for the whole grid, and memory sets the pace). */
#ifndef IB_BACKEND_CUDA_ROWS_CUH
#define IB_BACKEND_CUDA_ROWS_CUH

#include "backend/cuda/common.cuh"

struct ib_rows {
    void *data;
    ib_dtype dtype;
    int64_t stride_t, stride_n; /* elements */
};

static inline ib_rows ib_rows_of(const ib_tensor *t)
{
    ib_rows r = {t->data, t->dtype, t->stride[0], t->rank > 2 ? t->stride[1] : 0};
    return r;
}

template <int V>
__device__ __forceinline__ void ib_rows_load(const ib_rows &r, int64_t t, int64_t n, int c, float (&v)[V])
{
    const int64_t at = t * r.stride_t + n * r.stride_n + c;
    if (r.dtype == IB_F32)
        ib_load_f32<float, V>((const float *)r.data + at, v);
    else if (r.dtype == IB_F16)
        ib_load_f32<ib_f16, V>((const ib_f16 *)r.data + at, v);
    else
        ib_load_f32<ib_bf16, V>((const ib_bf16 *)r.data + at, v);
}

template <int V>
__device__ __forceinline__ void ib_rows_store(const ib_rows &r, int64_t t, int64_t n, int c, const float (&v)[V])
{
    const int64_t at = t * r.stride_t + n * r.stride_n + c;
    if (r.dtype == IB_F32)
        ib_store_f32<float, V>((float *)r.data + at, v);
    else if (r.dtype == IB_F16)
        ib_store_f32<ib_f16, V>((ib_f16 *)r.data + at, v);
    else
        ib_store_f32<ib_bf16, V>((ib_bf16 *)r.data + at, v);
}

/* Grid: x over the vectors of a frame, y over frames. Gives this thread's row and first channel; 0: nothing to do. */
template <int V> __device__ __forceinline__ int ib_rows_position(int64_t n_rows, int channels, int64_t *n, int *c)
{
    const uint32_t per_row = (uint32_t)channels / V, i = blockIdx.x * blockDim.x + threadIdx.x, row = i / per_row;
    *n = row;
    *c = (int)(i - row * per_row) * V;
    return row < n_rows;
}

#define IB_ROWS_THREADS 256
static inline dim3 ib_rows_grid(int64_t frames, int64_t rows, int64_t channels, int v)
{
    return dim3((unsigned)ib_ceil_div(rows * (channels / v), IB_ROWS_THREADS), (unsigned)frames);
}
/* How many of `channels` values of a row can be moved at a time: 8 of 16 bits, 4, or 1. */
static inline int ib_rows_step(const ib_tensor *t, int64_t channels)
{
    const int most = t->dtype == IB_F32 ? 4 : 8;
    for (int v = most; v >= 4; v -= 4)
        if (channels % v == 0 && ib_cuda_aligned(t, (size_t)v * ib_dtype_size(t->dtype))) return v;
    return 1;
}
/* 1 when they can be moved four at a time. */
static inline int ib_rows_by_4(const ib_tensor *t, int64_t channels)
{
    return channels % 4 == 0 && ib_cuda_aligned(t, 4 * ib_dtype_size(t->dtype));
}
static inline int ib_rows_least(int a, int b) { return a < b ? a : b; }

#endif
