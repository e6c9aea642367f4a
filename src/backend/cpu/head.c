/* output_head: resize, 3x3 to 32 channels, 1x1 to one value, fused. A job is a band of output rows; it keeps a ring of
 * resized rows, so that the resized map never exists as a whole. */
#include "backend/cpu/cpu.h"

#include <string.h>

#define HEAD_BAND 32
#define RING 6

typedef struct head_job {
    const ib_output_head_args *a;
    ib_cpu *cpu;
    const ib_cpu_weight *w;
    ib_cpu_lerp tx, ty;
    ib_cpu_wino_run run;
    int64_t bands, pitch; /* elements of a padded row of the ring, for the direct product */
    size_t row_bytes;
} head_job;

/* Resized row `row` of frame t into dst: pixels of `ldy` elements. */
static void resized_row(const head_job *j, int64_t t, int64_t row, void *dst, int64_t ldy, int f32)
{
    const ib_tensor *x = &j->a->x;
    int64_t c = x->dim[3], frame = t * x->stride[0], pitch = x->dim[2] * c;
    j->cpu->k->lerp_row(ib_cpu_at(x, frame + j->ty.i0[row] * pitch), ib_cpu_at(x, frame + j->ty.i1[row] * pitch), c,
                        x->dtype == IB_F32, j->a->y.dim[2], c, &j->tx, j->ty.w1[row], dst, ldy, f32);
}

/* The same with a zero pixel on either side, in the activation type; zeros outside of the map. */
static void padded_row(const head_job *j, int64_t t, int64_t row, char *dst)
{
    size_t size = ib_dtype_size(j->cpu->base.act), pixel = (size_t)j->w->k * size;
    int outside = row < 0 || row >= j->a->y.dim[1];
    if (outside || j->w->k != j->a->x.dim[3]) memset(dst, 0, j->row_bytes);
    if (outside) return;
    memset(dst, 0, pixel);
    memset(dst + j->row_bytes - pixel, 0, pixel);
    resized_row(j, t, row, dst + pixel, j->w->k, j->cpu->base.act == IB_F32);
}

/* Output pixels [x0, x0 + n) of row `row` by nine taps over three padded rows; slot[dy] holds row - 1 + dy. */
static void direct_pixels(const head_job *j, int64_t t, int64_t row, int64_t x0, int64_t n, const char *ring,
                          const int64_t slot[3], float *sums)
{
    const ib_tensor *y = &j->a->y;
    int64_t cpad = j->w->k;
    ib_cpu_product p = {.a = ring + x0 * cpad * (int64_t)ib_dtype_size(j->cpu->base.act),
                        .lda = cpad,
                        .rows = n,
                        .taps = 9,
                        .k = cpad,
                        .b = j->w->data,
                        .panels = j->w->panels,
                        .columns = 32,
                        .y = sums,
                        .ldy = 32,
                        .y_f32 = 1};
    for (int tap = 0; tap < 9; tap++) p.tap[tap] = slot[tap / 3] * j->pitch + tap % 3 * cpad;
    j->cpu->k->product(&p);
    j->cpu->k->head_row(sums, n, j->a->bias.data, j->w->head, j->a->sigmoid,
                        (float *)ib_cpu_at(y, t * y->stride[0] + row * y->stride[1]) + x0);
}

static void direct_band(void *ctx, int64_t i, int thread)
{
    const head_job *j = ctx;
    int64_t t = i / j->bands, first = i % j->bands * HEAD_BAND, last = ib_cpu_min(first + HEAD_BAND, j->a->y.dim[1]);
    char *ring = ib_cpu_local(j->cpu, thread);
    float *sums = (float *)(void *)(ring + ib_cpu_round(3 * j->row_bytes));
    for (int64_t row = first - 1; row <= last; row++) {
        padded_row(j, t, row, ring + (size_t)((row + 3) % 3) * j->row_bytes);
        if (row > first)
            direct_pixels(j, t, row - 1, 0, j->a->y.dim[2], ring, (int64_t[]){(row + 1) % 3, (row + 2) % 3, row % 3},
                          sums);
    }
}

/* One tile that is not finite after the transform: its rows one by one. */
static void direct_tile(const head_job *j, int64_t t, int64_t ty, int64_t tx, char *ring, float *sums)
{
    int64_t height = j->a->y.dim[1], n = ib_cpu_min(4, j->a->y.dim[2] - 4 * tx);
    for (int64_t row = 4 * ty; row < ib_cpu_min(4 * ty + 4, height); row++) {
        for (int64_t dy = 0; dy < 3; dy++) padded_row(j, t, row - 1 + dy, ring + (size_t)dy * j->row_bytes);
        direct_pixels(j, t, row, 4 * tx, n, ring, (int64_t[]){0, 1, 2}, sums);
    }
}

