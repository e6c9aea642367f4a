/* output_head: bilinear to (H,W), 3x3 to 32 channels, ReLU, 1x1 to one channel, ReLU, in one kernel: the resized map
 * exists only as a tile in shared memory, in f32, so fp16's range limits nothing.
 *
 * One block: 16 x 16 output pixels of one frame. Up to 32 input channels at a time are resized into an 18 x 18 tile
 * (zeros outside the image), then multiplied: with TF32 products and f32 accumulation (k_head_mma: half modes on cards
 * with tensor cores), or in fp32 throughout (k_head_simt). The order of sums is fixed: 32 channels, taps, channels.
 *
 * Packed weight, f32: [tap 9][ci padded to 8][32], then the 32 of the 1x1, then the 3x3 again, rounded to TF32 and in
 * the order in which mma lanes read it: [tap][ci / 8][lane 32][n tile 4][k half 2].
 */
#include "backend/cuda/mma.cuh"
#include "backend/cuda/head.cuh"
#include <string.h>

#define TILE 16
#define PATCH (TILE + 2)
#define CHANNELS 32     /* of the tile at a time, and of the 3x3's output */
#define PITCH (CHANNELS + 4) /* f32 values between pixels: no bank conflicts */
#define THREADS 128
#define SMEM_BYTES (PATCH * PATCH * PITCH * (int)sizeof(float))

struct head_params {
    const void *x;
    const float *weight, *bias;
    float *y;
    int64_t x_t, x_h, x_w, y_t, y_h;
    int in_h, in_w, out_h, out_w, ci;
    float scale_h, scale_w;
    int vector; /* pixels of x may be read four channels at a time */
};

static inline int64_t padded(int64_t ci) { return (ci + 7) / 8 * 8; }

size_t ib_cuda_head_bytes(int64_t ci) { return (size_t)(2 * 9 * padded(ci) * 32 + 32) * sizeof(float); }

/* cvt.rna.tf32 on the host: nearest, ties away from zero; NaN and infinity unchanged. */
static float round_tf32(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7f800000u) != 0x7f800000u) u = (u + 0x1000u) & ~0x1fffu;
    memcpy(&x, &u, 4);
    return x;
}

void ib_cuda_head_pack(const float *src, int64_t ci, float *dst)
{
    const int64_t k = padded(ci);
    float *plain = dst, *last = dst + 9 * k * 32, *lanes = last + 32;
    memset(dst, 0, ib_cuda_head_bytes(ci));
    for (int64_t co = 0; co < 32; co++)
        for (int64_t c = 0; c < ci; c++)
            for (int64_t tap = 0; tap < 9; tap++) {
                const float w = src[(co * ci + c) * 9 + tap];
                const int64_t lane = (co % 8) * 4 + c % 4; /* B operand: n = lane / 4, k = lane % 4 (+ 4) */
                plain[(tap * k + c) * 32 + co] = w;
                lanes[(((tap * (k / 8) + c / 8) * 32 + lane) * 4 + co / 8) * 2 + c % 8 / 4] = round_tf32(w);
            }
    memcpy(last, src + 32 * ci * 9, 32 * sizeof(float));
}

__device__ __forceinline__ float head_round(float x, int tf32)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    return tf32 ? ib_round_tf32(x) : x;
#else
    return x;
#endif
}

/* Four channels from c on, zeros from ci on. */
template <typename T>
__device__ __forceinline__ void load_channels(float (&v)[4], const T *pixel, int c, const head_params &p)
{
    if (p.vector) {
        ib_load_f32<T, 4>(pixel + c, v);
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++) v[e] = c + e < p.ci ? ib_to_f32(pixel[c + e]) : 0.0f;
    }
}

