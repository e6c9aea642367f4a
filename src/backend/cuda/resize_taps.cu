/* resize_taps: what is left of a 3x3 convolution behind a bilinear resize when its products came first (op.h). A thread makes
 * V neighbouring channels of a few output pixels, one below the other. Sums in f32, in one order for every pixel: bias,
 * then the three rows of taps, each the upper input row and the lower; within an input row the taps from left to right. */
#include "backend/cuda/common.cuh"

#define THREADS 128
#define ROWS 24

struct taps_params {
    const void *x;
    const float *bias;
    void *y;
    int64_t x_t, x_h, x_w, y_t, y_h, y_w; /* strides in elements */
    int in_h, in_w, out_h, out_w, channels;
    float scale_h, scale_w;
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
template <typename T, int V> __global__ void __launch_bounds__(THREADS, V == 1 ? 1 : 4) k_resize_taps(taps_params p)
{
    ib_grid_begin();
    const uint32_t vectors = (uint32_t)p.channels / V, i = blockIdx.x * THREADS + threadIdx.x, column = i / vectors;
    const int c = (int)(i - column * vectors) * V;
    if (column >= (uint32_t)p.out_w) return;
    taps_column k;
#pragma unroll
    for (int d = 0; d < 3; d++) {
        const int ox = (int)column + d - 1;
        const bool inside = ox >= 0 && ox < p.out_w;
        int x0, x1;
        ib_bilinear_axis_device(inside ? ox : (int)column, p.in_w, p.scale_w, &x0, &x1, &k.weight[d]);
        k.left[d] = (int)(x0 * p.x_w) + d * p.channels;
        k.right[d] = (int)(x1 * p.x_w) + d * p.channels;
        k.mask[d] = inside ? 0xffffffffu : 0;
    }
    float bias[V], top[3][V], bottom[3][V];
    int top_row[3] = {-1, -1, -1}, bottom_row[3] = {-1, -1, -1};
#pragma unroll
    for (int e = 0; e < V; e++) bias[e] = p.bias[c + e];
    const T *x = (const T *)p.x + blockIdx.z * p.x_t + c;
    T *y = (T *)p.y + blockIdx.z * p.y_t + (int64_t)column * p.y_w + c;
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
            const T *taps = x + d * 3 * p.channels;
            if (y0 != top_row[d]) {
                if (y0 == bottom_row[d])
#pragma unroll
                    for (int e = 0; e < V; e++) top[d][e] = bottom[d][e];
                else
                    blend_row<T, V>(top[d], taps + y0 * p.x_h, k);
                top_row[d] = y0;
            }
            if (y1 != bottom_row[d]) {
                blend_row<T, V>(bottom[d], taps + y1 * p.x_h, k);
                bottom_row[d] = y1;
            }
#pragma unroll
            for (int e = 0; e < V; e++) v[e] = fmaf(wy, bottom[d][e], fmaf(1.0f - wy, top[d][e], v[e]));
        }
        ib_store_f32<T, V>(y + row * p.y_h, v);
    }
}

template <typename T, int V> static void launch(const taps_params &p, int64_t frames, const ib_cuda_backend *be)
{
    dim3 grid((unsigned)ib_ceil_div((int64_t)p.out_w * (p.channels / V), THREADS), (unsigned)ib_ceil_div(p.out_h, ROWS),
              (unsigned)frames);
    ib_cuda_launch(be, k_resize_taps<T, V>, grid, THREADS, 0, p);
}

isobath_status ib_cuda_resize_taps(ib_backend *backend, const ib_resize_taps_args *a)
{
    const int64_t frames = a->y.dim[0];
    const ib_cuda_backend *be = ib_cuda(backend);
    const taps_params p = {a->x.data,
                           (const float *)a->bias.data,
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
                           (int)a->y.dim[3],
                           ib_cuda_bilinear_scale(a->x.dim[1], a->y.dim[1]),
                           ib_cuda_bilinear_scale(a->x.dim[2], a->y.dim[2])};
    const int wide = p.channels % (16 / (int)ib_dtype_size(a->x.dtype)) == 0 && ib_cuda_aligned(&a->x, 16) &&
                     ib_cuda_aligned(&a->y, 16);
    switch (a->x.dtype) {
    case IB_F16: wide ? launch<ib_f16, 8>(p, frames, be) : launch<ib_f16, 1>(p, frames, be); break;
    case IB_BF16: wide ? launch<ib_bf16, 8>(p, frames, be) : launch<ib_bf16, 1>(p, frames, be); break;
    default: wide ? launch<float, 4>(p, frames, be) : launch<float, 1>(p, frames, be); break;
    }
    return ib_cuda_launched(backend, "resize_taps");
}
