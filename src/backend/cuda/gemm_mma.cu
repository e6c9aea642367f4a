/* Instances of the mma.sync core. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_mma.cuh"

template <typename T, int TAPS, bool VECTOR, int BN> static void launch(cudaStream_t stream, const ib_gemm &g)
{
    const int64_t blocks = ib_ceil_div(g.rows, IB_MMA_BM) * ib_ceil_div(g.cols, BN);
    const int bytes = ib_mma_shared_bytes(BN);
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(k_gemm_mma<T, TAPS, VECTOR, BN>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    k_gemm_mma<T, TAPS, VECTOR, BN><<<(unsigned)blocks, 256, bytes, stream>>>(g);
}

template <typename T, int TAPS> static void launch_tile(cudaStream_t stream, const ib_gemm &g, int columns)
{
    if (!g.vector_in)
        launch<T, TAPS, false, 64>(stream, g);
    else if (columns == 32)
        launch<T, TAPS, true, 32>(stream, g);
    else if (columns == 64)
        launch<T, TAPS, true, 64>(stream, g);
    else
        launch<T, TAPS, true, 128>(stream, g);
}

void ib_gemm_launch_mma(cudaStream_t stream, const ib_gemm &g, ib_dtype act, int taps, int columns)
{
    if (act == IB_F16)
        taps == 1 ? launch_tile<ib_f16, 1>(stream, g, columns) : launch_tile<ib_f16, 9>(stream, g, columns);
    else
        taps == 1 ? launch_tile<ib_bf16, 1>(stream, g, columns) : launch_tile<ib_bf16, 9>(stream, g, columns);
}