/* Channels [first, first + 32) of the resized map around the block's tile. */
template <typename T, int tf32> __device__ __forceinline__ void fill_tile(float *tile, int first, const head_params &p)
{
    const T *x = (const T *)p.x + blockIdx.z * p.x_t;
    const int c = first + (int)(threadIdx.x & 7) * 4;
    for (int i = threadIdx.x >> 3; i < PATCH * PATCH; i += THREADS / 8) {
        const int py = i / PATCH, px = i - py * PATCH;
        const int oy = (int)blockIdx.y * TILE + py - 1, ox = (int)blockIdx.x * TILE + px - 1;
        float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (oy >= 0 && oy < p.out_h && ox >= 0 && ox < p.out_w && c < p.ci) {
            int y0, y1, x0, x1;
            float wy, wx, a[4], b[4], d[4], e[4];
            ib_bilinear_axis_device(oy, p.in_h, p.scale_h, &y0, &y1, &wy);
            ib_bilinear_axis_device(ox, p.in_w, p.scale_w, &x0, &x1, &wx);
            load_channels<T>(a, x + y0 * p.x_h + x0 * p.x_w, c, p);
            load_channels<T>(b, x + y0 * p.x_h + x1 * p.x_w, c, p);
            load_channels<T>(d, x + y1 * p.x_h + x0 * p.x_w, c, p);
            load_channels<T>(e, x + y1 * p.x_h + x1 * p.x_w, c, p);
            const float vy = 1.0f - wy, vx = 1.0f - wx;
#pragma unroll
            for (int k = 0; k < 4; k++)
                v[k] = head_round(fmaf(vy, fmaf(vx, a[k], wx * b[k]), wy * fmaf(vx, d[k], wx * e[k])), tf32);
        }
        *reinterpret_cast<float4 *>(tile + i * PITCH + (threadIdx.x & 7) * 4) = make_float4(v[0], v[1], v[2], v[3]);
    }
}

/* Four warps; each four rows of the tile, a row of 16 pixels being the 16 rows of an A operand. */
template <typename T> __global__ void __launch_bounds__(THREADS, 3) k_head_mma(head_params p)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    extern __shared__ float4 head_smem[];
    float *tile = (float *)head_smem;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int k8 = (p.ci + 7) / 8;
    const float *last = p.weight + 9 * k8 * 8 * 32;
    const float4 *lanes = (const float4 *)(last + 32) + lane * 2;
    /* ldmatrix: lanes 0-15 address pixels 0-15 of the row at k 0-3, lanes 16-31 the same at k 4-7 */
    const uint32_t a_lane = ib_smem_address(tile) + ((warp * 4 * PATCH + (lane & 15)) * PITCH + (lane >> 4) * 4) * 4;

    float acc[4][4][4]; /* [row of pixels][8 output channels][fragment] */
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) acc[m][n][e] = 0.0f;

    for (int first = 0; first < p.ci; first += CHANNELS) {
        const int steps = k8 - first / 8 < CHANNELS / 8 ? k8 - first / 8 : CHANNELS / 8;
        __syncthreads();
        fill_tile<T, 1>(tile, first, p);
        __syncthreads();
        for (int tap = 0; tap < 9; tap++) {
            const uint32_t a_tap = a_lane + (tap / 3 * PATCH + tap % 3) * PITCH * 4;
            const float4 *b_tap = lanes + (int64_t)(tap * k8 + first / 8) * 64;
#pragma unroll 4
            for (int ks = 0; ks < steps; ks++) {
                const float4 b01 = __ldg(b_tap + ks * 64), b23 = __ldg(b_tap + ks * 64 + 1);
                const uint32_t b[8] = {__float_as_uint(b01.x), __float_as_uint(b01.y), __float_as_uint(b01.z),
                                       __float_as_uint(b01.w), __float_as_uint(b23.x), __float_as_uint(b23.y),
                                       __float_as_uint(b23.z), __float_as_uint(b23.w)};
#pragma unroll
                for (int m = 0; m < 4; m++) {
                    uint32_t a[4];
                    ib_ldmatrix_x4(a, a_tap + (m * PATCH * PITCH + ks * 8) * 4);
#pragma unroll
                    for (int n = 0; n < 4; n++) ib_mma_tf32(acc[m][n], a, b[2 * n], b[2 * n + 1]);
                }
            }
        }
    }

    const float bias_last = p.bias[32];
    float *y = p.y + blockIdx.z * p.y_t;
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) { /* pixels g and g + 8 of the row */
            float sum = 0.0f;
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int co = n * 8 + t * 2 + e;
                    sum = fmaf(ib_relu(acc[m][n][2 * r + e] + p.bias[co]), last[co], sum);
                }
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const int oy = (int)blockIdx.y * TILE + warp * 4 + m, ox = (int)blockIdx.x * TILE + r * 8 + g;
            if (t == 0 && oy < p.out_h && ox < p.out_w) y[oy * p.y_h + ox] = ib_relu(sum + bias_last);
        }
#endif
}

