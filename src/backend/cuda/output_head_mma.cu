/* output_head on tensor cores (sm_80 and newer):
 * - f16 input: f16 products. A resized value lies between its f16 neighbours, so it cannot leave f16's range, and f16 has
 *   TF32's precision; weights are scaled to below one by a power of two per output channel.
 * - bf16 and f32 input in the half modes: TF32 products (f32's range). */
#include "backend/cuda/head_tile.cuh"

/* Bytes between pixels of the input's patch in shared memory, most bytes of the patch, and rows of the tile that a thread
 * fills in one walk. */
#define SOURCE_PITCH (HEAD_CHANNELS * 2 + 16)
#define MOST_SOURCE_BYTES ((size_t)20 * 1024)
#define WALK 6

/* Which products an input type takes on tensor cores. */
template <typename T> struct product_form {
    static constexpr int value = TF32;
};
template <> struct product_form<ib_f16> {
    static constexpr int value = HALF;
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
/* The input under the block's tile: first row and column, how many. */
struct head_source {
    int y, x, rows, columns;
};
__device__ __forceinline__ head_source source_under(const head_params &p)
{
    head_source s;
    int unused;
    float weight;
    const int oy = (int)blockIdx.y * HEAD_TILE - 1, ox = (int)blockIdx.x * HEAD_TILE - 1;
    ib_bilinear_axis_device(max(oy, 0), p.in_h, p.scale_h, &s.y, &unused, &weight);
    ib_bilinear_axis_device(max(ox, 0), p.in_w, p.scale_w, &s.x, &unused, &weight);
    ib_bilinear_axis_device(min(oy + HEAD_PATCH - 1, p.out_h - 1), p.in_h, p.scale_h, &unused, &s.rows, &weight);
    ib_bilinear_axis_device(min(ox + HEAD_PATCH - 1, p.out_w - 1), p.in_w, p.scale_w, &unused, &s.columns, &weight);
    s.rows += 1 - s.y;
    s.columns += 1 - s.x;
    return s;
}

/* Channels [first, first + 32) of it into shared memory. */
template <typename T>
__device__ __forceinline__ void fetch_source(uint32_t to, const head_source &s, int first, const head_params &p)
{
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + first;
    for (int i = threadIdx.x; i < s.rows * s.columns * 4; i += HEAD_THREADS) {
        const int c = i % 4 * 8, row = i / 4 / s.columns, column = i / 4 - row * s.columns;
        if (first + c < p.ci)
            ib_cp_async16(to + (uint32_t)((row * p.source_columns + column) * SOURCE_PITCH + c * 2),
                          x + (s.y + row) * p.x_h + (s.x + column) * p.x_w + c, 1);
    }
    ib_cp_async_commit();
    ib_cp_async_wait<0>();
}

/* fill_tile from there, the same bits: a thread walks down a column and keeps its two blended input rows. */
template <typename T, int form>
__device__ __forceinline__ void fill_by_columns(uint8_t *tile, const uint8_t *source, const head_source &s, int first,
                                                const head_params &p)
{
    typedef typename tile_form<form>::element E;
    for (int task = threadIdx.x; task < 4 * HEAD_PATCH * (HEAD_PATCH / WALK); task += HEAD_THREADS) {
        const int c = task % 4 * 8, px = task / 4 % HEAD_PATCH, py = task / 4 / HEAD_PATCH * WALK;
        const int oy = (int)blockIdx.y * HEAD_TILE + py - 1, ox = (int)blockIdx.x * HEAD_TILE + px - 1;
        const bool column = ox >= 0 && ox < p.out_w && first + c < p.ci;
        int x0 = 0, x1 = 0, top_row = -1, bottom_row = -1;
        float wx = 0.0f, top[8], bottom[8];
        if (column) ib_bilinear_axis_device(ox, p.in_w, p.scale_w, &x0, &x1, &wx);
        const float vx = 1.0f - wx;
        const uint8_t *left = source + (x0 - s.x) * SOURCE_PITCH + c * 2, *right = left + (x1 - x0) * SOURCE_PITCH;
        const auto blend = [&](float (&out)[8], int y) {
            const int at = (y - s.y) * p.source_columns * SOURCE_PITCH;
            float b[8];
            ib_load_f32<T, 8>((const T *)(left + at), out);
            ib_load_f32<T, 8>((const T *)(right + at), b);
#pragma unroll
            for (int k = 0; k < 8; k++) out[k] = fmaf(vx, out[k], wx * b[k]);
        };
#pragma unroll
        for (int r = 0; r < WALK; r++) {
            float v[8];
#pragma unroll
            for (int k = 0; k < 8; k++) v[k] = 0.0f;
            if (column && oy + r >= 0 && oy + r < p.out_h) {
                int y0, y1;
                float wy;
                ib_bilinear_axis_device(oy + r, p.in_h, p.scale_h, &y0, &y1, &wy);
                if (y0 != top_row) {
                    if (y0 == bottom_row)
#pragma unroll
                        for (int k = 0; k < 8; k++) top[k] = bottom[k];
                    else
                        blend(top, y0);
                    top_row = y0;
                }
                if (y1 != bottom_row) {
                    blend(bottom, y1);
                    bottom_row = y1;
                }
                const float vy = 1.0f - wy;
#pragma unroll
                for (int k = 0; k < 8; k++) v[k] = fmaf(vy, top[k], wy * bottom[k]);
            }
            if (form == TF32)
#pragma unroll
                for (int k = 0; k < 8; k++) v[k] = ib_round_tf32(v[k]);
            E *to = (E *)(tile + ((py + r) * HEAD_PATCH + px) * HEAD_PITCH(E)) + c;
            if (sizeof(E) == 2) {
                ib_store_f32<ib_f16, 8>((ib_f16 *)to, v);
            } else {
#pragma unroll
                for (int k = 0; k < 8; k += 4) {
                    const float part[4] = {v[k], v[k + 1], v[k + 2], v[k + 3]};
                    ib_store_f32<E, 4>(to + k, part);
                }
            }
        }
    }
}

template <int form>
__device__ __forceinline__ void product(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    if (form == HALF)
        ib_mma_16816<ib_f16>(d, a, b0, b1);
    else
        ib_mma_tf32(d, a, b0, b1);
}
#endif

/* Four warps; each four rows of the tile, a row of 16 pixels being the 16 rows of an A operand. A step is 32 bytes of
 * channels: 16 in f16, 8 in TF32. For each column of taps six rows of pixels serve three taps of four rows each. */
template <typename T, int form>
__global__ void __launch_bounds__(HEAD_THREADS, form == HALF ? 4 : 3) k_head_mma(head_params p)
{
    ib_grid_begin();
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    typedef typename tile_form<form>::element E;
    constexpr int STEP = 32 / sizeof(E);
    __shared__ alignas(16) uint8_t tile[HEAD_PATCH * HEAD_PATCH * HEAD_PITCH(E)];
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int all_steps = (p.ci + STEP - 1) / STEP;
    const uint4 *weights = (const uint4 *)(p.weight + (form == HALF ? head_f16(p.ci) : head_tf32(p.ci))) + lane * 2;
    /* ldmatrix: lanes 0-15 address pixels 0-15 of the row, lanes 16-31 the same 16 bytes further */
    const uint32_t a_lane =
        ib_smem_address(tile) + (warp * 4 * HEAD_PATCH + (lane & 15)) * HEAD_PITCH(E) + (lane >> 4) * 16;

    float acc[4][4][4]; /* [row of pixels][8 output channels][fragment] */
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) acc[m][n][e] = 0.0f;

    extern __shared__ uint4 source_memory[];
    const uint8_t *source = (const uint8_t *)source_memory;
    head_source under = {};
    if (p.source_columns) under = source_under(p);
    for (int first = 0; first < p.ci; first += HEAD_CHANNELS) {
        const int done = first / STEP, steps = min(all_steps - done, HEAD_CHANNELS / STEP);
        __syncthreads();
        if (sizeof(T) == 2 && p.source_columns) {
            fetch_source<T>(ib_smem_address(source), under, first, p);
            __syncthreads();
            fill_by_columns<T, form>(tile, source, under, first, p);
        } else {
            fill_tile<T, form>(tile, first, p);
        }
        __syncthreads();
        for (int step = 0; step < steps; step++)
#pragma unroll
            for (int dx = 0; dx < 3; dx++) {
                uint32_t a[6][4];
#pragma unroll
                for (int row = 0; row < 6; row++)
                    ib_ldmatrix_x4(a[row], a_lane + (row * HEAD_PATCH + dx) * HEAD_PITCH(E) + step * 32);
#pragma unroll
                for (int dy = 0; dy < 3; dy++) {
                    const uint4 *at = weights + ((done + step) * 9 + dx * 3 + dy) * 64;
                    const uint4 b01 = __ldg(at), b23 = __ldg(at + 1);
#pragma unroll
                    for (int m = 0; m < 4; m++) {
                        product<form>(acc[m][0], a[m + dy], b01.x, b01.y);
                        product<form>(acc[m][1], a[m + dy], b01.z, b01.w);
                        product<form>(acc[m][2], a[m + dy], b23.x, b23.y);
                        product<form>(acc[m][3], a[m + dy], b23.z, b23.w);
                    }
                }
            }
    }

    const float *last = p.weight + head_last(p.ci), *scales = p.weight + head_scales(p.ci);
    const float bias_last = p.bias[32];
    float *y = p.y + blockIdx.z * p.y_t;
    float scale[8], bias[8], end[8]; /* of the lane's output channels */
#pragma unroll
    for (int n = 0; n < 8; n++) {
        const int co = n / 2 * 8 + t * 2 + n % 2;
        scale[n] = form == HALF ? scales[co] : 1.0f;
        bias[n] = p.bias[co];
        end[n] = last[co];
    }
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) { /* pixels g and g + 8 of the row */
            float sum = 0.0f;
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int co = n * 2 + e;
                    const float v = form == HALF ? fmaf(acc[m][n][2 * r + e], scale[co], bias[co])
                                                 : acc[m][n][2 * r + e] + bias[co];
                    sum = fmaf(ib_relu(v), end[co], sum);
                }
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const int oy = (int)blockIdx.y * HEAD_TILE + warp * 4 + m, ox = (int)blockIdx.x * HEAD_TILE + r * 8 + g;
            if (t == 0 && oy < p.out_h && ox < p.out_w) y[oy * p.y_h + ox] = head_end(sum + bias_last, p.sigmoid);
        }
