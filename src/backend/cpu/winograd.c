/* 3x3 convolutions with stride 1 by Winograd's F(4x4,3x3); the arithmetic is in k_winograd.h. A job is a run of tiles
 * of one frame, in raster order: transform the inputs, multiply 36 small matrices per weight panel, transform back.
 * Tiles lie on a fixed grid of the frame, so that a pixel's bits do not depend on how tiles are grouped.
 *
 * A value that is not finite would spread over its tile, and so would an overflow in the transform: such tiles are
 * found before anything is stored and are computed by the direct product instead. */
#include "backend/cpu/cpu.h"

#define ROUND_FLOATS 32 /* pads the distance of the 36 matrices off the powers of two */

typedef struct wino_pack {
    const ib_cpu *cpu;
    const ib_weight_desc *desc;
    ib_cpu_weight *weight;
    double g[6][3];
} wino_pack;

/* Input channel k of a panel; `i` counts channels within panels. */
static void pack_channel(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const wino_pack *p = ctx;
    ib_cpu_weight *w = p->weight;
    int64_t nr = p->cpu->k->panel_width, ci = p->desc->in_channels, panel = i / ci, k = i % ci;
    int64_t width = ib_cpu_panel_vectors(p->cpu, p->desc->out_channels, panel) * p->cpu->k->vector;
    const double(*g)[3] = p->g;
    for (int64_t j = 0; j < width; j++) {
        int64_t co = panel * nr + j;
        const float *s = p->desc->data + (co * ci + k) * 9;
        double t[6][3];
        for (int y = 0; y < 6; y++)
            for (int x = 0; x < 3; x++) t[y][x] = g[y][0] * s[x] + g[y][1] * s[3 + x] + g[y][2] * s[6 + x];
        for (int y = 0; y < 6; y++)
            for (int x = 0; x < 6; x++)
                w->wino[((6 * y + x) * w->panels + panel) * ci * nr + k * width + j] =
                    (float)(t[y][0] * g[x][0] + t[y][1] * g[x][1] + t[y][2] * g[x][2]);
    }
}

void ib_cpu_wino_pack(const ib_cpu *cpu, const ib_weight_desc *d, ib_cpu_weight *w)
{
    const double a2 = 0.5625, b2 = 2.25; /* squares of the points */
    const double scale[5] = {1 / (a2 * b2), 1 / (2 * a2 * (a2 - b2)), 1 / (2 * a2 * (a2 - b2)),
                             1 / (2 * b2 * (b2 - a2)), 1 / (2 * b2 * (b2 - a2))};
    const double point[5] = {0, 0.75, -0.75, 1.5, -1.5};
    wino_pack p = {cpu, d, w, {{0}}};
    for (int i = 0; i < 5; i++) {
        p.g[i][0] = scale[i];
        p.g[i][1] = scale[i] * point[i];
        p.g[i][2] = scale[i] * point[i] * point[i];
    }
    p.g[5][2] = 1;
    ib_pool_run(cpu->base.pool, w->panels * d->in_channels, pack_channel, &p);
}

ib_cpu_wino_run ib_cpu_wino_run_for(const ib_cpu *cpu, int64_t channels)
{
    /* Inputs and sums of a run take about 400 KiB, so that they stay in the second-level cache. */
    int64_t nr = cpu->k->panel_width, tile = cpu->f32->row_tile, fit = 400 * 1024 / (144 * tile * (channels + nr));
    ib_cpu_wino_run r = {.tiles = tile * (fit < 1 ? 1 : fit)};
    r.v_pitch = r.tiles * channels + ROUND_FLOATS;
    r.m_pitch = r.tiles * nr + ROUND_FLOATS;
    r.bytes = (size_t)(36 * (r.v_pitch + r.m_pitch) + 16 * 32) * sizeof(float) + 3 * 64;
    return r;
}

void ib_cpu_wino_multiply(const ib_cpu *cpu, const ib_cpu_weight *w, const ib_cpu_wino_run *r, int64_t panel, int64_t n,
                          const float *v, float *m)
{
    int64_t ci = w->base.in_channels, nr = cpu->k->panel_width;
    int vectors = ib_cpu_panel_vectors(cpu, w->base.out_channels, panel);
    for (int64_t i = 0; i < 36; i++)
        cpu->f32->panel(v + i * r->v_pitch, ci, n, ci, w->wino + (i * w->panels + panel) * ci * nr, vectors,
                        m + i * r->m_pitch);
}

typedef struct wino_job {
    const ib_conv3x3_args *a;
    ib_cpu *cpu;
    const ib_cpu_weight *w;
    ib_cpu_wino_run run;
    int64_t columns, tiles, runs; /* tiles of a row and of a frame; runs of a frame */
    int64_t pitch;                /* of a padded row, for the direct product */
} wino_job;

/* The six input rows that tile row `ty` reads. */
static void input_rows(const wino_job *j, int64_t t, int64_t ty, const void *row[6])
{
    const ib_tensor *x = &j->a->x;
    for (int64_t r = 0; r < 6; r++) {
        int64_t y = 4 * ty - 1 + r;
        row[r] = y < 0 || y >= x->dim[1] ? NULL : ib_cpu_at(x, t * x->stride[0] + y * x->dim[2] * x->dim[3]);
    }
}

