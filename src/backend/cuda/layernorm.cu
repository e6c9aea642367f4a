/* layernorm: one row per warp (or per half warp where C <= 64), held in registers: mean, then squares of what is left,
 * then the affine part and the position of the frame. */
#include "backend/cuda/rows.cuh"

#define THREADS 256

struct layernorm_params {
    ib_rows x, y, pos; /* pos.data == NULL: none */
    ib_rows weight, bias;
    uint32_t frames, rows; /* rows of a frame */
    int channels;
    float eps;
};

/* `aligned`: V values of every row may be moved at once; it changes no bits. */
template <int V, bool aligned>
__device__ __forceinline__ void load(const ib_rows &r, int64_t t, int64_t n, int c, float (&v)[V])
{
    if (aligned) {
        ib_rows_load<V>(r, t, n, c, v);
    } else {
#pragma unroll
        for (int e = 0; e < V; e++) {
            float one[1];
            ib_rows_load<1>(r, t, n, c + e, one);
            v[e] = one[0];
        }
    }
}

template <int V, bool aligned>
__device__ __forceinline__ void store(const ib_rows &r, int64_t t, int64_t n, int c, const float (&v)[V])
{
    if (aligned) {
        ib_rows_store<V>(r, t, n, c, v);
    } else {
#pragma unroll
        for (int e = 0; e < V; e++) {
            const float one[1] = {v[e]};
            ib_rows_store<1>(r, t, n, c + e, one);
        }
    }
}

/* Sum over `lanes` neighbouring lanes, the same bits in each. */
template <int lanes> __device__ __forceinline__ float lanes_sum(float x)
{
#pragma unroll
    for (int mask = lanes / 2; mask; mask >>= 1) x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}

/* `lanes` lanes hold one row, each V values in each of `vectors` places; C <= lanes * V * vectors. Blocks stay and walk
 * over the rows, the next row under way while this one is reduced; weights wait in shared memory. */
template <int lanes, int V, int vectors, bool aligned>
__global__ void __launch_bounds__(THREADS) k_layernorm(layernorm_params p)
{
    __shared__ alignas(16) float weight[lanes * V * vectors], bias[lanes * V * vectors];
    for (int c = threadIdx.x; c < p.channels; c += THREADS) {
        weight[c] = ((const float *)p.weight.data)[c];
        bias[c] = ((const float *)p.bias.data)[c];
    }
    __syncthreads();
    ib_grid_begin();

    constexpr int per_warp = 32 / lanes;
    const int lane = threadIdx.x % lanes, part = threadIdx.x % 32 / lanes;
    const uint32_t total = p.frames * p.rows, step = gridDim.x * (THREADS / 32) * per_warp;
    uint32_t first = (blockIdx.x * (THREADS / 32) + threadIdx.x / 32) * per_warp;
    float next[vectors][V];
    const auto fetch = [&](uint32_t row) {
        const uint32_t t = row / p.rows, n = row - t * p.rows;
#pragma unroll
        for (int i = 0; i < vectors; i++)
            if ((i * lanes + lane) * V < p.channels) load<V, aligned>(p.x, t, n, (i * lanes + lane) * V, next[i]);
    };
    if (first < total) fetch(min(first + part, total - 1));
    for (; first < total; first += step) {
        const uint32_t row = first + part, t = row / p.rows, n = row - t * p.rows;
        float v[vectors][V], sum = 0.0f, squares = 0.0f;
#pragma unroll
        for (int i = 0; i < vectors; i++)
#pragma unroll
            for (int e = 0; e < V; e++) v[i][e] = next[i][e];
        if (first + step < total) fetch(min(first + step + part, total - 1)); /* idle lanes repeat the last row */
#pragma unroll
        for (int i = 0; i < vectors; i++)
            if ((i * lanes + lane) * V < p.channels)
#pragma unroll
                for (int e = 0; e < V; e++) sum += v[i][e];
        const float mean = lanes_sum<lanes>(sum) / (float)p.channels;
#pragma unroll
        for (int i = 0; i < vectors; i++)
            if ((i * lanes + lane) * V < p.channels)
#pragma unroll
                for (int e = 0; e < V; e++) {
                    v[i][e] -= mean;
                    squares = fmaf(v[i][e], v[i][e], squares);
                }
        const float inverse = 1.0f / sqrtf(lanes_sum<lanes>(squares) / (float)p.channels + p.eps);
        if (row >= total) continue;
#pragma unroll
        for (int i = 0; i < vectors; i++) {
            const int c = (i * lanes + lane) * V;
            if (c >= p.channels) continue;
            float w[V], b[V], extra[V];
            ib_load_f32<float, V>(weight + c, w);
            ib_load_f32<float, V>(bias + c, b);
#pragma unroll
            for (int e = 0; e < V; e++) v[i][e] = fmaf(v[i][e] * inverse, w[e], b[e]);
            if (p.pos.data) {
                load<V, aligned>(p.pos, t, 0, c, extra);
#pragma unroll
                for (int e = 0; e < V; e++) v[i][e] += extra[e];
            }
            store<V, aligned>(p.y, t, n, c, v[i]);
        }
    }
}

