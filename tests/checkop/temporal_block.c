/* temporal_block: one op for a dozen, which only some backends have for some shapes. It must be as close to ref's in f32 as
 * the single ops on its own backend are, the same bytes at any cut of the pixels, in place or not, and it must keep pixels
 * apart. The single ops must be close to ref's, too: both say what the op means. */
#include "backend/ref/ref.h"
#include "checkop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { C = 64, HEADS = 8, MOST_BUFFERS = 40, MOST_WEIGHTS = 8 };

/* A module on one backend. */
typedef struct module {
    ib_backend *b;
    void *buffer[MOST_BUFFERS];
    ib_weight *weight[MOST_WEIGHTS];
    int buffers, weights;
    uint32_t seed;
    isobath_status status; /* the first failure; later calls do nothing */
    ib_temporal_block_args args; /* all but x, residual and y */
} module;

static void keep(module *m, isobath_status status)
{
    if (m->status == ISOBATH_OK) m->status = status;
}

static float *values(uint32_t seed, int64_t count, float centre, float amplitude, ib_dtype round_to)
{
    float *v = ck_alloc((size_t)count * sizeof *v);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = ck_round(centre + amplitude * ((float)(seed >> 8) / 8388608.0f - 1.0f), round_to);
    }
    return v;
}

static void *device(module *m, size_t bytes)
{
    void *p = NULL;
    keep(m, m->status != ISOBATH_OK ? m->status : m->b->ops->buffer_alloc(m->b, bytes, &p));
    if (p) m->buffer[m->buffers++] = p;
    return p;
}

static void put(module *m, void *to, ib_dtype dtype, const float *v, int64_t count)
{
    size_t bytes = (size_t)count * ib_dtype_size(dtype);
    uint16_t *half = ck_alloc(bytes);
    for (int64_t i = 0; i < count && dtype != IB_F32; i++) half[i] = dtype == IB_F16 ? ib_f32_to_f16(v[i]) : ib_f32_to_bf16(v[i]);
    if (m->status == ISOBATH_OK) keep(m, m->b->ops->upload(m->b, to, dtype == IB_F32 ? (const void *)v : half, bytes));
    if (m->status == ISOBATH_OK) keep(m, m->b->ops->sync(m->b));
    free(half);
}

static ib_tensor vector(module *m, int64_t count, float centre, float amplitude)
{
    float *v = values(m->seed++, count, centre, amplitude, IB_F32);
    void *p = device(m, (size_t)count * sizeof *v);
    put(m, p, IB_F32, v, count);
    free(v);
    return ib_tensor_1d(p, IB_F32, count);
}

static const ib_weight *weight(module *m, ib_weight_kind kind, int64_t out, int64_t in, ib_dtype act)
{
    int64_t count = out * in * (kind == IB_WEIGHT_GEGLU ? 2 : 1);
    float *v = values(m->seed++, count, 0, 1.7f / sqrtf((float)in), act);
    ib_weight *w = NULL;
    ib_weight_desc d = {kind, out, in, 0, v};
    if (m->status == ISOBATH_OK) keep(m, m->b->ops->weight_create(m->b, &d, &w));
    if (w) m->weight[m->weights++] = w;
    free(v);
    return w;
}

/* The same values on every backend; weights rounded to `act`. */
static void module_create(module *m, ib_backend *b, ib_dtype act)
{
    *m = (module){.b = b, .seed = 100};
    ib_temporal_block_args *a = &m->args;
    a->heads = HEADS;
    a->eps = 1e-5f;
    a->proj_in = weight(m, IB_WEIGHT_LINEAR, C, C, act);
    a->proj_out = weight(m, IB_WEIGHT_LINEAR, C, C, act);
    a->proj_in_bias = vector(m, C, 0, 0.3f);
    a->proj_out_bias = vector(m, C, 0, 0.3f);
    for (int i = 0; i < 2; i++) {
        a->attn[i].norm_weight = vector(m, C, 1, 0.5f);
        a->attn[i].norm_bias = vector(m, C, 0, 0.3f);
        a->attn[i].pos = vector(m, 32 * C, 0, 1);
        a->attn[i].qkv = weight(m, IB_WEIGHT_LINEAR, 3 * C, C, act);
        a->attn[i].out = weight(m, IB_WEIGHT_LINEAR, C, C, act);
        a->attn[i].out_bias = vector(m, C, 0, 0.3f);
    }
    a->ff_norm_weight = vector(m, C, 1, 0.5f);
    a->ff_norm_bias = vector(m, C, 0, 0.3f);
    a->ff_in = weight(m, IB_WEIGHT_GEGLU, 4 * C, C, act);
    a->ff_out = weight(m, IB_WEIGHT_LINEAR, C, 4 * C, act);
    a->ff_in_bias = vector(m, 8 * C, 0, 0.3f);
    a->ff_out_bias = vector(m, C, 0, 0.3f);
}

