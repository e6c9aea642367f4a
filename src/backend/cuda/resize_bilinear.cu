/* resize_bilinear: align_corners, channel-last; a thread makes V neighbouring channels of a few output pixels. Each
 * operation is rounded by itself, as op.h has it: the same bits for every V. */
#include "backend/cuda/common.cuh"

#define THREADS 128
#define ROWS 8

struct resize_params {
    const void *x;
    void *y;
    int64_t x_t, x_h, x_w, y_t, y_h, y_w; /* strides in elements */
    int in_h, in_w, out_h, out_w, channels;
    float scale_h, scale_w;
};

/* V channels at a column between x0 and x1 of an input row. */
template <typename T, int V>
__device__ __forceinline__ void blend_row(float (&out)[V], const T *row, int64_t x0, int64_t x1, float wx, float vx)
{
    float b[V];
    ib_load_f32<T, V>(row + x0, out);
    ib_load_f32<T, V>(row + x1, b);
#pragma unroll
    for (int e = 0; e < V; e++) out[e] = __fadd_rn(__fmul_rn(vx, out[e]), __fmul_rn(wx, b[e]));
}

/* Grid: x over (output column, vector of channels), y over groups of ROWS output rows, z over frames. A thread walks
 * down its column and keeps the two input rows, blended sideways, for as long as they are needed. */
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_resize_bilinear(resize_params p)
{
    ib_grid_begin();
    const uint32_t vectors = (uint32_t)p.channels / V, i = blockIdx.x * THREADS + threadIdx.x, column = i / vectors;
    const int c = (int)(i - column * vectors) * V;
    if (column >= (uint32_t)p.out_w) return;
    int x0, x1, top_row = -1, bottom_row = -1;
    float wx, top[V], bottom[V];
    ib_bilinear_axis_device((int)column, p.in_w, p.scale_w, &x0, &x1, &wx);
    const float vx = 1.0f - wx;
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + c;
    T *y = (T *)p.y + blockIdx.z * p.y_t + (int64_t)column * p.y_w + c;
    const int end = min((int)(blockIdx.y + 1) * ROWS, p.out_h);
    for (int row = (int)blockIdx.y * ROWS; row < end; row++) {
        int y0, y1;
        float wy, v[V];
        ib_bilinear_axis_device(row, p.in_h, p.scale_h, &y0, &y1, &wy);
        if (y0 != top_row) {
            if (y0 == bottom_row)
#pragma unroll
                for (int e = 0; e < V; e++) top[e] = bottom[e];
            else
                blend_row<T, V>(top, x + y0 * p.x_h, x0 * p.x_w, x1 * p.x_w, wx, vx);
            top_row = y0;
        }
        if (y1 != bottom_row) {
            blend_row<T, V>(bottom, x + y1 * p.x_h, x0 * p.x_w, x1 * p.x_w, wx, vx);
            bottom_row = y1;
        }
        const float vy = 1.0f - wy;
#pragma unroll
        for (int e = 0; e < V; e++) v[e] = __fadd_rn(__fmul_rn(vy, top[e]), __fmul_rn(wy, bottom[e]));
        ib_store_f32<T, V>(y + row * p.y_h, v);
    }
}

template <typename T, int V> static void launch(const resize_params &p, int64_t frames, const ib_cuda_backend *be)
{
    dim3 grid((unsigned)ib_ceil_div((int64_t)p.out_w * (p.channels / V), THREADS), (unsigned)ib_ceil_div(p.out_h, ROWS),
              (unsigned)frames);
    ib_cuda_launch(be, k_resize_bilinear<T, V>, grid, THREADS, 0, p);
}

isobath_status ib_cuda_resize_bilinear(ib_backend *backend, const ib_resize_bilinear_args *a)
{
    const int64_t frames = a->y.dim[0];
    const ib_cuda_backend *be = ib_cuda(backend);
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
                             (int)a->y.dim[1],
                             (int)a->y.dim[2],
                             (int)a->x.dim[3],
                             ib_cuda_bilinear_scale(a->x.dim[1], a->y.dim[1]),
                             ib_cuda_bilinear_scale(a->x.dim[2], a->y.dim[2])};
    const int wide = p.channels % (16 / (int)ib_dtype_size(a->x.dtype)) == 0 && ib_cuda_aligned(&a->x, 16) &&
                     ib_cuda_aligned(&a->y, 16);
    switch (a->x.dtype) {
    case IB_F16: wide ? launch<ib_f16, 8>(p, frames, be) : launch<ib_f16, 1>(p, frames, be); break;
    case IB_BF16: wide ? launch<ib_bf16, 8>(p, frames, be) : launch<ib_bf16, 1>(p, frames, be); break;
    default: wide ? launch<float, 4>(p, frames, be) : launch<float, 1>(p, frames, be); break;
    }
    return ib_cuda_launched(backend, "resize_bilinear");
}
