/* temporal_block: a temporal module, pixel by pixel, all of it in double from x to y. */
#include "backend/ref/ref.h"

#include <math.h>
#include <stdlib.h>

typedef struct job {
    const ib_temporal_block_args *a;
    double *scratch; /* `per_thread` values for each thread of the pool */
    int64_t per_thread;
} job;

static double vector_at(const ib_tensor *v, int64_t i) { return (double)((const float *)v->data)[i]; }

/* y = x W^T + bias for one row and `count` outputs; `from`, `bias_from`: where they begin (GEGLU: the gates'). */
static void project(double *y, const double *x, const ib_weight *w, int64_t count, int64_t from, const ib_tensor *bias, int64_t bias_from)
{
    const ib_ref_weight *r = ib_ref_weight_of(w);
    for (int64_t o = 0; o < count; o++) y[o] = 0;
    for (int64_t k = 0; k < w->in_channels; k++) {
        const float *row = r->data + k * r->pitch + from;
        for (int64_t o = 0; o < count; o++) y[o] += x[k] * (double)row[o];
    }
    for (int64_t o = 0; o < count && bias; o++) y[o] += vector_at(bias, bias_from + o);
}

static void normalise(double *n, const double *s, int64_t channels, const ib_tensor *weight, const ib_tensor *bias, double eps)
{
    double mean = 0, var = 0;
    for (int64_t c = 0; c < channels; c++) mean += s[c];
    mean /= (double)channels;
    for (int64_t c = 0; c < channels; c++) var += (s[c] - mean) * (s[c] - mean);
    double inverse = 1.0 / sqrt(var / (double)channels + eps);
    for (int64_t c = 0; c < channels; c++) n[c] = (s[c] - mean) * inverse * vector_at(weight, c) + vector_at(bias, c);
}

/* Results y[c..] of one head for the query of frame t; a frame's q, k and v lie side by side. */
static void attend(double *y, const double *qkv, int64_t t, int64_t frames, int64_t channels, int64_t c, int64_t size)
{
    double p[32], max = -INFINITY, total = 0;
    for (int64_t j = 0; j < frames; j++) {
        p[j] = 0;
        for (int64_t d = c; d < c + size; d++) p[j] += qkv[t * 3 * channels + d] * qkv[(j * 3 + 1) * channels + d];
        p[j] /= sqrt((double)size);
        max = p[j] > max ? p[j] : max; /* a NaN score makes `total` NaN below */
    }
    for (int64_t j = 0; j < frames; j++) {
        p[j] = exp(p[j] - max);
        total += p[j];
    }
    for (int64_t d = c; d < c + size; d++) {
        double sum = 0;
        for (int64_t j = 0; j < frames; j++) sum += p[j] * qkv[(j * 3 + 2) * channels + d];
        y[d] = sum / total;
    }
}

/* Scratch of one pixel. */
typedef struct work {
    double *s;    /* (T,C): the residual stream */
    double *n, *y; /* (C) */
    double *wide; /* (T,3C): q, k and v; later (2,4C): values and gates */
} work;

/* s += linear(temporal_attention(linear(layernorm(s) + pos, qkv)), out) */
static void attention(const ib_temporal_block_args *a, int i, const work *m)
{
    int64_t frames = a->y.dim[0], channels = a->y.dim[2], size = channels / a->heads;
    for (int64_t t = 0; t < frames; t++) {
        normalise(m->n, m->s + t * channels, channels, &a->attn[i].norm_weight, &a->attn[i].norm_bias, (double)a->eps);
        for (int64_t c = 0; c < channels; c++) m->n[c] += vector_at(&a->attn[i].pos, t * channels + c);
        project(m->wide + t * 3 * channels, m->n, a->attn[i].qkv, 3 * channels, 0, NULL, 0);
    }
    for (int64_t t = 0; t < frames; t++) {
        for (int64_t c = 0; c < channels; c += size) attend(m->n, m->wide, t, frames, channels, c, size);
        project(m->y, m->n, a->attn[i].out, channels, 0, &a->attn[i].out_bias, 0);
        for (int64_t c = 0; c < channels; c++) m->s[t * channels + c] += m->y[c];
    }
}

/* s += linear(GEGLU(linear(layernorm(s), ff_in)), ff_out) for one frame's s */
static void feed_forward(const ib_temporal_block_args *a, double *s, const work *m)
{
    int64_t channels = a->y.dim[2], inner = 4 * channels, gates = ib_ref_weight_of(a->ff_in)->pitch / 2;
    double *value = m->wide, *gate = m->wide + inner;
    normalise(m->n, s, channels, &a->ff_norm_weight, &a->ff_norm_bias, (double)a->eps);
    project(value, m->n, a->ff_in, inner, 0, &a->ff_in_bias, 0);
    project(gate, m->n, a->ff_in, inner, gates, &a->ff_in_bias, inner);
    for (int64_t o = 0; o < inner; o++) value[o] *= ib_ref_gelu(gate[o]);
    project(m->y, value, a->ff_out, channels, 0, &a->ff_out_bias, 0);
    for (int64_t c = 0; c < channels; c++) s[c] += m->y[c];
}

static void pixel(void *ctx, int64_t i, int thread)
{
    const job *j = ctx;
    const ib_temporal_block_args *a = j->a;
    int64_t frames = a->y.dim[0], channels = a->y.dim[2];
    work m = {.s = j->scratch + thread * j->per_thread};
    m.n = m.s + frames * channels;
    m.y = m.n + channels;
    m.wide = m.y + channels;
    for (int64_t t = 0; t < frames; t++) {
        for (int64_t c = 0; c < channels; c++) m.n[c] = (double)ib_ref_get(&a->x, ib_ref_row(&a->x, t, i) + c);
        project(m.s + t * channels, m.n, a->proj_in, channels, 0, &a->proj_in_bias, 0);
    }
    for (int k = 0; k < 2; k++) attention(a, k, &m);
    for (int64_t t = 0; t < frames; t++) {
        feed_forward(a, m.s + t * channels, &m);
        project(m.y, m.s + t * channels, a->proj_out, channels, 0, &a->proj_out_bias, 0);
        int64_t from = ib_ref_row(&a->residual, t, i), to = ib_ref_row(&a->y, t, i);
        for (int64_t c = 0; c < channels; c++) ib_ref_set(&a->y, to + c, m.y[c] + (double)ib_ref_get(&a->residual, from + c));
    }
}

isobath_status ib_ref_temporal_block(ib_backend *b, const ib_temporal_block_args *a, int *done)
{
    int64_t frames = a->y.dim[0], channels = a->y.dim[2];
    job j = {a, NULL, (frames + 2 + (3 * frames > 8 ? 3 * frames : 8)) * channels};
    j.scratch = malloc((size_t)(j.per_thread * ib_pool_threads(b->pool)) * sizeof *j.scratch);
    if (!j.scratch) return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of host memory for temporal_block");
    ib_pool_run(b->pool, a->y.dim[1], pixel, &j);
    free(j.scratch);
    *done = 1;
    return ISOBATH_OK;
}
