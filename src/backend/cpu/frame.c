/* Ops around the network: preprocess, render, fit_sums. Rows are upsampled in two steps, horizontally into a cache of
 * the two source rows in use, then vertically; the arithmetic of each value is the one of op.h. */
#include "backend/cpu/cpu.h"

#define ROWS_PER_JOB 16

/* Horizontally resized source rows h[0], h[1] of one raw frame; `row` says which source row each holds. */
typedef struct row_cache {
    float *h[2];
    int64_t row[2];
} row_cache;

static row_cache cache_take(char **at, int64_t width)
{
    row_cache c = {.row = {-1, -1}};
    c.h[0] = ib_cpu_take(at, (size_t)width * 4);
    c.h[1] = ib_cpu_take(at, (size_t)width * 4);
    return c;
}

/* The cache's copy of source row `row`, in the slot of its parity (rows in use together are neighbours). */
static const float *cached_row(const ib_cpu *cpu, const ib_tensor *x, int64_t row, int64_t width, const ib_cpu_lerp *tx,
                               row_cache *c)
{
    int slot = (int)(row & 1);
    if (c->row[slot] != row) {
        cpu->k->hlerp(ib_cpu_at(x, row * x->stride[0]), width, tx, c->h[slot]);
        c->row[slot] = row;
    }
    return c->h[slot];
}

/* One upsampled output row, with scale, shift and clamp when `affine`. */
static void upsample_row(const ib_cpu *cpu, const ib_tensor *x, int64_t row, int64_t width, const ib_cpu_lerp *tx,
                         const ib_cpu_lerp *ty, row_cache *c, int affine, float scale, float shift, float *out)
{
    const float *h0 = cached_row(cpu, x, ty->i0[row], width, tx, c);
    const float *h1 = cached_row(cpu, x, ty->i1[row], width, tx, c);
    cpu->k->vlerp(h0, h1, ty->w1[row], width, affine, scale, shift, out);
}

/* Tables of both axes at the start of shared scratch; `extra` bytes follow at *rest. */
static isobath_status make_tables(ib_cpu *cpu, size_t local, size_t extra, const ib_tensor *x, int64_t height,
                                  int64_t width, ib_cpu_lerp *tx, ib_cpu_lerp *ty, char **rest)
{
    IB_TRY(ib_cpu_reserve(cpu, local, ib_cpu_lerp_bytes(width) + ib_cpu_lerp_bytes(height) + extra));
    *rest = cpu->shared;
    ib_cpu_lerp_take(rest, width, tx);
    ib_cpu_lerp_take(rest, height, ty);
    ib_cpu_lerp_axis(x->dim[1], width, tx);
    ib_cpu_lerp_axis(x->dim[0], height, ty);
    return ISOBATH_OK;
}

typedef struct render_job {
    const ib_render_args *a;
    ib_cpu *cpu;
    ib_cpu_lerp tx, ty;
    float (*range)[2]; /* per job */
} render_job;

static void render_rows(void *ctx, int64_t i, int thread)
{
    const render_job *j = ctx;
    const ib_render_args *a = j->a;
    int64_t height = a->y.dim[0], width = a->y.dim[1];
    char *at = ib_cpu_local(j->cpu, thread);
    row_cache ca = cache_take(&at, width), cb = cache_take(&at, width);
    float *vb = ib_cpu_take(&at, (size_t)width * 4);
    int nan = 0;
    float lo = __builtin_inff(), hi = -lo, w0 = (float)(1.0 - a->weight), w1 = (float)a->weight;
    for (int64_t row = i * ROWS_PER_JOB; row < ib_cpu_min((i + 1) * ROWS_PER_JOB, height); row++) {
        float *out = ib_cpu_at(&a->y, row * a->y.stride[0]);
        upsample_row(j->cpu, &a->a, row, width, &j->tx, &j->ty, &ca, 1, a->a_scale, a->a_shift, out);
        if (a->b.data) {
            upsample_row(j->cpu, &a->b, row, width, &j->tx, &j->ty, &cb, 1, a->b_scale, a->b_shift, vb);
            j->cpu->k->blend(out, vb, width, w0, w1);
        }
        if ((a->min_out || a->max_out) && j->cpu->k->range(out, width, &lo, &hi)) nan = 1;
    }
    if (nan) lo = hi = __builtin_nanf("");
    j->range[i][0] = lo;
    j->range[i][1] = hi;
}

