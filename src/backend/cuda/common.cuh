/* Device helpers that every kernel file may use: types, conversions, vectors, reductions, activations. */
#ifndef IB_BACKEND_CUDA_COMMON_CUH
#define IB_BACKEND_CUDA_COMMON_CUH

#include "backend/cuda/backend.cuh"
#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef __half ib_f16;
typedef __nv_bfloat16 ib_bf16;

/* ---- launches ----------------------------------------------------------------------------------------------------- */

/* First statement of a kernel that reads or writes activations and is launched by ib_cuda_launch: waits until the kernels
 * before it are done, then lets the next one take its place on the device. What stands before it may touch weights only. */
__device__ __forceinline__ void ib_grid_begin()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;\n" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}

/* Launches on the backend's stream; on sm_90 and newer the blocks take their places while the kernel before it ends, so the
 * kernel must call ib_grid_begin. Errors are left for ib_cuda_launched. */
template <typename... P, typename... A>
static inline void ib_cuda_launch(const ib_cuda_backend *be, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... args)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = be->stream;
    config.attrs = &early;
    config.numAttrs = be->early_launch;
    (void)cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

/* ---- conversions: round to nearest even, NaN stays NaN, overflow becomes infinity -------------------------------- */

__device__ __forceinline__ float ib_to_f32(float x) { return x; }
__device__ __forceinline__ float ib_to_f32(ib_f16 x) { return __half2float(x); }
__device__ __forceinline__ float ib_to_f32(ib_bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T ib_from_f32(float x);
template <> __device__ __forceinline__ float ib_from_f32<float>(float x) { return x; }
template <> __device__ __forceinline__ ib_f16 ib_from_f32<ib_f16>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ ib_bf16 ib_from_f32<ib_bf16>(float x) { return __float2bfloat16_rn(x); }

/* Two f32 values packed into one 32-bit register of the half type T, `lo` in the low half. */
template <typename T> __device__ __forceinline__ uint32_t ib_pack2(float lo, float hi);
template <> __device__ __forceinline__ uint32_t ib_pack2<ib_f16>(float lo, float hi)
{
    __half2 h = __floats2half2_rn(lo, hi);
    return *reinterpret_cast<uint32_t *>(&h);
}
template <> __device__ __forceinline__ uint32_t ib_pack2<ib_bf16>(float lo, float hi)
{
    __nv_bfloat162 h = __floats2bfloat162_rn(lo, hi);
    return *reinterpret_cast<uint32_t *>(&h);
}
template <typename T> __device__ __forceinline__ float2 ib_unpack2(uint32_t v);
template <> __device__ __forceinline__ float2 ib_unpack2<ib_f16>(uint32_t v)
{
    return __half22float2(*reinterpret_cast<__half2 *>(&v));
}
template <> __device__ __forceinline__ float2 ib_unpack2<ib_bf16>(uint32_t v)
{
    return __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&v));
}

/* ---- vectors ------------------------------------------------------------------------------------------------------ */

/* N values of T moved as one aligned access (N * sizeof(T) is 4, 8 or 16). */
template <typename T, int N> struct alignas(sizeof(T) * N) ib_vec {
    T v[N];
};
template <typename T, int N> __device__ __forceinline__ ib_vec<T, N> ib_load(const T *p)
{
    return *reinterpret_cast<const ib_vec<T, N> *>(p);
}
template <typename T, int N> __device__ __forceinline__ void ib_store(T *p, const ib_vec<T, N> &x)
{
    *reinterpret_cast<ib_vec<T, N> *>(p) = x;
}
/* N values as f32, through one access. */
template <typename T, int N> __device__ __forceinline__ void ib_load_f32(const T *p, float (&out)[N])
{
    ib_vec<T, N> x = ib_load<T, N>(p);
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = ib_to_f32(x.v[i]);
}
template <typename T, int N> __device__ __forceinline__ void ib_store_f32(T *p, const float (&in)[N])
{
    ib_vec<T, N> x;
#pragma unroll
    for (int i = 0; i < N; i++) x.v[i] = ib_from_f32<T>(in[i]);
    ib_store<T, N>(p, x);
}