/* Tiles [tx, tx + n) of tile row ty, whose six input rows are `row`. */
static void wino_tiles(const head_job *j, int64_t t, int64_t ty, int64_t tx, int64_t n, const void *const row[6],
                       char *at)
{
    const ib_cpu_kernels *k = j->cpu->k;
    const ib_tensor *y = &j->a->y;
    int64_t c = j->a->x.dim[3], width = y->dim[2], nr = k->panel_width;
    float *v = ib_cpu_take(&at, (size_t)(36 * j->run.v_pitch) * sizeof(float));
    float *m = ib_cpu_take(&at, (size_t)(36 * j->run.m_pitch * j->w->panels) * sizeof(float));
    float *sums = ib_cpu_take(&at, 16 * 32 * sizeof(float));
    for (int64_t p = 0; p < n; p++) k->wino_input(row, 1, 4 * (tx + p), width, c, 0, v + p * c, j->run.v_pitch);
    for (int64_t panel = 0; panel < j->w->panels; panel++)
        ib_cpu_wino_multiply(j->cpu, j->w, &j->run, panel, n, v, m + 36 * panel * j->run.m_pitch);
    for (int64_t p = 0; p < n; p++) {
        int finite = 1;
        for (int64_t panel = 0; panel < j->w->panels; panel++)
            finite &= k->wino_output(m + 36 * panel * j->run.m_pitch + p * nr, j->run.m_pitch, (int)(nr / k->vector),
                                     sums + panel * nr, 32);
        if (!finite) {
            direct_tile(j, t, ty, tx + p, at, sums);
            continue;
        }
        int64_t x = 4 * (tx + p);
        for (int64_t r = 0; r < ib_cpu_min(4, y->dim[1] - 4 * ty); r++)
            k->head_row(sums + 4 * r * 32, ib_cpu_min(4, width - x), j->a->bias.data, j->w->head, j->a->sigmoid,
                        (float *)ib_cpu_at(y, t * y->stride[0] + (4 * ty + r) * y->stride[1]) + x);
    }
}

static void wino_band(void *ctx, int64_t i, int thread)
{
    const head_job *j = ctx;
    const ib_tensor *y = &j->a->y;
    int64_t t = i / j->bands, first = i % j->bands * HEAD_BAND, last = ib_cpu_min(first + HEAD_BAND, y->dim[1]);
    int64_t c = j->a->x.dim[3], tiles = ib_cpu_ceil(y->dim[2], 4), next = first - 1;
    char *at = ib_cpu_local(j->cpu, thread);
    float *ring = ib_cpu_take(&at, (size_t)(RING * y->dim[2] * c) * sizeof(float));
    for (int64_t top = first; top < last; top += 4) {
        const void *row[6];
        for (; next <= top + 4; next++)
            if (next >= 0 && next < y->dim[1])
                resized_row(j, t, next, ring + (next + RING) % RING * y->dim[2] * c, c, 1);
        for (int64_t r = 0; r < 6; r++) {
            int64_t in = top - 1 + r;
            row[r] = in < 0 || in >= y->dim[1] ? NULL : ring + (in + RING) % RING * y->dim[2] * c;
        }
        int64_t runs = ib_cpu_ceil(tiles, j->run.tiles);
        for (int64_t s = 0; s < runs; s++)
            wino_tiles(j, t, top / 4, s * tiles / runs, (s + 1) * tiles / runs - s * tiles / runs, row, at);
    }
}

isobath_status ib_cpu_output_head(ib_backend *b, const ib_output_head_args *a)
{
    head_job j = {.a = a, .cpu = ib_cpu_of(b), .w = ib_cpu_weight_of(a->w)};
    int64_t c = a->x.dim[3], width = a->y.dim[2];
    int winograd = j.w->wino && a->y.dim[1] >= 4 && width >= 4;
    j.pitch = (width + 2) * j.w->k;
    j.row_bytes = (size_t)j.pitch * ib_dtype_size(b->act);
    j.bands = ib_cpu_ceil(a->y.dim[1], HEAD_BAND);
    size_t local = ib_cpu_round(3 * j.row_bytes) + ib_cpu_round((size_t)width * 32 * sizeof(float));
    if (winograd) {
        j.run = ib_cpu_wino_run_for(j.cpu, c);
        local += j.run.bytes * (size_t)j.w->panels + ib_cpu_round((size_t)(RING * width * c) * sizeof(float));
    }
    IB_TRY(ib_cpu_lerp_tables(j.cpu, local, a->x.dim[1], a->x.dim[2], a->y.dim[1], width, &j.tx, &j.ty));
    ib_pool_run(b->pool, a->y.dim[0] * j.bands, winograd ? wino_band : direct_band, &j);
    return ISOBATH_OK;
}
