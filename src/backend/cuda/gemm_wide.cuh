/* The core for sm_90a and long sums of many columns: tiles of 128 x 256 results, 64 x 256 for each of two warpgroups that read
 * the same tile of W, so that a result costs three quarters of the square core's reads from the L2 cache and of shared memory.
 * Two such blocks make a cluster: each fetches half of W's tile for both, which leaves half of those reads. Persistent blocks, a
 * feeder warp, four stages. The second warpgroup stays a step behind the first: while one is on its way out the other has the
 * tensor cores to itself. The sums are the square core's, bit for bit. */
#ifndef IB_BACKEND_CUDA_GEMM_WIDE_CUH
#define IB_BACKEND_CUDA_GEMM_WIDE_CUH

#include "backend/cuda/gemm_sum.cuh"
#include "backend/cuda/gemm_wgmma.cuh"

constexpr int IB_WIDE_LEAST_K = 512, IB_WIDE_MANY_COLUMNS = 4096; /* shorter sums of fewer columns are left to the other cores */
constexpr int IB_WIDE_BM = 128, IB_WIDE_BN = 256, IB_WIDE_STAGES = 4, IB_WIDE_THREADS = 384;
/* Blocks of a cluster: they have rows below each other and share W's tiles through the copy engine's multicast. */
constexpr int IB_WIDE_CLUSTER = 2;
constexpr int IB_WIDE_STAGE_BYTES = (IB_WIDE_BM + IB_WIDE_BN) * 128;
constexpr int IB_WIDE_SHARED_BYTES = IB_WIDE_STAGES * IB_WIDE_STAGE_BYTES + 8 * ib_gemm_scratch_bytes(32) + 128 + 1024;

/* Host: the launches, one file per type. */
void ib_gemm_run_wide_f16(const ib_cuda_backend *be, const ib_gemm &g, int taps, const CUtensorMap &x, const CUtensorMap &w);
void ib_gemm_run_wide_bf16(const ib_cuda_backend *be, const ib_gemm &g, int taps, const CUtensorMap &x, const CUtensorMap &w);

/* One more way out: gemm_sum.cuh. */
enum { IB_WIDE_SUM = IB_WGMMA_HALF + 1 };

/* As k_gemm_wgmma. */
template <typename T, bool WINDOWS, bool RELU, int WAY_OUT>
__global__ void __launch_bounds__(IB_WIDE_THREADS, 1)
    k_gemm_wide(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                const __grid_constant__ CUtensorMap w_map)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int BN = IB_WIDE_BN, STAGES = IB_WIDE_STAGES, STAGE = IB_WIDE_STAGE_BYTES;
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t base = ib_smem_address(shared), full = base + STAGES * STAGE, empty = full + 8 * STAGES;
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const uint32_t blocks = ib_cluster_blocks(), rank = blockIdx.x % blocks;
    const uint32_t tiles = (g.rows + IB_WIDE_BM * blocks - 1) / (IB_WIDE_BM * blocks) * tiles_n; /* of the cluster */
    const int channels = WINDOWS ? g.ci_pad : g.k_pad; /* of one tap */
    const int steps = (channels + 63) / 64 * (WINDOWS ? 9 : 1);

    if (tid == 0) {
        ib_tma_prefetch_map(&x_map);
        ib_tma_prefetch_map(&w_map);
        ib_ring_init<STAGES>(full, 8 * (int)blocks);
        ib_mbarrier_fence_init();
    }
    ib_cluster_sync();
    ib_grid_begin();

    if (warp >= 8) { /* the feeder: one thread of a warpgroup that gives its registers to the others */
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;\n");
        ib_wgmma_feed<WINDOWS, IB_WIDE_BM, BN, STAGES, true>(g, x_map, w_map, base, tiles, tiles_n, channels, steps, blocks);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;\n");
        const int group = warp / 4;
        float *scratch = (float *)(shared + STAGES * STAGE + 128 + warp * ib_gemm_scratch_bytes(32));
        const int lag = steps < 2 ? steps : 2; /* steps that the first group is ahead */
        if (group == 1) asm volatile("bar.sync 1, 256;\n" ::: "memory");
        int s = 0;
        uint32_t parity = 0;
        for (uint32_t tile = blockIdx.x / blocks; tile < tiles; tile += gridDim.x / blocks) {
            float acc[1][BN / 8][4];
            ib_wgmma_clear(acc[0]);
            const uint32_t row0 = (tile / tiles_n * blocks + rank) * IB_WIDE_BM + (uint32_t)(warp * 16);
            const int col0 = (int)(tile % tiles_n) * BN;
            ib_gemm_stream<1, BN / 8> stream;
            ib_gemm_sum<T, BN / 8> sum;
            if (WAY_OUT == IB_WGMMA_STREAM) stream.begin(g, row0, col0, lane);
            if (WAY_OUT == IB_WIDE_SUM) sum.begin(g, row0, col0, lane);
            int before = 0;
            for (int step = 0; step < steps; step++) {
                const uint32_t a = base + s * STAGE;
                const uint64_t b = ib_wgmma_descriptor(a + IB_WIDE_BM * 128);
                ib_mbarrier_wait(full + 8 * s, parity);
                if (RELU) {
                    uint32_t fragment[4][4];
#pragma unroll
                    for (int ks = 0; ks < 4; ks++) {
                        ib_ldmatrix_x4(fragment[ks], a + ib_swizzle(warp * 16 + lane % 16, ks * 2 + lane / 16));
#pragma unroll
                        for (int e = 0; e < 4; e++) fragment[ks][e] = ib_relu2<T>(fragment[ks][e]);
                    }
                    ib_wgmma_fence();
#pragma unroll
                    for (int ks = 0; ks < 4; ks++) ib_wgmma<T, BN>::registers(acc[0], fragment[ks], b + 2 * ks);
                    ib_wgmma_commit();
                    ib_wgmma_wait<0>();
                    if (lane < blocks) ib_mbarrier_arrive_at(empty + 8 * s, (uint32_t)lane);
                } else {
                    const uint64_t da = ib_wgmma_descriptor(a + group * (64 * 128));
                    ib_wgmma_fence();
#pragma unroll
                    for (int ks = 0; ks < 4; ks++) ib_wgmma<T, BN>::shared(acc[0], da + 2 * ks, b + 2 * ks);
                    ib_wgmma_commit();
                    ib_wgmma_wait<1>(); /* the products of the step before are done: its stage may be refilled */
                    if (step > 0 && lane < blocks) ib_mbarrier_arrive_at(empty + 8 * before, (uint32_t)lane);
                    before = s;
                }
                if (++s == STAGES) {
                    s = 0;
                    parity ^= 1;
                }
                if (group == 0 && tile == blockIdx.x / blocks && step + 1 == lag)
                    asm volatile("bar.arrive 1, 256;\n" ::: "memory");
            }
            if (!RELU) {
                ib_wgmma_wait<0>();
                if (lane < blocks) ib_mbarrier_arrive_at(empty + 8 * before, (uint32_t)lane);
            }
            constexpr int FRAGMENTS_OUT = WAY_OUT == IB_GEMM_GATED ? IB_GEMM_GATED : IB_GEMM_PLAIN;
            if (WAY_OUT == IB_WGMMA_STREAM)
                stream.emit(acc);
            else if (WAY_OUT == IB_WIDE_SUM)
                sum.emit(g, col0, acc[0], ib_smem_address(scratch), lane);
            else if (WAY_OUT == IB_WGMMA_HALF)
                ib_gemm_emit_half<T, BN / 8, IB_HALF_ANY>(g, row0, col0, acc[0], ib_smem_address(scratch), 0, lane);
            else
                ib_gemm_emit_fragments<BN / 8, FRAGMENTS_OUT, 32>(g, ib_gemm_lane_at(g, row0, lane), col0, acc[0], scratch, lane);
        }
    }
    ib_cluster_sync(); /* a block stays while its neighbours may write here */
