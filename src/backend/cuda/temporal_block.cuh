/* What temporal_block keeps in shared memory: all weights of a module of 64 channels (176 KiB) as B operands, vectors and positions
 * behind them, and how they get there. */
#ifndef IB_BACKEND_CUDA_TEMPORAL_BLOCK_CUH
#define IB_BACKEND_CUDA_TEMPORAL_BLOCK_CUH

#include "backend/cuda/common.cuh"

constexpr int C = 64, FRAMES = 32, HEADS = 8, HIDDEN = 4 * C, WARPS = 12;
constexpr int PE_PITCH = C + 8; /* words: rows of positions without bank conflicts */

/* Where the weights lie in shared memory, in 16-byte units. By columns (pairs of k steps of one tile of eight rows): proj_in,
 * qkv, ff_in, proj_out; by steps (one k step of two tiles): out, ff_out. */
enum {
    AT_PROJ_IN = 0,
    AT_QKV = AT_PROJ_IN + C * C / 8,
    AT_OUT = AT_QKV + 2 * 3 * C * C / 8,
    AT_FF_VALUE = AT_OUT + 2 * C * C / 8,
    AT_FF_GATE = AT_FF_VALUE + HIDDEN * C / 8,
    AT_FF_OUT = AT_FF_GATE + HIDDEN * C / 8,
    AT_PROJ_OUT = AT_FF_OUT + HIDDEN * C / 8,
    AT_END = AT_PROJ_OUT + C * C / 8
};
/* f32 vectors behind them, in words. */
enum {
    V_PROJ_IN = 0,
    V_NORM = V_PROJ_IN + C, /* weight and bias of the two attentions' norms and of ff_norm */
    V_OUT = V_NORM + 6 * C,
    V_FF_IN = V_OUT + 2 * C,
    V_FF_OUT = V_FF_IN + 2 * HIDDEN,
    V_PROJ_OUT = V_FF_OUT + C,
    V_PE = V_PROJ_OUT + C,
    V_END = V_PE + 2 * FRAMES * PE_PITCH
};
constexpr int SMEM_BYTES = AT_END * 16 + V_END * 4;

struct block_params {
    const void *g, *x;
    void *y;
    int64_t g_t, g_p, x_t, x_p, y_t, y_p;
    int pixels, frames;
    float eps;
    const void *proj_in, *qkv[2], *out[2], *ff_in, *ff_out, *proj_out;
    const float *proj_in_b, *norm_w[3], *norm_b[3], *out_b[2], *ff_in_b, *ff_out_b, *proj_out_b, *pe[2];
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
/* B operands of W [rows][k] into shared memory; row n of the product is row `step`*n + `first` of W. */
__device__ __forceinline__ void put_columns(uint4 *to, const void *w, int rows, int k, int step, int first)
{
    const uint32_t *words = (const uint32_t *)w;
    for (int e = threadIdx.x; e < rows * k / 8; e += WARPS * 32) {
        const int lane = e & 31, pair = e / 32 % (k / 32), tile = e / 32 / (k / 32);
        const uint32_t *row = words + (((tile * 8 + lane / 4) * step + first) * k + pair * 32) / 2 + lane % 4;
        to[e] = make_uint4(__ldg(row), __ldg(row + 4), __ldg(row + 8), __ldg(row + 12));
    }
}
__device__ __forceinline__ void put_steps(uint4 *to, const void *w, int rows, int k)
{
    const uint32_t *words = (const uint32_t *)w;
    for (int e = threadIdx.x; e < rows * k / 8; e += WARPS * 32) {
        const int lane = e & 31, tiles = e / 32 % (rows / 16), step = e / 32 / (rows / 16);
        const uint32_t *row = words + ((tiles * 16 + lane / 4) * k + step * 16) / 2 + lane % 4, *next = row + 8 * k / 2;
        to[e] = make_uint4(__ldg(row), __ldg(row + 4), __ldg(next), __ldg(next + 4));
    }
}
__device__ __forceinline__ void put_vector(float *to, const float *from, int count)
{
    for (int i = threadIdx.x; i < count; i += WARPS * 32) to[i] = __ldg(from + i);
}

/* Everything that a block needs of the weights. */
__device__ __forceinline__ void put_weights(uint4 *w, float *v, const block_params &p)
{
    put_columns(w + AT_PROJ_IN, p.proj_in, C, C, 1, 0);
    for (int i = 0; i < 2; i++) {
        put_columns(w + AT_QKV + i * 3 * C * C / 8, p.qkv[i], 3 * C, C, 1, 0);
        put_steps(w + AT_OUT + i * C * C / 8, p.out[i], C, C);
        put_vector(v + V_OUT + i * C, p.out_b[i], C);
        for (int e = threadIdx.x; e < FRAMES * C; e += WARPS * 32)
            v[V_PE + (i * FRAMES + e / C) * PE_PITCH + e % C] = __ldg(p.pe[i] + e);
    }
    put_columns(w + AT_FF_VALUE, p.ff_in, HIDDEN, C, 2, 0); /* packed rows alternate value and gate */
    put_columns(w + AT_FF_GATE, p.ff_in, HIDDEN, C, 2, 1);
    put_steps(w + AT_FF_OUT, p.ff_out, C, HIDDEN);
    put_columns(w + AT_PROJ_OUT, p.proj_out, C, C, 1, 0);
    put_vector(v + V_PROJ_IN, p.proj_in_b, C);
    for (int i = 0; i < 3; i++) {
        put_vector(v + V_NORM + 2 * i * C, p.norm_w[i], C);
        put_vector(v + V_NORM + (2 * i + 1) * C, p.norm_b[i], C);
    }
    put_vector(v + V_FF_IN, p.ff_in_b, 2 * HIDDEN);
    put_vector(v + V_FF_OUT, p.ff_out_b, C);
    put_vector(v + V_PROJ_OUT, p.proj_out_b, C);
}
#endif

#endif