/* Host: 1 when data and every stride but the last allow accesses of `bytes` bytes (a power of two). */
static inline int ib_cuda_aligned(const ib_tensor *t, size_t bytes)
{
    size_t size = ib_dtype_size(t->dtype), bits = (size_t)t->data;
    for (int i = 0; i + 1 < t->rank; i++)
        if (t->dim[i] > 1) bits |= (size_t)t->stride[i] * size;
    return (bits & (bytes - 1)) == 0;
}

/* ---- arithmetic --------------------------------------------------------------------------------------------------- */

/* NaN passes through, unlike fmaxf(x, 0). */
__device__ __forceinline__ float ib_relu(float x) { return x < 0.0f ? 0.0f : x; }
/* The exact GELU x*Phi(x), with the normal distribution's tail as a polynomial in 1/(1 + p|x|) times exp(-x*x/2)
 * (Abramowitz and Stegun 7.1.26): within 1e-7 |x|. NaN stays, +inf stays, -inf gives NaN as -inf * 0 does. */
__device__ __forceinline__ float ib_gelu(float x)
{
    float t, e;
    asm("rcp.approx.ftz.f32 %0, %1;\n" : "=f"(t) : "f"(fmaf(0.3275911f * 0.70710678118654752440f, fabsf(x), 1.0f)));
    float p = fmaf(t, 0.5f * 1.061405429f, 0.5f * -1.453152027f);
    p = fmaf(t, p, 0.5f * 1.421413741f);
    p = fmaf(t, p, 0.5f * -0.284496736f);
    p = fmaf(t, p, 0.5f * 0.254829592f);
    /* Rounded one by one, so that the bits do not depend on what follows. */
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(e) : "f"(__fmul_rn(__fmul_rn(x, x), -0.72134752044448170368f)));
    const float tail = __fmul_rn(__fmul_rn(p, t), e);
    return __fmul_rn(x, x > 0.0f ? __fsub_rn(1.0f, tail) : tail);
}

/* Butterfly sums and maxima over the 32 lanes: every lane gets the same bits. The maximum ignores NaN, as fmaxf does. */
__device__ __forceinline__ float ib_warp_sum(float x)
{
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}
__device__ __forceinline__ float ib_warp_max(float x)
{
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
    return x;
}

/* ib_bilinear_axis (op/op.h) on the device, with `scale` = (in-1)/(out-1) (0 where out = 1) computed on the host by
 * ib_cuda_bilinear_scale: same bits. */
static inline float ib_cuda_bilinear_scale(int64_t in, int64_t out)
{
    return out > 1 ? (float)(in - 1) / (float)(out - 1) : 0.0f;
}
__device__ __forceinline__ void ib_bilinear_axis_device(int dst, int in, float scale, int *i0, int *i1, float *w1)
{
    float s = __fmul_rn(scale, (float)dst);
    int i = (int)s;
    if (i > in - 1) i = in - 1;
    *i0 = i;
    *i1 = i + (i < in - 1 ? 1 : 0);
    *w1 = __fsub_rn(s, (float)i);
}

static inline int64_t ib_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* ---- dispatch on run-time types ----------------------------------------------------------------------------------- */

/* Runs the statement with the type T standing for a float dtype:
 *     IB_CUDA_DISPATCH(a->x.dtype, T, k_foo<T><<<grid, block, 0, stream>>>(...)); */
#define IB_CUDA_DISPATCH(dtype_, T, ...)                                                                               \
    do {                                                                                                               \
        switch (dtype_) {                                                                                              \
        case IB_F16: {                                                                                                 \
            typedef ib_f16 T;                                                                                          \
            __VA_ARGS__;                                                                                               \
        } break;                                                                                                       \
        case IB_BF16: {                                                                                                \
            typedef ib_bf16 T;                                                                                         \
            __VA_ARGS__;                                                                                               \
        } break;                                                                                                       \
        default: {                                                                                                     \
            typedef float T;                                                                                           \
            __VA_ARGS__;                                                                                               \
        } break;                                                                                                       \
        }                                                                                                              \
    } while (0)

#endif
