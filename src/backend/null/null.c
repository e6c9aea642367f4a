/* The null backend: computes nothing, counts what each op would move and multiply. Memory planning and scheduler tests
 * run the model on it. Buffers are addresses that nobody may touch: they are never mapped and never handed out twice.
 */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ADDRESS ((uintptr_t)1 << 40)
#define LAST_ADDRESS ((uintptr_t)1 << 46)

typedef struct live_buffer {
    uintptr_t address;
    size_t bytes;
} live_buffer;

typedef struct null_backend {
    ib_backend base;
    ib_null_counts counts;
    uintptr_t next; /* addresses only go up */
    live_buffer *live;
    size_t live_count, live_capacity;
} null_backend;

static null_backend *self(ib_backend *b) { return (null_backend *)b; }

static isobath_status buffer_alloc(ib_backend *b, size_t bytes, void **out)
{
    null_backend *n = self(b);
    *out = NULL;
    size_t room = (bytes > LAST_ADDRESS ? LAST_ADDRESS : bytes) + 256; /* a zero-sized buffer has an address too */
    room &= ~(size_t)255;
    if (room > LAST_ADDRESS - n->next)
        return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "null backend: no %zu addresses left", bytes);
    if (n->live_count == n->live_capacity) {
        size_t capacity = n->live_capacity ? 2 * n->live_capacity : 64;
        live_buffer *grown = realloc(n->live, capacity * sizeof *grown);
        if (!grown)
            return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "null backend: out of memory for %zu buffers", capacity);
        n->live = grown;
        n->live_capacity = capacity;
    }
    n->live[n->live_count++] = (live_buffer){n->next, bytes};
    *out = (void *)n->next;
    n->next += room;
    n->counts.buffer_bytes += bytes;
    if (n->counts.buffer_bytes > n->counts.buffer_peak) n->counts.buffer_peak = n->counts.buffer_bytes;
    return ISOBATH_OK;
}

static void buffer_free(ib_backend *b, void *buffer)
{
    null_backend *n = self(b);
    for (size_t i = 0; buffer && i < n->live_count; i++) {
        if (n->live[i].address != (uintptr_t)buffer) continue;
        n->counts.buffer_bytes -= n->live[i].bytes;
        n->live[i] = n->live[--n->live_count];
        return;
    }
}

static isobath_status upload(ib_backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b, (void)dst, (void)src, (void)bytes;
    return ISOBATH_OK;
}

/* What comes back are zeros, so that nothing downstream reads undefined memory. */
static isobath_status download(ib_backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b, (void)src;
    memset(dst, 0, bytes);
    return ISOBATH_OK;
}

static isobath_status sync_all(ib_backend *b)
{
    (void)b;
    return ISOBATH_OK;
}

static isobath_status weight_create(ib_backend *b, const ib_weight_desc *d, ib_weight **out)
{
    *out = NULL;
    if (d->out_channels < 1 || d->in_channels < 1 || (d->kind == IB_WEIGHT_CONVT && d->kernel < 1))
        return ib_fail(b->diag, ISOBATH_ERR_INTERNAL, "null weight: kind %d, %lldx%lld, kernel %d", (int)d->kind,
                       (long long)d->out_channels, (long long)d->in_channels, d->kernel);
    int64_t count = d->out_channels * d->in_channels;
    if (d->kind == IB_WEIGHT_GEGLU) count *= 2;
    if (d->kind == IB_WEIGHT_CONV3X3) count *= 9;
    if (d->kind == IB_WEIGHT_CONVT) count *= (int64_t)d->kernel * d->kernel;
    if (d->kind == IB_WEIGHT_HEAD) count = count * 9 + 32;
    ib_weight *w = malloc(sizeof *w);
    if (!w) return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "null backend: out of memory for a weight");
    *w = (ib_weight){d->kind, d->out_channels, d->in_channels, d->kernel, (size_t)count * ib_dtype_size(b->act)};
    self(b)->counts.weight_bytes += w->bytes;
    *out = w;
    return ISOBATH_OK;
}

static void weight_destroy(ib_backend *b, ib_weight *w)
{
    if (w) self(b)->counts.weight_bytes -= w->bytes;
    free(w);
}

static void close_null(ib_backend *b)
{
    free(self(b)->live);
    free(b);
}

/* ---- ops -----------------------------------------------------------------------------------------------------------
 */

static double elements(const ib_tensor *t) { return ib_tensor_present(t) ? (double)ib_tensor_count(t) : 0; }

/* Adds one call: multiply-adds, the weight if any, and every tensor once (absent ones count nothing). */
static isobath_status count(ib_backend *b, double multiply_adds, const ib_weight *w, const ib_tensor *const *tensors)
{
    ib_null_counts *c = &self(b)->counts;
    c->calls++;
    c->flops += 2 * multiply_adds;
    if (w) c->bytes += (double)w->bytes;
    for (; *tensors; tensors++) c->bytes += elements(*tensors) * (double)ib_dtype_size((*tensors)->dtype);
    return ISOBATH_OK;
}

/* An op that multiplies nothing worth counting, with its tensors; and one with `multiply_adds` and a weight. */
#define NULL_PRODUCT(op, multiply_adds, weight, ...)                                           \
    static isobath_status null_##op(ib_backend *b, const ib_##op##_args *a)                    \
    {                                                                                          \
        return count(b, multiply_adds, weight, (const ib_tensor *const[]){__VA_ARGS__, NULL}); \
    }
