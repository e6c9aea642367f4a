/* See guided.h. Sums are f32, taken in the order of the loops; every operation rounds on its own. */
#include "pipeline/guided.h"

#include "op/op.h"

#include <math.h>
#include <stdlib.h>

enum { MAPS = 8 };

typedef struct tap { /* ib_bilinear_axis of one output row or column */
    int32_t i0, i1;
    float w1;
} tap;

struct ib_guided {
    int64_t h, w, picture_h, picture_w, height, width;
    float *small; /* p */
    float *map[MAPS];
    float *row[4];      /* one line at output width; two of the small map */
    uint8_t *luma;      /* (picture_h,picture_w) */
    tap *x, *y;         /* output to small */
    tap *px, *py;       /* output to picture */
    int32_t *x0, *x1;   /* columns of the picture that a column of the small map stands for, both inclusive */
    int32_t *y0, *y1;
};

size_t ib_guided_bytes(int64_t h, int64_t w, int64_t picture_h, int64_t picture_w)
{
    return (size_t)(h * w) * (MAPS + 1) * sizeof(float) + (size_t)(picture_h * picture_w);
}

static void fill_axis(tap *t, int64_t in, int64_t out)
{
    for (int64_t i = 0; i < out; i++) {
        int64_t i0, i1;
        ib_bilinear_axis(i, in, out, &i0, &i1, &t[i].w1);
        t[i].i0 = (int32_t)i0;
        t[i].i1 = (int32_t)i1;
    }
}

/* Pixel i of `small` stands at i*(large-1)/(small-1); the pixels within half a step of it, in integers. */
static void fill_blocks(int32_t *from, int32_t *to, int64_t small, int64_t large)
{
    for (int64_t i = 0; i < small; i++) {
        int64_t d = small > 1 ? small - 1 : 1, a = (2 * i - 1) * (large - 1), b = (2 * i + 1) * (large - 1);
        from[i] = (int32_t)(a <= 0 ? 0 : (a + 2 * d - 1) / (2 * d)); /* rounded up */
        to[i] = (int32_t)(b / (2 * d) < large ? b / (2 * d) : large - 1);
        if (to[i] < from[i]) to[i] = from[i]; /* no larger than the small map */
    }
}

isobath_status ib_guided_create(int64_t h, int64_t w, int64_t picture_h, int64_t picture_w, int64_t height, int64_t width,
                                ib_diag *diag, ib_guided **out)
{
    *out = NULL;
    ib_guided *g = calloc(1, sizeof *g);
    int bad = !g;
    if (g) {
        *g = (ib_guided){.h = h, .w = w, .picture_h = picture_h, .picture_w = picture_w, .height = height, .width = width};
        bad |= !(g->small = malloc((size_t)(h * w) * sizeof(float)));
        for (int i = 0; i < MAPS; i++) bad |= !(g->map[i] = malloc((size_t)(h * w) * sizeof(float)));
        for (int i = 0; i < 4; i++) bad |= !(g->row[i] = malloc((size_t)w * sizeof(float)));
        bad |= !(g->luma = malloc((size_t)(picture_h * picture_w)));
        bad |= !(g->x = malloc((size_t)width * sizeof(tap))) | !(g->px = malloc((size_t)width * sizeof(tap)));
        bad |= !(g->y = malloc((size_t)height * sizeof(tap))) | !(g->py = malloc((size_t)height * sizeof(tap)));
        bad |= !(g->x0 = malloc((size_t)w * sizeof(int32_t))) | !(g->x1 = malloc((size_t)w * sizeof(int32_t)));
        bad |= !(g->y0 = malloc((size_t)h * sizeof(int32_t))) | !(g->y1 = malloc((size_t)h * sizeof(int32_t)));
    }
    if (bad) {
        ib_guided_destroy(g);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for guided upsampling");
    }
    fill_axis(g->x, w, width);
    fill_axis(g->y, h, height);
    fill_axis(g->px, picture_w, width);
    fill_axis(g->py, picture_h, height);
    fill_blocks(g->x0, g->x1, w, picture_w);
    fill_blocks(g->y0, g->y1, h, picture_h);
    *out = g;
    return ISOBATH_OK;
}

