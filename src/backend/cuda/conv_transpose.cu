/* conv_transpose with kernel = stride = k: one product of k*k*Co columns, shuffled to k x k pixels on the way out. */
#include "backend/cuda/gemm.cuh"

static ib_gemm_map pixel_map(const ib_tensor *t)
{
    ib_gemm_map m = {t->data, (int)t->dtype, t->stride[0], t->stride[1], t->stride[2]};
    return m;
}

isobath_status ib_cuda_conv_transpose(ib_backend *backend, const ib_conv_transpose_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int simt = backend->act == IB_F32 || be->path == IB_CUDA_SIMT;
    const int64_t ci = a->x.dim[3], co = a->w->out_channels, step = simt ? 4 : 8;
    ib_gemm g = {};
    g.x = pixel_map(&a->x);
    g.in_h = (int)a->x.dim[1];
    g.in_w = (int)a->x.dim[2];
    g.ci = (int)ci;
    g.ci_pad = (int)ib_cuda_w(a->w)->k_pad;
    g.x_channels = (int)ci;
    g.stride = 1;
    g.vector_in = ci % step == 0 && ib_cuda_aligned(&a->x, (size_t)step * ib_dtype_size(a->x.dtype));
    g.rows = (uint32_t)(a->x.dim[0] * a->x.dim[1] * a->x.dim[2]);
    g.by_h = ib_fastdiv_make(a->x.dim[1]);
    g.by_w = ib_fastdiv_make(a->x.dim[2]);
    g.bias = (const float *)a->bias.data;
    g.act = IB_ACT_NONE;
    g.shuffle = a->w->kernel;
    g.shuffle_channels = (int)co;
    g.by_channels = ib_fastdiv_make(co);
    g.by_shuffle = ib_fastdiv_make(a->w->kernel);
    g.y = pixel_map(&a->y);
    g.vector_out = co % 8 == 0 && ib_cuda_aligned(&a->y, 16);
    return ib_cuda_gemm(be, &g, ib_cuda_w(a->w), 1, "conv_transpose");
}
