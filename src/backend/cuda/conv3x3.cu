/* conv3x3: an implicit matrix product over channel-last maps; k runs over nine taps of Ci channels. */
#include "backend/cuda/gemm.cuh"

static ib_gemm_map pixel_map(const ib_tensor *t)
{
    ib_gemm_map m = {t->data, (int)t->dtype, t->stride[0], t->stride[1], t->stride[2]};
    return m;
}

isobath_status ib_cuda_conv3x3(ib_backend *backend, const ib_conv3x3_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int simt = backend->act == IB_F32 || be->path == IB_CUDA_SIMT;
    const int64_t ci = a->x.dim[3], step = simt ? 4 : 8;
    ib_gemm g = {};
    g.x = pixel_map(&a->x);
    g.in_h = (int)a->x.dim[1];
    g.in_w = (int)a->x.dim[2];
    g.ci = (int)ci;
    g.ci_pad = (int)((ci + 7) / 8 * 8);
    g.x_channels = (int)ci;
    g.stride = a->stride;
    g.relu_in = a->relu_in;
    g.vector_in = ci % step == 0 && ib_cuda_aligned(&a->x, (size_t)step * ib_dtype_size(a->x.dtype));
    g.rows = (uint32_t)(a->y.dim[0] * a->y.dim[1] * a->y.dim[2]);
    g.by_h = ib_fastdiv_make(a->y.dim[1]);
    g.by_w = ib_fastdiv_make(a->y.dim[2]);
    g.bias = (const float *)a->bias.data;
    g.act = a->relu_out ? IB_ACT_RELU : IB_ACT_NONE;
    g.y = pixel_map(&a->y);
    g.vector_out = ib_cuda_aligned(&a->y, 16);
    if (ib_tensor_present(&a->residual)) {
        g.residual = pixel_map(&a->residual);
        g.vector_out &= ib_cuda_aligned(&a->residual, 16);
    }
    if (ib_tensor_present(&a->residual2)) {
        g.residual2 = pixel_map(&a->residual2);
        g.vector_out &= ib_cuda_aligned(&a->residual2, 16);
    }
    return ib_cuda_gemm(be, &g, ib_cuda_w(a->w), 9, "conv3x3");
}
