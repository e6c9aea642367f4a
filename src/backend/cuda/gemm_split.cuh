/* The core for fp32 on sm_90a: error-compensated products of tensor cores. Every value is split into two of tf32, x = hi + lo +
 * 2^-22 |x| at most, and a product into lo*hi + hi*lo + hi*hi with f32 sums: as exact as the sums themselves (lo*lo, 2^-22 of
 * the product, is left out). Values past the largest f32 whose rounding to 11 bits is finite, and infinities, come out as NaN
 * or infinity.
 *
 * One persistent block a multiprocessor. A feeder warp fills a ring of shared-memory tiles through the copy engine; three warps
 * split W's tile in place (hi) and beside it (lo); two warpgroups take turns at tiles of 128 x BN results, and split A's values
 * in registers. Where the copy engine cannot read A (alignment, strides) the three warps fetch it too: the same bits. */
#ifndef IB_BACKEND_CUDA_GEMM_SPLIT_CUH
#define IB_BACKEND_CUDA_GEMM_SPLIT_CUH

#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/gemm_stream.cuh"
#include "backend/cuda/tma.cuh"

constexpr int IB_SPLIT_BM = 128, IB_SPLIT_BK = 32, IB_SPLIT_THREADS = 384, IB_SPLIT_HELPERS = 3;
constexpr int ib_split_stages(int bn) { return bn == 128 ? 4 : 6; }
constexpr int ib_split_stage_bytes(int bn) { return (IB_SPLIT_BM + 2 * bn) * 128; }
/* Stages, scratch of the way out, barriers, alignment to 1024 bytes. */
constexpr int ib_split_shared_bytes(int bn)
{
    return ib_split_stages(bn) * ib_split_stage_bytes(bn) + 8 * ib_gemm_scratch_bytes(32) + 256 + 1024;
}

/* One more way out: gemm_stream.cuh. */
enum { IB_SPLIT_STREAM = IB_GEMM_GATED + 1 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* d (64 x N, f32) += A (64x8 of tf32 in registers) B (Nx8)^T in shared memory. */
template <int N> struct ib_wgmma_tf32;
#define IB_WGMMA_TF32(N, REGS, D, A0, A1, A2, A3, B)                                                                    \
    template <> struct ib_wgmma_tf32<N> {                                                                              \
        static __device__ __forceinline__ void registers(float (&d)[N / 8][4], const uint32_t (&a)[4], uint64_t b)     \
        {                                                                                                              \
            asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k8.f32.tf32.tf32 {" REGS "}, {" A0 "," A1 "," A2 "," A3 \
                         "}, " B ", 1, 1, 1;\n"                                                                        \
                         : D(0)                                                                                        \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                        \
        }                                                                                                              \
    };
IB_WGMMA_TF32(64, IB_R16_A IB_R16_B, IB_D32, "%32", "%33", "%34", "%35", "%36")
IB_WGMMA_TF32(128, IB_R16_A IB_R16_B IB_R32_C, IB_D64, "%64", "%65", "%66", "%67", "%68")

/* The nearest value of 11 bits; what is left of x after it is exact in f32. NaN may become 0 here and stays in the rest. */
__device__ __forceinline__ uint32_t ib_split_hi(uint32_t x) { return (x + 0x1000u) & 0xffffe000u; }
__device__ __forceinline__ uint32_t ib_split_lo(uint32_t x, uint32_t hi)
{
    return __float_as_uint(__fsub_rn(__uint_as_float(x), __uint_as_float(hi)));
}

/* Four values of a row of A, zeros where there are none. */
template <bool WINDOWS>
__device__ __forceinline__ uint4 ib_split_fetch(const ib_gemm &g, uint32_t row, int tap, int c)
{
    ib_gemm_source<WINDOWS ? 9 : 1> source;
    source.set(g, row);
    const int dy = tap / 3, dx = tap % 3;
    const float *p = (const float *)g.x.data + source.base + (WINDOWS ? dy * g.x.si + dx * g.x.sj : 0) + c;
    const bool inside = source.inside(g, dy, dx);
    float v[4];
#pragma unroll
    for (int e = 0; e < 4; e++) v[e] = inside && c + e < g.x_channels ? p[e] : 0.0f;
    return make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3]));
}

