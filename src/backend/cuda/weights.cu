/* Packs weights into rows of output channels, each k_pad values of the activation type, zero beyond the real ones:
 *   LINEAR   row m                        k = input channel
 *   GEGLU    row 2m value m, 2m+1 gate m  k = input channel, so that one tile of columns has both
 *   CONV3X3  row co                       k = tap*ci_pad + ci, tap = 3 ky + kx, ci_pad = Ci rounded up to 8
 *   CONVT    row (ky*k + kx)*Co + co      k = ci
 * k_pad is k rounded up to 8, so that rows allow 16-byte accesses. HEAD is output_head_weight.cu's own. Kernels of 3x3 weights are
 * rounded to half types by error diffusion (base/diffuse.h). */
#include "backend/cuda/common.cuh"
#include "backend/cuda/head.cuh"
#include <stdlib.h>

extern "C" {
#include "base/diffuse.h"
}

typedef struct pack_shape {
    int kind, kernel;
    int64_t out_channels, in_channels, ci_pad, rows, k_pad;
} pack_shape;

/* Index of packed value (row, k) in the canonical layout, -1 for padding. */
__device__ int64_t source_index(const pack_shape &s, int64_t row, int64_t k)
{
    switch (s.kind) {
    case IB_WEIGHT_GEGLU:
        if (k >= s.in_channels) return -1;
        return ((row & 1) * s.out_channels + row / 2) * s.in_channels + k;
    case IB_WEIGHT_CONV3X3: {
        const int64_t tap = k / s.ci_pad, ci = k % s.ci_pad;
        return tap < 9 && ci < s.in_channels ? (row * s.in_channels + ci) * 9 + tap : -1;
    }
    case IB_WEIGHT_CONVT: {
        const int64_t co = row % s.out_channels, tap = row / s.out_channels;
        if (k >= s.in_channels) return -1;
        return (k * s.out_channels + co) * s.kernel * s.kernel + tap;
    }
    default: return k < s.in_channels ? row * s.in_channels + k : -1;
    }
}

template <typename T> __global__ void k_pack_weight(const float *__restrict__ src, T *__restrict__ dst, pack_shape s)
{
    const int64_t count = s.rows * s.k_pad;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x * blockDim.x) {
        const int64_t from = source_index(s, i / s.k_pad, i % s.k_pad);
        dst[i] = ib_from_f32<T>(from < 0 ? 0.0f : src[from]);
    }
}

/* Rounds `count` 3x3 kernels in place to what T holds. */
template <typename T> __global__ void k_diffuse3x3(float *w, int64_t count)
{
    for (int64_t k = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; k < count; k += (int64_t)gridDim.x * blockDim.x) {
        float error[9];
#pragma unroll
        for (int i = 0; i < 9; i++) {
            const float target = ib_diffuse_target(error, 3, i, w[k * 9 + i]);
            w[k * 9 + i] = ib_to_f32(ib_from_f32<T>(target));
            error[i] = ib_diffuse_error(w[k * 9 + i], target);
        }
    }
}

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* Uploads the f32 values into a buffer of their own, packs them on the device, frees the buffer. */
static isobath_status pack_on_device(ib_cuda_backend *be, const ib_weight_desc *d, ib_cuda_weight *w, int64_t ci_pad,
                                     int64_t source_count)
{
    ib_backend *base = &be->base;
    void *source = NULL;
    IB_TRY(ib_cuda_buffer_alloc(base, (size_t)source_count * sizeof(float), &source));
    isobath_status status = ib_cuda_upload(base, source, d->data, (size_t)source_count * sizeof(float));
    if (status == ISOBATH_OK && d->kind == IB_WEIGHT_CONV3X3 && base->act != IB_F32) {
        const int64_t kernels = d->out_channels * d->in_channels;
        const unsigned grid = (unsigned)min(ib_ceil_div(kernels, 256), (int64_t)65536);
        IB_CUDA_DISPATCH(base->act, T, (k_diffuse3x3<T><<<grid, 256, 0, be->stream>>>((float *)source, kernels)));
        status = ib_cuda_launched(base, "weight_create");
    }
    if (status == ISOBATH_OK) {
        const pack_shape s = {(int)d->kind, d->kernel, d->out_channels, d->in_channels, ci_pad, w->rows, w->k_pad};
        const int64_t blocks = ib_ceil_div(w->rows * w->k_pad, 256);
        const unsigned grid = (unsigned)(blocks < 65536 ? blocks : 65536);
        IB_CUDA_DISPATCH(base->act, T, (k_pack_weight<T><<<grid, 256, 0, be->stream>>>((const float *)source, (T *)w->data, s)));
        status = ib_cuda_launched(base, "weight_create");
    }
    if (status == ISOBATH_OK) status = ib_cuda_sync(base);
    ib_cuda_buffer_free(base, source);
    return status;
}

