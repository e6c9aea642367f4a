/* render: one aligned, cross-faded frame at output size, bit for bit the definition in op.h; and its range. */
#include "backend/cuda/exact.cuh"
#include <math.h>

#define TILE_W 32
#define TILE_H 8
#define RANGE_BLOCKS 264
#define RANGE_THREADS 256

struct render_params {
    ib_exact_map a, b;
    int blend;
    float a_scale, a_shift, b_scale, b_shift, a_weight, b_weight;
    float *y;
    int64_t y_h;
    int height, width;
};

/* Smallest and largest value so far; NaN is remembered beside them. */
struct value_range {
    float low, high;
    int has_nan;
};

__global__ void __launch_bounds__(TILE_W *TILE_H) k_render(render_params p)
{
    const int x = (int)(blockIdx.x * TILE_W + threadIdx.x), y = (int)(blockIdx.y * TILE_H + threadIdx.y);
    if (x >= p.width || y >= p.height) return;
    float v = ib_exact_align(ib_exact_sample(p.a, y, x), p.a_scale, p.a_shift);
    if (p.blend) {
        const float vb = ib_exact_align(ib_exact_sample(p.b, y, x), p.b_scale, p.b_shift);
        v = __fadd_rn(__fmul_rn(v, p.a_weight), __fmul_rn(vb, p.b_weight));
    }
    p.y[y * p.y_h + x] = v;
}

__device__ __forceinline__ void range_join(value_range *r, float low, float high, int has_nan)
{
    if (low < r->low) r->low = low;
    if (high > r->high) r->high = high;
    r->has_nan |= has_nan;
}

/* The block's range in thread 0. */
__device__ __forceinline__ void range_reduce(value_range *r)
{
    __shared__ value_range warps[RANGE_THREADS / 32];
#pragma unroll
    for (int mask = 16; mask; mask >>= 1)
        range_join(r, __shfl_xor_sync(0xffffffffu, r->low, mask), __shfl_xor_sync(0xffffffffu, r->high, mask),
                   __shfl_xor_sync(0xffffffffu, r->has_nan, mask));
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = *r;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < RANGE_THREADS / 32; i++) range_join(r, warps[i].low, warps[i].high, warps[i].has_nan);
}

/* Ranges of rows blockIdx.x, blockIdx.x + gridDim.x, ... (the order does not matter to a minimum). */
__global__ void __launch_bounds__(RANGE_THREADS)
    k_range_blocks(const float *y, int64_t y_h, int height, int width, value_range *out)
{
    value_range r = {INFINITY, -INFINITY, 0};
    for (int row = blockIdx.x; row < height; row += gridDim.x)
        for (int x = threadIdx.x; x < width; x += RANGE_THREADS) {
            const float v = y[row * y_h + x];
            range_join(&r, v, v, v != v);
        }
    range_reduce(&r);
    if (threadIdx.x == 0) out[blockIdx.x] = r;
}

__global__ void __launch_bounds__(RANGE_THREADS) k_range_final(const value_range *blocks, int count, value_range *out)
{
    value_range r = {INFINITY, -INFINITY, 0};
    for (int i = threadIdx.x; i < count; i += RANGE_THREADS)
        range_join(&r, blocks[i].low, blocks[i].high, blocks[i].has_nan);
    range_reduce(&r);
    if (threadIdx.x == 0) *out = r;
}

isobath_status ib_cuda_render(ib_backend *backend, const ib_render_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int64_t height = a->y.dim[0], width = a->y.dim[1];
    render_params p;
    p.a = ib_exact_map_of(&a->a, height, width);
    p.blend = ib_tensor_present(&a->b);
    p.b = p.blend ? ib_exact_map_of(&a->b, height, width) : p.a;
    p.a_scale = a->a_scale, p.a_shift = a->a_shift;
    p.b_scale = a->b_scale, p.b_shift = a->b_shift;
    p.a_weight = (float)(1.0 - a->weight), p.b_weight = (float)a->weight;
    p.y = (float *)a->y.data, p.y_h = a->y.stride[0];
    p.height = (int)height, p.width = (int)width;
    dim3 grid((unsigned)ib_ceil_div(width, TILE_W), (unsigned)ib_ceil_div(height, TILE_H));
    k_render<<<grid, dim3(TILE_W, TILE_H), 0, be->stream>>>(p);
    IB_TRY(ib_cuda_launched(backend, "render"));
    if (!a->min_out && !a->max_out) return ISOBATH_OK;

    value_range *blocks = (value_range *)be->workspace, *result = blocks + RANGE_BLOCKS;
    value_range *host = (value_range *)be->host_results;
    k_range_blocks<<<RANGE_BLOCKS, RANGE_THREADS, 0, be->stream>>>(p.y, p.y_h, p.height, p.width, blocks);
    k_range_final<<<1, RANGE_THREADS, 0, be->stream>>>(blocks, RANGE_BLOCKS, result);
    IB_TRY(ib_cuda_launched(backend, "render: range"));
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(host, result, sizeof *host, cudaMemcpyDeviceToHost, be->stream),
                         "render: range"));
    IB_TRY(ib_cuda_sync(backend));
    if (a->min_out) *a->min_out = host->has_nan ? NAN : host->low + 0.0f;
    if (a->max_out) *a->max_out = host->has_nan ? NAN : host->high + 0.0f;
    return ISOBATH_OK;
}
