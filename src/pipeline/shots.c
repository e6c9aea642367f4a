/* Where shots begin; see shots.h. */
#include "pipeline/shots.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING = 2 * IB_CUT_LOOKAHEAD + 1, SHIFT_X = 4, SHIFT_Y = 3 };

/* The rule's numbers; chosen on spliced real and synthetic clips (tests/unit/shots.c, docs/MODEL.md). */
static const float unrelated = 0.25f; /* distance above which two frames may be of different shots */
static const float related = 0.25f;   /* distance below which a later frame is still the same shot: it was a flash */
static const float above_motion = 2.5f; /* a cut stands out this much over the distances around it */
static const float flat = 4.0f;        /* standard deviation below which a picture has no structure */

/* A picture to look at: one of the two. */
typedef struct view {
    const uint8_t *rgb;
    const ib_yuv_planes *planes;
    int width, height;
} view;

static int32_t plane_sample(const ib_yuv_planes *p, int c, int row, int x)
{
    const uint8_t *s = p->plane[p->c[c].plane] + row * p->stride[p->c[c].plane] + p->c[c].offset + (int64_t)x * p->c[c].step;
    int32_t v = (p->bits + p->shift > 8 ? s[0] | s[1] << 8 : s[0]) >> p->shift, max = (1 << p->bits) - 1;
    return v < max ? v : max;
}

/* Adds one pixel to the sums of its box. */
static void add_pixel(const view *v, int x, int y, int sum[3])
{
    uint8_t made[3];
    const uint8_t *rgb = made;
    if (v->rgb) rgb = v->rgb + ((size_t)y * (size_t)v->width + (size_t)x) * 3;
    else {
        const ib_yuv_planes *p = v->planes;
        int row = ib_chroma_row(y, p->ssy, p->interlaced, p->rows[p->c[1].plane]), column = x >> p->ssx;
        ib_yuv_pixel(&p->k, plane_sample(p, 0, y, x), plane_sample(p, 1, row, column), plane_sample(p, 2, row, column), made);
    }
    for (int c = 0; c < 3; c++) sum[c] += rgb[c];
}

/* The first sample of a component's row, 8-bit. */
static const uint8_t *plane_row(const ib_yuv_planes *p, int c, int row)
{
    return p->plane[p->c[c].plane] + row * p->stride[p->c[c].plane] + p->c[c].offset;
}

/* Adds pixels x0, x0 + step ... of a row to the sums of their box; 8-bit planes, the common case, without a decision per pixel. */
static void add_row(const view *v, int y, int x0, int x1, int step, int sum[3])
{
    const ib_yuv_planes *p = v->planes;
    if (!p || p->bits != 8 || p->shift != 0) {
        for (int x = x0; x < x1; x += step) add_pixel(v, x, y, sum);
        return;
    }
    int row = ib_chroma_row(y, p->ssy, p->interlaced, p->rows[p->c[1].plane]), ssx = p->ssx;
    const uint8_t *luma = plane_row(p, 0, y), *u = plane_row(p, 1, row), *w = plane_row(p, 2, row);
    const int luma_step = p->c[0].step, u_step = p->c[1].step, w_step = p->c[2].step;
    const ib_yuv_coefficients k = p->k;
    int r = 0, g = 0, b = 0;
    for (int x = x0; x < x1; x += step) {
        uint8_t rgb[3];
        ib_yuv_pixel(&k, luma[x * luma_step], u[(x >> ssx) * u_step], w[(x >> ssx) * w_step], rgb);
        r += rgb[0];
        g += rgb[1];
        b += rgb[2];
    }
    sum[0] += r;
    sum[1] += g;
    sum[2] += b;
}

static void make(const view *v, ib_thumb *out)
{
    for (int ty = 0; ty < IB_THUMB_H; ty++)
        for (int tx = 0; tx < IB_THUMB_W; tx++) {
            int y0 = ty * v->height / IB_THUMB_H, y1 = (ty + 1) * v->height / IB_THUMB_H;
            int x0 = tx * v->width / IB_THUMB_W, x1 = (tx + 1) * v->width / IB_THUMB_W;
            if (y1 <= y0) y1 = y0 + 1;
            if (x1 <= x0) x1 = x0 + 1;
            /* every pixel of small pictures, a grid of at most 8x8 samples of large boxes */
            int sy = (y1 - y0 + 7) / 8, sx = (x1 - x0 + 7) / 8, n = 0, sum[3] = {0};
            for (int y = y0; y < y1; y += sy, n += (x1 - x0 + sx - 1) / sx) add_row(v, y, x0, x1, sx, sum);
            out->luma[ty][tx] = (0.299f * (float)sum[0] + 0.587f * (float)sum[1] + 0.114f * (float)sum[2]) / (float)n;
        }
}

void ib_thumb_make(const uint8_t *rgb, int width, int height, ib_thumb *out)
{
    make(&(view){.rgb = rgb, .width = width, .height = height}, out);
}

