/* The resized map of output_head as a tile in shared memory: what the kernels of output_head.cu and output_head_mma.cu share. One
 * block: 16 x 16 output pixels of one frame; up to 32 input channels at a time are resized into an 18 x 18 tile (zeros outside
 * the image). */
#ifndef IB_BACKEND_CUDA_HEAD_TILE_CUH
#define IB_BACKEND_CUDA_HEAD_TILE_CUH

#include "backend/cuda/head.cuh"
#include "backend/cuda/mma.cuh"

#define HEAD_TILE 16
#define HEAD_PATCH (HEAD_TILE + 2)
#define HEAD_CHANNELS 32 /* of the tile at a time, and of the 3x3's output */
#define HEAD_THREADS 128
/* Bytes between pixels of the tile: an odd number of 16-byte chunks, so no bank conflicts. */
#define HEAD_PITCH(E) (HEAD_CHANNELS * (int)sizeof(E) + 16)

struct head_params {
    const void *x;
    const float *weight, *bias;
    float *y;
    int64_t x_t, x_h, x_w, y_t, y_h;
    int in_h, in_w, out_h, out_w, ci;
    float scale_h, scale_w;
    int vector; /* pixels of x may be read 16 bytes at a time */
    float sigmoid;
    int source_columns; /* of the input under a tile at most, 0: the tile is filled straight from memory */
};

/* V channels from c on, zeros from ci on. */
template <typename T, int V>
__device__ __forceinline__ void load_channels(float (&v)[V], const T *pixel, int c, const head_params &p)
{
    if (p.vector) {
        ib_load_f32<T, V>(pixel + c, v);
    } else {
#pragma unroll
        for (int e = 0; e < V; e++) v[e] = c + e < p.ci ? ib_to_f32(pixel[c + e]) : 0.0f;
    }
}

/* How values enter the tile. */
enum { EXACT, TF32, HALF };
template <int form> struct tile_form {
    typedef float element;
};
template <> struct tile_form<HALF> {
    typedef ib_f16 element;
};

/* Channels [first, first + 32) of the resized map around the block's tile; V of them a thread. */
template <typename T, int form>
__device__ __forceinline__ void fill_tile(uint8_t *tile, int first, const head_params &p)
{
    typedef typename tile_form<form>::element E;
    constexpr int V = sizeof(T) == 2 ? 8 : 4, LANES = HEAD_CHANNELS / V;
    const T *x = (const T *)p.x + blockIdx.z * p.x_t;
    const int c = first + (int)(threadIdx.x % LANES) * V;
    for (int i = threadIdx.x / LANES; i < HEAD_PATCH * HEAD_PATCH; i += HEAD_THREADS / LANES) {
        const int py = i / HEAD_PATCH, px = i - py * HEAD_PATCH;
        const int oy = (int)blockIdx.y * HEAD_TILE + py - 1, ox = (int)blockIdx.x * HEAD_TILE + px - 1;
        float v[V];
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = 0.0f;
        if (oy >= 0 && oy < p.out_h && ox >= 0 && ox < p.out_w && c < p.ci) {
            int y0, y1, x0, x1;
            float wy, wx, a[V], b[V], d[V], e[V];
            ib_bilinear_axis_device(oy, p.in_h, p.scale_h, &y0, &y1, &wy);
            ib_bilinear_axis_device(ox, p.in_w, p.scale_w, &x0, &x1, &wx);
            const T *top = x + y0 * p.x_h, *bottom = x + y1 * p.x_h;
            load_channels<T, V>(a, top + x0 * p.x_w, c, p);
            load_channels<T, V>(b, top + x1 * p.x_w, c, p);
            load_channels<T, V>(d, bottom + x0 * p.x_w, c, p);
            load_channels<T, V>(e, bottom + x1 * p.x_w, c, p);
            const float vy = 1.0f - wy, vx = 1.0f - wx;
#pragma unroll
            for (int k = 0; k < V; k++) v[k] = fmaf(vy, fmaf(vx, a[k], wx * b[k]), wy * fmaf(vx, d[k], wx * e[k]));
        }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
        if (form == TF32)
#pragma unroll
            for (int k = 0; k < V; k++) v[k] = ib_round_tf32(v[k]);
#endif
        E *to = (E *)(tile + i * HEAD_PITCH(E)) + (c - first);
#pragma unroll
        for (int k = 0; k < V; k += 4) {
            const float part[4] = {v[k], v[k + 1], v[k + 2], v[k + 3]};
            ib_store_f32<E, 4>(to + k, part);
        }
    }
}

/* Host: blocks of a launch. */
static inline dim3 head_grid(const head_params &p, int64_t frames)
{
    return dim3((unsigned)ib_ceil_div(p.out_w, HEAD_TILE), (unsigned)ib_ceil_div(p.out_h, HEAD_TILE), (unsigned)frames);
}

/* output_head_mma.cu: the launch with tensor cores, x of `type`. */
isobath_status ib_cuda_head_launch_mma(ib_backend *backend, const head_params &p, ib_dtype type, int64_t frames);

#endif
