/* Instances of the core without tensor cores: storage type bf16. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_simt.cuh"

void ib_gemm_launch_simt_bf16(cudaStream_t stream, const ib_gemm &g, int taps, int columns)
{
    ib_simt_launch<ib_bf16>(stream, g, taps, columns);
}
