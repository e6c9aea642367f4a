/* Ops around the network: preprocess, render, fit_sums. Rows are upsampled in two steps, horizontally into a cache of
 * the two source rows in use, then vertically; the arithmetic of each value is the one of op.h. */
#include "backend/cpu/cpu.h"
#include "backend/rows.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_PER_JOB 16
#define INFINITE 0x7f800000u /* bits; above it are -0 and NaN */

/* Horizontally resized source rows of one raw frame, row r in slot r % SLOTS; `row` says which source row each holds. */
enum { SLOTS = 2 * IB_CPU_PICK_ROWS };
typedef struct row_cache {
    float *h[SLOTS];
    int64_t row[SLOTS];
} row_cache;

/* A frame, or a few of its rows, in work. */
typedef struct frame_rows {
    ib_cpu *cpu;
    int maps;
    ib_tensor map[2];
    row_cache cache[2];
    ib_cpu_row row; /* what is the same in all of them */
    float *spare;   /* a row */
    uint32_t *range;
    float low, high; /* of rows with -0 */
    int nan;
    int64_t next;
} frame_rows;

/* Tables of both axes, which change with the sizes only, and the frame that is made row by row. */
typedef struct ib_cpu_frame {
    int64_t h, w, height, width;
    ib_cpu_pick x;
    ib_cpu_lerp y;
    void *memory;
    frame_rows rows;
} ib_cpu_frame;

void ib_cpu_frame_free(ib_cpu_frame *f)
{
    if (!f) return;
    free(f->memory);
    free(f);
}

/* Where vectors of outputs find their sources. */
static void make_pick(int64_t in, int64_t out, int64_t vector, ib_cpu_pick *p)
{
    for (int64_t x = 0; x + vector <= out; x += vector) {
        int64_t base = ib_cpu_min(p->t.i0[x], in - vector); /* the tables rise */
        int near = base >= 0 && p->t.i1[x + vector - 1] < base + vector;
        p->base[x / vector] = near ? (int32_t)base : -1;
        for (int64_t i = x; near && i < x + vector; i++) {
            p->first[i] = (uint8_t)(p->t.i0[i] - base);
            p->second[i] = (uint8_t)(p->t.i1[i] - base);
        }
    }
}

/* Tables for maps of x's size; `local` bytes of scratch for each thread. */
static isobath_status make_tables(ib_cpu *cpu, size_t local, size_t shared, const ib_tensor *x, int64_t height, int64_t width)
{
    IB_TRY(ib_cpu_reserve(cpu, local, shared));
    ib_cpu_frame *f = cpu->frame;
    int64_t h = x->dim[0], w = x->dim[1];
    if (f && f->h == h && f->w == w && f->height == height && f->width == width) return ISOBATH_OK;
    if (!f) f = cpu->frame = calloc(1, sizeof *f);
    if (f) {
        free(f->memory);
        f->h = 0;
        f->memory = aligned_alloc(64, ib_cpu_lerp_bytes(width) + ib_cpu_lerp_bytes(height) + 3 * ib_cpu_round((size_t)width * 4));
    }
    if (!f || !f->memory) return ib_fail(cpu->base.diag, ISOBATH_ERR_MEMORY, "out of memory for the tables of %lld x %lld", (long long)width, (long long)height);
    char *at = f->memory;
    ib_cpu_lerp_take(&at, width, &f->x.t);
    ib_cpu_lerp_take(&at, height, &f->y);
    f->x.base = ib_cpu_take(&at, (size_t)width * 4);
    f->x.first = ib_cpu_take(&at, (size_t)width * 4);
    f->x.second = ib_cpu_take(&at, (size_t)width * 4);
    ib_cpu_lerp_axis(w, width, &f->x.t);
    ib_cpu_lerp_axis(h, height, &f->y);
    make_pick(w, width, cpu->k->vector, &f->x);
    f->h = h;
    f->w = w;
    f->height = height;
    f->width = width;
    return ISOBATH_OK;
}

static size_t cache_scratch(int64_t width) { return SLOTS * ib_cpu_round((size_t)width * 4); }

static row_cache cache_take(char **at, int64_t width)
{
    row_cache c;
    for (int i = 0; i < SLOTS; i++) {
        c.h[i] = ib_cpu_take(at, (size_t)width * 4);
        c.row[i] = -1;
    }
    return c;
}

/* The cache's copy of source row `row`. Rows are asked for in rising order: one that is not there comes with those that follow it. */
static const float *cached_row(const ib_cpu *cpu, const ib_tensor *x, int64_t row, row_cache *c)
{
    int slot = (int)(row % SLOTS), rows = 0;
    if (c->row[slot] == row) return c->h[slot];
    const float *from[IB_CPU_PICK_ROWS] = {NULL};
    float *to[IB_CPU_PICK_ROWS] = {NULL};
    for (int64_t r = row; r < x->dim[0] && rows < IB_CPU_PICK_ROWS; r++, rows++) {
        from[rows] = (const float *)x->data + r * x->stride[0];
        to[rows] = c->h[r % SLOTS];
        c->row[r % SLOTS] = r;
    }
    cpu->k->hlerp(from, rows, cpu->frame->width, &cpu->frame->x, to);
    return c->h[slot];
}

