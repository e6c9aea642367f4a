/* Instances of the wide core of sm_90a: type f16. */
#include "backend/cuda/gemm_wide.cuh"

void ib_gemm_run_wide_f16(const ib_cuda_backend *be, const ib_gemm &g, int taps, const CUtensorMap &x, const CUtensorMap &w)
{
    ib_wide_launch<ib_f16>(be, g, taps, x, w);
}