void ib_guided_destroy(ib_guided *g)
{
    if (!g) return;
    free(g->small);
    for (int i = 0; i < MAPS; i++) free(g->map[i]);
    for (int i = 0; i < 4; i++) free(g->row[i]);
    free(g->luma);
    free(g->x);
    free(g->y);
    free(g->px);
    free(g->py);
    free(g->x0);
    free(g->x1);
    free(g->y0);
    free(g->y1);
    free(g);
}

float *ib_guided_small(ib_guided *g) { return g->small; }

/* The guide at the small size: the mean luma of each block, 0..1. */
static void shrink_luma(const ib_guided *g, float *out)
{
    for (int64_t y = 0; y < g->h; y++)
        for (int64_t x = 0; x < g->w; x++) {
            uint32_t sum = 0;
            for (int32_t v = g->y0[y]; v <= g->y1[y]; v++)
                for (int32_t u = g->x0[x]; u <= g->x1[x]; u++) sum += g->luma[v * g->picture_w + u];
            int64_t n = (int64_t)(g->y1[y] - g->y0[y] + 1) * (g->x1[x] - g->x0[x] + 1);
            out[y * g->w + x] = (float)((double)sum / (255.0 * (double)n));
        }
}

/* The mean over windows of 2R+1 squared, cut at the borders: columns first, into tmp, then rows, in place. */
static void box_mean(const ib_guided *g, float *map, float *tmp)
{
    const int64_t h = g->h, w = g->w, R = IB_GUIDED_RADIUS;
    for (int64_t y = 0; y < h; y++) {
        int64_t from = y < R ? 0 : y - R, to = y + R < h ? y + R : h - 1;
        float *out = tmp + y * w, n = (float)(to - from + 1);
        for (int64_t x = 0; x < w; x++) out[x] = map[from * w + x];
        for (int64_t v = from + 1; v <= to; v++)
            for (int64_t x = 0; x < w; x++) out[x] += map[v * w + x];
        for (int64_t x = 0; x < w; x++) out[x] /= n;
    }
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            int64_t from = x < R ? 0 : x - R, to = x + R < w ? x + R : w - 1;
            float sum = tmp[y * w + from];
            for (int64_t u = from + 1; u <= to; u++) sum += tmp[y * w + u];
            map[y * w + x] = sum / (float)(to - from + 1);
        }
}

/* Least and largest of the 4x4 values around the cell whose corner is (y, x): rows y-1..y+2. Columns into tmp first. */
static void cell_bounds(const ib_guided *g, float *low, float *high, float *tmp_low, float *tmp_high)
{
    const int64_t h = g->h, w = g->w;
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            float a = g->small[y * w + x], b = a;
            for (int64_t u = x > 0 ? x - 1 : 0; u <= x + 2 && u < w; u++) {
                float v = g->small[y * w + u];
                if (v < a) a = v;
                if (v > b) b = v;
            }
            tmp_low[y * w + x] = a;
            tmp_high[y * w + x] = b;
        }
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            float a = tmp_low[y * w + x], b = tmp_high[y * w + x];
            for (int64_t v = y > 0 ? y - 1 : 0; v <= y + 2 && v < h; v++) {
                if (tmp_low[v * w + x] < a) a = tmp_low[v * w + x];
                if (tmp_high[v * w + x] > b) b = tmp_high[v * w + x];
            }
            low[y * w + x] = a;
            high[y * w + x] = b;
        }
}