static void module_free(module *m)
{
    for (int i = 0; i < m->buffers; i++) m->b->ops->buffer_free(m->b, m->buffer[i]);
    for (int i = 0; i < m->weights; i++) m->b->ops->weight_destroy(m->b, m->weight[i]);
}

#define STEP(call) keep(m, m->status != ISOBATH_OK ? m->status : (call))

/* The op as its single ops; x, residual and y as in the args. */
static void composed(module *m, const ib_tensor *x, const ib_tensor *residual, const ib_tensor *y)
{
    const ib_temporal_block_args *a = &m->args;
    ib_backend *b = m->b;
    int64_t T = x->dim[0], P = x->dim[1], rows = T * P;
    size_t size = ib_dtype_size(b->act);
    ib_tensor s = ib_tensor_3d(device(m, (size_t)(rows * C) * 4), IB_F32, T, P, C);
    ib_tensor n = ib_tensor_3d(device(m, (size_t)(rows * C) * size), b->act, T, P, C);
    ib_tensor wide = ib_tensor_3d(device(m, (size_t)(rows * 4 * C) * size), b->act, T, P, 4 * C);
    ib_tensor qkv = ib_tensor_3d(wide.data, b->act, T, P, 3 * C);
    STEP(ib_linear(b, &(ib_linear_args){.x = *x, .w = a->proj_in, .bias = a->proj_in_bias, .y = s}));
    for (int i = 0; i < 2; i++) {
        ib_temporal_attention_args t = {.q = ib_tensor_narrow(&qkv, 2, 0, C), .k = ib_tensor_narrow(&qkv, 2, C, C),
                                        .v = ib_tensor_narrow(&qkv, 2, 2 * C, C), .heads = HEADS, .y = n};
        STEP(ib_layernorm(b, &(ib_layernorm_args){.x = s, .weight = a->attn[i].norm_weight, .bias = a->attn[i].norm_bias,
                                                  .pos = ib_tensor_2d(a->attn[i].pos.data, IB_F32, T, C), .eps = a->eps, .y = n}));
        STEP(ib_linear(b, &(ib_linear_args){.x = n, .w = a->attn[i].qkv, .y = qkv}));
        STEP(ib_temporal_attention(b, &t));
        STEP(ib_linear(b, &(ib_linear_args){.x = n, .w = a->attn[i].out, .bias = a->attn[i].out_bias, .residual = s, .y = s}));
    }
    STEP(ib_layernorm(b, &(ib_layernorm_args){.x = s, .weight = a->ff_norm_weight, .bias = a->ff_norm_bias, .eps = a->eps, .y = n}));
    STEP(ib_linear(b, &(ib_linear_args){.x = n, .w = a->ff_in, .bias = a->ff_in_bias, .act = IB_ACT_GEGLU, .y = wide}));
    STEP(ib_linear(b, &(ib_linear_args){.x = wide, .w = a->ff_out, .bias = a->ff_out_bias, .residual = s, .y = n}));
    STEP(ib_linear(b, &(ib_linear_args){.x = n, .w = a->proj_out, .bias = a->proj_out_bias, .residual = *residual, .y = *y}));
}

/* Runs the op over pixels [first, first + count). */
static int fused(module *m, const ib_tensor *x, const ib_tensor *residual, const ib_tensor *y, int64_t first, int64_t count)
{
    int done = 0;
    ib_temporal_block_args a = m->args;
    a.x = ib_tensor_narrow(x, 1, first, count);
    a.residual = ib_tensor_narrow(residual, 1, first, count);
    a.y = ib_tensor_narrow(y, 1, first, count);
    STEP(ib_temporal_block(m->b, &a, &done));
    return done;
}

static float *get(module *m, const ib_tensor *t)
{
    int64_t count = t->dim[0] * t->dim[1] * t->dim[2];
    float *v = ck_alloc((size_t)count * sizeof *v);
    uint16_t *half = ck_alloc((size_t)count * sizeof *half);
    if (t->dtype == IB_F32) {
        STEP(m->b->ops->download(m->b, v, t->data, (size_t)count * sizeof *v));
    } else {
        STEP(m->b->ops->download(m->b, half, t->data, (size_t)count * sizeof *half));
        for (int64_t i = 0; i < count; i++) v[i] = t->dtype == IB_F16 ? ib_f16_to_f32(half[i]) : ib_bf16_to_f32(half[i]);
    }
    free(half);
    return v;
}

