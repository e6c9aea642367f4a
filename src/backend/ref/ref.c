/* The reference backend: scalar code with double accumulation on plain host memory. It is the meaning of every op and
 * is never tuned. Threads of the pool take whole rows, so results do not depend on their number. */
#include "backend/ref/ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static isobath_status buffer_alloc(ib_backend *b, size_t bytes, void **out)
{
    *out = bytes <= SIZE_MAX - 511 ? aligned_alloc(256, (bytes + 255 + (bytes == 0)) & ~(size_t)255) : NULL;
    if (!*out) return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of host memory: %zu bytes asked for", bytes);
    return ISOBATH_OK;
}

static void buffer_free(ib_backend *b, void *buffer)
{
    (void)b;
    free(buffer);
}

static isobath_status upload(ib_backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b;
    memcpy(dst, src, bytes);
    return ISOBATH_OK;
}

static isobath_status sync_all(ib_backend *b)
{
    (void)b;
    return ISOBATH_OK;
}

/* Number of taps (ky,kx) of a weight kind. */
static int64_t taps_of(const ib_weight_desc *d)
{
    switch (d->kind) {
    case IB_WEIGHT_CONV3X3:
    case IB_WEIGHT_HEAD: return 9;
    case IB_WEIGHT_CONVT: return (int64_t)d->kernel * d->kernel;
    default: return 1;
    }
}

static isobath_status weight_create(ib_backend *b, const ib_weight_desc *d, ib_weight **out)
{
    *out = NULL;
    int64_t taps = taps_of(d), in = d->in_channels, outputs = d->out_channels;
    if (!d->data || in < 1 || outputs < 1 || taps < 1 || (d->kind == IB_WEIGHT_HEAD && outputs != 32))
        return ib_fail(b->diag, ISOBATH_ERR_INTERNAL, "ref weight: kind %d, %lldx%lld, kernel %d, data %s",
                       (int)d->kind, (long long)outputs, (long long)in, d->kernel, d->data ? "given" : "NULL");
    int64_t halves = d->kind == IB_WEIGHT_GEGLU ? 2 : 1;
    int64_t padded = (outputs + IB_REF_LANES - 1) / IB_REF_LANES * IB_REF_LANES, pitch = halves * padded;
    size_t count = (size_t)(taps * in * pitch) + (d->kind == IB_WEIGHT_HEAD ? 32 : 0);
    ib_ref_weight *w = calloc(1, sizeof *w);
    float *data = calloc(count, sizeof *data);
    if (!w || !data) {
        free(w);
        free(data);
        return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of host memory for a weight of %zu bytes",
                       count * sizeof *data);
    }
    w->base = (ib_weight){d->kind, outputs, in, d->kernel, count * sizeof *data};
    w->pitch = pitch;
    w->data = data;
    for (int64_t tap = 0; tap < taps; tap++) {
        for (int64_t i = 0; i < in; i++) {
            float *to = data + (tap * in + i) * pitch;
            for (int64_t o = 0; o < halves * outputs; o++) {
                /* CONVT is [Ci,Co,k,k]; the others are [outputs, inputs, taps]. */
                int64_t from = d->kind == IB_WEIGHT_CONVT ? i * outputs + o : o * in + i;
                to[o / outputs * padded + o % outputs] = d->data[from * taps + tap];
            }
        }
    }
    if (d->kind == IB_WEIGHT_HEAD) memcpy(data + taps * in * pitch, d->data + 32 * in * 9, 32 * sizeof *data);
    *out = &w->base;
    return ISOBATH_OK;
}

static void weight_destroy(ib_backend *b, ib_weight *weight)
{
    (void)b;
    if (!weight) return;
    free(((ib_ref_weight *)weight)->data);
    free(weight);
}

static void close_ref(ib_backend *b) { free(b); }

static const ib_op_table ref_ops = {.name = "ref",
                                    .buffer_alloc = buffer_alloc,
                                    .buffer_free = buffer_free,
                                    .upload = upload,
                                    .download = upload,
                                    .sync = sync_all,
                                    .weight_create = weight_create,
                                    .weight_destroy = weight_destroy,
                                    .close = close_ref,
#define IB_REF_ENTRY(op) .op = ib_ref_##op,
                                    IB_OPS(IB_REF_ENTRY)
#undef IB_REF_ENTRY
                                    .temporal_block = ib_ref_temporal_block,
                                    .taps_first = 1,
};

isobath_status ib_ref_open(const ib_backend_options *options, ib_backend **out)
{
    *out = NULL;
    if (options->act != IB_F32)
        return ib_fail(options->diag, ISOBATH_ERR_UNSUPPORTED, "the ref backend computes in f32 only, %s was asked for",
                       ib_dtype_name(options->act));
    ib_backend *b = calloc(1, sizeof *b);
    if (!b) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the ref backend");
    b->ops = &ref_ops;
    b->act = options->act;
    b->diag = options->diag;
    b->pool = options->pool;
    snprintf(b->kind, sizeof b->kind, "ref f32");
    *out = b;
    return ISOBATH_OK;
}

double ib_ref_gelu(double x) { return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440)); }

float ib_ref_upsample(const ib_tensor *map, int64_t y, int64_t x, int64_t height, int64_t width)
{
    int64_t y0, y1, x0, x1;
    float wy, wx;
    ib_bilinear_axis(y, map->dim[0], height, &y0, &y1, &wy);
    ib_bilinear_axis(x, map->dim[1], width, &x0, &x1, &wx);
    const float *top = (const float *)map->data + y0 * map->stride[0];
    const float *bottom = (const float *)map->data + y1 * map->stride[0];
    return ib_ref_lerp2(top[x0], top[x1], bottom[x0], bottom[x1], wy, wx);
}

float ib_ref_align(float v, float scale, float shift)
{
    float scaled = v * scale;
    float shifted = scaled + shift;
    return shifted < 0.0f ? 0.0f : shifted;
}
