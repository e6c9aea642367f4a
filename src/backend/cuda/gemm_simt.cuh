/* The core without tensor cores: f32 arithmetic on any storage type. True fp32 everywhere, and the half modes of cards
 * without tensor cores. 256 threads compute BM x BN results, 8 x (BN/16) per thread, k in one ascending fma chain. */
#ifndef IB_BACKEND_CUDA_GEMM_SIMT_CUH
#define IB_BACKEND_CUDA_GEMM_SIMT_CUH

#include "backend/cuda/gemm.cuh"

template <typename T, int TAPS, bool VECTOR>
__device__ __forceinline__ void ib_simt_fetch_a(const ib_gemm &g, const ib_gemm_source<TAPS> &s,
                                                const ib_gemm_k<TAPS> &k, float (&v)[4])
{
    const int dy = k.dy(), dx = k.dx(), left = k.left(g);
    const bool inside = s.inside(g, dy, dx);
    const T *p = (const T *)g.x.data + s.base + dy * g.x.si + dx * g.x.sj + k.c;
#pragma unroll
    for (int e = 0; e < 4; e++) v[e] = 0.0f;
    if (VECTOR) {
        if (inside && left > 0) ib_load_f32<T, 4>(p, v);
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (inside && e < left) v[e] = ib_to_f32(p[e]);
    }
    if (g.relu_in) {
#pragma unroll
        for (int e = 0; e < 4; e++) v[e] = ib_relu(v[e]);
    }
}

template <typename T> __device__ __forceinline__ void ib_simt_fetch_w(const ib_gemm &g, int col, int k, float (&v)[4])
{
#pragma unroll
    for (int e = 0; e < 4; e++) v[e] = 0.0f;
    if (col < g.cols && k < g.k_pad) ib_load_f32<T, 4>((const T *)g.w + (int64_t)col * g.k_pad + k, v);
}

template <typename T, int TAPS, bool VECTOR, int BN>
__global__ void __launch_bounds__(256, 2) k_gemm_simt(const __grid_constant__ ib_gemm g)
{
    constexpr int BM = 128, BK = 16, TN = BN / 16; /* TN columns a thread: two groups of TN/2 for BN = 128 */
    constexpr int A_LOADS = BM * BK / 4 / 256, W_LOADS = BN * BK / 4 / 256 > 0 ? BN * BK / 4 / 256 : 1;
    __shared__ __align__(16) float sa[2][BK][BM + 4], sw[2][BK][BN + 4];
    const int tid = (int)threadIdx.x, tx = tid % 16, ty = tid / 16;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const int col0 = (int)(blockIdx.x % tiles_n) * BN;
    const uint32_t row0 = blockIdx.x / tiles_n * BM;
    const int kq = tid % 4 * 4, lane_row = tid / 4; /* a thread loads 4 values of k, rows lane_row + 64 i */

    ib_gemm_source<TAPS> source[A_LOADS];
#pragma unroll
    for (int i = 0; i < A_LOADS; i++) source[i].set(g, row0 + lane_row + 64 * i);
    ib_gemm_k<TAPS> k;
    k.start(g, kq);

    float acc[8][TN] = {}, fa[A_LOADS][4], fw[W_LOADS][4];
    const bool loads_w = W_LOADS * 64 <= BN || lane_row < BN;
    auto fetch = [&](int tile) {
#pragma unroll
        for (int i = 0; i < A_LOADS; i++) ib_simt_fetch_a<T, TAPS, VECTOR>(g, source[i], k, fa[i]);
        k.advance(g, BK);
#pragma unroll
        for (int i = 0; i < W_LOADS; i++)
            if (loads_w) ib_simt_fetch_w<T>(g, col0 + lane_row + 64 * i, tile * BK + kq, fw[i]);
    };
    auto put = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < A_LOADS; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) sa[buffer][kq + e][lane_row + 64 * i] = fa[i][e];
#pragma unroll
        for (int i = 0; i < W_LOADS; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (loads_w) sw[buffer][kq + e][lane_row + 64 * i] = fw[i][e];
    };

    const int tiles = (g.k_pad + BK - 1) / BK;
    fetch(0);
    put(0);
    __syncthreads();
    for (int tile = 0; tile < tiles; tile++) {
        const int buffer = tile & 1;
        if (tile + 1 < tiles) fetch(tile + 1);
#pragma unroll
        for (int kk = 0; kk < BK; kk++) {
            float a[8], w[TN];
#pragma unroll
            for (int e = 0; e < 4; e++) {
                a[e] = sa[buffer][kk][ty * 4 + e];
                a[4 + e] = sa[buffer][kk][64 + ty * 4 + e];
            }
            if (TN == 8) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    w[e] = sw[buffer][kk][tx * 4 + e];
                    w[TN / 2 + e] = sw[buffer][kk][64 + tx * 4 + e];
                }
            } else {
#pragma unroll
                for (int e = 0; e < TN; e++) w[e] = sw[buffer][kk][tx * TN + e];
            }
#pragma unroll
            for (int m = 0; m < 8; m++)
#pragma unroll
                for (int n = 0; n < TN; n++) acc[m][n] = __fmaf_rn(a[m], w[n], acc[m][n]);
        }
        if (tile + 1 < tiles) put(buffer ^ 1);
        __syncthreads();
    }

#pragma unroll
    for (int m = 0; m < 8; m++) {
        const uint32_t row = row0 + (uint32_t)((m < 4 ? 0 : 64) + ty * 4 + (m & 3));
        if (row >= g.rows) continue;
        const ib_gemm_row r = ib_gemm_row_at(g, row);
        if (TN == 8) {
            float v[4], u[4];
#pragma unroll
            for (int e = 0; e < 4; e++) v[e] = acc[m][e], u[e] = acc[m][TN / 2 + e];
            ib_gemm_emit<4>(g, r, col0 + tx * 4, v);
            ib_gemm_emit<4>(g, r, col0 + 64 + tx * 4, u);
        } else {
            ib_gemm_emit<TN>(g, r, col0 + tx * TN, acc[m]);
        }
    }
}

/* ---- host: launches of the storage type T; instances are in gemm_simt_<type>.cu, so that they compile side by side ---- */

template <typename T, int TAPS, bool VECTOR, int BN> static void ib_simt_launch_one(cudaStream_t stream, const ib_gemm &g)
{
    const int64_t blocks = ib_ceil_div(g.rows, 128) * ib_ceil_div(g.cols, BN);
    k_gemm_simt<T, TAPS, VECTOR, BN><<<(unsigned)blocks, 256, 0, stream>>>(g);
}

template <typename T, int TAPS> static void ib_simt_launch_tile(cudaStream_t stream, const ib_gemm &g, int columns)
{
    if (!g.vector_in)
        ib_simt_launch_one<T, TAPS, false, 64>(stream, g);
    else if (columns == 64)
        ib_simt_launch_one<T, TAPS, true, 64>(stream, g);
    else
        ib_simt_launch_one<T, TAPS, true, 128>(stream, g);
}

template <typename T> static void ib_simt_launch(cudaStream_t stream, const ib_gemm &g, int taps, int columns)
{
    taps == 1 ? ib_simt_launch_tile<T, 1>(stream, g, columns) : ib_simt_launch_tile<T, 9>(stream, g, columns);
}

#endif
