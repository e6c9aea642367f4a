/* Host side of the mma.sync core: launches of the type T. */
#ifndef IB_BACKEND_CUDA_GEMM_MMA_LAUNCH_CUH
#define IB_BACKEND_CUDA_GEMM_MMA_LAUNCH_CUH

#include "backend/cuda/gemm_mma.cuh"

template <typename T, int TAPS, bool VECTOR, int BN> static void ib_mma_launch_one(cudaStream_t stream, const ib_gemm &g)
{
    const int64_t blocks = ib_ceil_div(g.rows, IB_MMA_BM) * ib_ceil_div(g.cols, BN);
    const int bytes = ib_mma_shared_bytes(BN);
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(k_gemm_mma<T, TAPS, VECTOR, BN>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    k_gemm_mma<T, TAPS, VECTOR, BN><<<(unsigned)blocks, 256, bytes, stream>>>(g);
}

template <typename T, int TAPS> static void ib_mma_launch_tile(cudaStream_t stream, const ib_gemm &g, int columns)
{
    if (!g.vector_in)
        ib_mma_launch_one<T, TAPS, false, 64>(stream, g);
    else if (columns == 32)
        ib_mma_launch_one<T, TAPS, true, 32>(stream, g);
    else if (columns == 64)
        ib_mma_launch_one<T, TAPS, true, 64>(stream, g);
    else
        ib_mma_launch_one<T, TAPS, true, 128>(stream, g);
}

template <typename T> static void ib_mma_launch(cudaStream_t stream, const ib_gemm &g, int taps, int columns)
{
    taps == 1 ? ib_mma_launch_tile<T, 1>(stream, g, columns) : ib_mma_launch_tile<T, 9>(stream, g, columns);
}

#endif
