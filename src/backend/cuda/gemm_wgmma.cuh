/* The core for sm_90a: the copy engine feeds a ring of shared-memory tiles, two warpgroups of 64 rows each multiply with
 * wgmma, 128 x BN results a tile. Blocks are persistent, two on a multiprocessor: one's way out overlaps the other's
 * products, and the next tile's first stages arrive during the way out. Convolutions read their windows through an
 * im2col tensor map. Channels beyond the last of a tap come as zeros of A (the weight's row goes on with its next tap).
 * The products are bound by reading tiles from the L2 cache: a cluster of up to 4 blocks works on tiles below each other,
 * and each block reads a share of their common tile of W for all of them.
 * With channels a multiple of 16 the sums are the mma core's, bit for bit. */
#ifndef IB_BACKEND_CUDA_GEMM_WGMMA_CUH
#define IB_BACKEND_CUDA_GEMM_WGMMA_CUH

#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/tma.cuh"

constexpr int IB_WGMMA_BM = 128, IB_WGMMA_THREADS = 256;
constexpr int ib_wgmma_stages(int bn) { return bn == 128 ? 3 : 4; }
constexpr int ib_wgmma_stage_bytes(int bn) { return (IB_WGMMA_BM + bn) * 128; }
/* Stages, scratch of the way out, barriers, alignment to 1024 bytes. */
constexpr int ib_wgmma_shared_bytes(int bn)
{
    return ib_wgmma_stages(bn) * ib_wgmma_stage_bytes(bn) + 8 * IB_GEMM_SCRATCH * 4 + 128 + 1024;
}

/* Host: the launches, one file per type. */
void ib_gemm_run_wgmma_f16(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, int cluster,
                           const CUtensorMap &x, const CUtensorMap &w);
void ib_gemm_run_wgmma_bf16(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, int cluster,
                            const CUtensorMap &x, const CUtensorMap &w);

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* One thread's walk over all (tile, tap, channel) steps of the block: its copies of A, and its share of W for all blocks
 * of the cluster. A group is the tiles of one cluster: `blocks` row tiles below each other, one column tile. */
template <bool WINDOWS, int BN> struct ib_wgmma_feeder {
    uint32_t group, groups, group_step, tiles_n, rank, blocks;
    int tap, c, channels, step;
    uint32_t base, full, empty;

    __device__ __forceinline__ void feed(const ib_gemm &g, const CUtensorMap *x_map, const CUtensorMap *w_map)
    {
        constexpr int STAGES = ib_wgmma_stages(BN), STAGE = ib_wgmma_stage_bytes(BN);
        if (group >= groups) return;
        const int s = step % STAGES, turn = step / STAGES;
        const uint32_t a = base + s * STAGE, barrier = full + 8 * s;
        const uint32_t row0 = (group / tiles_n * blocks + rank) * IB_WGMMA_BM;
        const int share = BN / (int)blocks, col0 = (int)(group % tiles_n) * BN + (int)rank * share;
        if (turn > 0) ib_mbarrier_wait(empty + 8 * s, (uint32_t)(turn - 1) & 1);
        ib_mbarrier_expect(barrier, STAGE);
        if (WINDOWS) {
            const ib_gemm_row r = ib_gemm_row_at(g, row0);
            ib_tma_windows(a, x_map, barrier, c, r.j * g.stride - 1, r.i * g.stride - 1, r.t, tap % 3, tap / 3);
        } else {
            ib_tma_rows(a, x_map, barrier, c, (int)row0);
        }
        const uint32_t b = a + IB_WGMMA_BM * 128 + rank * (uint32_t)share * 128;
        if (blocks > 1)
            ib_tma_rows_multicast(b, w_map, barrier, tap * channels + c, col0, (1u << blocks) - 1);
        else
            ib_tma_rows(b, w_map, barrier, tap * channels + c, col0);
        step++;
        c += 64;
        if (c < channels) return;
        c = 0;
        if (++tap < (WINDOWS ? 9 : 1)) return;
        tap = 0;
        group += group_step;
    }
};

/* A warp is done with stage s: every block's feeder must know, as each writes a share of it. */
__device__ __forceinline__ void ib_wgmma_release(uint32_t empty, int s, uint32_t blocks, int lane)
{
    if (lane < (int)blocks) ib_mbarrier_arrive_at(empty + 8 * s, (uint32_t)lane);
}
#endif

/* WINDOWS: a 3x3 convolution, `x_map` holds windows; else rows. RELU: of the input, so A passes through registers.
 * WAY_OUT: ib_gemm_way_out. */