/* One upsampled output row, with scale, shift and clamp when `affine`. */
static void upsample_row(const ib_cpu *cpu, const ib_tensor *x, int64_t row, row_cache *c, int affine, float scale, float shift, float *out)
{
    const ib_cpu_lerp *ty = &cpu->frame->y;
    const float *h0 = cached_row(cpu, x, ty->i0[row], c);
    const float *h1 = cached_row(cpu, x, ty->i1[row], c);
    cpu->k->vlerp(h0, h1, ty->w1[row], cpu->frame->width, affine, scale, shift, out);
}

static size_t rows_scratch(int64_t width) { return 2 * cache_scratch(width) + ib_cpu_round((size_t)width * 4) + 2 * IB_CPU_RANGE * 4; }

/* Takes rows_scratch() bytes at `at`. */
static frame_rows begin_rows(ib_cpu *cpu, const ib_render_args *a, char *at)
{
    int64_t width = a->y.dim[1];
    frame_rows r = {.cpu = cpu, .maps = a->b.data ? 2 : 1, .map = {a->a, a->b}, .low = __builtin_inff(), .high = -__builtin_inff()};
    for (int i = 0; i < 2; i++) r.cache[i] = cache_take(&at, width);
    r.spare = ib_cpu_take(&at, (size_t)width * 4);
    r.range = ib_cpu_take(&at, 2 * IB_CPU_RANGE * sizeof *r.range);
    memset(r.range, 0xff, IB_CPU_RANGE * sizeof *r.range);
    memset(r.range + IB_CPU_RANGE, 0, IB_CPU_RANGE * sizeof *r.range);
    r.row = (ib_cpu_row){.maps = r.maps, .width = width, .scale = {a->a_scale, a->b_scale}, .shift = {a->a_shift, a->b_shift},
                         .weight = {(float)(1.0 - a->weight), (float)a->weight}, .range = r.range};
    return r;
}

/* A value of the row is -0, NaN or above what may be: looks at each, where they are not at hand after they have been made once more. 0: one
 * cannot be cut. */
static int slow_row(frame_rows *r, ib_cpu_row *row)
{
    const float *v = row->out;
    int fits = 1;
    if (!v) {
        v = row->out = r->spare;
        row->most = UINT32_MAX;
        _Alignas(64) uint32_t unused[2 * IB_CPU_RANGE] = {0};
        row->range = unused;
        r->cpu->k->render_row(row);
    }
    for (int64_t x = 0; x < row->width; x++) {
        if (v[x] < r->low) r->low = v[x];
        if (v[x] > r->high) r->high = v[x];
        r->nan |= v[x] != v[x];
        fits &= v[x] * row->factor < 65536.0f;
    }
    return fits;
}

/* Bits that a value which is cut may have at most; a factor is a power of two. */
static uint32_t most_cut(float factor)
{
    float most = 65536.0f / factor;
    uint32_t bits;
    memcpy(&bits, &most, sizeof bits);
    return most <= __FLT_MAX__ ? bits - 1 : INFINITE - 1;
}

/* Row y into `out`, or cut into q; 0: a value cannot be cut. */
static int make_row(frame_rows *r, int64_t y, float *out, uint16_t *q, float factor)
{
    const ib_cpu_lerp *ty = &r->cpu->frame->y;
    ib_cpu_row row = r->row;
    row.w1 = ty->w1[y];
    row.out = out;
    row.q = q;
    row.factor = factor;
    row.most = out ? INFINITE : most_cut(factor);
    for (int i = 0; i < row.maps; i++) {
        const ib_tensor *map = &r->map[i];
        int64_t ahead = ty->i1[y] + IB_CPU_PICK_ROWS;
        if (ahead < map->dim[0] && (!y || ty->i1[y - 1] < ty->i1[y])) row.ahead[i] = (const float *)map->data + ahead * map->stride[0];
        row.top[i] = cached_row(r->cpu, map, ty->i0[y], &r->cache[i]);
        row.bottom[i] = cached_row(r->cpu, map, ty->i1[y], &r->cache[i]);
    }
    return r->cpu->k->render_row(&row) || slow_row(r, &row);
}

/* Of all rows so far. */
static void add_range(const frame_rows *r, float *low, float *high, int *nan)
{
    float seen[2 * IB_CPU_RANGE];
    memcpy(seen, r->range, sizeof seen);
    *nan |= r->nan;
    *low = r->low < *low ? r->low : *low;
    *high = r->high > *high ? r->high : *high;
    for (int i = 0; i < IB_CPU_RANGE; i++) {
        if (r->range[i] > r->range[IB_CPU_RANGE + i]) continue; /* a lane that saw nothing */
        *low = seen[i] < *low ? seen[i] : *low;
        *high = seen[IB_CPU_RANGE + i] > *high ? seen[IB_CPU_RANGE + i] : *high;
    }
}