#endif
}

template <typename T, bool WINDOWS, bool RELU, int WAY_OUT>
static void ib_wide_launch_one(const ib_cuda_backend *be, const ib_gemm &g, const CUtensorMap &x, const CUtensorMap &w)
{
    const int64_t row_tiles = ib_ceil_div(g.rows, IB_WIDE_BM);
    const int64_t blocks = row_tiles < IB_WIDE_CLUSTER || be->sm_count % IB_WIDE_CLUSTER ? 1 : IB_WIDE_CLUSTER;
    const int64_t tiles = ib_ceil_div(row_tiles, blocks) * ib_ceil_div(g.cols, IB_WIDE_BN);
    const int64_t clusters = tiles < be->sm_count / blocks ? tiles : be->sm_count / blocks;
    auto kernel = k_gemm_wide<T, WINDOWS, RELU, WAY_OUT>;
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, IB_WIDE_SHARED_BYTES);
    ib_cuda_launch_clusters(be, kernel, (int)blocks, (unsigned)(clusters * blocks), IB_WIDE_THREADS, IB_WIDE_SHARED_BYTES,
                            g, x, w);
}

template <typename T>
static void ib_wide_launch(const ib_cuda_backend *be, const ib_gemm &g, int taps, const CUtensorMap &x, const CUtensorMap &w)
{
    const bool plain = ib_gemm_way_out(g) == IB_GEMM_PLAIN, half = plain && ib_gemm_is_half(g);
    if (taps > 1 && g.relu_in)
        half ? ib_wide_launch_one<T, true, true, IB_WGMMA_HALF>(be, g, x, w)
             : ib_wide_launch_one<T, true, true, IB_GEMM_PLAIN>(be, g, x, w);
    else if (taps > 1 && plain && ib_gemm_is_sum(g))
        ib_wide_launch_one<T, true, false, IB_WIDE_SUM>(be, g, x, w);
    else if (taps > 1)
        half ? ib_wide_launch_one<T, true, false, IB_WGMMA_HALF>(be, g, x, w)
             : ib_wide_launch_one<T, true, false, IB_GEMM_PLAIN>(be, g, x, w);
    else if (half)
        ib_wide_launch_one<T, false, false, IB_WGMMA_HALF>(be, g, x, w);
    else if (plain && ib_gemm_is_sum(g))
        ib_wide_launch_one<T, false, false, IB_WIDE_SUM>(be, g, x, w);
    else if (ib_gemm_is_stream(g))
        ib_wide_launch_one<T, false, false, IB_WGMMA_STREAM>(be, g, x, w);
    else if (ib_gemm_way_out(g) == IB_GEMM_PLAIN)
        ib_wide_launch_one<T, false, false, IB_GEMM_PLAIN>(be, g, x, w);
    else
        ib_wide_launch_one<T, false, false, IB_GEMM_GATED>(be, g, x, w);
}

#endif
