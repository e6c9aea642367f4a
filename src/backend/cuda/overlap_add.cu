/* overlap_add: a thread makes V neighbouring channels of an output pixel from the one, two or four input positions that have a
 * part in it. Sums in f32, from top left to bottom right. */
#include "backend/cuda/common.cuh"

#define THREADS 256

struct overlap_params {
    const void *x;
    void *y;
    int64_t x_t, x_h, x_w, y_t, y_h, y_w; /* strides in elements */
    int in_h, in_w, out_w, channels, kernel;
};

/* Along an axis: the input positions, one or two, and how far into their margins the pixel lies. */
struct overlap_axis {
    int first, count, at; /* of the first one; the second's is `at` - k */
};
__device__ __forceinline__ overlap_axis axis_of(int out, int in, int k)
{
    const int own = out / k, phase = out - own * k;
    overlap_axis a = {own, 1, phase + 1};
    if (phase == 0 && own > 0) {
        a = {own - 1, 2, k + 1};
    } else if (phase == k - 1 && own + 1 < in) {
        a.count = 2;
    }
    return a;
}

/* Grid: x over (output column, vector of channels), y over output rows, z over frames. */
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_overlap_add(overlap_params p)
{
    ib_grid_begin();
    const uint32_t vectors = (uint32_t)p.channels / V, i = blockIdx.x * THREADS + threadIdx.x, column = i / vectors;
    const int c = (int)(i - column * vectors) * V;
    if (column >= (uint32_t)p.out_w) return;
    const overlap_axis rows = axis_of((int)blockIdx.y, p.in_h, p.kernel), columns = axis_of((int)column, p.in_w, p.kernel);
    const int pitch = p.kernel + 2;
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + rows.first * p.x_h + columns.first * p.x_w + c;
    float v[4][V], sum[V];
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int di = n / 2, dj = n % 2, u = rows.at - di * p.kernel, w = columns.at - dj * p.kernel;
        if (di < rows.count && dj < columns.count) ib_load_f32<T, V>(x + di * p.x_h + dj * p.x_w + (u * pitch + w) * p.channels, v[n]);
    }
#pragma unroll
    for (int e = 0; e < V; e++) sum[e] = v[0][e];
#pragma unroll
    for (int n = 1; n < 4; n++)
        if (n / 2 < rows.count && n % 2 < columns.count)
#pragma unroll
            for (int e = 0; e < V; e++) sum[e] += v[n][e];
    ib_store_f32<T, V>((T *)p.y + blockIdx.z * p.y_t + (int64_t)blockIdx.y * p.y_h + (int64_t)column * p.y_w + c, sum);
}

template <typename T, int V> static void launch(const overlap_params &p, int64_t frames, int64_t rows, const ib_cuda_backend *be)
{
    dim3 grid((unsigned)ib_ceil_div((int64_t)p.out_w * (p.channels / V), THREADS), (unsigned)rows, (unsigned)frames);
    ib_cuda_launch(be, k_overlap_add<T, V>, grid, THREADS, 0, p);
}

isobath_status ib_cuda_overlap_add(ib_backend *backend, const ib_overlap_add_args *a)
{
    const int64_t frames = a->y.dim[0], rows = a->y.dim[1];
    const ib_cuda_backend *be = ib_cuda(backend);
    const overlap_params p = {a->x.data,
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
                              (int)a->y.dim[3],
                              a->kernel};
    const int wide = p.channels % (16 / (int)ib_dtype_size(a->x.dtype)) == 0 && ib_cuda_aligned(&a->x, 16) &&
                     ib_cuda_aligned(&a->y, 16);
    switch (a->x.dtype) {
    case IB_F16: wide ? launch<ib_f16, 8>(p, frames, rows, be) : launch<ib_f16, 1>(p, frames, rows, be); break;
    case IB_BF16: wide ? launch<ib_bf16, 8>(p, frames, rows, be) : launch<ib_bf16, 1>(p, frames, rows, be); break;
    default: wide ? launch<float, 4>(p, frames, rows, be) : launch<float, 1>(p, frames, rows, be); break;
    }
    return ib_cuda_launched(backend, "overlap_add");
}
