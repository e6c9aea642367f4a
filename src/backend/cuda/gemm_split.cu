/* Launches of the fp32 core of sm_90a. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_split.cuh"
#include "backend/cuda/gemm_wgmma.cuh"

/* 1 when the copy engine can read x. */
static int map_x(const ib_cuda_backend *be, const ib_gemm &g, int taps, CUtensorMap *map)
{
    if (taps == 1) return ib_gemm_map_rows_of(be, g, IB_SPLIT_BM, map);
    const int64_t frames = (int64_t)g.rows / ((int64_t)g.by_w.divisor * g.by_h.divisor);
    if ((size_t)g.x.data % 16 || g.x.sj % 4 || g.x.si % 4 || (frames > 1 && g.x.st % 4)) return 0;
    const int64_t dim[4] = {frames, g.in_h, g.in_w, g.x_channels};
    const int64_t stride[3] = {frames > 1 ? g.x.st : g.x.si * g.in_h, g.x.si, g.x.sj};
    return ib_cuda_map_windows(be, g.x.data, dim, stride, g.stride, IB_SPLIT_BM, map);
}

template <bool WINDOWS, int WAY_OUT, int BN>
static void launch_one(const ib_cuda_backend *be, const ib_gemm &g, const CUtensorMap &x, const CUtensorMap &w, int mapped)
{
    const int64_t tiles = ib_ceil_div(g.rows, IB_SPLIT_BM) * ib_ceil_div(g.cols, BN);
    const int64_t blocks = tiles < be->sm_count ? tiles : be->sm_count;
    auto kernel = k_gemm_split<WINDOWS, WAY_OUT, BN>;
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, ib_split_shared_bytes(BN));
    ib_cuda_launch(be, kernel, (unsigned)blocks, IB_SPLIT_THREADS, ib_split_shared_bytes(BN), g, x, w, mapped);
}

template <bool WINDOWS, int WAY_OUT>
static void launch_tile(const ib_cuda_backend *be, const ib_gemm &g, int columns, const CUtensorMap &x, const CUtensorMap &w,
                        int mapped)
{
    columns == 64 ? launch_one<WINDOWS, WAY_OUT, 64>(be, g, x, w, mapped)
                  : launch_one<WINDOWS, WAY_OUT, 128>(be, g, x, w, mapped);
}

int ib_gemm_launch_split(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns)
{
    if (g.k_pad < IB_SPLIT_LEAST_K) return 0;
    CUtensorMap x, w;
    if (!ib_cuda_map_rows(be, g.w, g.k_pad, g.cols, g.k_pad, columns, &w)) return 0;
    const int mapped = map_x(be, g, taps, &x), way_out = ib_gemm_way_out(g);
    if (!mapped) x = w;
    if (taps > 1)
        way_out == IB_GEMM_PLAIN ? launch_tile<true, IB_GEMM_PLAIN>(be, g, columns, x, w, mapped)
                                 : launch_tile<true, IB_GEMM_GENERAL>(be, g, columns, x, w, mapped);
    else if (way_out == IB_GEMM_GATED)
        launch_tile<false, IB_GEMM_GATED>(be, g, columns, x, w, mapped);
    else if (way_out == IB_GEMM_GENERAL)
        launch_tile<false, IB_GEMM_GENERAL>(be, g, columns, x, w, mapped);
    else if (ib_gemm_is_stream(g))
        launch_tile<false, IB_SPLIT_STREAM>(be, g, columns, x, w, mapped);
    else
        launch_tile<false, IB_GEMM_PLAIN>(be, g, columns, x, w, mapped);
    return 1;
}
