/* yuv_to_rgb: a decoded picture to RGB in the fixed-point arithmetic of base/yuv_pixel.h, byte for byte. */
#include "backend/cuda/common.cuh"

#define TILE_W 32
#define TILE_H 8

struct yuv_params {
    const uint8_t *c[3];
    int64_t row[3], step[3]; /* bytes between rows and between samples */
    int height, width, chroma_rows;
    int shift, max, ssx, ssy, interlaced;
    ib_yuv_coefficients k;
    uint8_t *y;
    int64_t y_row, y_step;
};

template <int BYTES> __device__ __forceinline__ int32_t sample(const yuv_params &p, int c, int row, int x)
{
    const uint8_t *s = p.c[c] + row * p.row[c] + x * p.step[c];
    const int32_t v = (BYTES == 2 ? s[0] | s[1] << 8 : s[0]) >> p.shift;
    return v < p.max ? v : p.max;
}

template <int BYTES> __global__ void __launch_bounds__(TILE_W *TILE_H) k_yuv_to_rgb(yuv_params p)
{
    const int x = (int)(blockIdx.x * TILE_W + threadIdx.x), y = (int)(blockIdx.y * TILE_H + threadIdx.y);
    if (x >= p.width || y >= p.height) return;
    const int chroma = ib_chroma_row(y, p.ssy, p.interlaced, p.chroma_rows);
    uint8_t rgb[3];
    ib_yuv_pixel(&p.k, sample<BYTES>(p, 0, y, x), sample<BYTES>(p, 1, chroma, x >> p.ssx),
                 sample<BYTES>(p, 2, chroma, x >> p.ssx), rgb);
    uint8_t *out = p.y + y * p.y_row + x * p.y_step;
    out[0] = rgb[0];
    out[1] = rgb[1];
    out[2] = rgb[2];
}

isobath_status ib_cuda_yuv_to_rgb(ib_backend *backend, const ib_yuv_to_rgb_args *a)
{
    const ib_tensor *c[3] = {&a->luma, &a->u, &a->v};
    yuv_params p;
    for (int i = 0; i < 3; i++) {
        p.c[i] = (const uint8_t *)c[i]->data;
        p.row[i] = c[i]->stride[0];
        p.step[i] = c[i]->stride[1];
    }
    p.height = (int)a->y.dim[0], p.width = (int)a->y.dim[1], p.chroma_rows = (int)a->u.dim[0];
    p.shift = a->shift, p.max = (1 << a->bits) - 1, p.ssx = a->ssx, p.ssy = a->ssy, p.interlaced = a->interlaced;
    p.k = a->k;
    p.y = (uint8_t *)a->y.data, p.y_row = a->y.stride[0], p.y_step = a->y.stride[1];
    dim3 grid((unsigned)ib_ceil_div(p.width, TILE_W), (unsigned)ib_ceil_div(p.height, TILE_H)), block(TILE_W, TILE_H);
    if (a->luma.dim[2] == 2) k_yuv_to_rgb<2><<<grid, block, 0, ib_cuda(backend)->stream>>>(p);
    else k_yuv_to_rgb<1><<<grid, block, 0, ib_cuda(backend)->stream>>>(p);
    return ib_cuda_launched(backend, "yuv_to_rgb");
}