__device__ __forceinline__ void ib_split_store(uint32_t address, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};\n" ::"r"(address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
#endif

/* WINDOWS: a 3x3 convolution; else rows. `mapped`: x_map can be read. */
template <bool WINDOWS, int WAY_OUT, int BN>
__global__ void __launch_bounds__(IB_SPLIT_THREADS, 1)
    k_gemm_split(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                 const __grid_constant__ CUtensorMap w_map, int mapped)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int STAGES = ib_split_stages(BN), STAGE = ib_split_stage_bytes(BN), BM = IB_SPLIT_BM, BK = IB_SPLIT_BK;
    constexpr int A_BYTES = BM * 128, W_BYTES = BN * 128;
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t base = ib_smem_address(shared), full = base + STAGES * STAGE;
    const uint32_t empty = full + 8 * STAGES, ready = empty + 8 * STAGES;
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const uint32_t tiles = (g.rows + BM - 1) / BM * tiles_n;
    const int channels = WINDOWS ? g.ci_pad : g.k_pad; /* of one tap */
    const int tap_steps = (channels + BK - 1) / BK, steps = tap_steps * (WINDOWS ? 9 : 1);

    if (tid == 0) {
        /* Where threads write A and not the copy engine, all that read and write it arrive themselves, so that racecheck can follow. */
        ib_ring_init<STAGES>(full, mapped ? 4 : 128);
        for (int s = 0; s < STAGES; s++) ib_mbarrier_init(ready + 8 * s, mapped ? IB_SPLIT_HELPERS : 32 * IB_SPLIT_HELPERS);
        ib_mbarrier_fence_init();
    }
    __syncthreads();
    ib_grid_begin();

    if (warp >= 8) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 56;\n");
        const int helper = tid - 288; /* of 96; the warp before is the feeder's */
        ib_ring_place<STAGES, BK> at(0);
        for (uint32_t tile = blockIdx.x; tile < tiles && (helper >= 0 || tid == 256); tile += gridDim.x) {
            const uint32_t row0 = tile / tiles_n * BM;
            const int col0 = (int)(tile % tiles_n) * BN;
            const ib_gemm_row r = ib_gemm_row_at(g, row0);
            at.begin_tile();
            for (int step = 0; step < steps; step++, at.advance(channels)) {
                const int s = at.stage, tap = at.tap, c = at.c;
                const uint32_t a = base + s * STAGE, w = a + A_BYTES, parity = at.parity;
                if (helper < 0) {
                    ib_mbarrier_wait(empty + 8 * s, parity ^ 1);
                    ib_mbarrier_expect(full + 8 * s, mapped ? A_BYTES + W_BYTES : W_BYTES);
                    if (mapped && WINDOWS)
                        ib_tma_windows(a, &x_map, full + 8 * s, c, r.j * g.stride - 1, r.i * g.stride - 1, r.t, tap % 3, tap / 3);
                    else if (mapped)
                        ib_tma_rows(a, &x_map, full + 8 * s, c, (int)row0);
                    ib_tma_rows(w, &w_map, full + 8 * s, tap * channels + c, col0);
                } else {
                    ib_mbarrier_wait(full + 8 * s, parity); /* the feeder has seen this stage empty */
                    if (!mapped) ib_mbarrier_wait(empty + 8 * s, parity ^ 1);
                    for (int i = helper; i < W_BYTES / 16; i += 32 * IB_SPLIT_HELPERS) {
                        uint32_t v[4], hi[4], lo[4];
                        asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];\n"
                                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                                     : "r"(w + i * 16)
                                     : "memory");
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            hi[e] = ib_split_hi(v[e]);
                            lo[e] = ib_split_lo(v[e], hi[e]);
                        }
                        ib_split_store(w + i * 16, hi[0], hi[1], hi[2], hi[3]);
                        ib_split_store(w + W_BYTES + i * 16, lo[0], lo[1], lo[2], lo[3]);
                    }
                    for (int i = helper; !mapped && i < A_BYTES / 16; i += 32 * IB_SPLIT_HELPERS) {
                        const uint4 v = ib_split_fetch<WINDOWS>(g, row0 + (uint32_t)(i / 8), tap, c + i % 8 * 4);
                        ib_split_store(a + ib_swizzle(i / 8, i % 8), v.x, v.y, v.z, v.w);
                    }
                    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
                    __syncwarp();
                    if (lane == 0 || !mapped) ib_mbarrier_arrive(ready + 8 * s);
                }
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 224;\n");
        const int group = warp / 4, group_warp = warp % 4;
        float *scratch = (float *)(shared + STAGES * STAGE + 256 + warp * ib_gemm_scratch_bytes(32));
        uint32_t turn = 0; /* tiles of this block so far: the groups take them alternately */
        for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn++) {
            if ((turn & 1) != (uint32_t)group) continue;
            float acc[2][BN / 8][4]; /* rows 0..63 and 64..127 of the tile */
#pragma unroll
            for (int m = 0; m < 2; m++) ib_wgmma_clear(acc[m]);
            const uint32_t row0 = tile / tiles_n * BM + (uint32_t)(group_warp * 16);
            const int col0 = (int)(tile % tiles_n) * BN;
            uint32_t done = turn * (uint32_t)steps;
            ib_turn_begin(group, turn);
            for (int step = 0; step < steps; step++, done++) {
                const int s = (int)(done % STAGES);
                const uint32_t a = base + s * STAGE;
                const uint64_t hi_w = ib_wgmma_descriptor(a + A_BYTES), lo_w = ib_wgmma_descriptor(a + A_BYTES + W_BYTES);
                ib_mbarrier_wait(full + 8 * s, done / STAGES & 1);
                ib_mbarrier_wait(ready + 8 * s, done / STAGES & 1);
#pragma unroll
                for (int half = 0; half < 2; half++) { /* the values of one half are split beside the products of the other */
                    uint32_t hi[2][2][4], lo[2][2][4];
#pragma unroll
                    for (int m = 0; m < 2; m++)
#pragma unroll
                        for (int i = 0; i < 2; i++) {
                            uint32_t v[4];
                            ib_ldmatrix_x4(v, a + ib_swizzle(m * 64 + group_warp * 16 + lane % 16, half * 4 + i * 2 + lane / 16));
#pragma unroll
                            for (int e = 0; e < 4; e++) {
                                if (g.relu_in) v[e] = __float_as_uint(ib_relu(__uint_as_float(v[e])));
                                hi[m][i][e] = ib_split_hi(v[e]);
                                lo[m][i][e] = ib_split_lo(v[e], hi[m][i][e]);
                            }
                        }
                    ib_wgmma_fence();
#pragma unroll
                    for (int i = 0; i < 2; i++)
#pragma unroll
                        for (int m = 0; m < 2; m++) {
                            const int at = (half * 2 + i) * 2;
                            ib_wgmma_tf32<BN>::registers(acc[m], lo[m][i], hi_w + at);
                            ib_wgmma_tf32<BN>::registers(acc[m], hi[m][i], lo_w + at);
                            ib_wgmma_tf32<BN>::registers(acc[m], hi[m][i], hi_w + at);
                        }
                    ib_wgmma_commit();
                    ib_wgmma_wait<1>(); /* the half before is done: its registers, or its stage, may be filled again */
                    if (half == 0 && step > 0 && (lane == 0 || !mapped)) ib_mbarrier_arrive(empty + 8 * ((done - 1) % STAGES));
                }
            }
            ib_turn_end(group, tile + gridDim.x < tiles);
            ib_wgmma_wait<0>();
            if (lane == 0 || !mapped) ib_mbarrier_arrive(empty + 8 * ((done - 1) % STAGES));
            if (WAY_OUT == IB_SPLIT_STREAM) {
                ib_gemm_stream<2, BN / 8> stream;
                stream.begin(g, row0, col0, lane);
                stream.emit(acc);
            } else {
#pragma unroll
                for (int m = 0; m < 2; m++)
                    ib_gemm_emit_fragments<BN / 8, WAY_OUT == IB_SPLIT_STREAM ? IB_GEMM_PLAIN : WAY_OUT, 32>(
                        g, ib_gemm_lane_at(g, row0 + (uint32_t)(m * 64), lane), col0, acc[m], scratch, lane);
            }
        }
    }
#endif
}

#endif
