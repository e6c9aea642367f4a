/* Instances of the mma.sync core: type bf16. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_mma_launch.cuh"

void ib_gemm_launch_mma_bf16(cudaStream_t stream, const ib_gemm &g, int taps, int columns)
{
    ib_mma_launch<ib_bf16>(stream, g, taps, columns);
}