/* fp32: a thread has 8 pixels (columns pg and pg + 8 of its warp's four rows) x 8 output channels. */
template <typename T> __global__ void __launch_bounds__(THREADS) k_head_simt(head_params p)
{
    extern __shared__ float4 head_smem[];
    float *tile = (float *)head_smem;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, pg = lane >> 2, cg = lane & 3;
    const int k = (p.ci + 7) / 8 * 8;
    const float *own = tile + (warp * 4 * PATCH + pg) * PITCH;
    float acc[8][8];
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) acc[i][j] = 0.0f;

    for (int first = 0; first < p.ci; first += CHANNELS) {
        const int channels = k - first < CHANNELS ? k - first : CHANNELS;
        __syncthreads();
        fill_tile<T, 0>(tile, first, p);
        __syncthreads();
        for (int tap = 0; tap < 9; tap++) {
            const float *at = own + (tap / 3 * PATCH + tap % 3) * PITCH;
            const float4 *w = (const float4 *)(p.weight + (int64_t)(tap * k + first) * 32) + cg * 2;
            for (int c = 0; c < channels; c += 4) {
                float4 v[8];
#pragma unroll
                for (int i = 0; i < 8; i++)
                    v[i] = *reinterpret_cast<const float4 *>(at + ((i >> 1) * PATCH + (i & 1) * 8) * PITCH + c);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const float4 w0 = __ldg(w + (c + e) * 8), w1 = __ldg(w + (c + e) * 8 + 1);
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        const float x = e == 0 ? v[i].x : e == 1 ? v[i].y : e == 2 ? v[i].z : v[i].w;
                        acc[i][0] = fmaf(x, w0.x, acc[i][0]);
                        acc[i][1] = fmaf(x, w0.y, acc[i][1]);
                        acc[i][2] = fmaf(x, w0.z, acc[i][2]);
                        acc[i][3] = fmaf(x, w0.w, acc[i][3]);
                        acc[i][4] = fmaf(x, w1.x, acc[i][4]);
                        acc[i][5] = fmaf(x, w1.y, acc[i][5]);
                        acc[i][6] = fmaf(x, w1.z, acc[i][6]);
                        acc[i][7] = fmaf(x, w1.w, acc[i][7]);
                    }
                }
            }
        }
    }

    const float *last = p.weight + 9 * k * 32;
    float *y = p.y + blockIdx.z * p.y_t;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++)
            sum = fmaf(ib_relu(acc[i][j] + p.bias[cg * 8 + j]), last[cg * 8 + j], sum);
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const int oy = (int)blockIdx.y * TILE + warp * 4 + (i >> 1), ox = (int)blockIdx.x * TILE + (i & 1) * 8 + pg;
        if (cg == 0 && oy < p.out_h && ox < p.out_w) y[oy * p.y_h + ox] = ib_relu(sum + p.bias[32]);
    }
}

template <typename T>
static isobath_status launch(ib_backend *backend, const head_params &p, int64_t frames, int tensor_cores)
{
    dim3 grid((unsigned)ib_ceil_div(p.out_w, TILE), (unsigned)ib_ceil_div(p.out_h, TILE), (unsigned)frames);
    void (*kernel)(head_params) = tensor_cores ? k_head_mma<T> : k_head_simt<T>;
    IB_TRY(ib_cuda_check(backend, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SMEM_BYTES),
                         "output_head: shared memory"));
    kernel<<<grid, THREADS, SMEM_BYTES, ib_cuda(backend)->stream>>>(p);
    return ib_cuda_launched(backend, "output_head");
}

isobath_status ib_cuda_output_head(ib_backend *backend, const ib_output_head_args *a)
{
    const int64_t ci = a->x.dim[3];
    const head_params p = {a->x.data,
                           (const float *)ib_cuda_w(a->w)->data,
                           (const float *)a->bias.data,
                           (float *)a->y.data,
                           a->x.stride[0],
                           a->x.stride[1],
                           a->x.stride[2],
                           a->y.stride[0],
                           a->y.stride[1],
                           (int)a->x.dim[1],
                           (int)a->x.dim[2],
                           (int)a->y.dim[1],
                           (int)a->y.dim[2],
                           (int)ci,
                           ib_cuda_bilinear_scale(a->x.dim[1], a->y.dim[1]),
                           ib_cuda_bilinear_scale(a->x.dim[2], a->y.dim[2]),
                           ci % 4 == 0 && ib_cuda_aligned(&a->x, 4 * ib_dtype_size(a->x.dtype))};
    const int tensor_cores = backend->act != IB_F32 && ib_cuda(backend)->path >= IB_CUDA_MMA;
    isobath_status status = ISOBATH_OK;
    IB_CUDA_DISPATCH(a->x.dtype, T, status = launch<T>(backend, p, a->y.dim[0], tensor_cores));
    return status;
}
