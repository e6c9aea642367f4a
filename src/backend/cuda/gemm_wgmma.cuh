/* The core for sm_90a. One persistent block a multiprocessor: a feeder warp fills a ring of shared-memory tiles through
 * the copy engine; two warpgroups take turns at tiles of 128 x BN results, so that one's way out overlaps the other's
 * products (wgmma). Convolutions read their windows through an im2col tensor map. Channels beyond the last of a tap come
 * as zeros of A (the weight's row goes on with its next tap). With channels a multiple of 16 the sums are the mma core's,
 * bit for bit. */
#ifndef IB_BACKEND_CUDA_GEMM_WGMMA_CUH
#define IB_BACKEND_CUDA_GEMM_WGMMA_CUH

#include "backend/cuda/gemm_half.cuh"
#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/gemm_stream.cuh"
#include "backend/cuda/tma.cuh"

constexpr int IB_WGMMA_BM = 128, IB_WGMMA_THREADS = 384; /* two warpgroups and the feeder's */
constexpr int ib_wgmma_stages(int bn) { return bn == 128 ? 6 : 8; }
constexpr int ib_wgmma_stage_bytes(int bn) { return (IB_WGMMA_BM + bn) * 128; }
/* Stages, scratch of the way out, barriers, alignment to 1024 bytes. */
constexpr int ib_wgmma_shared_bytes(int bn)
{
    return ib_wgmma_stages(bn) * ib_wgmma_stage_bytes(bn) + 8 * ib_gemm_scratch_bytes(32) + 128 + 1024;
}

/* Host: the tensor map of a linear layer's input for copies of 64 values of `rows` rows; 0 when its rows are not aligned or
 * not at one pitch. */
int ib_gemm_map_rows_of(const ib_cuda_backend *be, const ib_gemm &g, int rows, CUtensorMap *map);
/* Host: the launches, one file per type. */
void ib_gemm_run_wgmma_f16(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, const CUtensorMap &x,
                           const CUtensorMap &w);
void ib_gemm_run_wgmma_bf16(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, const CUtensorMap &x,
                            const CUtensorMap &w);

/* Two more ways out: gemm_stream.cuh, gemm_half.cuh. */
enum { IB_WGMMA_STREAM = IB_GEMM_GATED + 1, IB_WGMMA_HALF };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* The feeder's warpgroup, of which one thread works: the stages of every tile of this block, in order. A stage is BM rows of A, then
 * BN of W, 64 values each; the stages begin at `base`, their barriers lie behind them, the full ones first. SHARED: the
 * `blocks` blocks of a cluster (1, 2 or 4) have rows below each other and the same rows of W, of which each fetches its share for
 * all, in copies of BN / 4 rows. */
template <bool WINDOWS, int BM, int BN, int STAGES, bool SHARED>
__device__ __forceinline__ void ib_wgmma_feed(const ib_gemm &g, const CUtensorMap &x_map, const CUtensorMap &w_map, uint32_t base,
                                              uint32_t tiles, uint32_t tiles_n, int channels, int steps, uint32_t blocks)
{
    constexpr int STAGE = (BM + BN) * 128;
    const uint32_t full = base + STAGES * STAGE, empty = full + 8 * STAGES, rank = blockIdx.x % blocks;
    ib_ring_place<STAGES, 64> at(1); /* the phase before the first: passes */
    for (uint32_t tile = blockIdx.x / blocks; (int)threadIdx.x == 256 && tile < tiles; tile += gridDim.x / blocks) {
        uint32_t row0 = (tile / tiles_n * blocks + rank) * BM;
        if (row0 >= g.rows) row0 -= rank * BM; /* a block without rows reads the first one's */
        const int col0 = (int)(tile % tiles_n) * BN;
        const ib_gemm_row r = ib_gemm_row_at(g, row0);
        at.begin_tile();
        for (int step = 0; step < steps; step++, at.advance(channels)) {
            const int s = at.stage, tap = at.tap, c = at.c;
            const uint32_t a = base + s * STAGE, barrier = full + 8 * s;
            ib_mbarrier_wait(empty + 8 * s, at.parity);
            ib_mbarrier_expect(barrier, STAGE);
            if (WINDOWS)
                ib_tma_windows(a, &x_map, barrier, c, r.j * g.stride - 1, r.i * g.stride - 1, r.t, tap % 3, tap / 3);
            else
                ib_tma_rows(a, &x_map, barrier, c, (int)row0);
            const uint32_t w = a + BM * 128;
            const int k = tap * channels + c;
            if (!SHARED) {
                ib_tma_rows(w, &w_map, barrier, k, col0);
            } else {
                for (uint32_t part = rank; part < 4; part += blocks) {
                    const int from = (int)part * (BN / 4);
                    if (blocks == 1)
                        ib_tma_rows(w + from * 128, &w_map, barrier, k, col0 + from);
                    else
                        ib_tma_rows_shared(w + from * 128, &w_map, barrier, k, col0 + from, (uint16_t)((1u << blocks) - 1));
                }
            }
        }
    }
}
#endif

/* WINDOWS: a 3x3 convolution, `x_map` holds windows; else rows. RELU: of the input, so A passes through registers.
 * WAY_OUT: ib_gemm_way_out, or one of the two above. */
