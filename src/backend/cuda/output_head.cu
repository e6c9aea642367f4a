/* output_head: bilinear to (H,W), 3x3 to 32 channels, ReLU, 1x1 to one channel, ReLU or sigmoid, in one kernel: the resized
 * map exists only as a tile in shared memory (head_tile.cuh), and everything after the products is f32. The order of sums is fixed.
 *
 * Which kernel: f16 input of 64 or 128 channels on sm_90a that is not made smaller goes to output_head_rows.cu, the half modes
 * on tensor cores to output_head_mma.cu; else this one, fp32 throughout. */
#include "backend/cuda/head_tile.cuh"

/* fp32: a thread has 8 pixels (columns pg and pg + 8 of its warp's four rows) x 8 output channels. */
template <typename T> __global__ void __launch_bounds__(HEAD_THREADS) k_head_simt(head_params p)
{
    ib_grid_begin();
    __shared__ alignas(16) uint8_t tile[HEAD_PATCH * HEAD_PATCH * HEAD_PITCH(float)];
    constexpr int PITCH = HEAD_PITCH(float) / (int)sizeof(float);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, pg = lane >> 2, cg = lane & 3;
    const int k = (p.ci + 7) / 8 * 8;
    const float *own = (const float *)tile + (warp * 4 * HEAD_PATCH + pg) * PITCH;
    float acc[8][8];
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) acc[i][j] = 0.0f;

    for (int first = 0; first < p.ci; first += HEAD_CHANNELS) {
        const int channels = k - first < HEAD_CHANNELS ? k - first : HEAD_CHANNELS;
        __syncthreads();
        fill_tile<T, EXACT>(tile, first, p);
        __syncthreads();
        for (int tap = 0; tap < 9; tap++) {
            const float *at = own + (tap / 3 * HEAD_PATCH + tap % 3) * PITCH;
            const float4 *w = (const float4 *)(p.weight + (int64_t)(tap * k + first) * 32) + cg * 2;
            for (int c = 0; c < channels; c += 4) {
                float4 v[8];
#pragma unroll
                for (int i = 0; i < 8; i++)
                    v[i] = *reinterpret_cast<const float4 *>(at + ((i >> 1) * HEAD_PATCH + (i & 1) * 8) * PITCH + c);
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

    const float *last = p.weight + head_last(p.ci);
    float *y = p.y + blockIdx.z * p.y_t;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++) sum = fmaf(ib_relu(acc[i][j] + p.bias[cg * 8 + j]), last[cg * 8 + j], sum);
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const int oy = (int)blockIdx.y * HEAD_TILE + warp * 4 + (i >> 1), ox = (int)blockIdx.x * HEAD_TILE + (i & 1) * 8 + pg;
        if (cg == 0 && oy < p.out_h && ox < p.out_w) y[oy * p.y_h + ox] = head_end(sum + p.bias[32], p.sigmoid);
    }
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
                           ci % (a->x.dtype == IB_F32 ? 4 : 8) == 0 && ib_cuda_aligned(&a->x, 16),
                           a->sigmoid,
                           0};
    if (ib_cuda_head_launch_rows(ib_cuda(backend), a)) return ib_cuda_launched(backend, "output_head");
    if (backend->act != IB_F32 && ib_cuda(backend)->path >= IB_CUDA_MMA)
        return ib_cuda_head_launch_mma(backend, p, a->x.dtype, a->y.dim[0]);
    IB_CUDA_DISPATCH(a->x.dtype, T,
                     ib_cuda_launch(ib_cuda(backend), k_head_simt<T>, head_grid(p, a->y.dim[0]), HEAD_THREADS, 0, p));
    return ib_cuda_launched(backend, "output_head");
}
