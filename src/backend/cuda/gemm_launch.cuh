/* The launchers of the cores, each in a file of its own, so that they compile side by side. `columns` is the tile's
 * width; without vector_in it must be 64. */
#ifndef IB_BACKEND_CUDA_GEMM_LAUNCH_CUH
#define IB_BACKEND_CUDA_GEMM_LAUNCH_CUH

#include "backend/cuda/gemm.cuh"

void ib_gemm_launch_simt(cudaStream_t stream, const ib_gemm &g, ib_dtype act, int taps, int columns);
void ib_gemm_launch_mma(cudaStream_t stream, const ib_gemm &g, ib_dtype act, int taps, int columns);
/* 1 when it ran; 0 when the copy engine cannot read x (alignment, strides): nothing was launched then. */
int ib_gemm_launch_wgmma(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns);

#endif
