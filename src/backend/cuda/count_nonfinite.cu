/* count_nonfinite: how many values are NaN or infinite: blocks count, one block adds them up. */
#include "backend/cuda/common.cuh"

#define THREADS 256
#define MAX_BLOCKS 1056

__device__ __forceinline__ uint64_t block_sum(uint64_t x)
{
    __shared__ uint64_t warps[THREADS / 32];
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) x += __shfl_xor_sync(0xffffffffu, x, mask);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < THREADS / 32; i++) x += warps[i];
    return x;
}

/* Values are looked at as bits: all exponent bits set. `body` vectors of 16 bytes, then single values up to `count`. */
template <typename W, W exponent>
__global__ void __launch_bounds__(THREADS) k_count_blocks(const W *x, int64_t body, int64_t count, uint64_t *out)
{
    constexpr int per_vector = 16 / sizeof(W);
    const int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
    uint64_t bad = 0;
    for (int64_t i = start; i < body; i += step) {
        const ib_vec<W, per_vector> v = ib_load<W, per_vector>(x + i * per_vector);
#pragma unroll
        for (int e = 0; e < per_vector; e++) bad += (v.v[e] & exponent) == exponent;
    }
    for (int64_t i = body * per_vector + start; i < count; i += step) bad += (x[i] & exponent) == exponent;
    bad = block_sum(bad);
    if (threadIdx.x == 0) out[blockIdx.x] = bad;
}

__global__ void __launch_bounds__(THREADS) k_count_final(const uint64_t *blocks, int count, uint64_t *out)
{
    uint64_t bad = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) bad += blocks[i];
    bad = block_sum(bad);
    if (threadIdx.x == 0) *out = bad;
}

isobath_status ib_cuda_count_into(ib_backend *backend, const ib_tensor *x, uint64_t *result)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int64_t count = ib_tensor_count(x), per_vector = 16 / (int64_t)ib_dtype_size(x->dtype);
    const int64_t body = ((size_t)x->data & 15) == 0 ? count / per_vector : 0;
    int64_t blocks = ib_ceil_div(count, (int64_t)THREADS * per_vector);
    if (blocks > MAX_BLOCKS) blocks = MAX_BLOCKS;
    uint64_t *partial = (uint64_t *)be->workspace;
    if (x->dtype == IB_F32)
        k_count_blocks<uint32_t, 0x7f800000u>
            <<<(unsigned)blocks, THREADS, 0, be->stream>>>((const uint32_t *)x->data, body, count, partial);
    else if (x->dtype == IB_F16)
        k_count_blocks<uint16_t, 0x7c00u>
            <<<(unsigned)blocks, THREADS, 0, be->stream>>>((const uint16_t *)x->data, body, count, partial);
    else
        k_count_blocks<uint16_t, 0x7f80u>
            <<<(unsigned)blocks, THREADS, 0, be->stream>>>((const uint16_t *)x->data, body, count, partial);
    k_count_final<<<1, THREADS, 0, be->stream>>>(partial, (int)blocks, result);
    return ib_cuda_launched(backend, "count_nonfinite");
}

isobath_status ib_cuda_count_nonfinite(ib_backend *backend, const ib_count_nonfinite_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    uint64_t *result = (uint64_t *)be->workspace + MAX_BLOCKS, *host = (uint64_t *)be->host_results;
    IB_TRY(ib_cuda_count_into(backend, &a->x, result));
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(host, result, sizeof *host, cudaMemcpyDeviceToHost, be->stream),
                         "count_nonfinite"));
    IB_TRY(ib_cuda_sync(backend));
    *a->count = (int64_t)*host;
    return ISOBATH_OK;
}
