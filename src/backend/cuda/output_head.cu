/* output_head: bilinear to (H,W), 3x3 to 32 channels, ReLU, 1x1 to one channel, ReLU or sigmoid, in one kernel: the resized
 * map exists only as a tile in shared memory, and everything after the products is f32.
 *
 * One block: 16 x 16 output pixels of one frame. Up to 32 input channels at a time are resized into an 18 x 18 tile
 * (zeros outside the image), then multiplied with f32 accumulation:
 * - f16 input, tensor cores: f16 products. A resized value lies between its f16 neighbours, so it cannot leave f16's
 *   range, and f16 has TF32's precision; weights are scaled to below one by a power of two per output channel.
 * - bf16 and f32 input in the half modes, tensor cores: TF32 products (f32's range).
 * - else fp32 throughout. The order of sums is fixed in each.
 * f16 input of 64 or 128 channels on sm_90a that is not made smaller goes to output_head_rows.cu.
 *
 * Packed weight, f32 words: [tap 9][ci padded to 8][32]; the 32 of the 1x1; the 3x3 as TF32 operands
 * [ci / 8][dx][dy][lane 32][n tile 4][2]; 32 scales; the 3x3 divided by those as f16 operands [ci / 16][dx][dy][lane][n
 * tile][2]; the same as f16 rows [dy][dx][32][ci padded to 8], for output_head_rows.cu.
 */
#include "backend/cuda/head.cuh"
#include "backend/cuda/mma.cuh"
#include <math.h>
#include <string.h>

extern "C" {
#include "base/diffuse.h"
}

#define TILE 16
#define PATCH (TILE + 2)
#define CHANNELS 32 /* of the tile at a time, and of the 3x3's output */
#define THREADS 128
/* Bytes between pixels of the tile: an odd number of 16-byte chunks, so no bank conflicts. */
#define PITCH_BYTES(E) (CHANNELS * (int)sizeof(E) + 16)

/* Bytes between pixels of the input's patch in shared memory, most bytes of the patch, and rows of the tile that a thread
 * fills in one walk. */
#define SOURCE_PITCH (CHANNELS * 2 + 16)
#define MOST_SOURCE_BYTES ((size_t)20 * 1024)
#define WALK 6

struct head_params {
    const void *x;
    const float *weight, *bias;
    float *y;
    int64_t x_t, x_h, x_w, y_t, y_h;
    int in_h, in_w, out_h, out_w, ci;
    float scale_h, scale_w;
    int vector; /* pixels of x may be read 16 bytes at a time */
    float sigmoid;
    int source_columns; /* of the input under a tile at most, 0: the tile is filled straight from memory */
};

size_t ib_cuda_head_bytes(int64_t ci) { return (size_t)head_words(ci) * sizeof(float); }

/* cvt.rna.tf32 on the host: nearest, ties away from zero; NaN and infinity unchanged. */
static float round_tf32(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7f800000u) != 0x7f800000u) u = (u + 0x1000u) & ~0x1fffu;
    memcpy(&x, &u, 4);
    return x;
}

/* Power of two that brings the largest of `count` weights into [0.5, 1); 1 where there is none. */
static float scale_of(const float *w, int64_t count)
{
    float most = 0.0f;
    int exponent = 0;
    for (int64_t i = 0; i < count; i++)
        if (fabsf(w[i]) > most) most = fabsf(w[i]);
    if (!(most > 0.0f) || isinf(most)) return 1.0f;
    frexpf(most, &exponent);
    return ldexpf(1.0f, exponent < -100 ? -100 : exponent > 100 ? 100 : exponent);
}

