/* Shared by the files of the reference backend: element access in any float type, packed weights, the op prototypes.
 * Everything here favours being obvious; nothing is tuned beyond what keeps the tests bearable. */
#ifndef IB_BACKEND_REF_REF_H
#define IB_BACKEND_REF_REF_H

#include "backend/backend.h"
#include "base/half.h"

/* Weights are kept in f32 with the output channels innermost (padded with zeros to a multiple of IB_REF_LANES), so that
 * the inner loops run over outputs and the order of every sum stays the written one.
 * LINEAR [K][M]; GEGLU [K][2][M]; CONV3X3 [ky][kx][Ci][Co]; CONVT [ky][kx][Ci][Co]; HEAD [ky][kx][Ci][32], then 32. */
#define IB_REF_LANES 32
typedef struct ib_ref_weight {
    ib_weight base;
    int64_t pitch; /* padded outputs of one input and tap; GEGLU: values, then gates from pitch/2 on */
    float *data;
} ib_ref_weight;

static inline const ib_ref_weight *ib_ref_weight_of(const ib_weight *w) { return (const ib_ref_weight *)w; }

/* Reads and writes element `i` (an offset in elements) of a tensor of any float type. */
static inline float ib_ref_get(const ib_tensor *t, int64_t i)
{
    if (t->dtype == IB_F32) return ((const float *)t->data)[i];
    if (t->dtype == IB_F16) return ib_f16_to_f32(((const uint16_t *)t->data)[i]);
    return ib_bf16_to_f32(((const uint16_t *)t->data)[i]);
}

static inline void ib_ref_set(const ib_tensor *t, int64_t i, double v)
{
    if (t->dtype == IB_F32)
        ((float *)t->data)[i] = (float)v;
    else if (t->dtype == IB_F16)
        ((uint16_t *)t->data)[i] = ib_f32_to_f16((float)v);
    else
        ((uint16_t *)t->data)[i] = ib_f32_to_bf16((float)v);
}

/* Offsets of row (i,j) of a rank-3 tensor and pixel (i,j,k) of a rank-4 one. */
static inline int64_t ib_ref_row(const ib_tensor *t, int64_t i, int64_t j)
{
    return i * t->stride[0] + j * t->stride[1];
}

static inline int64_t ib_ref_pixel(const ib_tensor *t, int64_t i, int64_t j, int64_t k)
{
    return i * t->stride[0] + j * t->stride[1] + k * t->stride[2];
}

/* sum += x * w over IB_REF_LANES outputs. */
static inline void ib_ref_madd(double *sum, float x, const float *w)
{
    for (int i = 0; i < IB_REF_LANES; i++) sum[i] += (double)x * (double)w[i];
}

/* The four-point part of a bilinear sample as op.h defines it: every operation rounds to f32. */
static inline float ib_ref_lerp2(float p00, float p01, float p10, float p11, float w1y, float w1x)
{
    float w0y = 1.0f - w1y, w0x = 1.0f - w1x;
    float top = w0x * p00 + w1x * p01;
    float bottom = w0x * p10 + w1x * p11;
    return w0y * top + w1y * bottom;
}

/* Exact GELU. */
double ib_ref_gelu(double x);
/* Bilinear sample (align_corners) of a rank-2 f32 map at output pixel (y,x) of height x width. */
float ib_ref_upsample(const ib_tensor *map, int64_t y, int64_t x, int64_t height, int64_t width);
/* v*scale + shift with two roundings, then v < 0 -> 0 (NaN stays). */
float ib_ref_align(float v, float scale, float shift);

#define IB_REF_DECLARE(op) isobath_status ib_ref_##op(ib_backend *, const ib_##op##_args *);
IB_OPS(IB_REF_DECLARE)
#undef IB_REF_DECLARE
isobath_status ib_ref_temporal_block(ib_backend *, const ib_temporal_block_args *, int *done); /* every shape */

#endif
