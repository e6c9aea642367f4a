/* overlap_add: a thread makes V neighbouring channels of an output pixel from the one, two or four input positions that have a
 * part in it. Sums in f32, from top left to bottom right. */
#include "backend/cuda/maps.cuh"

#define THREADS 256

struct overlap_params {
    ib_maps map;
    int kernel;
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
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_overlap_add(overlap_params overlap)
{
    ib_grid_begin();
    const ib_maps &p = overlap.map;
    const ib_map_place at = ib_map_place_of<V>(p);
    if (at.column >= p.out_w) return;
    const int k = overlap.kernel, pitch = k + 2;
    const overlap_axis rows = axis_of((int)blockIdx.y, p.in_h, k), columns = axis_of(at.column, p.in_w, k);
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + rows.first * p.x_h + columns.first * p.x_w + at.c;
    float v[4][V], sum[V];
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int di = n / 2, dj = n % 2, u = rows.at - di * k, w = columns.at - dj * k;
        if (di < rows.count && dj < columns.count) ib_load_f32<T, V>(x + di * p.x_h + dj * p.x_w + (u * pitch + w) * p.channels, v[n]);
    }
#pragma unroll
    for (int e = 0; e < V; e++) sum[e] = v[0][e];
#pragma unroll
    for (int n = 1; n < 4; n++)
        if (n / 2 < rows.count && n % 2 < columns.count)
#pragma unroll
            for (int e = 0; e < V; e++) sum[e] += v[n][e];
    ib_store_f32<T, V>(ib_map_out<T>(p, at) + (int64_t)blockIdx.y * p.y_h, sum);
}

isobath_status ib_cuda_overlap_add(ib_backend *backend, const ib_overlap_add_args *a)
{
    const overlap_params p = {ib_cuda_maps(&a->x, &a->y), a->kernel};
    IB_CUDA_DISPATCH_MAPS(&a->x, &a->y, T, V,
                          ib_cuda_launch_maps(ib_cuda(backend), k_overlap_add<T, V>, V, THREADS, 1, &a->y, p));
    return ib_cuda_launched(backend, "overlap_add");
}