void ib_cuda_head_pack(const float *src, int64_t ci, float *dst)
{
    const int64_t k = head_k(ci);
    float *tf32 = dst + head_tf32(ci), *scales = dst + head_scales(ci);
    uint16_t *f16 = (uint16_t *)(dst + head_f16(ci)), *rows = (uint16_t *)(dst + head_rows(ci));
    memset(dst, 0, ib_cuda_head_bytes(ci));
    for (int64_t co = 0; co < 32; co++) {
        const int64_t n_tile = co / 8, n = co % 8;
        scales[co] = scale_of(src + co * ci * 9, ci * 9);
        for (int64_t c = 0; c < ci; c++) {
            float tf32_error[9], f16_error[9]; /* rounded by error diffusion */
            for (int64_t tap = 0; tap < 9; tap++) {
                const float w = src[(co * ci + c) * 9 + tap];
                const int64_t by_column = tap % 3 * 3 + tap / 3; /* dx, then dy */
                /* B operands: n = lane / 4; TF32: k = lane % 4 (+ 4); f16: k = lane % 4 * 2 + {0, 1} (+ 8) */
                const int64_t lane8 = n * 4 + c % 4, lane16 = n * 4 + c % 8 / 2;
                dst[(tap * k + c) * 32 + co] = w;
                const float for_tf32 = ib_diffuse_target(tf32_error, 3, (int)tap, w);
                const float for_f16 = ib_diffuse_target(f16_error, 3, (int)tap, w / scales[co]);
                const float word = round_tf32(for_tf32);
                const uint16_t half = ib_f32_to_f16(for_f16);
                tf32_error[tap] = ib_diffuse_error(word, for_tf32);
                f16_error[tap] = ib_diffuse_error(ib_f16_to_f32(half), for_f16);
                tf32[(((c / 8 * 9 + by_column) * 32 + lane8) * 4 + n_tile) * 2 + c % 8 / 4] = word;
                f16[((((c / 16 * 9 + by_column) * 32 + lane16) * 4 + n_tile) * 2 + c % 16 / 8) * 2 + c % 2] = half;
                rows[(tap * 32 + co) * k + c] = half;
            }
        }
    }
    memcpy(dst + head_last(ci), src + 32 * ci * 9, 32 * sizeof(float));
}

/* V channels from c on, zeros from ci on. */
template <typename T, int V>
__device__ __forceinline__ void load_channels(float (&v)[V], const T *pixel, int c, const head_params &p)
{
    if (p.vector) {
        ib_load_f32<T, V>(pixel + c, v);
    } else {
#pragma unroll
        for (int e = 0; e < V; e++) v[e] = c + e < p.ci ? ib_to_f32(pixel[c + e]) : 0.0f;
    }
}

/* How values enter the tile. */
enum { EXACT, TF32, HALF };
template <int form> struct tile_form {
    typedef float element;
};
template <> struct tile_form<HALF> {
    typedef ib_f16 element;
};

/* Which products an input type takes on tensor cores. */
template <typename T> struct product_form {
    static constexpr int value = TF32;
};
template <> struct product_form<ib_f16> {
    static constexpr int value = HALF;
};

/* Channels [first, first + 32) of the resized map around the block's tile; V of them a thread. */
template <typename T, int form>
__device__ __forceinline__ void fill_tile(uint8_t *tile, int first, const head_params &p)
{
    typedef typename tile_form<form>::element E;
    constexpr int V = sizeof(T) == 2 ? 8 : 4, LANES = CHANNELS / V;
    const T *x = (const T *)p.x + blockIdx.z * p.x_t;
    const int c = first + (int)(threadIdx.x % LANES) * V;
    for (int i = threadIdx.x / LANES; i < PATCH * PATCH; i += THREADS / LANES) {
        const int py = i / PATCH, px = i - py * PATCH;
        const int oy = (int)blockIdx.y * TILE + py - 1, ox = (int)blockIdx.x * TILE + px - 1;
        float v[V];
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = 0.0f;
        if (oy >= 0 && oy < p.out_h && ox >= 0 && ox < p.out_w && c < p.ci) {
            int y0, y1, x0, x1;
            float wy, wx, a[V], b[V], d[V], e[V];
            ib_bilinear_axis_device(oy, p.in_h, p.scale_h, &y0, &y1, &wy);
            ib_bilinear_axis_device(ox, p.in_w, p.scale_w, &x0, &x1, &wx);
            const T *top = x + y0 * p.x_h, *bottom = x + y1 * p.x_h;
            load_channels<T, V>(a, top + x0 * p.x_w, c, p);
            load_channels<T, V>(b, top + x1 * p.x_w, c, p);
            load_channels<T, V>(d, bottom + x0 * p.x_w, c, p);
            load_channels<T, V>(e, bottom + x1 * p.x_w, c, p);
            const float vy = 1.0f - wy, vx = 1.0f - wx;
#pragma unroll
            for (int k = 0; k < V; k++) v[k] = fmaf(vy, fmaf(vx, a[k], wx * b[k]), wy * fmaf(vx, d[k], wx * e[k]));
        }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
        if (form == TF32)
#pragma unroll
            for (int k = 0; k < V; k++) v[k] = ib_round_tf32(v[k]);
#endif
        E *to = (E *)(tile + i * PITCH_BYTES(E)) + (c - first);
#pragma unroll
        for (int k = 0; k < V; k += 4) {
            const float part[4] = {v[k], v[k + 1], v[k + 2], v[k + 3]};
            ib_store_f32<E, 4>(to + k, part);
        }
    }
}

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
    const int oy = (int)blockIdx.y * TILE - 1, ox = (int)blockIdx.x * TILE - 1;
    ib_bilinear_axis_device(max(oy, 0), p.in_h, p.scale_h, &s.y, &unused, &weight);
    ib_bilinear_axis_device(max(ox, 0), p.in_w, p.scale_w, &s.x, &unused, &weight);
    ib_bilinear_axis_device(min(oy + PATCH - 1, p.out_h - 1), p.in_h, p.scale_h, &unused, &s.rows, &weight);
    ib_bilinear_axis_device(min(ox + PATCH - 1, p.out_w - 1), p.in_w, p.scale_w, &unused, &s.columns, &weight);
    s.rows += 1 - s.y;
    s.columns += 1 - s.x;
    return s;
}