/* Largest and root mean square difference; a value that is not finite counts as infinite. */
static void distance(const float *a, const float *b, int64_t count, double *most, double *rms)
{
    double square = 0;
    *most = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!isfinite(d)) d = INFINITY;
        if (d > *most) *most = d;
        square += d * d;
    }
    *rms = sqrt(square / (double)count);
}

enum { FAILS, PASSES, NOT_FOR_SHAPE };

/* NaN in one pixel of x: there in every frame of the result, nowhere else. `x` may be changed. */
static int keeps_pixels_apart(module *m, const ib_tensor *at, float *x, const float *got, int64_t T, int64_t P)
{
    int64_t pixel = P / 2, wrong = 0, count = T * P * C;
    x[pixel * C + 3] = NAN;
    put(m, at[0].data, m->b->act, x, count);
    fused(m, &at[0], &at[1], &at[3], 0, P);
    float *planted = get(m, &at[3]);
    for (int64_t i = 0; i < count; i++)
        wrong += i / C % P == pixel ? !isnan(planted[i]) : memcmp(&planted[i], &got[i], sizeof *got) != 0;
    free(planted);
    return wrong == 0;
}

/* All checks of one size; `text` says what failed. */
static int judge(ib_backend *b, ib_backend *ref, int64_t T, int64_t P, char *text, size_t size)
{
    int64_t count = T * P * C, cut = P / 3;
    ib_dtype act = b->act;
    module own, exact, *m = &own;
    module_create(&own, b, act);
    module_create(&exact, ref, act);
    float *x = values(1, count, 0, 2, act), *r = values(2, count, 0, 2, act);
    ib_tensor at[5], on_ref[3]; /* x, residual, result of the op, of its pieces, of single ops */
    for (int i = 0; i < 5; i++) {
        at[i] = ib_tensor_3d(device(&own, (size_t)count * ib_dtype_size(act)), act, T, P, C);
        put(&own, at[i].data, act, i == 0 ? x : r, count);
    }
    for (int i = 0; i < 3; i++) {
        on_ref[i] = ib_tensor_3d(device(&exact, (size_t)count * sizeof(float)), IB_F32, T, P, C);
        put(&exact, on_ref[i].data, IB_F32, i == 0 ? x : r, count);
    }
    fused(&exact, &on_ref[0], &on_ref[1], &on_ref[2], 0, P);
    composed(m, &at[0], &at[1], &at[4]);
    int done = fused(m, &at[0], &at[2], &at[2], 0, P), outcome = FAILS; /* in place: its buffer holds the residual */
    if (done && cut > 0) fused(m, &at[0], &at[1], &at[3], 0, cut);
    if (done) fused(m, &at[0], &at[1], &at[3], cut, P - cut);
    float *got = get(m, &at[2]), *pieces = get(m, &at[3]), *single = get(m, &at[4]), *expected = get(&exact, &on_ref[2]);
    double most[2], rms[2], largest = 0;
    distance(got, expected, count, &most[0], &rms[0]);
    distance(single, expected, count, &most[1], &rms[1]);
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)expected[i]));
    if (own.status != ISOBATH_OK || exact.status != ISOBATH_OK)
        snprintf(text, size, "%.200s", own.status != ISOBATH_OK ? b->diag->text : ref->diag->text);
    else if (!(most[1] <= 64 * ck_unit(act) * largest))
        snprintf(text, size, "single ops are %.2e from ref's, of %.2e at most", most[1], largest);
    else if (!done)
        outcome = NOT_FOR_SHAPE;
    else if (!(rms[0] <= 1.1 * rms[1]) || !(most[0] <= 1.5 * most[1]))
        snprintf(text, size, "rms %.2e, largest %.2e from ref; single ops %.2e, %.2e", rms[0], most[0], rms[1], most[1]);
    else if (memcmp(got, pieces, (size_t)count * sizeof *got) != 0)
        snprintf(text, size, "in pieces other bytes");
    else if (!keeps_pixels_apart(m, at, x, got, T, P) || own.status != ISOBATH_OK)
        snprintf(text, size, "NaN in one pixel is not in all frames of that pixel alone");
    else
        outcome = PASSES;
    free(x), free(r), free(got), free(pieces), free(single), free(expected);
    module_free(&own);
    module_free(&exact);
    return outcome;
}

static const int sizes[][2] = {{32, 50}, {32, 1}, {7, 13}, {1, 25}, {31, 3}};
enum { SIZES = sizeof sizes / sizeof *sizes };

