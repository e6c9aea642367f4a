/* Instances of the sm_90a core: type bf16. */
#include "backend/cuda/gemm_wgmma_launch.cuh"

void ib_gemm_run_wgmma_bf16(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns, const CUtensorMap &x,
                            const CUtensorMap &w)
{
    ib_wgmma_launch<ib_bf16>(be, g, taps, columns, x, w);
}
