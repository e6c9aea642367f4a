/* resize_bilinear: align_corners, channel-last; a thread makes V neighbouring channels of one output pixel. */
#include "backend/cuda/common.cuh"

#define THREADS 128

/* Each operation rounded by itself, as op.h has it; the same bits for every V. */
__device__ __forceinline__ float lerp2(float p00, float p01, float p10, float p11, float wy, float vy, float wx,
                                          float vx)
{
    const float top = __fadd_rn(__fmul_rn(vx, p00), __fmul_rn(wx, p01));
    const float bottom = __fadd_rn(__fmul_rn(vx, p10), __fmul_rn(wx, p11));
    return __fadd_rn(__fmul_rn(vy, top), __fmul_rn(wy, bottom));
}

struct resize_params {
    const void *x;
    void *y;
    int64_t x_t, x_h, x_w, y_t, y_h, y_w; /* strides in elements */
    int in_h, in_w, out_w, channels;
    float scale_h, scale_w;
};

/* Grid: x over (output column, vector of channels), y over output rows, z over frames. */
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_resize_bilinear(resize_params p)
{
    const uint32_t vectors = (uint32_t)p.channels / V, i = blockIdx.x * THREADS + threadIdx.x, column = i / vectors;
    const int c = (int)(i - column * vectors) * V;
    if (column >= (uint32_t)p.out_w) return;
    int y0, y1, x0, x1;
    float wy, wx;
    ib_bilinear_axis_device((int)blockIdx.y, p.in_h, p.scale_h, &y0, &y1, &wy);
    ib_bilinear_axis_device((int)column, p.in_w, p.scale_w, &x0, &x1, &wx);
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + c;
    const T *top = x + y0 * p.x_h, *bottom = x + y1 * p.x_h;
    float p00[V], p01[V], p10[V], p11[V];
    ib_load_f32<T, V>(top + x0 * p.x_w, p00);
    ib_load_f32<T, V>(top + x1 * p.x_w, p01);
    ib_load_f32<T, V>(bottom + x0 * p.x_w, p10);
    ib_load_f32<T, V>(bottom + x1 * p.x_w, p11);
    const float vy = 1.0f - wy, vx = 1.0f - wx;
#pragma unroll
    for (int e = 0; e < V; e++)
        p00[e] = lerp2(p00[e], p01[e], p10[e], p11[e], wy, vy, wx, vx);
    ib_store_f32<T, V>((T *)p.y + blockIdx.z * p.y_t + blockIdx.y * p.y_h + (int64_t)column * p.y_w + c, p00);
}

template <typename T, int V>
static void launch(const resize_params &p, int64_t frames, int64_t rows, cudaStream_t stream)
{
    dim3 grid((unsigned)ib_ceil_div((int64_t)p.out_w * (p.channels / V), THREADS), (unsigned)rows, (unsigned)frames);
    k_resize_bilinear<T, V><<<grid, THREADS, 0, stream>>>(p);
}

isobath_status ib_cuda_resize_bilinear(ib_backend *backend, const ib_resize_bilinear_args *a)
{
    const int64_t frames = a->y.dim[0], rows = a->y.dim[1];
    cudaStream_t stream = ib_cuda(backend)->stream;
    const resize_params p = {a->x.data,
                             a->y.data,
                             a->x.stride[0],
                             a->x.stride[1],
                             a->x.stride[2],
                             a->y.stride[0],
                             a->y.stride[1],
                             a->y.stride[2],
                             (int)a->x.dim[1],
                             (int)a->x.dim[2],
                             (int)a->y.dim[2],
                             (int)a->x.dim[3],
                             ib_cuda_bilinear_scale(a->x.dim[1], a->y.dim[1]),
                             ib_cuda_bilinear_scale(a->x.dim[2], a->y.dim[2])};
    const int wide = p.channels % (16 / (int)ib_dtype_size(a->x.dtype)) == 0 && ib_cuda_aligned(&a->x, 16) &&
                     ib_cuda_aligned(&a->y, 16);
    switch (a->x.dtype) {
    case IB_F16:
        wide ? launch<ib_f16, 8>(p, frames, rows, stream) : launch<ib_f16, 1>(p, frames, rows, stream);
        break;
    case IB_BF16:
        wide ? launch<ib_bf16, 8>(p, frames, rows, stream) : launch<ib_bf16, 1>(p, frames, rows, stream);
        break;
    default:
        wide ? launch<float, 4>(p, frames, rows, stream) : launch<float, 1>(p, frames, rows, stream);
        break;
    }
    return ib_cuda_launched(backend, "resize_bilinear");
}