#define NULL_MOVE(op, ...) NULL_PRODUCT(op, 0, NULL, __VA_ARGS__)

NULL_MOVE(patchify, &a->x, &a->y)
NULL_MOVE(embed_tokens, &a->x, &a->cls, &a->pos, &a->y)
NULL_MOVE(layernorm, &a->x, &a->weight, &a->bias, &a->pos, &a->y)
NULL_MOVE(add_pos, &a->x, &a->pos, &a->y)
NULL_PRODUCT(linear, elements(&a->y) * (double)a->w->in_channels * (a->act == IB_ACT_GEGLU ? 2 : 1), a->w, &a->x,
             &a->bias, &a->residual, &a->y)
/* q k^T and p v: each N*N*C per frame */
NULL_PRODUCT(attention, 2 * elements(&a->y) * (double)a->y.dim[1], NULL, &a->qkv, &a->y)
NULL_PRODUCT(temporal_attention, 2 * elements(&a->y) * (double)a->k.dim[0], NULL, &a->q, &a->k, &a->v, &a->y)
NULL_MOVE(groupnorm, &a->x, &a->weight, &a->bias, &a->y)
NULL_PRODUCT(conv3x3, elements(&a->y) * 9 * (double)a->w->in_channels, a->w, &a->x, &a->bias, &a->residual,
             &a->residual2, &a->y)
NULL_PRODUCT(conv_transpose, elements(&a->y) * (double)a->w->in_channels, a->w, &a->x, &a->bias, &a->y)
NULL_MOVE(resize_bilinear, &a->x, &a->y)
NULL_MOVE(resize_taps, &a->x, &a->bias, &a->y)
NULL_MOVE(overlap_add, &a->x, &a->y)
NULL_PRODUCT(output_head, elements(&a->y) * 32 * (9 * (double)a->w->in_channels + 1), a->w, &a->x, &a->bias, &a->y)
NULL_MOVE(copy, &a->x, &a->y)
NULL_MOVE(add, &a->a, &a->b, &a->y)
NULL_MOVE(yuv_to_rgb, &a->luma, &a->u, &a->v, &a->y)
NULL_MOVE(preprocess, &a->x, &a->y)

static isobath_status null_count_nonfinite(ib_backend *b, const ib_count_nonfinite_args *a)
{
    *a->count = 0;
    return count(b, 0, NULL, (const ib_tensor *const[]){&a->x, NULL});
}

static isobath_status null_render(ib_backend *b, const ib_render_args *a)
{
    if (a->min_out) *a->min_out = 0;
    if (a->max_out) *a->max_out = 1;
    return count(b, 0, NULL, (const ib_tensor *const[]){&a->a, &a->b, &a->y, NULL});
}

/* The sums of p = r with mean 1/2 and the variance of values spread evenly over [0, 1]: the fit is scale 1, shift 0. */
static isobath_status null_fit_sums(ib_backend *b, const ib_fit_sums_args *a)
{
    double n = 2.0 * (double)a->height * (double)a->width;
    a->sums[0] = n;
    a->sums[1] = a->sums[3] = n / 2;
    a->sums[2] = a->sums[4] = n / 3;
    return count(b, 0, NULL, (const ib_tensor *const[]){&a->p[0], &a->p[1], &a->r[0], &a->r[1], NULL});
}

/* Plans for devices that have lanes hold for those that have none. */
static isobath_status null_lane(ib_backend *b, int lane)
{
    (void)b;
    (void)lane;
    return ISOBATH_OK;
}

#define NULL_ENTRY(op) .op = null_##op,
#define NULL_TABLE(taps)                  \
    {                                     \
        .name = "null",                   \
        .buffer_alloc = buffer_alloc,     \
        .buffer_free = buffer_free,       \
        .upload = upload,                 \
        .download = download,             \
        .sync = sync_all,                 \
        .weight_create = weight_create,   \
        .weight_destroy = weight_destroy, \
        .close = close_null,              \
        IB_OPS(NULL_ENTRY)                \
        .lane = null_lane,                \
        .taps_first = taps,               \
    }
static const ib_op_table null_ops[2] = {NULL_TABLE(0), NULL_TABLE(1)};

isobath_status ib_null_open(const ib_backend_options *options, ib_backend **out)
{
    *out = NULL;
    if (options->act == IB_U8) return ib_fail(options->diag, ISOBATH_ERR_UNSUPPORTED, "null backend: act is u8");
    null_backend *n = calloc(1, sizeof *n);
    if (!n) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the null backend");
    n->base = (ib_backend){.ops = &null_ops[options->taps_first != 0], .act = options->act, .diag = options->diag, .pool = options->pool};
    snprintf(n->base.kind, sizeof n->base.kind, "null %s", ib_dtype_name(options->act));
    n->next = FIRST_ADDRESS;
    *out = &n->base;
    return ISOBATH_OK;
}

ib_null_counts ib_null_get_counts(const ib_backend *b)
{
    return ((const null_backend *)b)->counts;
}

void ib_null_reset_counts(ib_backend *b)
{
    ib_null_counts *c = &self(b)->counts;
    *c = (ib_null_counts){
        .buffer_bytes = c->buffer_bytes, .buffer_peak = c->buffer_bytes, .weight_bytes = c->weight_bytes};
}
