/* Bilinear resize of maps, and the fused end of the head that works on three resized rows at a time. */
#include "backend/cpu/cpu.h"

#include <string.h>

void ib_cpu_lerp_axis(int64_t in, int64_t out, ib_cpu_lerp *t)
{
    for (int64_t i = 0; i < out; i++) {
        int64_t i0, i1;
        ib_bilinear_axis(i, in, out, &i0, &i1, &t->w1[i]);
        t->i0[i] = (int32_t)i0;
        t->i1[i] = (int32_t)i1;
    }
}

void ib_cpu_lerp_take(char **at, int64_t out, ib_cpu_lerp *t)
{
    t->i0 = ib_cpu_take(at, (size_t)out * 4);
    t->i1 = ib_cpu_take(at, (size_t)out * 4);
    t->w1 = ib_cpu_take(at, (size_t)out * 4);
}

/* The tables of both axes, in shared scratch. */
static isobath_status make_tables(ib_cpu *cpu, size_t local, int64_t h, int64_t w, int64_t out_h, int64_t out_w,
                                  ib_cpu_lerp *tx, ib_cpu_lerp *ty)
{
    IB_TRY(ib_cpu_reserve(cpu, local, ib_cpu_lerp_bytes(out_w) + ib_cpu_lerp_bytes(out_h)));
    char *at = cpu->shared;
    ib_cpu_lerp_take(&at, out_w, tx);
    ib_cpu_lerp_take(&at, out_h, ty);
    ib_cpu_lerp_axis(w, out_w, tx);
    ib_cpu_lerp_axis(h, out_h, ty);
    return ISOBATH_OK;
}

typedef struct resize_job {
    const ib_resize_bilinear_args *a;
    ib_cpu *cpu;
    ib_cpu_lerp tx, ty;
} resize_job;

static void resize_row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const resize_job *j = ctx;
    const ib_tensor *x = &j->a->x, *y = &j->a->y;
    int64_t t = i / y->dim[1], row = i % y->dim[1], frame = t * x->stride[0];
    j->cpu->k->lerp_row(ib_cpu_at(x, frame + j->ty.i0[row] * x->stride[1]),
                        ib_cpu_at(x, frame + j->ty.i1[row] * x->stride[1]), x->stride[2], 0, y->dim[2], y->dim[3],
                        &j->tx, j->ty.w1[row], ib_cpu_at(y, t * y->stride[0] + row * y->stride[1]), y->stride[2]);
}

isobath_status ib_cpu_resize_bilinear(ib_backend *b, const ib_resize_bilinear_args *a)
{
    resize_job j = {.a = a, .cpu = ib_cpu_of(b)};
    IB_TRY(make_tables(j.cpu, 0, a->x.dim[1], a->x.dim[2], a->y.dim[1], a->y.dim[2], &j.tx, &j.ty));
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], resize_row, &j);
    return ISOBATH_OK;
}

/* ---- output_head ---------------------------------------------------------------------------------------------------
 * A job is a band of output rows. It keeps a ring of three resized, zero-padded rows: each new output row resizes one
 * more row, multiplies the nine taps, and reduces the 32 channels to one value. */

#define HEAD_BAND 32

typedef struct head_job {
    const ib_output_head_args *a;
    ib_cpu *cpu;
    const ib_cpu_weight *w;
    ib_cpu_lerp tx, ty;
    int64_t bands, pitch; /* elements of a padded row */
    size_t row_bytes;
} head_job;

/* Resized row `row` of frame t, or zeros outside of the map, into its place in the ring. */
static void ring_row(const head_job *j, int64_t t, int64_t row, char *ring)
{
    const ib_tensor *x = &j->a->x;
    int64_t c = x->dim[3], cpad = j->w->k, frame = t * x->stride[0], pitch = x->dim[2] * c;
    char *dst = ring + (size_t)((row + 3) % 3) * j->row_bytes;
    if (row < 0 || row >= j->a->y.dim[1] || cpad != c) memset(dst, 0, j->row_bytes);
    if (row < 0 || row >= j->a->y.dim[1]) return;
    char *pixels = dst + (size_t)cpad * ib_dtype_size(j->cpu->base.act);
    memset(dst, 0, (size_t)(pixels - dst));
    memset(dst + j->row_bytes - (size_t)(pixels - dst), 0, (size_t)(pixels - dst));
    j->cpu->k->lerp_row(ib_cpu_at(x, frame + j->ty.i0[row] * pitch), ib_cpu_at(x, frame + j->ty.i1[row] * pitch), c,
                        x->dtype == IB_F32, j->a->y.dim[2], c, &j->tx, j->ty.w1[row], pixels, cpad);
}

static void head_band(void *ctx, int64_t i, int thread)
{
    const head_job *j = ctx;
    const ib_tensor *y = &j->a->y;
    const float *bias = j->a->bias.data;
    int64_t t = i / j->bands, first = i % j->bands * HEAD_BAND, cpad = j->w->k;
    int64_t last = ib_cpu_min(first + HEAD_BAND, y->dim[1]);
    char *ring = ib_cpu_local(j->cpu, thread);
    float *sums = (float *)(void *)(ring + ib_cpu_round(3 * j->row_bytes));
    ib_cpu_product p = {
        .a = ring,
        .lda = cpad,
        .rows = y->dim[2],
        .taps = 9,
        .k = cpad,
        .b = j->w->data,
        .panels = j->w->panels,
        .columns = 32,
        .bias = bias,
        .act = IB_ACT_RELU,
        .y = sums,
        .ldy = 32,
        .y_f32 = 1,
    };
    ring_row(j, t, first - 1, ring);
    ring_row(j, t, first, ring);
    for (int64_t row = first; row < last; row++) {
        ring_row(j, t, row + 1, ring);
        for (int tap = 0; tap < 9; tap++) p.tap[tap] = (row + 2 + tap / 3) % 3 * j->pitch + tap % 3 * cpad;
        j->cpu->k->product(&p);
        j->cpu->k->head_row(sums, p.rows, bias[32], j->w->head,
                            ib_cpu_at(y, t * y->stride[0] + row * y->stride[1]));
    }
}

isobath_status ib_cpu_output_head(ib_backend *b, const ib_output_head_args *a)
{
    head_job j = {.a = a, .cpu = ib_cpu_of(b), .w = ib_cpu_weight_of(a->w)};
    j.pitch = (a->y.dim[2] + 2) * j.w->k;
    j.row_bytes = (size_t)j.pitch * ib_dtype_size(b->act);
    j.bands = ib_cpu_ceil(a->y.dim[1], HEAD_BAND);
    size_t local = ib_cpu_round(3 * j.row_bytes) + (size_t)a->y.dim[2] * 32 * sizeof(float);
    IB_TRY(make_tables(j.cpu, local, a->x.dim[1], a->x.dim[2], a->y.dim[1], a->y.dim[2], &j.tx, &j.ty));
    ib_pool_run(b->pool, a->y.dim[0] * j.bands, head_band, &j);
    return ISOBATH_OK;
}