void ck_temporal_block(ck_tally *t, ib_backend *b)
{
    if (!b->ops->temporal_block) return;
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref = ck_open(t, "ref", NULL, IB_F32, 0, NULL, &diag);
    if (!ref) return;
    int before = t->passed;
    for (int i = 0; i < SIZES; i++) {
        char text[300] = "";
        int outcome = judge(b, ref, sizes[i][0], sizes[i][1], text, sizeof text);
        if (outcome == PASSES)
            ck_pass(t);
        else if (outcome == NOT_FOR_SHAPE)
            ck_skip(t, "%s: temporal_block T%d P%d: not for this shape", b->kind, sizes[i][0], sizes[i][1]);
        else
            ck_fail(t, "%s: temporal_block T%d P%d: %s", b->kind, sizes[i][0], sizes[i][1], text);
    }
    printf("%-32s %-20s %4d passed\n", b->kind, "temporal_block", t->passed - before);
    ib_backend_close(ref);
}

/* ---- the self-test: ref's op with one fault ------------------------------------------------------------------------- */

/* Writes a faulty op that runs `change` on a copy of the arguments first. */
#define FAULTY(name, change)                                                                           \
    static isobath_status name(ib_backend *b, const ib_temporal_block_args *original, int *done)       \
    {                                                                                                  \
        ib_temporal_block_args a = *original;                                                          \
        change;                                                                                        \
        return ib_ref_temporal_block(b, &a, done);                                                     \
    }
FAULTY(sound, (void)a)
FAULTY(same_positions, a.attn[1].pos = a.attn[0].pos)
FAULTY(other_norm, a.ff_norm_weight = a.attn[0].norm_weight)
FAULTY(half_heads, a.heads /= 2)
FAULTY(other_residual, a.residual = a.x)
FAULTY(coarse_eps, a.eps = 0.05f)
FAULTY(lost_frame, if (a.y.dim[0] > 1) a.x.dim[0] = a.residual.dim[0] = --a.y.dim[0])
FAULTY(lost_pixel, if (a.y.dim[1] > 1) a.x.dim[1] = a.residual.dim[1] = --a.y.dim[1])
FAULTY(swapped_products, const ib_weight *w = a.attn[0].out; a.attn[0].out = a.attn[1].out; a.attn[1].out = w)

static isobath_status hides_nan(ib_backend *b, const ib_temporal_block_args *a, int *done)
{
    IB_TRY(ib_ref_temporal_block(b, a, done));
    for (int64_t i = 0; i < a->y.dim[0] * a->y.dim[1] * C; i++) {
        int64_t at = ib_ref_row(&a->y, i / C / a->y.dim[1], i / C % a->y.dim[1]) + i % C;
        if (isnan(ib_ref_get(&a->y, at))) ib_ref_set(&a->y, at, 0);
    }
    return ISOBATH_OK;
}

/* Right within the bounds, but one value in a thousandth part depends on how many pixels there are. */
static isobath_status by_batch(ib_backend *b, const ib_temporal_block_args *a, int *done)
{
    IB_TRY(ib_ref_temporal_block(b, a, done));
    ib_ref_set(&a->y, 0, (double)ib_ref_get(&a->y, 0) * (1 + 2 * ck_unit(b->act) * (double)(a->y.dim[1] % 2 ? 1 : -1)));
    return ISOBATH_OK;
}

void ck_temporal_block_selftest(ck_tally *t)
{
    static const struct {
        const char *fault;
        isobath_status (*op)(ib_backend *, const ib_temporal_block_args *, int *);
    } faults[] = {{"none (ref itself)", sound},
                  {"positions of the first attention in both", same_positions},
                  {"the feed-forward's norm takes another weight", other_norm},
                  {"four heads instead of eight", half_heads},
                  {"adds x instead of the residual", other_residual},
                  {"eps is 0.05", coarse_eps},
                  {"leaves out the last frame", lost_frame},
                  {"leaves out the last pixel", lost_pixel},
                  {"the attentions' output layers swapped", swapped_products},
                  {"turns NaN into 0", hides_nan},
                  {"a value depends on the number of pixels", by_batch}};
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref = ck_open(t, "ref", NULL, IB_F32, 0, NULL, &diag), *b = ck_open(t, "ref", NULL, IB_F16, 0, NULL, &diag);
    for (size_t f = 0; ref && b && f < sizeof faults / sizeof *faults; f++) {
        char text[300] = "passes";
        int caught = 0;
        const ib_op_table *good = b->ops;
        ib_op_table table = *good;
        table.temporal_block = faults[f].op;
        b->ops = &table;
        for (int i = 0; i < SIZES && !caught; i++) caught = judge(b, ref, sizes[i][0], sizes[i][1], text, sizeof text) != PASSES;
        b->ops = good;
        if (caught == (f > 0)) {
            ck_pass(t);
            printf("temporal_block f16: %s\n      %s\n", faults[f].fault, text);
        } else {
            ck_fail(t, "temporal_block f16: %s: %s", faults[f].fault, caught ? text : "not caught");
        }
    }
    if (ref) ib_backend_close(ref);
    if (b) ib_backend_close(b);
}
