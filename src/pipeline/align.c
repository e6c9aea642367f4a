/* Alignment; see align.h. The arithmetic that must have equal bits everywhere is in the ops fit_sums and render. */
#include "pipeline/align.h"

#include "backend/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

ib_alignment ib_align_solve(const double sums[5], int guard, const ib_alignment *previous)
{
    double n = sums[0], sp = sums[1], spp = sums[2], sr = sums[3], spr = sums[4];
    double det = n * spp - sp * sp, scale = 1, shift = 0;
    if (det != 0) {
        scale = (n * spr - sp * sr) / det;
        shift = (spp * sr - sp * spr) / det;
    }
    ib_alignment a = {(float)scale, (float)shift, 0, scale, shift};
    int sane = isfinite(a.scale) && isfinite(a.shift) && a.scale > 0 && !(det <= 1e-6 * n * spp);
    if (guard && !sane) {
        a.scale = previous ? previous->scale : 1.0f;
        a.shift = previous ? previous->shift : 0.0f;
        a.guarded = 1;
    }
    return a;
}

isobath_status ib_align_chain_init(ib_align_chain *c, ib_backend *backend, int metric, int guard, int64_t height,
                                   int64_t width, int64_t net_height, int64_t net_width, ib_diag *diag)
{
    *c = (ib_align_chain){.backend = backend, .metric = metric, .guard = guard, .height = height, .width = width,
                          .net_height = net_height, .net_width = net_width, .last = {.scale = 1, .fit_scale = 1}};
    size_t bytes = (size_t)(net_height * net_width) * sizeof(float);
    c->first = malloc(bytes);
    c->last12 = malloc(bytes);
    if (!c->first || !c->last12) {
        ib_align_chain_free(c);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the alignment");
    }
    return ISOBATH_OK;
}

void ib_align_chain_restart(ib_align_chain *c)
{
    c->last = (ib_alignment){.scale = 1, .fit_scale = 1};
    c->next = 0;
}

void ib_align_chain_free(ib_align_chain *c)
{
    free(c->first);
    free(c->last12);
    c->first = c->last12 = NULL;
}

isobath_status ib_align_chain_window(ib_align_chain *c, float *raw, ib_alignment *out)
{
    int64_t h = c->net_height, w = c->net_width, frame = h * w;
    ib_alignment a = {.scale = 1, .fit_scale = 1};
    if (c->next == 0) memcpy(c->first, raw, (size_t)frame * sizeof *raw);
    else if (!c->metric) {
        double sums[5];
        ib_fit_sums_args f = {.p = {ib_tensor_2d(raw, IB_F32, h, w), ib_tensor_2d(raw + frame, IB_F32, h, w)},
                              .r = {ib_tensor_2d(c->first, IB_F32, h, w), ib_tensor_2d(c->last12, IB_F32, h, w)},
                              .r1_scale = c->last.scale, .r1_shift = c->last.shift, .height = c->height, .width = c->width,
                              .sums = sums};
        IB_TRY(ib_fit_sums(c->backend, &f));
        a = ib_align_solve(sums, c->guard, &c->last);
    }
    memcpy(c->last12, raw + 12 * frame, (size_t)frame * sizeof *raw);
    c->last = a;
    c->next++;
    *out = a;
    return ISOBATH_OK;
}

static ib_render_args render_args(const ib_plan_render *how, float *raw, const ib_alignment *al, float *fade, const ib_alignment *fade_al, int64_t h,
                                  int64_t w, float *y, int64_t height, int64_t width)
{
    ib_tensor current = ib_tensor_2d(raw, IB_F32, h, w);
    ib_render_args r = {.a = current, .a_scale = al->scale, .a_shift = al->shift, .y = ib_tensor_2d(y, IB_F32, height, width)};
    if (how->fade) {
        r.a = ib_tensor_2d(fade, IB_F32, h, w);
        r.a_scale = fade_al->scale;
        r.a_shift = fade_al->shift;
        r.b = current;
        r.b_scale = al->scale;
        r.b_shift = al->shift;
        r.weight = how->weight;
    }
    return r;
}

isobath_status ib_align_render(ib_backend *be, const ib_plan_render *how, float *raw, const ib_alignment *al, float *fade,
                               const ib_alignment *fade_al, int64_t h, int64_t w, float *y, int64_t height, int64_t width,
                               float *min, float *max)
{
    ib_render_args r = render_args(how, raw, al, fade, fade_al, h, w, y, height, width);
    r.min_out = min;
    r.max_out = max;
    return ib_render(be, &r);
}

typedef struct row_maker {
    ib_backend *backend;
    ib_render_args args;
} row_maker;

static isobath_status begin(void *ctx)
{
    row_maker *m = ctx;
    return ib_rows_begin(m->backend, &m->args);
}

static void next(void *ctx, float *row) { ib_rows_next(((row_maker *)ctx)->backend, row); }
static int next_cut(void *ctx, float factor, uint16_t *row) { return ib_rows_next_cut(((row_maker *)ctx)->backend, factor, row); }
static void range(void *ctx, float *min, float *max) { ib_rows_range(((row_maker *)ctx)->backend, min, max); }

isobath_status ib_align_pack(ib_backend *be, const ib_plan_render *how, float *raw, const ib_alignment *al, float *fade, const ib_alignment *fade_al,
                             int64_t h, int64_t w, const ib_sink_format *format, ib_sink *sink, int thread, ib_depth_frame *f)
{
    row_maker m = {be, render_args(how, raw, al, fade, fade_al, h, w, NULL, f->height, f->width)};
    ib_frame_rows rows = {&m, begin, next, next_cut, range};
    return format->pack(sink, f, &rows, thread);
}
