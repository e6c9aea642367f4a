/* preprocess: u8 RGB to normalised f32 network input through OpenCV's cubic filter; rows first, then columns. */
#include "backend/cuda/common.cuh"

#define TILE_W 32
#define TILE_H 8

struct preprocess_params {
    const uint8_t *x;
    float *y;
    int64_t x_t, x_h; /* strides in bytes */
    int in_h, in_w, out_h, out_w;
    double scale_h, scale_w;
};

/* First of the four source samples of output `dst` and their weights in f32; the coordinate is in double, as in ref. */
__device__ __forceinline__ int cubic_axis(int dst, double scale, float (&w)[4])
{
    const double s = ((double)dst + 0.5) * scale - 0.5, base = floor(s);
    const float a = -0.75f, x = (float)(s - base);
    w[0] = ((a * (x + 1.0f) - 5.0f * a) * (x + 1.0f) + 8.0f * a) * (x + 1.0f) - 4.0f * a;
    w[1] = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
    w[2] = ((a + 2.0f) * (1.0f - x) - (a + 3.0f)) * (1.0f - x) * (1.0f - x) + 1.0f;
    w[3] = 1.0f - w[0] - w[1] - w[2];
    return (int)base - 1;
}

__device__ __forceinline__ int clamp_index(int i, int size) { return i < 0 ? 0 : i >= size ? size - 1 : i; }

__global__ void __launch_bounds__(TILE_W *TILE_H) k_preprocess(preprocess_params p)
{
    const int ox = (int)(blockIdx.x * TILE_W + threadIdx.x), oy = (int)(blockIdx.y * TILE_H + threadIdx.y);
    if (ox >= p.out_w || oy >= p.out_h) return;
    float wx[4], wy[4], sum[3] = {0.0f, 0.0f, 0.0f};
    const int x0 = cubic_axis(ox, p.scale_w, wx), y0 = cubic_axis(oy, p.scale_h, wy);
    const uint8_t *frame = p.x + blockIdx.z * p.x_t;
#pragma unroll
    for (int ky = 0; ky < 4; ky++) {
        const uint8_t *line = frame + clamp_index(y0 + ky, p.in_h) * p.x_h;
        float row[3] = {0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int kx = 0; kx < 4; kx++) {
            const uint8_t *pixel = line + 3 * clamp_index(x0 + kx, p.in_w);
#pragma unroll
            for (int c = 0; c < 3; c++) row[c] = fmaf(wx[kx], (float)pixel[c], row[c]);
        }
#pragma unroll
        for (int c = 0; c < 3; c++) sum[c] = fmaf(wy[ky], row[c], sum[c]);
    }
    /* (v/255 - mean)/std */
    float *y = p.y + ((int64_t)(blockIdx.z * p.out_h + oy) * p.out_w + ox) * 3;
    y[0] = (sum[0] * (1.0f / 255.0f) - 0.485f) / 0.229f;
    y[1] = (sum[1] * (1.0f / 255.0f) - 0.456f) / 0.224f;
    y[2] = (sum[2] * (1.0f / 255.0f) - 0.406f) / 0.225f;
}

isobath_status ib_cuda_preprocess(ib_backend *backend, const ib_preprocess_args *a)
{
    const preprocess_params p = {(const uint8_t *)a->x.data,
                                 (float *)a->y.data,
                                 a->x.stride[0],
                                 a->x.stride[1],
                                 (int)a->x.dim[1],
                                 (int)a->x.dim[2],
                                 (int)a->y.dim[1],
                                 (int)a->y.dim[2],
                                 (double)a->x.dim[1] / (double)a->y.dim[1],
                                 (double)a->x.dim[2] / (double)a->y.dim[2]};
    dim3 grid((unsigned)ib_ceil_div(p.out_w, TILE_W), (unsigned)ib_ceil_div(p.out_h, TILE_H), (unsigned)a->y.dim[0]);
    k_preprocess<<<grid, dim3(TILE_W, TILE_H), 0, ib_cuda(backend)->stream>>>(p);
    return ib_cuda_launched(backend, "preprocess");
}
