/* resize_bilinear: align_corners, channel-last; a thread makes V neighbouring channels of a few output pixels. Each
 * operation is rounded by itself, as op.h has it: the same bits for every V. */
#include "backend/cuda/maps.cuh"

#define THREADS 128
#define ROWS 8

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
template <typename T, int V> __global__ void __launch_bounds__(THREADS) k_resize_bilinear(ib_maps p)
{
    ib_grid_begin();
    const ib_map_place at = ib_map_place_of<V>(p);
    if (at.column >= p.out_w) return;
    int x0, x1, top_row = -1, bottom_row = -1;
    float wx, top[V], bottom[V];
    ib_bilinear_axis_device(at.column, p.in_w, p.scale_w, &x0, &x1, &wx);
    const float vx = 1.0f - wx;
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + at.c;
    T *y = ib_map_out<T>(p, at);
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

isobath_status ib_cuda_resize_bilinear(ib_backend *backend, const ib_resize_bilinear_args *a)
{
    const ib_maps p = ib_cuda_maps(&a->x, &a->y);
    IB_CUDA_DISPATCH_MAPS(&a->x, &a->y, T, V,
                          ib_cuda_launch_maps(ib_cuda(backend), k_resize_bilinear<T, V>, V, THREADS, ROWS, &a->y, p));
    return ib_cuda_launched(backend, "resize_bilinear");
}