void ib_thumb_make_planes(const ib_yuv_planes *planes, ib_thumb *out)
{
    make(&(view){.planes = planes, .width = planes->width, .height = planes->height}, out);
}

static float deviation(const ib_thumb *t)
{
    float sum = 0, square = 0;
    const float *v = &t->luma[0][0];
    for (int i = 0; i < IB_THUMB_W * IB_THUMB_H; i++) {
        sum += v[i];
        square += v[i] * v[i];
    }
    float n = IB_THUMB_W * IB_THUMB_H, mean = sum / n, var = square / n - mean * mean;
    return var > 0 ? sqrtf(var) : 0;
}

/* Normalised cross-correlation of a and b moved by (dx, dy), over their overlap. */
static float correlation(const ib_thumb *a, const ib_thumb *b, int dx, int dy)
{
    float sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = 0;
    for (int y = dy > 0 ? dy : 0; y < IB_THUMB_H + (dy < 0 ? dy : 0); y++)
        for (int x = dx > 0 ? dx : 0; x < IB_THUMB_W + (dx < 0 ? dx : 0); x++) {
            float p = a->luma[y][x], q = b->luma[y - dy][x - dx];
            sa += p;
            sb += q;
            saa += p * p;
            sbb += q * q;
            sab += p * q;
            n += 1;
        }
    float va = saa - sa * sa / n, vb = sbb - sb * sb / n;
    return va > 0 && vb > 0 ? (sab - sa * sb / n) / sqrtf(va * vb) : 0;
}

float ib_thumb_distance(const ib_thumb *a, const ib_thumb *b)
{
    int flat_a = deviation(a) < flat, flat_b = deviation(b) < flat;
    if (flat_a || flat_b) return flat_a && flat_b ? 0.0f : 1.0f;
    float best = -1;
    for (int dy = -SHIFT_Y; dy <= SHIFT_Y; dy++)
        for (int dx = -SHIFT_X; dx <= SHIFT_X; dx++) {
            float r = correlation(a, b, dx, dy);
            if (r > best) best = r;
        }
    return 1 - best;
}

void ib_cut_detector_init(ib_cut_detector *d)
{
    memset(d, 0, sizeof *d);
    d->last_cut = -1;
}

void ib_cut_detector_push(ib_cut_detector *d, const ib_thumb *thumb)
{
    int64_t i = d->count++;
    d->thumbs[i % RING] = *thumb;
    d->distance[i % RING] = i > 0 ? ib_thumb_distance(&d->thumbs[(i - 1) % RING], thumb) : 0;
}

int ib_cut_detector_is_cut(ib_cut_detector *d, int64_t i)
{
    if (i < 1) return 0;
    float here = d->distance[i % RING];
    const ib_thumb *before = &d->thumbs[(i - 1) % RING];
    if (here < unrelated) return 0;
    /* A flash or a dropped-in frame: the old picture comes back. */
    for (int64_t j = i + 1; j < d->count && j <= i + IB_CUT_LOOKAHEAD - 1; j++)
        if (ib_thumb_distance(before, &d->thumbs[j % RING]) < related) return 0;
    /* Fast motion: the neighbours are as far apart. Frames across an earlier cut do not count. */
    float sum = 0;
    int n = 0;
    for (int64_t j = i - IB_CUT_LOOKAHEAD + 1; j < i + IB_CUT_LOOKAHEAD && j < d->count; j++) {
        if (j < 1 || j == i || j <= d->last_cut) continue;
        sum += d->distance[j % RING];
        n++;
    }
    if (n > 0 && here < above_motion * sum / (float)n) return 0;
    d->last_cut = i;
    return 1;
}

isobath_status ib_cuts_read(const char *path, ib_diag *diag, int64_t **out, int64_t *count)
{
    *out = NULL;
    *count = 0;
    FILE *f = fopen(path, "r");
    if (!f) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open the list of cuts: %s", path, strerror(errno));
    char line[256];
    int64_t *list = NULL, n = 0, cap = 0, number = 0;
    isobath_status st = ISOBATH_OK;
    while (st == ISOBATH_OK && fgets(line, sizeof line, f)) {
        number++;
        char *text = line + strspn(line, " \t"), *end;
        if (!*text || *text == '#' || *text == '\n' || *text == '\r') continue;
        errno = 0;
        long long v = strtoll(text, &end, 10);
        end += strspn(end, " \t\r\n");
        if (end == text || (*end && *end != '#') || errno || v < 1 || (n && v <= list[n - 1])) {
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %lld: expected an ascending frame number from 1 on", path,
                         (long long)number);
            break;
        }
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            int64_t *p = realloc(list, (size_t)cap * sizeof *p);
            if (!p) {
                st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for the cuts", path);
                break;
            }
            list = p;
        }
        list[n++] = v;
    }
    fclose(f);
    if (st != ISOBATH_OK) {
        free(list);
        return st;
    }
    *out = list;
    *count = n;
    return ISOBATH_OK;
}