/* a and b of depth = a luma + b in every window, averaged over the windows that a pixel lies in: into map[0], map[1]. */
static void fit_windows(ib_guided *g)
{
    const int64_t n = g->h * g->w;
    float *guide = g->map[0], *depth = g->map[1], *both = g->map[2], *square = g->map[3], *tmp = g->map[4];
    shrink_luma(g, guide);
    for (int64_t i = 0; i < n; i++) {
        depth[i] = g->small[i];
        both[i] = guide[i] * g->small[i];
        square[i] = guide[i] * guide[i];
    }
    for (int i = 0; i < 4; i++) box_mean(g, g->map[i], tmp);
    for (int64_t i = 0; i < n; i++) {
        float covariance = both[i] - guide[i] * depth[i], variance = square[i] - guide[i] * guide[i];
        if (variance < 0) variance = 0;
        float a = covariance / (variance + IB_GUIDED_EPS);
        float b = depth[i] - a * guide[i];
        guide[i] = a;
        depth[i] = b;
    }
    box_mean(g, guide, tmp);
    box_mean(g, depth, tmp);
    cell_bounds(g, g->map[2], g->map[3], g->map[4], g->map[5]);
}

/* Luma of the picture at (y, x) of the output, 0..1. */
static float luma_at(const ib_guided *g, int64_t y, int64_t x)
{
    tap v = g->py[y], u = g->px[x];
    const uint8_t *top = g->luma + v.i0 * g->picture_w, *bottom = g->luma + v.i1 * g->picture_w;
    float upper = (float)top[u.i0] + u.w1 * (float)(top[u.i1] - top[u.i0]);
    float lower = (float)bottom[u.i0] + u.w1 * (float)(bottom[u.i1] - bottom[u.i0]);
    return (upper + v.w1 * (lower - upper)) * (1.0f / 255.0f);
}

void ib_guided_run(ib_guided *g, const uint8_t *rgb, float *y_out, float *min, float *max)
{
    for (int64_t i = 0; i < g->picture_h * g->picture_w; i++)
        g->luma[i] = (uint8_t)((77 * rgb[3 * i] + 150 * rgb[3 * i + 1] + 29 * rgb[3 * i + 2] + 128) >> 8);
    fit_windows(g);
    const int64_t w = g->w;
    float *a = g->row[0], *b = g->row[1], least = INFINITY, largest = -INFINITY;
    int same = g->height == g->picture_h && g->width == g->picture_w;
    for (int64_t y = 0; y < g->height; y++) {
        tap v = g->y[y];
        for (int64_t x = 0; x < w; x++) {
            a[x] = g->map[0][v.i0 * w + x] + v.w1 * (g->map[0][v.i1 * w + x] - g->map[0][v.i0 * w + x]);
            b[x] = g->map[1][v.i0 * w + x] + v.w1 * (g->map[1][v.i1 * w + x] - g->map[1][v.i0 * w + x]);
        }
        const float *low = g->map[2] + v.i0 * w, *high = g->map[3] + v.i0 * w;
        float *out = y_out + y * g->width;
        for (int64_t x = 0; x < g->width; x++) {
            tap u = g->x[x];
            float luma = same ? (float)g->luma[y * g->picture_w + x] * (1.0f / 255.0f) : luma_at(g, y, x);
            float slope = a[u.i0] + u.w1 * (a[u.i1] - a[u.i0]), offset = b[u.i0] + u.w1 * (b[u.i1] - b[u.i0]);
            float d = slope * luma + offset;
            if (d < low[u.i0]) d = low[u.i0];
            if (d > high[u.i0]) d = high[u.i0];
            out[x] = d;
            if (d < least) least = d;
            if (d > largest) largest = d;
        }
    }
    *min = least + 0.0f;
    *max = largest + 0.0f;
}

isobath_status ib_guided_render(ib_guided *guided, ib_backend *backend, const ib_plan_render *how, float *raw, const ib_alignment *al, float *fade,
                                const ib_alignment *fade_al, int64_t h, int64_t w, ib_depth_frame *f)
{
    if (!guided) return ib_align_render(backend, how, raw, al, fade, fade_al, h, w, f->depth, f->height, f->width, &f->min, &f->max);
    IB_TRY(ib_align_render(backend, how, raw, al, fade, fade_al, h, w, guided->small, h, w, NULL, NULL));
    ib_guided_run(guided, f->rgb, f->depth, &f->min, &f->max);
    return ISOBATH_OK;
}
