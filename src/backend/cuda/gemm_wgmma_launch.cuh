/* Host side of the sm_90a core: launches of the type T. */
#ifndef IB_BACKEND_CUDA_GEMM_WGMMA_LAUNCH_CUH
#define IB_BACKEND_CUDA_GEMM_WGMMA_LAUNCH_CUH

#include "backend/cuda/gemm_wgmma.cuh"

template <typename T, bool WINDOWS, bool RELU, int WAY_OUT, int BN>
static void ib_wgmma_launch_one(const ib_cuda_backend *be, const ib_gemm &g, const CUtensorMap &x, const CUtensorMap &w)
{
    const int64_t tiles = ib_ceil_div(g.rows, IB_WGMMA_BM) * ib_ceil_div(g.cols, BN);
    const int64_t blocks = tiles < be->sm_count ? tiles : be->sm_count;
    const int bytes = ib_wgmma_shared_bytes(BN);
    auto kernel = k_gemm_wgmma<T, WINDOWS, RELU, WAY_OUT, BN>;
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    ib_cuda_launch(be, kernel, (unsigned)blocks, IB_WGMMA_THREADS, bytes, g, x, w);
}

template <typename T, bool WINDOWS, bool RELU, int WAY_OUT>
static void ib_wgmma_launch_tile(const ib_cuda_backend *be, const ib_gemm &g, int columns, const CUtensorMap &x,
                                 const CUtensorMap &w)
{
    if (columns == 32)
        ib_wgmma_launch_one<T, WINDOWS, RELU, WAY_OUT == IB_WGMMA_HALF ? IB_GEMM_PLAIN : WAY_OUT, 32>(be, g, x, w);
    else if (columns == 64)
        ib_wgmma_launch_one<T, WINDOWS, RELU, WAY_OUT, 64>(be, g, x, w);
    else
        ib_wgmma_launch_one<T, WINDOWS, RELU, WAY_OUT, 128>(be, g, x, w);
}

template <typename T>
static void ib_wgmma_launch(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, const CUtensorMap &x,
                            const CUtensorMap &w)
{
    const bool half = columns >= 64 && ib_gemm_way_out(g) == IB_GEMM_PLAIN && ib_gemm_is_half(g);
    if (taps > 1 && g.relu_in)
        half ? ib_wgmma_launch_tile<T, true, true, IB_WGMMA_HALF>(be, g, columns, x, w)
             : ib_wgmma_launch_tile<T, true, true, IB_GEMM_PLAIN>(be, g, columns, x, w);
    else if (taps > 1)
        half ? ib_wgmma_launch_tile<T, true, false, IB_WGMMA_HALF>(be, g, columns, x, w)
             : ib_wgmma_launch_tile<T, true, false, IB_GEMM_PLAIN>(be, g, columns, x, w);
    else if (half)
        ib_wgmma_launch_tile<T, false, false, IB_WGMMA_HALF>(be, g, columns, x, w);
    else if (ib_gemm_is_stream(g))
        ib_wgmma_launch_tile<T, false, false, IB_WGMMA_STREAM>(be, g, columns, x, w);
    else if (ib_gemm_way_out(g) == IB_GEMM_PLAIN)
        ib_wgmma_launch_tile<T, false, false, IB_GEMM_PLAIN>(be, g, columns, x, w);
    else
        ib_wgmma_launch_tile<T, false, false, IB_GEMM_GATED>(be, g, columns, x, w);
}

#endif
