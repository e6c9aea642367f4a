/* Linear layers: blocks of rows x groups of weight panels, each a call of the product kernel. */
#include "backend/cpu/cpu.h"

#include <string.h>

typedef struct linear_job {
    const ib_linear_args *a;
    ib_cpu *cpu;
    const ib_cpu_weight *w;
    int64_t outer, rows;                  /* rows of one uniform stride: `outer` runs of `rows` */
    int64_t sx, sres, sy, ox, ores, oy;   /* strides of a row and of a run */
    int64_t block, blocks, group, groups; /* rows of a block; panels of a group */
    int copy;                             /* rows must be copied: K is padded */
} linear_job;

/* What the rows [row, row + rows) of run `outer` need, all columns. */
static ib_cpu_product rows_of(const linear_job *j, int64_t outer, int64_t row, int64_t rows)
{
    const ib_linear_args *a = j->a;
    return (ib_cpu_product){
        .a = ib_cpu_at(&a->x, outer * j->ox + row * j->sx),
        .lda = j->sx,
        .rows = rows,
        .taps = 1,
        .k = j->w->k,
        .b = j->w->data,
        .panels = j->w->panels,
        .columns = j->w->base.out_channels,
        .bias = a->bias.data,
        .act = a->act,
        .res = a->residual.data ? ib_cpu_at(&a->residual, outer * j->ores + row * j->sres) : NULL,
        .ldres = j->sres,
        .res_f32 = a->residual.dtype == IB_F32,
        .y = ib_cpu_at(&a->y, outer * j->oy + row * j->sy),
        .ldy = j->sy,
        .y_f32 = a->y.dtype == IB_F32,
    };
}

static void linear_block(void *ctx, int64_t i, int thread)
{
    const linear_job *j = ctx;
    int64_t g = i % j->groups, r = i / j->groups % j->blocks, k = j->w->base.in_channels;
    int64_t tile = j->cpu->k->row_tile, tiles = ib_cpu_ceil(j->rows, tile), row = r * tiles / j->blocks * tile;
    int64_t rows = ib_cpu_min(j->rows, (r + 1) * tiles / j->blocks * tile) - row;
    ib_cpu_product p = rows_of(j, i / j->groups / j->blocks, row, rows);
    p.first_panel = g * j->group;
    p.panels = ib_cpu_min(j->group, j->w->panels - p.first_panel);
    if (j->copy) {
        uint16_t *t = ib_cpu_local(j->cpu, thread);
        for (int64_t n = 0; n < p.rows; n++) {
            memcpy(t + n * p.k, (const uint16_t *)p.a + n * p.lda, (size_t)k * sizeof *t);
            memset(t + n * p.k + k, 0, (size_t)(p.k - k) * sizeof *t);
        }
        p.a = t;
        p.lda = p.k;
    }
    j->cpu->k->product(&p);
}

/* Sets the row strides: one run over all tokens where every tensor allows it, else one run per frame. */
static void flatten(linear_job *j)
{
    const ib_linear_args *a = j->a;
    const ib_tensor *t[3] = {&a->x, &a->y, a->residual.data ? &a->residual : &a->y};
    int64_t frames = a->x.dim[0], tokens = a->x.dim[1], inner = 1;
    int flat = 1;
    for (int i = 0; i < 3; i++) flat &= frames == 1 || tokens == 1 || t[i]->stride[0] == tokens * t[i]->stride[1];
    if (tokens == 1) inner = 0; /* rows are frames */
    j->sx = a->x.stride[inner];
    j->sy = a->y.stride[inner];
    j->sres = t[2]->stride[inner];
    j->ox = a->x.stride[0];
    j->oy = a->y.stride[0];
    j->ores = t[2]->stride[0];
    j->outer = flat ? 1 : frames;
    j->rows = flat ? frames * tokens : tokens;
}

/* With tiles memory is the limit: a job reads about as many bytes of rows as of panels, and each thread gets several. */
static void square_jobs(linear_job *j, int64_t tile)
{
    const int64_t want = 5 * (int64_t)j->cpu->threads;
    int64_t rows = 8; /* tiles of a job; a tile has as many bytes as a panel */
    j->group = j->w->panels;
    for (;;) {
        j->blocks = ib_cpu_ceil(j->rows, rows * tile);
        if (j->outer * j->blocks * ib_cpu_ceil(j->w->panels, j->group) >= want || (rows == 1 && j->group == 1)) break;
        if (j->group > rows) j->group = ib_cpu_ceil(j->group, 2);
        else rows /= 2;
    }
    j->block = rows * tile;
}

isobath_status ib_cpu_linear(ib_backend *b, const ib_linear_args *a)
{
    ib_cpu *cpu = ib_cpu_of(b);
    linear_job j = {.a = a, .cpu = cpu, .w = ib_cpu_weight_of(a->w)};
    flatten(&j);
    /* A block's activations (about 400 KiB) stay in the second-level cache while the panels stream past them. */
    int64_t tile = cpu->k->row_tile, row_bytes = j.w->k * (int64_t)ib_dtype_size(b->act);
    int64_t fit = ib_cpu_min(16, 400 * 1024 / (row_bytes * tile) + 1);
    j.block = fit * tile;
    j.blocks = ib_cpu_ceil(j.rows, j.block);
    int64_t jobs = j.outer * j.blocks, want = 12 * (int64_t)cpu->threads;
    j.groups = jobs >= want ? 1 : ib_cpu_min(j.w->panels, ib_cpu_ceil(want, jobs));
    j.group = ib_cpu_ceil(j.w->panels, j.groups);
    if (cpu->k->inner > 2) square_jobs(&j, tile);
    j.groups = ib_cpu_ceil(j.w->panels, j.group);
    j.copy = j.w->k != j.w->base.in_channels;
    if (j.copy) IB_TRY(ib_cpu_reserve(cpu, (size_t)(j.block * row_bytes), 0));
    ib_pool_run(b->pool, j.outer * j.blocks * j.groups, linear_block, &j);
    return ISOBATH_OK;
}
