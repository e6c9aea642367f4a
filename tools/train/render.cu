/* The renderer's CUDA build: nvcc -O3 --use_fast_math -shared (render.py does it). One thread per pixel; arrays as in
 * render_cpu.c, on the device. */
#include "render_core.h"

__global__ void k_render(const float *prims, const float *groups, const float *mats, const float *views, const int *scene,
                         const int *look, int S, int own, int P, int G, int M, int H, int W, float *rgb, float *z,
                         float *id)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    long f = blockIdx.z, sets = own ? S : 1;
    if (x >= W || y >= H) return;
    float c[3];
    long at = (f * H + y) * W + x;
    pixel(prims + scene[f] * sets * P * PRIM, groups + scene[f] * sets * G * GROUP, mats + (long)look[f] * M * MAT,
          views + f * S * VIEW, P, G, S, own, x, y, c, z + at, id + at);
    for (int k = 0; k < 3; k++) rgb[((f * 3 + k) * H + y) * W + x] = c[k];
}

/* Queues the kernel on `stream` of `device`; returns the CUDA error code. */
extern "C" int render(const float *prims, const float *groups, const float *mats, const float *views, const int *scene,
                      const int *look, int F, int S, int own, int P, int G, int M, int H, int W, float *rgb, float *z,
                      float *id, int device, void *stream)
{
    cudaSetDevice(device); /* this library has a runtime of its own */
    dim3 block(16, 8), grid((W + 15) / 16, (H + 7) / 8, F);
    k_render<<<grid, block, 0, (cudaStream_t)stream>>>(prims, groups, mats, views, scene, look, S, own, P, G, M, H, W, rgb, z,
                                                       id);
    return (int)cudaGetLastError();
}