template <typename T, bool WINDOWS, bool RELU, int WAY_OUT, int BN>
__global__ void __launch_bounds__(IB_WGMMA_THREADS, 1)
    k_gemm_wgmma(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                 const __grid_constant__ CUtensorMap w_map)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int STAGES = ib_wgmma_stages(BN), STAGE = ib_wgmma_stage_bytes(BN);
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t base = ib_smem_address(shared), full = base + STAGES * STAGE, empty = full + 8 * STAGES;
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const uint32_t tiles = (g.rows + IB_WGMMA_BM - 1) / IB_WGMMA_BM * tiles_n;
    const int channels = WINDOWS ? g.ci_pad : g.k_pad; /* of one tap */
    const int steps = (channels + 63) / 64 * (WINDOWS ? 9 : 1);

    if (tid == 0) {
        ib_tma_prefetch_map(&x_map);
        ib_tma_prefetch_map(&w_map);
        ib_ring_init<STAGES>(full, 4);
        ib_mbarrier_fence_init();
    }
    __syncthreads();
    ib_grid_begin();

    if (warp >= 8) { /* the feeder: one thread of a warpgroup that gives its registers to the others */
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;\n");
        ib_wgmma_feed<WINDOWS, IB_WGMMA_BM, BN, STAGES, false>(g, x_map, w_map, base, tiles, tiles_n, channels, steps, 1);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;\n");
        const int group = warp / 4, group_warp = warp % 4; /* the warpgroup, and the warp in it */
        float *scratch = (float *)(shared + STAGES * STAGE + 128 + warp * ib_gemm_scratch_bytes(32));
        uint32_t turn = 0; /* tiles of this block so far: the groups take them alternately */
        for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn++) {
            if ((turn & 1) != (uint32_t)group) continue;
            float acc[2][BN / 8][4]; /* rows 0..63 and 64..127 of the tile */
#pragma unroll
            for (int m = 0; m < 2; m++) ib_wgmma_clear(acc[m]);
            const uint32_t row0 = tile / tiles_n * IB_WGMMA_BM + (uint32_t)(group_warp * 16);
            ib_gemm_stream<2, BN / 8> stream;
            if (WAY_OUT == IB_WGMMA_STREAM) stream.begin(g, row0, (int)(tile % tiles_n) * BN, lane);
            uint32_t done = turn * (uint32_t)steps;
            ib_turn_begin(group, turn);
            for (int step = 0; step < steps; step++, done++) {
                const int s = (int)(done % STAGES);
                const uint32_t a = base + s * STAGE;
                const uint64_t b = ib_wgmma_descriptor(a + IB_WGMMA_BM * 128);
                ib_mbarrier_wait(full + 8 * s, done / STAGES & 1);
                if (RELU) {
                    uint32_t fragment[2][4][4];
#pragma unroll
                    for (int m = 0; m < 2; m++)
#pragma unroll
                        for (int ks = 0; ks < 4; ks++) {
                            ib_ldmatrix_x4(fragment[m][ks], a + ib_swizzle(m * 64 + group_warp * 16 + lane % 16,
                                                                           ks * 2 + lane / 16));
#pragma unroll
                            for (int e = 0; e < 4; e++) fragment[m][ks][e] = ib_relu2<T>(fragment[m][ks][e]);
                        }
                    ib_wgmma_fence();
#pragma unroll
                    for (int ks = 0; ks < 4; ks++)
#pragma unroll
                        for (int m = 0; m < 2; m++) ib_wgmma<T, BN>::registers(acc[m], fragment[m][ks], b + 2 * ks);
                    ib_wgmma_commit();
                    ib_wgmma_wait<0>();
                    if (lane == 0) ib_mbarrier_arrive(empty + 8 * s);
                } else {
                    const uint64_t da = ib_wgmma_descriptor(a);
                    ib_wgmma_fence();
#pragma unroll
                    for (int ks = 0; ks < 4; ks++)
#pragma unroll
                        for (int m = 0; m < 2; m++)
                            ib_wgmma<T, BN>::shared(acc[m], da + m * (64 * 128 / 16) + 2 * ks, b + 2 * ks);
                    ib_wgmma_commit();
                    ib_wgmma_wait<1>(); /* the products of the step before are done: its stage may be refilled */
                    if (step > 0 && lane == 0) ib_mbarrier_arrive(empty + 8 * ((done - 1) % STAGES));
                }
            }
            ib_turn_end(group, tile + gridDim.x < tiles);
            if (!RELU) {
                ib_wgmma_wait<0>();
                if (lane == 0) ib_mbarrier_arrive(empty + 8 * ((done - 1) % STAGES));
            }
            const int col0 = (int)(tile % tiles_n) * BN;
            if (WAY_OUT == IB_WGMMA_STREAM) stream.emit(acc);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                const uint32_t first = row0 + (uint32_t)(m * 64);
                constexpr int FRAGMENTS_OUT = WAY_OUT == IB_GEMM_GATED ? IB_GEMM_GATED : IB_GEMM_PLAIN;
                if (WAY_OUT == IB_WGMMA_HALF)
                    ib_gemm_emit_half<T, BN / 8, IB_HALF_ANY>(g, first, col0, acc[m], ib_smem_address(scratch), 0, lane);
                else if (WAY_OUT != IB_WGMMA_STREAM)
                    ib_gemm_emit_fragments<BN / 8, FRAGMENTS_OUT, 32>(g, ib_gemm_lane_at(g, first, lane), col0, acc[m],
                                                                      scratch, lane);
            }
        }
    }
#endif
}

#endif