isobath_status ib_cpu_render(ib_backend *b, const ib_render_args *a)
{
    render_job j = {.a = a, .cpu = ib_cpu_of(b)};
    int64_t jobs = ib_cpu_ceil(a->y.dim[0], ROWS_PER_JOB);
    char *rest;
    IB_TRY(make_tables(j.cpu, 5 * ib_cpu_round((size_t)a->y.dim[1] * 4), (size_t)jobs * sizeof *j.range, &a->a,
                       a->y.dim[0], a->y.dim[1], &j.tx, &j.ty, &rest));
    j.range = (float(*)[2])(void *)rest;
    ib_pool_run(b->pool, jobs, render_rows, &j);
    int nan = 0;
    float lo = __builtin_inff(), hi = -lo;
    for (int64_t i = 0; i < jobs; i++) {
        float l = j.range[i][0], h = j.range[i][1];
        if (l != l) nan = 1;
        lo = l < lo ? l : lo;
        hi = h > hi ? h : hi;
    }
    /* -0 becomes +0 */
    if (a->min_out) *a->min_out = nan ? __builtin_nanf("") : lo + 0.0f;
    if (a->max_out) *a->max_out = nan ? __builtin_nanf("") : hi + 0.0f;
    return ISOBATH_OK;
}

typedef struct fit_job {
    const ib_fit_sums_args *a;
    ib_cpu *cpu;
    ib_cpu_lerp tx, ty;
    int64_t blocks;
    double (*row)[4]; /* per frame and output row */
} fit_job;

static void fit_rows(void *ctx, int64_t i, int thread)
{
    const fit_job *j = ctx;
    const ib_fit_sums_args *a = j->a;
    int64_t f = i / j->blocks, first = i % j->blocks * ROWS_PER_JOB, width = a->width;
    char *at = ib_cpu_local(j->cpu, thread);
    row_cache cp = cache_take(&at, width), cr = cache_take(&at, width);
    float *p = ib_cpu_take(&at, (size_t)width * 4), *r = ib_cpu_take(&at, (size_t)width * 4);
    for (int64_t row = first; row < ib_cpu_min(first + ROWS_PER_JOB, a->height); row++) {
        upsample_row(j->cpu, &a->p[f], row, width, &j->tx, &j->ty, &cp, 0, 0, 0, p);
        upsample_row(j->cpu, &a->r[f], row, width, &j->tx, &j->ty, &cr, f == 1, a->r1_scale, a->r1_shift, r);
        j->cpu->k->row_sums(p, r, width, j->row[f * a->height + row]);
    }
}

isobath_status ib_cpu_fit_sums(ib_backend *b, const ib_fit_sums_args *a)
{
    fit_job j = {.a = a, .cpu = ib_cpu_of(b), .blocks = ib_cpu_ceil(a->height, ROWS_PER_JOB)};
    char *rest;
    IB_TRY(make_tables(j.cpu, 6 * ib_cpu_round((size_t)a->width * 4), (size_t)(2 * a->height) * sizeof *j.row, &a->p[0],
                       a->height, a->width, &j.tx, &j.ty, &rest));
    j.row = (double(*)[4])(void *)rest;
    ib_pool_run(b->pool, 2 * j.blocks, fit_rows, &j);
    a->sums[0] = 2.0 * (double)(a->height * a->width);
    for (int s = 0; s < 4; s++) a->sums[1 + s] = 0.0;
    for (int64_t i = 0; i < 2 * a->height; i++)
        for (int s = 0; s < 4; s++) a->sums[1 + s] += j.row[i][s];
    return ISOBATH_OK;
}
