/* The core for sm_80 and newer: mma.sync m16n8k16 with f32 accumulation, cp.async pipeline, swizzled shared memory.
 * 256 threads compute 128 x BN results; k in ascending steps of 16. */
#ifndef IB_BACKEND_CUDA_GEMM_MMA_CUH
#define IB_BACKEND_CUDA_GEMM_MMA_CUH

#include "backend/cuda/gemm.cuh"
#include "backend/cuda/mma.cuh"

constexpr int IB_MMA_BM = 128, IB_MMA_BK = 64, IB_MMA_STAGES = 3;
/* Shared memory: rows of 64 values (128 bytes, 8 chunks of 16); chunk c of row r lies at c ^ (r & 7). */
constexpr int ib_mma_stage_bytes(int bn) { return (IB_MMA_BM + bn) * IB_MMA_BK * 2; }
constexpr int ib_mma_shared_bytes(int bn) { return IB_MMA_STAGES * ib_mma_stage_bytes(bn); }
__device__ __forceinline__ uint32_t ib_swizzle(int row, int chunk)
{
    return (uint32_t)(row * 128 + ((chunk ^ (row & 7)) << 4));
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
template <typename T> __device__ __forceinline__ uint32_t ib_relu2(uint32_t v);
template <> __device__ __forceinline__ uint32_t ib_relu2<ib_f16>(uint32_t v)
{
    __half2 r = __hmax2_nan(*reinterpret_cast<__half2 *>(&v), __half2half2(__ushort_as_half(0)));
    return *reinterpret_cast<uint32_t *>(&r);
}
template <> __device__ __forceinline__ uint32_t ib_relu2<ib_bf16>(uint32_t v)
{
    __nv_bfloat162 r =
        __hmax2_nan(*reinterpret_cast<__nv_bfloat162 *>(&v), __bfloat162bfloat162(__ushort_as_bfloat16(0)));
    return *reinterpret_cast<uint32_t *>(&r);
}
#endif

/* A chunk of A (8 values of k) into shared memory. */
template <int TAPS, bool VECTOR>
__device__ __forceinline__ void ib_mma_load_a(const ib_gemm &g, const ib_gemm_source<TAPS> &s,
                                              const ib_gemm_k<TAPS> &k, uint32_t dst)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    const int dy = k.dy(), dx = k.dx(), left = k.left(g);
    const bool inside = s.inside(g, dy, dx);
    const uint16_t *p = (const uint16_t *)g.x.data + s.base + dy * g.x.si + dx * g.x.sj + k.c;
    if (VECTOR) {
        const bool valid = inside && left > 0;
        ib_cp_async16(dst, valid ? p : (const uint16_t *)g.x.data, valid);
    } else {
        uint32_t v[4] = {0, 0, 0, 0};
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (inside && e < left) v[e / 2] |= (uint32_t)p[e] << (e % 2 * 16);
        asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};\n" ::"r"(dst), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3])
                     : "memory");
    }
#endif
}

template <typename T, int TAPS, bool VECTOR, int BN>
__global__ void __launch_bounds__(256, 2) k_gemm_mma(const __grid_constant__ ib_gemm g)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    constexpr int BM = IB_MMA_BM, BK = IB_MMA_BK, STAGES = IB_MMA_STAGES;
    constexpr int WARPS_N = BN / 32, WARPS_M = 8 / WARPS_N, MF = BM / WARPS_M / 16; /* warp tile: 16 MF x 32 */
    constexpr int A_LOADS = BM / 32, W_LOADS = BN / 32;
    extern __shared__ __align__(128) unsigned char shared[];
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int warp_n = warp % WARPS_N, warp_m = warp / WARPS_N;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const int col0 = (int)(blockIdx.x % tiles_n) * BN;
    const uint32_t row0 = blockIdx.x / tiles_n * BM;
    const uint32_t base = ib_smem_address(shared);

    /* A thread copies chunk `chunk` of rows load_row + 32 i. */
    const int chunk = tid % 8, load_row = tid / 8;
    ib_gemm_source<TAPS> source[A_LOADS];
#pragma unroll
    for (int i = 0; i < A_LOADS; i++) source[i].set(g, row0 + load_row + 32 * i);
    ib_gemm_k<TAPS> k;
    k.start(g, chunk * 8);
    int wk = chunk * 8;
    const uint16_t *w = (const uint16_t *)g.w + (int64_t)(col0 + load_row) * g.k_pad;

    const int tiles = (g.k_pad + BK - 1) / BK;
    auto load = [&](int tile) {
        if (tile < tiles) {
            const uint32_t stage = base + (uint32_t)(tile % STAGES * ib_mma_stage_bytes(BN));
#pragma unroll
            for (int i = 0; i < A_LOADS; i++)
                ib_mma_load_a<TAPS, VECTOR>(g, source[i], k, stage + ib_swizzle(load_row + 32 * i, chunk));
            k.advance(g, BK);
#pragma unroll
            for (int i = 0; i < W_LOADS; i++) {
                const bool valid = col0 + load_row + 32 * i < g.cols && wk < g.k_pad;
                ib_cp_async16(stage + BM * BK * 2 + ib_swizzle(load_row + 32 * i, chunk),
                              valid ? w + (int64_t)(32 * i) * g.k_pad + wk : (const uint16_t *)g.w, valid);
            }
            wk += BK;
        }
        ib_cp_async_commit();
    };

    float acc[MF][4][4] = {};
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) load(s);
    for (int tile = 0; tile < tiles; tile++) {
        ib_cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(tile + STAGES - 1);
        const uint32_t sa = base + (uint32_t)(tile % STAGES * ib_mma_stage_bytes(BN)), sw = sa + BM * BK * 2;
#pragma unroll
        for (int ks = 0; ks < BK / 16; ks++) {
            uint32_t a[MF][4], b[2][4];
#pragma unroll
            for (int m = 0; m < MF; m++) {
                ib_ldmatrix_x4(a[m], sa + ib_swizzle((warp_m * MF + m) * 16 + lane % 16, ks * 2 + lane / 16));
                if (TAPS > 1 && g.relu_in) {
#pragma unroll
                    for (int e = 0; e < 4; e++) a[m][e] = ib_relu2<T>(a[m][e]);
                }
            }
#pragma unroll
            for (int n = 0; n < 2; n++)
                ib_ldmatrix_x4(b[n], sw + ib_swizzle(warp_n * 32 + n * 16 + lane / 16 * 8 + lane % 8,
                                                     ks * 2 + lane / 8 % 2));
#pragma unroll
            for (int m = 0; m < MF; m++)
#pragma unroll
                for (int n = 0; n < 4; n++) ib_mma_16816<T>(acc[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
        }
    }

    /* The pipeline's memory becomes the way out's scratch. */
    ib_cp_async_wait<0>();
    __syncthreads();
    float *scratch = (float *)(shared + warp * ib_gemm_scratch_bytes(32));
#pragma unroll
    for (int m = 0; m < MF; m++)
        ib_gemm_emit_fragments<4, IB_GEMM_GENERAL, 32>(g, ib_gemm_lane_at(g, row0 + (uint32_t)((warp_m * MF + m) * 16), lane),
                                         col0 + warp_n * 32, acc[m], scratch, lane);
#endif
}

#endif
