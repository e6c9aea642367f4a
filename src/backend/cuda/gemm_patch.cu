/* Instances of the small convolution of sm_90a, and the shapes it is for. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_patch.cuh"

template <typename T, bool RELU, int BN>
static void launch(const ib_cuda_backend *be, const ib_gemm &g, const CUtensorMap &x, const CUtensorMap &w,
                   const ib_patch_grid &grid)
{
    const uint32_t most = 2 * (uint32_t)be->sm_count, blocks = grid.tiles < most ? grid.tiles : most;
    const int bytes = ib_patch_shared_bytes(BN);
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(k_gemm_patch<T, RELU, BN>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    ib_cuda_launch(be, k_gemm_patch<T, RELU, BN>, blocks, 256, bytes, g, x, w, grid);
}

template <typename T>
static void launch_tile(const ib_cuda_backend *be, const ib_gemm &g, const CUtensorMap &x, const CUtensorMap &w,
                        const ib_patch_grid &grid)
{
    if (g.cols <= 32)
        g.relu_in ? launch<T, true, 32>(be, g, x, w, grid) : launch<T, false, 32>(be, g, x, w, grid);
    else
        g.relu_in ? launch<T, true, 64>(be, g, x, w, grid) : launch<T, false, 64>(be, g, x, w, grid);
}

int ib_gemm_launch_patch(const ib_cuda_backend *be, const ib_gemm &g)
{
    if (g.stride != 1 || g.cols > 64 || g.x_channels > 64 || g.x_channels % 16 || ib_gemm_way_out(g) != IB_GEMM_PLAIN) return 0;
    const int64_t h = g.by_h.divisor, w = g.by_w.divisor, frames = (int64_t)g.rows / (h * w);
    const int64_t across = ib_ceil_div(w, IB_PATCH_TILE_W), down = ib_ceil_div(h, IB_PATCH_TILE_H);
    /* Maps that fill the tiles badly are better off with rows numbered through. */
    if (across * down * IB_PATCH_TILE_W * IB_PATCH_TILE_H * 4 > 5 * h * w) return 0;
    if ((size_t)g.x.data % 16 || g.x.sj % 8 || g.x.si % 8 || (frames > 1 && g.x.st % 8)) return 0;
    const int64_t dim[4] = {frames, h, w, g.x_channels};
    const int64_t stride[3] = {frames > 1 ? g.x.st : g.x.si * h, g.x.si, g.x.sj};
    CUtensorMap x, weights;
    if (!ib_cuda_map_patch(be, g.x.data, dim, stride, IB_PATCH_W, IB_PATCH_H, &x) ||
        !ib_cuda_map_rows(be, g.w, g.k_pad, g.cols, g.k_pad, g.cols <= 32 ? 32 : 64, &weights))
        return 0;
    const ib_patch_grid grid = {(uint32_t)(frames * across * down), ib_fastdiv_make(across), ib_fastdiv_make(down)};
    if (be->base.act == IB_F16)
        launch_tile<ib_f16>(be, g, x, weights, grid);
    else
        launch_tile<ib_bf16>(be, g, x, weights, grid);
    return 1;
}
