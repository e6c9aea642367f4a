/* groupnorm: statistics of each frame's channel groups in two steps, then the affine part.
 *
 * Step 1: a frame's pixels are cut into chunks, whose number depends on P alone; a block sums x - pivot and its square
 * per group over its chunk in a fixed order, the pivot being the group's first value in the frame (so that a mean far
 * from zero costs no digits). Step 2: every block folds its frame's chunks, in double and in order, and normalises its
 * own chunk. Nothing depends on how many frames there are.
 */
#include "backend/cuda/common.cuh"

#define THREADS 256
#define MAX_CHUNKS 32

struct groupnorm_params {
    const void *x;
    void *y;
    const float *weight, *bias;
    float2 *partial; /* [T][chunks][groups]: sum and squares of x - pivot */
    int64_t x_t, y_t, y_p;
    int pixels, channels, groups, chunks;
    int aligned; /* V values of every pixel may be moved at once; changes no bits */
    float eps;
};

static inline int groupnorm_chunks(int64_t pixels)
{
    int64_t chunks = pixels / 128;
    return chunks < 1 ? 1 : chunks > MAX_CHUNKS ? MAX_CHUNKS : (int)chunks;
}

template <typename T, int V> __device__ __forceinline__ void load(const T *p, int aligned, float (&v)[V])
{
    if (aligned) {
        ib_load_f32<T, V>(p, v);
    } else {
#pragma unroll
        for (int e = 0; e < V; e++) v[e] = ib_to_f32(p[e]);
    }
}

template <typename T, int V> __device__ __forceinline__ void store(T *p, int aligned, const float (&v)[V])
{
    if (aligned) {
        ib_store_f32<T, V>(p, v);
    } else {
#pragma unroll
        for (int e = 0; e < V; e++) p[e] = ib_from_f32<T>(v[e]);
    }
}

/* First pixel of a chunk. */
__device__ __forceinline__ int chunk_begin(const groupnorm_params &p, int chunk)
{
    return (int)((int64_t)p.pixels * chunk / p.chunks);
}

