/* Instances of the core without tensor cores. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_simt.cuh"

template <typename T, int TAPS, bool VECTOR, int BN> static void launch(cudaStream_t stream, const ib_gemm &g)
{
    const int64_t blocks = ib_ceil_div(g.rows, 128) * ib_ceil_div(g.cols, BN);
    k_gemm_simt<T, TAPS, VECTOR, BN><<<(unsigned)blocks, 256, 0, stream>>>(g);
}

template <typename T, int TAPS> static void launch_tile(cudaStream_t stream, const ib_gemm &g, int columns)
{
    if (!g.vector_in)
        launch<T, TAPS, false, 64>(stream, g);
    else if (columns == 64)
        launch<T, TAPS, true, 64>(stream, g);
    else
        launch<T, TAPS, true, 128>(stream, g);
}

void ib_gemm_launch_simt(cudaStream_t stream, const ib_gemm &g, ib_dtype act, int taps, int columns)
{
    if (taps == 1)
        IB_CUDA_DISPATCH(act, T, (launch_tile<T, 1>(stream, g, columns)));
    else
        IB_CUDA_DISPATCH(act, T, (launch_tile<T, 9>(stream, g, columns)));
}
