/* Instances of the core without tensor cores: storage type f32. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_simt.cuh"

void ib_gemm_launch_simt_f32(cudaStream_t stream, const ib_gemm &g, int taps, int columns)
{
    ib_simt_launch<float>(stream, g, taps, columns);
}
