/* The launchers of the cores, each in a file of its own, so that they compile side by side. `columns` is the tile's
 * width; without vector_in it must be 64. */
#ifndef IB_BACKEND_CUDA_GEMM_LAUNCH_CUH
#define IB_BACKEND_CUDA_GEMM_LAUNCH_CUH

#include "backend/cuda/gemm.cuh"

void ib_gemm_launch_simt_f32(cudaStream_t stream, const ib_gemm &g, int taps, int columns);
void ib_gemm_launch_simt_f16(cudaStream_t stream, const ib_gemm &g, int taps, int columns);
void ib_gemm_launch_simt_bf16(cudaStream_t stream, const ib_gemm &g, int taps, int columns);
void ib_gemm_launch_mma_f16(cudaStream_t stream, const ib_gemm &g, int taps, int columns);
void ib_gemm_launch_mma_bf16(cudaStream_t stream, const ib_gemm &g, int taps, int columns);
/* 1 when it ran; 0 when the copy engine cannot read x (alignment, strides) or the core is not
 * made for the shape: nothing was launched then. */
int ib_gemm_launch_patch(const ib_cuda_backend *be, const ib_gemm &g);
int ib_gemm_launch_slab(const ib_cuda_backend *be, const ib_gemm &g);
/* fp32. Sums of fewer products than this are left to the core without tensor cores, whose bounds are narrower there. */
#define IB_SPLIT_LEAST_K 64
int ib_gemm_launch_split(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns);
int ib_gemm_launch_wgmma(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns);

#endif
