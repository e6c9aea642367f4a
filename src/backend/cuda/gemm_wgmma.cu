/* Instances of the sm_90a core, and what the copy engine can read. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_wgmma.cuh"

/* Positions of all frames lie at one pitch, so that rows of A can be numbered through. */
static int is_flat(const ib_gemm &g, int64_t frames)
{
    const int64_t w = g.by_w.divisor, h = g.by_h.divisor;
    return (h == 1 || g.x.si == w * g.x.sj) && (frames == 1 || g.x.st == w * h * g.x.sj);
}

static int map_x(const ib_cuda_backend *be, const ib_gemm &g, int taps, CUtensorMap *map)
{
    const int64_t frames = (int64_t)g.rows / ((int64_t)g.by_w.divisor * g.by_h.divisor);
    if ((size_t)g.x.data % 16 || g.x.sj % 8) return 0;
    if (taps == 1)
        return is_flat(g, frames) &&
               ib_cuda_map_rows(be, g.x.data, g.x_channels, g.rows, g.x.sj, IB_WGMMA_BM, map);
    /* Otherwise a step of 16 would mix taps in the mma core and not here: one shape has one order of sums. */
    if (g.x_channels % 16 || !ib_gemm_is_plain(g)) return 0;
    if (g.x.si % 8 || (frames > 1 && g.x.st % 8)) return 0;
    const int64_t dim[4] = {frames, g.in_h, g.in_w, g.x_channels};
    const int64_t stride[3] = {frames > 1 ? g.x.st : g.x.si * g.in_h, g.x.si, g.x.sj};
    return ib_cuda_map_windows(be, g.x.data, dim, stride, g.stride, IB_WGMMA_BM, map);
}

template <typename T, bool WINDOWS, bool RELU, bool PLAIN, int BN>
static void launch(const ib_cuda_backend *be, const ib_gemm &g, const CUtensorMap &x, const CUtensorMap &w)
{
    const int64_t tiles = ib_ceil_div(g.rows, IB_WGMMA_BM) * ib_ceil_div(g.cols, BN), most = 2 * (int64_t)be->sm_count;
    const int64_t blocks = tiles < most ? tiles : most;
    const int bytes = ib_wgmma_shared_bytes(BN);
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(k_gemm_wgmma<T, WINDOWS, RELU, PLAIN, BN>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    k_gemm_wgmma<T, WINDOWS, RELU, PLAIN, BN><<<(unsigned)blocks, IB_WGMMA_THREADS, bytes, be->stream>>>(g, x, w);
}

template <typename T, bool WINDOWS, bool RELU, bool PLAIN>
static void launch_tile(const ib_cuda_backend *be, const ib_gemm &g, int columns, const CUtensorMap &x, const CUtensorMap &w)
{
    if (columns == 32)
        launch<T, WINDOWS, RELU, PLAIN, 32>(be, g, x, w);
    else if (columns == 64)
        launch<T, WINDOWS, RELU, PLAIN, 64>(be, g, x, w);
    else
        launch<T, WINDOWS, RELU, PLAIN, 128>(be, g, x, w);
}

template <typename T>
static void launch_kind(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, const CUtensorMap &x,
                        const CUtensorMap &w)
{
    if (taps == 1 && ib_gemm_is_plain(g))
        launch_tile<T, false, false, true>(be, g, columns, x, w);
    else if (taps == 1)
        launch_tile<T, false, false, false>(be, g, columns, x, w);
    else if (g.relu_in)
        launch_tile<T, true, true, true>(be, g, columns, x, w);
    else
        launch_tile<T, true, false, true>(be, g, columns, x, w);
}

int ib_gemm_launch_wgmma(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns)
{
    CUtensorMap x, w;
    if (!map_x(be, g, taps, &x) || !ib_cuda_map_rows(be, g.w, g.k_pad, g.cols, g.k_pad, columns, &w)) return 0;
    if (be->base.act == IB_F16)
        launch_kind<ib_f16>(be, g, taps, columns, x, w);
    else
        launch_kind<ib_bf16>(be, g, taps, columns, x, w);
    return 1;
}