/* Any C: a block per row, three passes over memory. */
__global__ void __launch_bounds__(THREADS) k_layernorm_any(layernorm_params p)
{
    ib_grid_begin();
    __shared__ float partial[THREADS / 32];
    const int64_t t = blockIdx.y, n = blockIdx.x;
    const float *x = (const float *)p.x.data + t * p.x.stride_t + n * p.x.stride_n;
    float mean = 0.0f, total = 0.0f;
    for (int pass = 0; pass < 2; pass++) {
        float sum = 0.0f;
        for (int c = threadIdx.x; c < p.channels; c += THREADS) {
            const float d = x[c] - mean;
            sum += pass ? d * d : d;
        }
        sum = ib_warp_sum(sum);
        if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
        __syncthreads();
        total = 0.0f;
        for (int i = 0; i < THREADS / 32; i++) total += partial[i];
        __syncthreads();
        if (pass == 0) mean = total / (float)p.channels;
    }
    const float inverse = 1.0f / sqrtf(total / (float)p.channels + p.eps);
    for (int c = threadIdx.x; c < p.channels; c += THREADS) {
        const float *weight = (const float *)p.weight.data, *bias = (const float *)p.bias.data;
        float v[1] = {fmaf((x[c] - mean) * inverse, weight[c], bias[c])}, extra[1] = {0.0f};
        if (p.pos.data) {
            ib_rows_load<1>(p.pos, t, 0, c, extra);
            v[0] += extra[0];
        }
        ib_rows_store<1>(p.y, t, n, c, v);
    }
}

template <int lanes, int V, int vectors>
static void launch(const layernorm_params &p, int aligned, const ib_cuda_backend *be)
{
    const int64_t needed = ib_ceil_div((int64_t)p.frames * p.rows, THREADS / lanes);
    /* as many blocks as registers let stay at once */
    const int64_t resident = (int64_t)be->sm_count * (vectors == 1   ? 8
                                                      : vectors == 2 ? 6
                                                      : vectors == 3 ? 5
                                                      : vectors == 6 ? 3
                                                                     : 2);
    const unsigned blocks = (unsigned)(needed < resident ? needed : resident);
    if (aligned)
        ib_cuda_launch(be, k_layernorm<lanes, V, vectors, true>, blocks, THREADS, 0, p);
    else
        ib_cuda_launch(be, k_layernorm<lanes, V, vectors, false>, blocks, THREADS, 0, p);
}

isobath_status ib_cuda_layernorm(ib_backend *backend, const ib_layernorm_args *a)
{
    const int64_t frames = a->x.dim[0], channels = a->x.dim[2];
    ib_cuda_backend *be = ib_cuda(backend);
    const int aligned = ib_rows_by_4(&a->x, channels) && ib_rows_by_4(&a->y, channels) &&
                        (!a->pos.data || ib_rows_by_4(&a->pos, channels));
    layernorm_params p = {ib_rows_of(&a->x),      ib_rows_of(&a->y),    ib_rows_of(&a->pos),
                          ib_rows_of(&a->weight), ib_rows_of(&a->bias), (uint32_t)frames,
                          (uint32_t)a->x.dim[1],  (int)channels,        a->eps};
    if (!a->pos.data) p.pos.data = NULL;
    if (channels % 4 != 0 || channels > 1024)
        ib_cuda_launch(be, k_layernorm_any, dim3((unsigned)p.rows, (unsigned)frames), THREADS, 0, p);
    else if (channels <= 64)
        launch<16, 4, 1>(p, aligned, be);
    else if (channels <= 128)
        launch<32, 4, 1>(p, aligned, be);
    else if (channels <= 256)
        launch<32, 4, 2>(p, aligned, be);
    else if (channels <= 384)
        launch<32, 4, 3>(p, aligned, be);
    else if (channels <= 768)
        launch<32, 4, 6>(p, aligned, be);
    else
        launch<32, 4, 8>(p, aligned, be);
    return ib_cuda_launched(backend, "layernorm");
}