/* Where the pixels (y, x...) of the result and the residuals are. */
static void set_pixel(const wino_job *j, ib_cpu_product *p, int64_t t, int64_t y, int64_t x)
{
    const ib_tensor *r1 = &j->a->residual, *r2 = &j->a->residual2, *o = &j->a->y;
    p->res = r1->data ? ib_cpu_at(r1, t * r1->stride[0] + y * r1->stride[1] + x * r1->stride[2]) : NULL;
    p->res2 = r2->data ? ib_cpu_at(r2, t * r2->stride[0] + y * r2->stride[1] + x * r2->stride[2]) : NULL;
    p->y = ib_cpu_at(o, t * o->stride[0] + y * o->stride[1] + x * o->stride[2]);
}

/* One tile and panel by nine taps over six padded rows. */
static void direct_tile(const wino_job *j, ib_cpu_product p, int64_t t, int64_t ty, int64_t tx, int64_t panel,
                        char *band)
{
    const ib_tensor *x = &j->a->x;
    int64_t c = x->dim[3], size = (int64_t)ib_dtype_size(x->dtype);
    const void *row[6];
    input_rows(j, t, ty, row);
    for (int r = 0; r < 6; r++) j->cpu->k->pad_row(band + r * j->pitch * size, row[r], x->dim[2], c, c, j->a->relu_in);
    p.lda = p.k = c;
    p.taps = 9;
    p.rows = ib_cpu_min(4, x->dim[2] - 4 * tx);
    p.b = j->w->data;
    p.first_panel = panel;
    p.panels = 1;
    for (int tap = 0; tap < 9; tap++) p.tap[tap] = tap / 3 * j->pitch + tap % 3 * c;
    for (int64_t r = 0; r < ib_cpu_min(4, x->dim[1] - 4 * ty); r++) {
        p.a = band + (r * j->pitch + 4 * tx * c) * size;
        set_pixel(j, &p, t, 4 * ty + r, 4 * tx);
        j->cpu->k->product(&p);
    }
}

static void wino_tiles(void *ctx, int64_t i, int thread)
{
    const wino_job *j = ctx;
    const ib_conv3x3_args *a = j->a;
    const ib_cpu_kernels *k = j->cpu->k;
    const ib_tensor *x = &a->x;
    int64_t t = i / j->runs, first = i % j->runs * j->tiles / j->runs,
            n = (i % j->runs + 1) * j->tiles / j->runs - first;
    int64_t co = j->w->base.out_channels;
    char *at = ib_cpu_local(j->cpu, thread);
    float *v = ib_cpu_take(&at, (size_t)(36 * j->run.v_pitch) * sizeof(float));
    float *m = ib_cpu_take(&at, (size_t)(36 * j->run.m_pitch) * sizeof(float));
    float *sums = ib_cpu_take(&at, 16 * 32 * sizeof(float));
    for (int64_t p = 0; p < n; p++) {
        const void *row[6];
        input_rows(j, t, (first + p) / j->columns, row);
        k->wino_input(row, 0, (first + p) % j->columns * 4, x->dim[2], x->dim[3], a->relu_in, v + p * x->dim[3],
                      j->run.v_pitch);
    }
    ib_cpu_product o = {.columns = co,
                        .bias = a->bias.data,
                        .act = a->relu_out ? IB_ACT_RELU : IB_ACT_NONE,
                        .ldres = a->residual.stride[2],
                        .ldres2 = a->residual2.stride[2],
                        .ldy = a->y.stride[2]};
    for (int64_t panel = 0; panel < j->w->panels; panel++) {
        ib_cpu_wino_multiply(j->cpu, j->w, &j->run, panel, n, v, m);
        int vectors = ib_cpu_panel_vectors(j->cpu, co, panel);
        for (int64_t p = 0; p < n; p++) {
            int64_t ty = (first + p) / j->columns, tx = (first + p) % j->columns;
            if (!k->wino_output(m + p * k->panel_width, j->run.m_pitch, vectors, sums, k->panel_width)) {
                direct_tile(j, o, t, ty, tx, panel, at);
                continue;
            }
            for (int64_t r = 0; r < ib_cpu_min(4, x->dim[1] - 4 * ty); r++) {
                set_pixel(j, &o, t, 4 * ty + r, 4 * tx);
                k->wino_finish(&o, ib_cpu_min(4, x->dim[2] - 4 * tx), panel, sums + 4 * r * k->panel_width);
            }
        }
    }
}

isobath_status ib_cpu_conv3x3_winograd(ib_cpu *cpu, const ib_conv3x3_args *a)
{
    int64_t h = a->x.dim[1], w = a->x.dim[2], c = a->x.dim[3];
    wino_job j = {.a = a, .cpu = cpu, .w = ib_cpu_weight_of(a->w), .run = ib_cpu_wino_run_for(cpu, c)};
    j.columns = ib_cpu_ceil(w, 4);
    j.tiles = j.columns * ib_cpu_ceil(h, 4);
    j.runs = ib_cpu_ceil(j.tiles, j.run.tiles);
    j.pitch = (w + 2) * c;
    IB_TRY(ib_cpu_reserve(cpu, j.run.bytes + (size_t)(6 * j.pitch) * ib_dtype_size(a->x.dtype), 0));
    ib_pool_run(cpu->base.pool, a->x.dim[0] * j.runs, wino_tiles, &j);
    return ISOBATH_OK;
}