static isobath_status pack_head(ib_cuda_backend *be, const ib_weight_desc *d, ib_cuda_weight *w)
{
    float *packed = (float *)malloc(w->base.bytes);
    if (!packed) return ib_fail(be->base.diag, ISOBATH_ERR_MEMORY, "cuda: out of host memory packing a weight");
    ib_cuda_head_pack(d->data, d->in_channels, packed);
    isobath_status status = ib_cuda_upload(&be->base, w->data, packed, w->base.bytes);
    if (status == ISOBATH_OK) status = ib_cuda_sync(&be->base);
    free(packed);
    return status;
}

isobath_status ib_cuda_weight_create(ib_backend *backend, const ib_weight_desc *d, ib_weight **out)
{
    ib_cuda_backend *be = ib_cuda(backend);
    *out = NULL;
    if (d->out_channels < 1 || d->in_channels < 1 || !d->data)
        return ib_fail(backend->diag, ISOBATH_ERR_INTERNAL, "weight_create: %lld x %lld channels, data %s",
                       (long long)d->out_channels, (long long)d->in_channels, d->data ? "given" : "NULL");
    ib_cuda_weight *w = (ib_cuda_weight *)calloc(1, sizeof *w);
    if (!w) return ib_fail(backend->diag, ISOBATH_ERR_MEMORY, "cuda: out of host memory for a weight");
    const int64_t ci_pad = round_up(d->in_channels, 8), ci = d->in_channels, co = d->out_channels;
    int64_t source_count = co * ci;
    w->rows = co;
    w->k = ci;
    if (d->kind == IB_WEIGHT_GEGLU) {
        w->rows = 2 * co;
        source_count *= 2;
    } else if (d->kind == IB_WEIGHT_CONV3X3) {
        w->k = 9 * ci_pad;
        source_count *= 9;
    } else if (d->kind == IB_WEIGHT_CONVT) {
        w->rows = co * d->kernel * d->kernel;
        source_count *= (int64_t)d->kernel * d->kernel;
    }
    w->k_pad = round_up(w->k, 8);
    w->base.kind = d->kind;
    w->base.out_channels = co;
    w->base.in_channels = ci;
    w->base.kernel = d->kernel;
    w->base.bytes = d->kind == IB_WEIGHT_HEAD ? ib_cuda_head_bytes(ci)
                                              : (size_t)(w->rows * w->k_pad) * ib_dtype_size(backend->act);
    isobath_status status = ib_cuda_buffer_alloc(backend, w->base.bytes, &w->data);
    if (status == ISOBATH_OK)
        status = d->kind == IB_WEIGHT_HEAD ? pack_head(be, d, w) : pack_on_device(be, d, w, ci_pad, source_count);
    if (status != ISOBATH_OK) {
        ib_cuda_weight_destroy(backend, &w->base);
        return status;
    }
    *out = &w->base;
    return ISOBATH_OK;
}

void ib_cuda_weight_destroy(ib_backend *backend, ib_weight *weight)
{
    if (!weight) return;
    ib_cuda_buffer_free(backend, ((ib_cuda_weight *)weight)->data);
    free(weight);
}