/* Channels [first, first + 32) of it into shared memory. */
template <typename T>
__device__ __forceinline__ void fetch_source(uint32_t to, const head_source &s, int first, const head_params &p)
{
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + first;
    for (int i = threadIdx.x; i < s.rows * s.columns * 4; i += THREADS) {
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
    for (int task = threadIdx.x; task < 4 * PATCH * (PATCH / WALK); task += THREADS) {
        const int c = task % 4 * 8, px = task / 4 % PATCH, py = task / 4 / PATCH * WALK;
        const int oy = (int)blockIdx.y * TILE + py - 1, ox = (int)blockIdx.x * TILE + px - 1;
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
            E *to = (E *)(tile + ((py + r) * PATCH + px) * PITCH_BYTES(E)) + c;
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
__global__ void __launch_bounds__(THREADS, form == HALF ? 4 : 3) k_head_mma(head_params p)
{
    ib_grid_begin();
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    typedef typename tile_form<form>::element E;
    constexpr int STEP = 32 / sizeof(E);
    __shared__ alignas(16) uint8_t tile[PATCH * PATCH * PITCH_BYTES(E)];
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int all_steps = (p.ci + STEP - 1) / STEP;
    const uint4 *weights = (const uint4 *)(p.weight + (form == HALF ? head_f16(p.ci) : head_tf32(p.ci))) + lane * 2;
    /* ldmatrix: lanes 0-15 address pixels 0-15 of the row, lanes 16-31 the same 16 bytes further */
    const uint32_t a_lane =
        ib_smem_address(tile) + (warp * 4 * PATCH + (lane & 15)) * PITCH_BYTES(E) + (lane >> 4) * 16;

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
    for (int first = 0; first < p.ci; first += CHANNELS) {
        const int done = first / STEP, steps = min(all_steps - done, CHANNELS / STEP);
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
                    ib_ldmatrix_x4(a[row], a_lane + (row * PATCH + dx) * PITCH_BYTES(E) + step * 32);
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
            const int oy = (int)blockIdx.y * TILE + warp * 4 + m, ox = (int)blockIdx.x * TILE + r * 8 + g;
            if (t == 0 && oy < p.out_h && ox < p.out_w) y[oy * p.y_h + ox] = head_end(sum + bias_last, p.sigmoid);
        }
#endif
}

/* fp32: a thread has 8 pixels (columns pg and pg + 8 of its warp's four rows) x 8 output channels. */
template <typename T> __global__ void __launch_bounds__(THREADS) k_head_simt(head_params p)
{
    ib_grid_begin();
    __shared__ alignas(16) uint8_t tile[PATCH * PATCH * PITCH_BYTES(float)];
    constexpr int PITCH = PITCH_BYTES(float) / (int)sizeof(float);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, pg = lane >> 2, cg = lane & 3;
    const int k = (p.ci + 7) / 8 * 8;
    const float *own = (const float *)tile + (warp * 4 * PATCH + pg) * PITCH;
    float acc[8][8];
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) acc[i][j] = 0.0f;

    for (int first = 0; first < p.ci; first += CHANNELS) {
        const int channels = k - first < CHANNELS ? k - first : CHANNELS;
        __syncthreads();
        fill_tile<T, EXACT>(tile, first, p);
        __syncthreads();
        for (int tap = 0; tap < 9; tap++) {
            const float *at = own + (tap / 3 * PATCH + tap % 3) * PITCH;
            const float4 *w = (const float4 *)(p.weight + (int64_t)(tap * k + first) * 32) + cg * 2;
            for (int c = 0; c < channels; c += 4) {
                float4 v[8];
#pragma unroll
                for (int i = 0; i < 8; i++)
                    v[i] = *reinterpret_cast<const float4 *>(at + ((i >> 1) * PATCH + (i & 1) * 8) * PITCH + c);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float4 w0 = __ldg(w + (c + e) * 8), w1 = __ldg(w + (c + e) * 8 + 1);
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        const float x = e == 0 ? v[i].x : e == 1 ? v[i].y : e == 2 ? v[i].z : v[i].w;
                        acc[i][0] = fmaf(x, w0.x, acc[i][0]);
                        acc[i][1] = fmaf(x, w0.y, acc[i][1]);
                        acc[i][2] = fmaf(x, w0.z, acc[i][2]);
                        acc[i][3] = fmaf(x, w0.w, acc[i][3]);
                        acc[i][4] = fmaf(x, w1.x, acc[i][4]);
                        acc[i][5] = fmaf(x, w1.y, acc[i][5]);
                        acc[i][6] = fmaf(x, w1.z, acc[i][6]);
                        acc[i][7] = fmaf(x, w1.w, acc[i][7]);
                    }
                }
            }
        }
    }

    const float *last = p.weight + head_last(p.ci);
    float *y = p.y + blockIdx.z * p.y_t;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++) sum = fmaf(ib_relu(acc[i][j] + p.bias[cg * 8 + j]), last[cg * 8 + j], sum);
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const int oy = (int)blockIdx.y * TILE + warp * 4 + (i >> 1), ox = (int)blockIdx.x * TILE + (i & 1) * 8 + pg;
        if (cg == 0 && oy < p.out_h && ox < p.out_w) y[oy * p.y_h + ox] = head_end(sum + p.bias[32], p.sigmoid);
    }
}

