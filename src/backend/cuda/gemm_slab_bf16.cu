/* Instances of the slab core of sm_90a: type bf16. */
#include "backend/cuda/gemm_slab.cuh"

void ib_gemm_run_slab_bf16(const ib_cuda_backend *be, const ib_gemm &g, int way_out, int columns, const ib_slab_shape &shape,
                         const CUtensorMap &x, const CUtensorMap &w)
{
    ib_slab_launch<ib_bf16>(be, g, way_out, columns, shape, x, w);
}
