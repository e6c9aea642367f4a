/* The core for sm_90a: one warp feeds a ring of shared-memory tiles through the copy engine, two warpgroups of 64 rows
 * each multiply with wgmma; 128 x BN results a block, two blocks a multiprocessor, so that one block's way out overlaps
 * the other's products. Channels beyond the last come as zeros of A (the weight's row goes on with its next tap). Convolutions read their windows through an im2col tensor map. */
#ifndef IB_BACKEND_CUDA_GEMM_WGMMA_CUH
#define IB_BACKEND_CUDA_GEMM_WGMMA_CUH

#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/tma.cuh"

constexpr int IB_WGMMA_BM = 128, IB_WGMMA_THREADS = 288;
constexpr int ib_wgmma_stages(int bn) { return bn == 128 ? 3 : 4; }
constexpr int ib_wgmma_stage_bytes(int bn) { return (IB_WGMMA_BM + bn) * 128; }
/* Stages, alignment to 1024 bytes, barriers. */
constexpr int ib_wgmma_shared_bytes(int bn) { return ib_wgmma_stages(bn) * ib_wgmma_stage_bytes(bn) + 1024 + 128; }

/* WINDOWS: a 3x3 convolution, `x_map` holds windows; else rows. RELU: of the input, so A passes through registers. */
template <typename T, bool WINDOWS, bool RELU, int BN>
__global__ void __launch_bounds__(IB_WGMMA_THREADS, RELU && BN == 128 ? 1 : 2)
    k_gemm_wgmma(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                 const __grid_constant__ CUtensorMap w_map)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int BM = IB_WGMMA_BM, STAGES = ib_wgmma_stages(BN), STAGE = ib_wgmma_stage_bytes(BN);
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t base = ib_smem_address(shared);
    const uint32_t full = base + STAGES * STAGE, empty = full + 8 * STAGES; /* barriers, 8 bytes each */
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
    const uint32_t tiles_n = (uint32_t)((g.cols + BN - 1) / BN);
    const int col0 = (int)(blockIdx.x % tiles_n) * BN;
    const uint32_t row0 = blockIdx.x / tiles_n * BM;
    const int channels = WINDOWS ? g.ci_pad : g.k_pad; /* of one tap */
    const int per_tap = (channels + 63) / 64, tiles = per_tap * (WINDOWS ? 9 : 1);

    if (tid == 0) {
        for (int s = 0; s < STAGES; s++) {
            ib_mbarrier_init(full + 8 * s, 1);
            ib_mbarrier_init(empty + 8 * s, 8);
        }
        ib_mbarrier_fence_init();
    }
    __syncthreads();

    if (warp == 8) { /* the feeder */
        if (lane != 0) return;
        ib_tma_prefetch_map(&x_map);
        ib_tma_prefetch_map(&w_map);
        const ib_gemm_row r = ib_gemm_row_at(g, row0);
        int tap = 0, c = 0;
        for (int tile = 0; tile < tiles; tile++) {
            const int s = tile % STAGES, turn = tile / STAGES;
            const uint32_t a = base + s * STAGE, b = a + BM * 128, barrier = full + 8 * s;
            if (turn > 0) ib_mbarrier_wait(empty + 8 * s, (uint32_t)(turn - 1) & 1);
            ib_mbarrier_expect(barrier, STAGE);
            if (WINDOWS)
                ib_tma_windows(a, &x_map, barrier, c, r.j * g.stride - 1, r.i * g.stride - 1, r.t, tap % 3, tap / 3);
            else
                ib_tma_rows(a, &x_map, barrier, c, (int)row0);
            ib_tma_rows(b, &w_map, barrier, tap * channels + c, col0);
            c += 64;
            if (c >= channels) {
                c = 0;
                tap++;
            }
        }
        return;
    }

    const int group = warp / 4; /* of 64 rows */
    float acc[BN / 8][4] = {};
    for (int tile = 0; tile < tiles; tile++) {
        const int s = tile % STAGES;
        const uint32_t a = base + s * STAGE + group * 64 * 128;
        const uint64_t b = ib_wgmma_descriptor(base + s * STAGE + BM * 128);
        ib_mbarrier_wait(full + 8 * s, (uint32_t)(tile / STAGES) & 1);
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
            if (lane == 0) ib_mbarrier_arrive(empty + 8 * s);
        } else {
            const uint64_t da = ib_wgmma_descriptor(a);
            ib_wgmma_fence();
#pragma unroll
            for (int ks = 0; ks < 4; ks++) ib_wgmma<T, BN>::shared(acc, da + 2 * ks, b + 2 * ks);
            ib_wgmma_commit();
            ib_wgmma_wait<1>(); /* the products of the tile before are done: its stage may be refilled */
            if (tile > 0 && lane == 0) ib_mbarrier_arrive(empty + 8 * ((tile - 1) % STAGES));
        }
    }
    ib_wgmma_wait<0>();

    /* Both warpgroups are done with the stages before they become the way out's scratch. */
    asm volatile("bar.sync 1, 256;\n" ::: "memory");
    float *scratch = (float *)shared + warp * IB_GEMM_SCRATCH;
    const ib_gemm_lane_rows rows = ib_gemm_lane_rows_at(g, row0 + (uint32_t)(warp * 16), lane);
#pragma unroll
    for (int n = 0; n < BN / 32; n++) {
        float part[4][4];
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) part[i][e] = acc[n * 4 + i][e];
        ib_gemm_emit_16x32(g, rows, col0 + n * 32, part, scratch, lane);
    }
#endif
}

#endif
