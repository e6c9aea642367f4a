/* Parameters of a network on a backend; see params.h. */
#include "model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ib_params_init(ib_params *params, ib_backend *backend, const ib_checkpoint *checkpoint, ib_budget *budget,
                    ib_diag *diag)
{
    *params = (ib_params){.backend = backend, .checkpoint = checkpoint, .budget = budget, .diag = diag};
}

void ib_params_free(ib_params *params)
{
    for (size_t i = 0; i < params->weight_count; i++)
        params->backend->ops->weight_destroy(params->backend, params->weights[i]);
    for (size_t i = 0; i < params->buffer_count; i++)
        params->backend->ops->buffer_free(params->backend, params->buffers[i]);
    free(params->weights);
    free(params->buffers);
    params->weights = NULL;
    params->buffers = NULL;
    params->weight_count = params->buffer_count = 0;
    params->weight_cap = params->buffer_cap = 0;
    ib_budget_give(params->budget, params->budget_bytes);
    params->budget_bytes = 0;
}

void ib_params_prefix(ib_params *params, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(params->prefix, sizeof params->prefix, format, ap);
    va_end(ap);
}

/* Counts `bytes` against the budget. */
static isobath_status charge(ib_params *params, size_t bytes)
{
    if (!ib_budget_take(params->budget, bytes))
        return ib_fail(params->diag, ISOBATH_ERR_MEMORY, "%s: %.1f MiB of memory are allowed, the network's parameters alone take more",
                       params->backend->ops->name, (double)params->budget->limit / 1048576.0);
    params->budget_bytes += bytes;
    return ISOBATH_OK;
}

/* Room for one more pointer in a growing list. */
static isobath_status grow(ib_params *params, void ***list, size_t count, size_t *cap)
{
    if (count < *cap) return ISOBATH_OK;
    size_t next = *cap ? *cap * 2 : 64;
    void **p = realloc(*list, next * sizeof *p);
    if (!p) return ib_fail(params->diag, ISOBATH_ERR_MEMORY, "out of memory for %zu parameters", next);
    *list = p;
    *cap = next;
    return ISOBATH_OK;
}

/* NULL without a checkpoint. */
static isobath_status find(const ib_params *params, const char *name, int64_t count, const ib_checkpoint_tensor **out)
{
    *out = NULL;
    if (!params->checkpoint) return ISOBATH_OK;
    char full[256];
    snprintf(full, sizeof full, "%s%s", params->prefix, name);
    const ib_checkpoint_tensor *t = ib_checkpoint_find(params->checkpoint, full);
    if (!t || t->count != count) /* ib_vda_config_read has checked them all */
        return ib_fail(params->diag, ISOBATH_ERR_MODEL, "%s: tensor %s has %lld values, expected %lld",
                       ib_checkpoint_path(params->checkpoint), full, t ? (long long)t->count : 0LL, (long long)count);
    *out = t;
    return ISOBATH_OK;
}

isobath_status ib_params_read(ib_params *params, const char *name, int64_t count, float **out)
{
    *out = NULL;
    const ib_checkpoint_tensor *t;
    IB_TRY(find(params, name, count, &t));
    if (!t) return ISOBATH_OK;
    float *data = malloc((size_t)count * sizeof *data);
    if (!data) return ib_fail(params->diag, ISOBATH_ERR_MEMORY, "out of memory for tensor %s%s", params->prefix, name);
    ib_checkpoint_read_f32(t, data);
    *out = data;
    return ISOBATH_OK;
}

isobath_status ib_params_upload(ib_params *params, const float *src, int64_t count, ib_tensor *out)
{
    ib_backend *be = params->backend;
    *out = ib_tensor_1d(NULL, IB_F32, count);
    size_t bytes = (size_t)count * sizeof *src;
    IB_TRY(grow(params, &params->buffers, params->buffer_count, &params->buffer_cap));
    IB_TRY(charge(params, bytes));
    IB_TRY(be->ops->buffer_alloc(be, bytes, &out->data));
    params->buffers[params->buffer_count++] = out->data;
    params->vector_bytes += (bytes + 255) & ~(size_t)255;
    return src ? be->ops->upload(be, out->data, src, bytes) : ISOBATH_OK;
}

void ib_params_drop(ib_params *params, ib_tensor *vector)
{
    size_t bytes = (size_t)ib_tensor_count(vector) * sizeof(float);
    for (size_t i = 0; i < params->buffer_count; i++) {
        if (params->buffers[i] != vector->data) continue;
        params->backend->ops->buffer_free(params->backend, vector->data);
        params->buffers[i] = params->buffers[--params->buffer_count];
        params->vector_bytes -= (bytes + 255) & ~(size_t)255;
        ib_budget_give(params->budget, bytes);
        params->budget_bytes -= bytes;
        break;
    }
    vector->data = NULL;
}

isobath_status ib_params_vector(ib_params *params, const char *name, int64_t count, ib_tensor *out)
{
    float *data;
    IB_TRY(ib_params_read(params, name, count, &data));
    isobath_status st = ib_params_upload(params, data, count, out);
    free(data);
    return st;
}

isobath_status ib_params_pack(ib_params *params, const float *data, ib_weight_kind kind, int64_t out_channels,
                              int64_t in_channels, int kernel, ib_weight **out)
{
    ib_backend *be = params->backend;
    ib_weight_desc desc = {kind, out_channels, in_channels, kernel, data};
    void **list = (void **)params->weights;
    isobath_status st = grow(params, &list, params->weight_count, &params->weight_cap);
    params->weights = (ib_weight **)list;
    IB_TRY(st);
    IB_TRY(be->ops->weight_create(be, &desc, out));
    params->weights[params->weight_count++] = *out;
    return charge(params, (*out)->bytes);
}

isobath_status ib_params_weight(ib_params *params, const char *name, ib_weight_kind kind, int64_t out_channels,
                                int64_t in_channels, int kernel, ib_weight **out)
{
    int64_t taps = kind == IB_WEIGHT_CONV3X3 ? 9 : kind == IB_WEIGHT_CONVT ? (int64_t)kernel * kernel
                 : kind == IB_WEIGHT_GEGLU ? 2 : 1;
    const ib_checkpoint_tensor *t;
    IB_TRY(find(params, name, out_channels * in_channels * taps, &t));
    const float *there = t ? ib_checkpoint_f32(t) : NULL; /* read where it is: a copy of a model takes time */
    if (there) return ib_params_pack(params, there, kind, out_channels, in_channels, kernel, out);
    float *data;
    IB_TRY(ib_params_read(params, name, out_channels * in_channels * taps, &data));
    isobath_status st = ib_params_pack(params, data, kind, out_channels, in_channels, kernel, out);
    free(data);
    return st;
}

size_t ib_params_bytes(const ib_params *params)
{
    size_t bytes = params->vector_bytes;
    for (size_t i = 0; i < params->weight_count; i++) bytes += params->weights[i]->bytes;
    return bytes;
}
