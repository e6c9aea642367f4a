/* linear: y = act(x W^T + bias) + residual, as one product with everything fused on the way out. */
#include "backend/cuda/gemm.cuh"

/* (T,N,C) as a map of one row of N positions per frame. */
static ib_gemm_map token_map(const ib_tensor *t)
{
    ib_gemm_map m = {t->data, (int)t->dtype, t->stride[0], 0, t->stride[1]};
    return m;
}

isobath_status ib_cuda_linear(ib_backend *backend, const ib_linear_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int simt = backend->act == IB_F32 || be->path == IB_CUDA_SIMT;
    const int64_t channels = a->x.dim[2], step = simt ? 4 : 8;
    ib_gemm g = {};
    g.x = token_map(&a->x);
    g.in_h = 1;
    g.in_w = (int)a->x.dim[1];
    g.ci = (int)channels;
    g.ci_pad = (int)ib_cuda_w(a->w)->k_pad;
    g.x_channels = (int)channels;
    g.stride = 1;
    g.vector_in = channels % step == 0 && ib_cuda_aligned(&a->x, (size_t)step * ib_dtype_size(a->x.dtype));
    g.rows = (uint32_t)(a->x.dim[0] * a->x.dim[1]);
    g.by_w = ib_fastdiv_make(a->x.dim[1] > 0 ? a->x.dim[1] : 1);
    g.by_h = ib_fastdiv_make(1);
    g.bias = (const float *)a->bias.data;
    g.act = (int)a->act;
    g.y = token_map(&a->y);
    g.vector_out = ib_cuda_aligned(&a->y, 16);
    if (ib_tensor_present(&a->residual)) {
        g.residual = token_map(&a->residual);
        g.vector_out &= ib_cuda_aligned(&a->residual, 16);
    }
    return ib_cuda_gemm(be, &g, ib_cuda_w(a->w), 1, "linear");
}
