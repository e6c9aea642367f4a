/* 3x3 convolutions of up to 64 channels in and out on sm_90a, where the general core is bound by reading its windows:
 * all weights stay in shared memory, and a tile of 16 x 8 output positions reads its 18 x 10 input positions once for all
 * nine taps. A goes through registers (ldmatrix at any position, ReLU on the way), W from shared memory. The sums run
 * over taps and channels in the order of the other cores: same bits. */
#ifndef IB_BACKEND_CUDA_GEMM_PATCH_CUH
#define IB_BACKEND_CUDA_GEMM_PATCH_CUH

#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/tma.cuh"

constexpr int IB_PATCH_TILE_W = 16, IB_PATCH_TILE_H = 8; /* a warp computes one row of the tile */
constexpr int IB_PATCH_W = IB_PATCH_TILE_W + 2, IB_PATCH_H = IB_PATCH_TILE_H + 2;
constexpr int IB_PATCH_BYTES = IB_PATCH_W * IB_PATCH_H * 128, IB_PATCH_ROOM = (IB_PATCH_BYTES + 1023) / 1024 * 1024;
/* Weights, patch, scratch of the way out, barriers, alignment to 1024 bytes. */
constexpr int ib_patch_shared_bytes(int bn)
{
    return 9 * bn * 128 + IB_PATCH_ROOM + 8 * ib_gemm_scratch_bytes(16) + 128 + 1024;
}

typedef struct ib_patch_grid {
    uint32_t tiles;
    ib_fastdiv by_x, by_y; /* tiles across and down */
} ib_patch_grid;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
__device__ __forceinline__ ib_gemm_row ib_patch_origin(const ib_patch_grid &p, uint32_t tile)
{
    ib_gemm_row r;
    const uint32_t q = ib_fastdiv_quotient(tile, p.by_x);
    r.j = (int)(tile - q * p.by_x.divisor) * IB_PATCH_TILE_W;
    r.t = (int)ib_fastdiv_quotient(q, p.by_y);
    r.i = (int)(q - (uint32_t)r.t * p.by_y.divisor) * IB_PATCH_TILE_H;
    return r;
}

/* A of one tap: the lane's row of the warp's 16 positions starts at `position` of the patch. */
template <typename T, bool RELU>
__device__ __forceinline__ void ib_patch_fragment(uint32_t patch, int position, int lane, uint32_t (&fragment)[4][4])
{
#pragma unroll
    for (int ks = 0; ks < 4; ks++) {
        ib_ldmatrix_x4(fragment[ks], patch + ib_swizzle(position, ks * 2 + lane / 16));
        if (RELU) {
#pragma unroll
            for (int e = 0; e < 4; e++) fragment[ks][e] = ib_relu2<T>(fragment[ks][e]);
        }
    }
}
#endif

template <typename T, bool RELU, int BN>
__global__ void __launch_bounds__(256, 2)
    k_gemm_patch(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                 const __grid_constant__ CUtensorMap w_map, const __grid_constant__ ib_patch_grid grid)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t weights = ib_smem_address(shared), patch = weights + 9 * BN * 128;
    const uint32_t barriers = patch + IB_PATCH_ROOM, full = barriers, empty = barriers + 8, ready = barriers + 16;
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
    float *scratch = (float *)(shared + 9 * BN * 128 + IB_PATCH_ROOM + 128 + warp * ib_gemm_scratch_bytes(16));

    if (tid == 0) {
        ib_tma_prefetch_map(&x_map);
        ib_tma_prefetch_map(&w_map);
        ib_mbarrier_init(full, 1);
        ib_mbarrier_init(empty, 8);
        ib_mbarrier_init(ready, 1);
        ib_mbarrier_fence_init();
        ib_mbarrier_expect(ready, 9 * BN * 128);
        for (int tap = 0; tap < 9; tap++)
            ib_tma_rows(weights + tap * BN * 128, &w_map, ready, tap * g.ci_pad, 0);
        ib_grid_begin();
        ib_mbarrier_expect(full, IB_PATCH_BYTES);
        const ib_gemm_row r = ib_patch_origin(grid, blockIdx.x);
        ib_tma_patch(patch, &x_map, full, r.j - 1, r.i - 1, r.t);
    }
    __syncthreads();
    ib_grid_begin();
    ib_mbarrier_wait(ready, 0);

    const int position = warp * IB_PATCH_W + lane % 16; /* of tap (0,0) */
    const uint64_t b = ib_wgmma_descriptor(weights);
    uint32_t turn = 0;
    for (uint32_t tile = blockIdx.x; tile < grid.tiles; tile += gridDim.x, turn++) {
        const ib_gemm_row origin = ib_patch_origin(grid, tile);
        float acc[BN / 8][4];
#pragma unroll
        for (int n = 0; n < BN / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) acc[n][e] = 0.0f;
        uint32_t fragment[2][4][4];
        ib_mbarrier_wait(full, turn & 1);
        ib_patch_fragment<T, RELU>(patch, position, lane, fragment[0]);
#pragma unroll
        for (int tap = 0; tap < 9; tap++) {
            ib_wgmma_fence();
#pragma unroll
            for (int ks = 0; ks < 4; ks++)
                ib_wgmma<T, BN>::registers(acc, fragment[tap & 1][ks], b + tap * BN * 8 + 2 * ks);
            ib_wgmma_commit();
            if (tap == 8) break;
            ib_wgmma_wait<1>(); /* the registers of the tap before are free */
            ib_patch_fragment<T, RELU>(patch, position + (tap + 1) / 3 * IB_PATCH_W + (tap + 1) % 3, lane,
                                       fragment[(tap + 1) & 1]);
        }
        if (lane == 0) ib_mbarrier_arrive(empty); /* all of the patch is in registers */
        if (tid == 0 && tile + gridDim.x < grid.tiles) {
            const ib_gemm_row r = ib_patch_origin(grid, tile + gridDim.x);
            ib_mbarrier_wait(empty, turn & 1);
            ib_mbarrier_expect(full, IB_PATCH_BYTES);
            ib_tma_patch(patch, &x_map, full, r.j - 1, r.i - 1, r.t);
        }
        __syncwarp();
        ib_wgmma_wait<0>();
        const ib_gemm_row row = {origin.t, origin.i + warp, origin.j + lane / 2};
        const ib_gemm_lane l =
            ib_gemm_lane_of(g, row, row.i < (int)g.by_h.divisor && row.j < (int)g.by_w.divisor);
        ib_gemm_emit_fragments<BN / 8, IB_GEMM_PLAIN, 16>(g, l, 0, acc, scratch, lane);
    }
#endif
}

#endif