#endif
}

/* Input rows or columns under a tile at most, for a scale up to one. */
static int source_extent(float scale) { return (int)((HEAD_PATCH - 1) * scale) + 3; }

template <typename T> static isobath_status launch(ib_backend *backend, head_params p, int64_t frames)
{
    constexpr int form = product_form<T>::value;
    size_t source_bytes = 0;
    if (sizeof(T) == 2 && p.vector && p.scale_h <= 1.0f && p.scale_w <= 1.0f) {
        p.source_columns = source_extent(p.scale_w);
        source_bytes = (size_t)source_extent(p.scale_h) * p.source_columns * SOURCE_PITCH;
    }
    if (source_bytes > MOST_SOURCE_BYTES) source_bytes = p.source_columns = 0;
    if (source_bytes > 0)
        IB_TRY(ib_cuda_check(backend, cudaFuncSetAttribute(k_head_mma<T, form>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                           (int)source_bytes),
                             "output_head: shared memory"));
    ib_cuda_launch(ib_cuda(backend), k_head_mma<T, form>, head_grid(p, frames), HEAD_THREADS, source_bytes, p);
    return ib_cuda_launched(backend, "output_head");
}

isobath_status ib_cuda_head_launch_mma(ib_backend *backend, const head_params &p, ib_dtype type, int64_t frames)
{
    isobath_status status = ISOBATH_OK;
    IB_CUDA_DISPATCH(type, T, status = launch<T>(backend, p, frames));
    return status;
}