/* -0 becomes +0. */
static void tell_range(float low, float high, int nan, float *min, float *max)
{
    if (min) *min = nan ? __builtin_nanf("") : low + 0.0f;
    if (max) *max = nan ? __builtin_nanf("") : high + 0.0f;
}

typedef struct render_job {
    const ib_render_args *a;
    ib_cpu *cpu;
    float (*range)[2]; /* per job */
} render_job;

static void render_rows(void *ctx, int64_t i, int thread)
{
    const render_job *j = ctx;
    const ib_render_args *a = j->a;
    frame_rows r = begin_rows(j->cpu, a, ib_cpu_local(j->cpu, thread));
    for (int64_t y = i * ROWS_PER_JOB; y < ib_cpu_min((i + 1) * ROWS_PER_JOB, a->y.dim[0]); y++)
        make_row(&r, y, ib_cpu_at(&a->y, y * a->y.stride[0]), NULL, 0);
    float low = __builtin_inff(), high = -low;
    int nan = 0;
    add_range(&r, &low, &high, &nan);
    j->range[i][0] = nan ? __builtin_nanf("") : low;
    j->range[i][1] = high;
}

isobath_status ib_cpu_render(ib_backend *b, const ib_render_args *a)
{
    render_job j = {.a = a, .cpu = ib_cpu_of(b)};
    int64_t jobs = ib_cpu_ceil(a->y.dim[0], ROWS_PER_JOB);
    IB_TRY(make_tables(j.cpu, rows_scratch(a->y.dim[1]), (size_t)jobs * sizeof *j.range, &a->a, a->y.dim[0], a->y.dim[1]));
    j.range = j.cpu->shared;
    ib_pool_run(b->pool, jobs, render_rows, &j);
    int nan = 0;
    float low = __builtin_inff(), high = -low;
    for (int64_t i = 0; i < jobs; i++) {
        float l = j.range[i][0], h = j.range[i][1];
        nan |= l != l;
        low = l < low ? l : low;
        high = h > high ? h : high;
    }
    tell_range(low, high, nan, a->min_out, a->max_out);
    return ISOBATH_OK;
}

isobath_status ib_rows_begin(ib_backend *b, const ib_render_args *a)
{
    ib_cpu *cpu = ib_cpu_of(b);
    IB_TRY(make_tables(cpu, rows_scratch(a->y.dim[1]), 0, &a->a, a->y.dim[0], a->y.dim[1]));
    cpu->frame->rows = begin_rows(cpu, a, ib_cpu_local(cpu, 0));
    return ISOBATH_OK;
}

void ib_rows_next(ib_backend *b, float *row)
{
    frame_rows *r = &ib_cpu_of(b)->frame->rows;
    make_row(r, r->next++, row, NULL, 0);
}

int ib_rows_next_cut(ib_backend *b, float factor, uint16_t *row)
{
    frame_rows *r = &ib_cpu_of(b)->frame->rows;
    return make_row(r, r->next++, NULL, row, factor);
}

void ib_rows_range(ib_backend *b, float *min, float *max)
{
    const frame_rows *r = &ib_cpu_of(b)->frame->rows;
    float low = __builtin_inff(), high = -low;
    int nan = 0;
    add_range(r, &low, &high, &nan);
    tell_range(low, high, nan, min, max);
}

typedef struct fit_job {
    const ib_fit_sums_args *a;
    ib_cpu *cpu;
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
        upsample_row(j->cpu, &a->p[f], row, &cp, 0, 0, 0, p);
        upsample_row(j->cpu, &a->r[f], row, &cr, f == 1, a->r1_scale, a->r1_shift, r);
        j->cpu->k->row_sums(p, r, width, j->row[f * a->height + row]);
    }
}

isobath_status ib_cpu_fit_sums(ib_backend *b, const ib_fit_sums_args *a)
{
    fit_job j = {.a = a, .cpu = ib_cpu_of(b), .blocks = ib_cpu_ceil(a->height, ROWS_PER_JOB)};
    IB_TRY(make_tables(j.cpu, 2 * cache_scratch(a->width) + 2 * ib_cpu_round((size_t)a->width * 4), (size_t)(2 * a->height) * sizeof *j.row, &a->p[0], a->height, a->width));
    j.row = j.cpu->shared;
    ib_pool_run(b->pool, 2 * j.blocks, fit_rows, &j);
    a->sums[0] = 2.0 * (double)(a->height * a->width);
    for (int s = 0; s < 4; s++) a->sums[1 + s] = 0.0;
    for (int64_t i = 0; i < 2 * a->height; i++)
        for (int s = 0; s < 4; s++) a->sums[1 + s] += j.row[i][s];
    return ISOBATH_OK;
}