/* Grid (chunks, T). Threads share out the channels V at a time (columns) and, where columns are fewer than threads, the
 * pixels of the chunk (rows of threads); wider frames are walked in passes of THREADS columns. */
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_groupnorm_sums(groupnorm_params p)
{
    ib_grid_begin();
    __shared__ float2 sums[THREADS * V]; /* [thread row][channel of this pass] */
    const T *x = (const T *)p.x + blockIdx.y * p.x_t;
    const int size = p.channels / p.groups, columns = p.channels / V;
    const int first = chunk_begin(p, blockIdx.x), end = chunk_begin(p, blockIdx.x + 1);
    float2 *out = p.partial + ((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * p.groups;
    /* Whole groups per pass, so that no group is split between passes. */
    const int group_columns = V >= size ? 1 : size / V;
    const int pass_columns = columns <= THREADS ? columns : THREADS / group_columns * group_columns;
    for (int pass = 0; pass < columns; pass += pass_columns) {
        const int width = columns - pass < pass_columns ? columns - pass : pass_columns, rows = THREADS / width;
        const int column = (int)threadIdx.x % width, row = (int)threadIdx.x / width, c = (pass + column) * V;
        if (row < rows) {
            float pivot[V], sum[V], squares[V];
#pragma unroll
            for (int e = 0; e < V; e++) {
                pivot[e] = ib_to_f32(x[(c + e) / size * size]);
                sum[e] = squares[e] = 0.0f;
            }
#pragma unroll 4
            for (int pixel = first + row; pixel < end; pixel += rows) {
                float v[V];
                load<T, V>(x + (int64_t)pixel * p.channels + c, p.aligned, v);
#pragma unroll
                for (int e = 0; e < V; e++) {
                    v[e] -= pivot[e];
                    sum[e] += v[e];
                    squares[e] = fmaf(v[e], v[e], squares[e]);
                }
            }
#pragma unroll
            for (int e = 0; e < V; e++) sums[(row * width + column) * V + e] = make_float2(sum[e], squares[e]);
        }
        __syncthreads();
        /* thread per channel: rows in order */
        for (int i = threadIdx.x; i < width * V; i += THREADS) {
            float2 total = sums[i];
            for (int r = 1; r < rows; r++) {
                const float2 more = sums[r * width * V + i];
                total.x += more.x;
                total.y += more.y;
            }
            sums[i] = total;
        }
        __syncthreads();
        /* thread per group: channels in order */
        for (int i = threadIdx.x; i < width * V / size; i += THREADS) {
            float2 total = sums[i * size];
            for (int j = 1; j < size; j++) {
                total.x += sums[i * size + j].x;
                total.y += sums[i * size + j].y;
            }
            out[pass * V / size + i] = total;
        }
        __syncthreads();
    }
}

/* Grid (chunks, T), threads as above: folds the frame's statistics of the groups of a pass, eight lanes a group, and
 * writes this chunk. */
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_groupnorm_apply(groupnorm_params p)
{
    ib_grid_begin();
    __shared__ float mean[THREADS * V], inverse[THREADS * V];
    const T *x = (const T *)p.x + blockIdx.y * p.x_t;
    T *y = (T *)p.y + blockIdx.y * p.y_t;
    const int size = p.channels / p.groups, columns = p.channels / V;
    const int first = chunk_begin(p, blockIdx.x), end = chunk_begin(p, blockIdx.x + 1);
    const int group_columns = V >= size ? 1 : size / V;
    const int pass_columns = columns <= THREADS ? columns : THREADS / group_columns * group_columns;
    for (int pass = 0; pass < columns; pass += pass_columns) {
        const int width = columns - pass < pass_columns ? columns - pass : pass_columns, rows = THREADS / width;
        const int group0 = pass * V / size, groups = width * V / size;
        for (int i = threadIdx.x; (i & ~31) < groups * 8; i += THREADS) { /* whole warps, for the shuffles */
            const int lane = i & 7, g = i >> 3 < groups ? i >> 3 : groups - 1;
            const float2 *partial = p.partial + (int64_t)blockIdx.y * p.chunks * p.groups + group0 + g;
            double sum = 0.0, squares = 0.0;
#pragma unroll
            for (int chunk = 0; chunk < MAX_CHUNKS; chunk += 8)
                if (chunk + lane < p.chunks) {
                    const float2 v = partial[(int64_t)(chunk + lane) * p.groups];
                    sum += (double)v.x;
                    squares += (double)v.y;
                }
#pragma unroll
            for (int mask = 1; mask < 8; mask <<= 1) {
                sum += __shfl_xor_sync(0xffffffffu, sum, mask);
                squares += __shfl_xor_sync(0xffffffffu, squares, mask);
            }
            const double n = (double)p.pixels * size, shift = sum / n;
            double variance = squares / n - shift * shift;
            if (variance < 0.0) variance = 0.0;
            if (lane == 0) {
                mean[g] = (float)((double)ib_to_f32(x[(group0 + g) * size]) + shift);
                inverse[g] = (float)(1.0 / sqrt(variance + (double)p.eps));
            }
        }
        __syncthreads();
        const int column = (int)threadIdx.x % width, row = (int)threadIdx.x / width, c = (pass + column) * V;
        if (row < rows) {
            float m[V], scale[V], b[V];
#pragma unroll
            for (int e = 0; e < V; e++) {
                const int g = (c + e) / size - group0;
                m[e] = mean[g];
                scale[e] = inverse[g] * p.weight[c + e];
                b[e] = p.bias[c + e];
            }
#pragma unroll 4
            for (int pixel = first + row; pixel < end; pixel += rows) {
                float v[V];
                load<T, V>(x + (int64_t)pixel * p.channels + c, p.aligned, v);
#pragma unroll
                for (int e = 0; e < V; e++) v[e] = fmaf(v[e] - m[e], scale[e], b[e]);
                store<T, V>(y + (int64_t)pixel * p.y_p + c, p.aligned, v);
            }
        }
        __syncthreads();
    }
}

template <typename T, int V> static isobath_status launch(ib_backend *backend, groupnorm_params p, int64_t frames)
{
    const ib_cuda_backend *be = ib_cuda(backend);
    const size_t frame_bytes = (size_t)p.chunks * p.groups * sizeof(float2);
    const int64_t at_once = (int64_t)(IB_CUDA_WORKSPACE_BYTES / frame_bytes);
    if (at_once < 1)
        return ib_fail(backend->diag, ISOBATH_ERR_UNSUPPORTED, "cuda groupnorm: %d groups are too many", p.groups);
    for (int64_t first = 0; first < frames; first += at_once) { /* one round but for thousands of frames */
        groupnorm_params part = p;
        dim3 grid((unsigned)p.chunks, (unsigned)(frames - first < at_once ? frames - first : at_once));
        part.x = (const T *)p.x + first * p.x_t;
        part.y = (T *)p.y + first * p.y_t;
        ib_cuda_launch(be, k_groupnorm_sums<T, V>, grid, THREADS, 0, part);
        ib_cuda_launch(be, k_groupnorm_apply<T, V>, grid, THREADS, 0, part);
    }
    return ib_cuda_launched(backend, "groupnorm");
}

isobath_status ib_cuda_groupnorm(ib_backend *backend, const ib_groupnorm_args *a)
{
    const int64_t frames = a->x.dim[0], pixels = a->x.dim[1], channels = a->x.dim[2];
    const int size = (int)(channels / a->groups);
    groupnorm_params p = {a->x.data,
                          a->y.data,
                          (const float *)a->weight.data,
                          (const float *)a->bias.data,
                          (float2 *)ib_cuda(backend)->workspace,
                          a->x.stride[0],
                          a->y.stride[0],
                          a->y.stride[1],
                          (int)pixels,
                          (int)channels,
                          a->groups,
                          groupnorm_chunks(pixels),
                          ib_cuda_aligned(&a->x, 16) && ib_cuda_aligned(&a->y, 16),
                          a->eps};
    /* V decides the order of the sums, so it hangs on C and the groups alone: a pass must hold whole groups. */
    const int v = a->x.dtype == IB_F32 ? 4 : 8;
    const int fits = channels % v == 0 && (channels <= (int64_t)THREADS * v || size % v == 0);
    isobath_status status = ISOBATH_OK;
    const int most = THREADS * (fits ? v : 1); /* a group is never split between passes */
    if (size > most)
        return ib_fail(backend->diag, ISOBATH_ERR_UNSUPPORTED, "cuda groupnorm: %d channels in a group, at most %d",
                       size, most);
    switch (a->x.dtype) {
    case IB_F16: status = fits ? launch<ib_f16, 8>(backend, p, frames) : launch<ib_f16, 1>(backend, p, frames); break;
    case IB_BF16:
        status = fits ? launch<ib_bf16, 8>(backend, p, frames) : launch<ib_bf16, 1>(backend, p, frames);
        break;
    default: status = fits ? launch<float, 4>(backend, p, frames) : launch<float, 1>(backend, p, frames); break;
    }
    return status;
}