template <typename T, bool WINDOWS, bool RELU, int WAY_OUT, int BN>
__global__ void __launch_bounds__(IB_WGMMA_THREADS, 2)
    k_gemm_wgmma(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                 const __grid_constant__ CUtensorMap w_map)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int STAGES = ib_wgmma_stages(BN), STAGE = ib_wgmma_stage_bytes(BN);
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t base = ib_smem_address(shared), full = base + STAGES * STAGE, empty = full + 8 * STAGES;
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32, group = warp / 4; /* a group has 64 rows */
    float *scratch = (float *)(shared + STAGES * STAGE + 128) + warp * IB_GEMM_SCRATCH;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const uint32_t rank = ib_cluster_rank(), blocks = ib_cluster_size();
    const uint32_t groups = (g.rows + IB_WGMMA_BM * blocks - 1) / (IB_WGMMA_BM * blocks) * tiles_n;
    const uint32_t group_first = blockIdx.x / blocks, group_step = gridDim.x / blocks;
    const int channels = WINDOWS ? g.ci_pad : g.k_pad; /* of one tap */
    const int steps = (channels + 63) / 64 * (WINDOWS ? 9 : 1);

    ib_wgmma_feeder<WINDOWS, BN> feeder = {group_first, groups, group_step, tiles_n, rank, blocks, 0, 0, channels, 0,
                                            base, full, empty};
    if (tid == 0) {
        ib_tma_prefetch_map(&x_map);
        ib_tma_prefetch_map(&w_map);
        for (int s = 0; s < STAGES; s++) {
            ib_mbarrier_init(full + 8 * s, 1);
            ib_mbarrier_init(empty + 8 * s, 8 * (int)blocks);
        }
        ib_mbarrier_fence_init();
    }
    __syncwarp();
    ib_cluster_sync();
    if (tid == 0)
        for (int s = 0; s < STAGES; s++) feeder.feed(g, &x_map, &w_map);
    __syncwarp();

    int done = 0; /* steps so far, over all tiles */
    for (uint32_t task = group_first; task < groups; task += group_step) {
        float acc[BN / 8][4];
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) acc[n][e] = 0.0f;
        for (int step = 0; step < steps; step++, done++) {
            const int s = done % STAGES;
            const uint32_t a = base + s * STAGE + group * 64 * 128;
            const uint64_t b = ib_wgmma_descriptor(base + s * STAGE + IB_WGMMA_BM * 128);
            ib_mbarrier_wait(full + 8 * s, (uint32_t)(done / STAGES) & 1);
            int released = done;
            if (RELU) {
                uint32_t fragment[4][4];
#pragma unroll
                for (int ks = 0; ks < 4; ks++) {
                    ib_ldmatrix_x4(fragment[ks], a + ib_swizzle(warp % 4 * 16 + lane % 16, ks * 2 + lane / 16));
#pragma unroll
                    for (int e = 0; e < 4; e++) fragment[ks][e] = ib_relu2<T>(fragment[ks][e]);
                }
                ib_wgmma_fence();
#pragma unroll
                for (int ks = 0; ks < 4; ks++) ib_wgmma<T, BN>::registers(acc, fragment[ks], b + 2 * ks);
                ib_wgmma_commit();
                ib_wgmma_wait<0>();
            } else {
                const uint64_t da = ib_wgmma_descriptor(a);
                ib_wgmma_fence();
#pragma unroll
                for (int ks = 0; ks < 4; ks++) ib_wgmma<T, BN>::shared(acc, da + 2 * ks, b + 2 * ks);
                ib_wgmma_commit();
                ib_wgmma_wait<1>(); /* the products of the step before are done: its stage may be refilled */
                released = step > 0 ? done - 1 : -1;
            }
            if (released >= 0) {
                ib_wgmma_release(empty, released % STAGES, blocks, lane);
                if (tid == 0) feeder.feed(g, &x_map, &w_map);
                __syncwarp();
            }
        }
        if (!RELU) {
            ib_wgmma_wait<0>();
            ib_wgmma_release(empty, (done - 1) % STAGES, blocks, lane);
            if (tid == 0) feeder.feed(g, &x_map, &w_map);
            __syncwarp();
        }
        const uint32_t row0 = (task / tiles_n * blocks + rank) * IB_WGMMA_BM;
        const ib_gemm_lane l = ib_gemm_lane_at(g, row0 + (uint32_t)(warp * 16), lane);
        ib_gemm_emit_fragments<BN / 8, WAY_OUT>(g, l, (int)(task % tiles_n) * BN, acc, scratch, lane);
    }
    __syncwarp();
    ib_cluster_sync(); /* no block leaves while others may write to it */
#endif
}

#endif
