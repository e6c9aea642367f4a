/* Temporal attention in fp32 arithmetic: the true-fp32 mode, small head sizes, and cards without usable tensor cores.
 *
 * One warp per (pixel, head); lane t is query frame t and keeps its 32 scores in registers. Keys and values of the item
 * lie in shared memory as f32 and are read by all lanes at once (broadcast), so no score ever leaves its lane.
 */
#include "backend/cuda/temporal.cuh"
#include <math.h>

#define FRAMES IB_TEMPORAL_MAX_FRAMES

template <typename T> __device__ __forceinline__ void load4(float (&out)[4], const T *at, int vector)
{
    if (vector) {
        ib_load_f32<T, 4>(at, out);
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++) out[e] = ib_to_f32(at[e]);
    }
}

/* All frames of one head at one pixel to shared memory; frames from `count` on become zero. */
template <typename T>
__device__ __forceinline__ void stage(float *dst, const T *src, int64_t stride_t, int count, int d, int vector)
{
    for (int i = (int)(threadIdx.x & 31) * 4; i < FRAMES * d; i += 128) {
        const int t = i / d;
        float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (t < count) load4<T>(v, src + t * stride_t + (i - t * d), vector);
        *reinterpret_cast<float4 *>(dst + i) = make_float4(v[0], v[1], v[2], v[3]);
    }
}

template <typename T> __global__ void __launch_bounds__(256) k_temporal_simt(ib_temporal_params p, int vector)
{
    extern __shared__ float4 temporal_simt_smem[];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, d = p.d;
    const int64_t item = (int64_t)blockIdx.x * (blockDim.x >> 5) + warp, pixel = item / p.heads;
    const int head = (int)(item - pixel * p.heads), tq = (int)blockIdx.y * FRAMES + lane;
    if (pixel >= p.pixels) return; /* whole warps only, and no block-wide barrier below */
    float *sk = (float *)temporal_simt_smem + (size_t)warp * 2 * FRAMES * d, *sv = sk + FRAMES * d;
    stage<T>(sk, (const T *)p.k + pixel * p.k_p + head * d, p.k_t, p.tk, d, vector);
    stage<T>(sv, (const T *)p.v + pixel * p.v_p + head * d, p.v_t, p.tk, d, vector);
    __syncwarp();
    if (tq >= p.tq) return;

    const T *q = (const T *)p.q + tq * p.q_t + pixel * p.q_p + head * d;
    float s[FRAMES];
#pragma unroll
    for (int j = 0; j < FRAMES; j++) s[j] = 0.0f;
    for (int c = 0; c < d; c += 4) {
        float x[4];
        load4<T>(x, q + c, vector);
#pragma unroll
        for (int j = 0; j < FRAMES; j++) {
            const float4 k = *reinterpret_cast<const float4 *>(sk + j * d + c);
            s[j] = fmaf(x[0], k.x, s[j]);
            s[j] = fmaf(x[1], k.y, s[j]);
            s[j] = fmaf(x[2], k.z, s[j]);
            s[j] = fmaf(x[3], k.w, s[j]);
        }
    }
    float top = -INFINITY, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < FRAMES; j++) {
        if (j >= p.tk) s[j] = -INFINITY;
        top = fmaxf(top, s[j]);
    }
#pragma unroll
    for (int j = 0; j < FRAMES; j++) {
        s[j] = exp2f((s[j] - top) * p.scale_log2);
        sum += s[j];
    }
    T *y = (T *)p.y + tq * p.y_t + pixel * p.y_p + head * d;
    for (int c = 0; c < d; c += 4) {
        float o[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int j = 0; j < FRAMES; j++) {
            const float4 v = *reinterpret_cast<const float4 *>(sv + j * d + c);
            o[0] = fmaf(s[j], v.x, o[0]);
            o[1] = fmaf(s[j], v.y, o[1]);
            o[2] = fmaf(s[j], v.z, o[2]);
            o[3] = fmaf(s[j], v.w, o[3]);
        }
#pragma unroll
        for (int e = 0; e < 4; e++) o[e] /= sum;
        if (vector) {
            ib_store_f32<T, 4>(y + c, o);
        } else {
#pragma unroll
            for (int e = 0; e < 4; e++) y[c + e] = ib_from_f32<T>(o[e]);
        }
    }
}

template <typename T> static isobath_status launch(ib_backend *backend, const ib_temporal_attention_args *a)
{
    const ib_temporal_params p = ib_temporal_params_of(a);
    const size_t unit = 4 * sizeof(T);
    const int vector = ib_cuda_aligned(&a->q, unit) && ib_cuda_aligned(&a->k, unit) && ib_cuda_aligned(&a->v, unit) &&
                       ib_cuda_aligned(&a->y, unit);
    const int warp_bytes = 2 * FRAMES * p.d * (int)sizeof(float);
    int warps = 32 * 1024 / warp_bytes;
    if (warps > 8) warps = 8;
    if (warps < 1) warps = 1;
    IB_TRY(ib_cuda_check(
        backend,
        cudaFuncSetAttribute(k_temporal_simt<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, warps * warp_bytes),
        "temporal attention: head size too large for shared memory"));
    dim3 grid((unsigned)ib_ceil_div(p.pixels * p.heads, warps), (unsigned)ib_ceil_div(p.tq, FRAMES));
    k_temporal_simt<T><<<grid, warps * 32, warps * warp_bytes, ib_cuda(backend)->stream>>>(p, vector);
    return ib_cuda_launched(backend, "temporal attention");
}

isobath_status ib_cuda_temporal_simt(ib_backend *backend, const ib_temporal_attention_args *a)
{
    isobath_status status = ISOBATH_OK;
    IB_CUDA_DISPATCH(a->q.dtype, T, status = launch<T>(backend, a));
    return status;
}