/* Input rows or columns under a tile at most, for a scale up to one. */
static int source_extent(float scale) { return (int)((PATCH - 1) * scale) + 3; }

template <typename T>
static isobath_status launch(ib_backend *backend, head_params p, int64_t frames, int tensor_cores)
{
    constexpr int form = product_form<T>::value;
    size_t source_bytes = 0;
    if (tensor_cores && sizeof(T) == 2 && p.vector && p.scale_h <= 1.0f && p.scale_w <= 1.0f) {
        p.source_columns = source_extent(p.scale_w);
        source_bytes = (size_t)source_extent(p.scale_h) * p.source_columns * SOURCE_PITCH;
    }
    if (source_bytes > MOST_SOURCE_BYTES) source_bytes = p.source_columns = 0;
    dim3 grid((unsigned)ib_ceil_div(p.out_w, TILE), (unsigned)ib_ceil_div(p.out_h, TILE), (unsigned)frames);
    if (source_bytes > 0)
        IB_TRY(ib_cuda_check(backend, cudaFuncSetAttribute(k_head_mma<T, form>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                           (int)source_bytes),
                             "output_head: shared memory"));
    ib_cuda_launch(ib_cuda(backend), tensor_cores ? k_head_mma<T, form> : k_head_simt<T>, grid, THREADS, source_bytes, p);
    return ib_cuda_launched(backend, "output_head");
}

isobath_status ib_cuda_output_head(ib_backend *backend, const ib_output_head_args *a)
{
    const int64_t ci = a->x.dim[3];
    const head_params p = {a->x.data,
                           (const float *)ib_cuda_w(a->w)->data,
                           (const float *)a->bias.data,
                           (float *)a->y.data,
                           a->x.stride[0],
                           a->x.stride[1],
                           a->x.stride[2],
                           a->y.stride[0],
                           a->y.stride[1],
                           (int)a->x.dim[1],
                           (int)a->x.dim[2],
                           (int)a->y.dim[1],
                           (int)a->y.dim[2],
                           (int)ci,
                           ib_cuda_bilinear_scale(a->x.dim[1], a->y.dim[1]),
                           ib_cuda_bilinear_scale(a->x.dim[2], a->y.dim[2]),
                           ci % (a->x.dtype == IB_F32 ? 4 : 8) == 0 && ib_cuda_aligned(&a->x, 16),
                           a->sigmoid,
                           0};
    const int tensor_cores = backend->act != IB_F32 && ib_cuda(backend)->path >= IB_CUDA_MMA;
    isobath_status status = ISOBATH_OK;
    if (ib_cuda_head_launch_rows(ib_cuda(backend), a)) return ib_cuda_launched(backend, "output_head");
    IB_CUDA_DISPATCH(a->x.dtype, T, status = launch<T>(backend, p, a->y.dim[0], tensor_cores));
    return status;
}
