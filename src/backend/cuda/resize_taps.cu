/* resize_taps: what is left of a 3x3 convolution behind a bilinear resize when its products came first (op.h). A thread makes
 * V neighbouring channels of a few output pixels, one below the other. Sums in f32, in one order for every pixel: bias,
 * then the three rows of taps, each the upper input row and the lower; within an input row the taps from left to right. */
#include "backend/cuda/maps.cuh"

#define THREADS 128
#define ROWS 24

struct taps_params {
    ib_maps map;
    const float *bias;
};

/* The three taps of a row at an output column: where they read (elements from the row's begin, first tap of the row), and how
 * much of the right one. A tap outside of the image reads at the column itself, and zeros come of it: no branches, so that all
 * loads are under way at once. */
struct taps_column {
    int left[3], right[3];
    float weight[3];
    uint32_t mask[3]; /* all bits of a tap inside */
};

/* V values as f32, zeros where the mask has none. */
template <typename T, int V> __device__ __forceinline__ void load_masked(float (&out)[V], const ib_vec<T, V> &x, uint32_t mask)
{
    ib_vec<T, V> kept = x;
    if (sizeof kept >= 4) {
#pragma unroll
        for (int i = 0; i < (int)sizeof kept / 4; i++) ((uint32_t *)&kept)[i] &= mask;
#pragma unroll
        for (int e = 0; e < V; e++) out[e] = ib_to_f32(kept.v[e]);
    } else {
        out[0] = mask ? ib_to_f32(kept.v[0]) : 0.0f;
    }
}

/* Sum of the three taps of a row on one input row. */
template <typename T, int V> __device__ __forceinline__ void blend_row(float (&out)[V], const T *row, const taps_column &k)
{
    ib_vec<T, V> left[3], right[3];
#pragma unroll
    for (int d = 0; d < 3; d++) {
        left[d] = ib_load<T, V>(row + k.left[d]);
        right[d] = ib_load<T, V>(row + k.right[d]);
    }
#pragma unroll
    for (int e = 0; e < V; e++) out[e] = 0.0f;
#pragma unroll
    for (int d = 0; d < 3; d++) {
        float a[V], b[V];
        load_masked<T, V>(a, left[d], k.mask[d]);
        load_masked<T, V>(b, right[d], k.mask[d]);
#pragma unroll
        for (int e = 0; e < V; e++) out[e] = fmaf(k.weight[d], b[e], fmaf(1.0f - k.weight[d], a[e], out[e]));
    }
}

/* Grid: x over (output column, vector of channels), y over groups of ROWS output rows, z over frames. For each row of taps the
 * thread keeps its two input rows, blended sideways, for as long as they are needed. */
template <typename T, int V> __global__ void __launch_bounds__(THREADS, V == 1 ? 1 : 4) k_resize_taps(taps_params taps)
{
    ib_grid_begin();
    const ib_maps &p = taps.map;
    const ib_map_place at = ib_map_place_of<V>(p);
    if (at.column >= p.out_w) return;
    taps_column k;
#pragma unroll
    for (int d = 0; d < 3; d++) {
        const int ox = at.column + d - 1;
        const bool inside = ox >= 0 && ox < p.out_w;
        int x0, x1;
        ib_bilinear_axis_device(inside ? ox : at.column, p.in_w, p.scale_w, &x0, &x1, &k.weight[d]);
        k.left[d] = (int)(x0 * p.x_w) + d * p.channels;
        k.right[d] = (int)(x1 * p.x_w) + d * p.channels;
        k.mask[d] = inside ? 0xffffffffu : 0;
    }
    float bias[V], top[3][V], bottom[3][V];
    int top_row[3] = {-1, -1, -1}, bottom_row[3] = {-1, -1, -1};
#pragma unroll
    for (int e = 0; e < V; e++) bias[e] = taps.bias[at.c + e];
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + at.c;
    T *y = ib_map_out<T>(p, at);
    const int end = min((int)(blockIdx.y + 1) * ROWS, p.out_h);
    for (int row = (int)blockIdx.y * ROWS; row < end; row++) {
        float v[V];
#pragma unroll
        for (int e = 0; e < V; e++) v[e] = bias[e];
#pragma unroll
        for (int d = 0; d < 3; d++) {
            const int oy = row + d - 1;
            if (oy < 0 || oy >= p.out_h) continue;
            int y0, y1;
            float wy;
            ib_bilinear_axis_device(oy, p.in_h, p.scale_h, &y0, &y1, &wy);
            const T *row_taps = x + d * 3 * p.channels;
            if (y0 != top_row[d]) {
                if (y0 == bottom_row[d])
#pragma unroll
                    for (int e = 0; e < V; e++) top[d][e] = bottom[d][e];
                else
                    blend_row<T, V>(top[d], row_taps + y0 * p.x_h, k);
                top_row[d] = y0;
            }
            if (y1 != bottom_row[d]) {
                blend_row<T, V>(bottom[d], row_taps + y1 * p.x_h, k);
                bottom_row[d] = y1;
            }
#pragma unroll
            for (int e = 0; e < V; e++) v[e] = fmaf(wy, bottom[d][e], fmaf(1.0f - wy, top[d][e], v[e]));
        }
        ib_store_f32<T, V>(y + row * p.y_h, v);
    }
}

isobath_status ib_cuda_resize_taps(ib_backend *backend, const ib_resize_taps_args *a)
{
    const taps_params p = {ib_cuda_maps(&a->x, &a->y), (const float *)a->bias.data};
    IB_CUDA_DISPATCH_MAPS(&a->x, &a->y, T, V,
                          ib_cuda_launch_maps(ib_cuda(backend), k_resize_taps<T, V>, V, THREADS, ROWS, &a->y, p));
    return ib_cuda_launched(backend, "resize_taps");
}
