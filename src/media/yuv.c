/* Pictures of any described layout to RGB8, row by row over the pool; the arithmetic is in yuv.h. */
#include "media/tonemap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAND 16 /* rows per task of the pool */

ib_yuv_coefficients ib_yuv_coefficients_for(ib_yuv_matrix matrix, int full_range, int bits)
{
    double kr = matrix == IB_YUV_BT601 ? 0.299 : matrix == IB_YUV_BT709 ? 0.2126 : 0.2627;
    double kb = matrix == IB_YUV_BT601 ? 0.114 : matrix == IB_YUV_BT709 ? 0.0722 : 0.0593;
    double kg = 1.0 - kr - kb, one = (double)(1 << (bits - 8));
    double max = (double)((1 << bits) - 1);
    int shift = bits <= 12 ? bits + 8 : 20;
    double y_scale = ldexp(255.0 / (full_range ? max : 219.0 * one), shift);
    double c_scale = ldexp(255.0 / (full_range ? max : 224.0 * one), shift);
    return (ib_yuv_coefficients){
        .y_offset = full_range ? 0 : 16 << (bits - 8),
        .c_offset = 1 << (bits - 1),
        .y_gain = (int32_t)lrint(y_scale),
        .rv = (int32_t)lrint(c_scale * 2.0 * (1.0 - kr)),
        .gu = (int32_t)lrint(c_scale * 2.0 * (1.0 - kb) * kb / kg),
        .gv = (int32_t)lrint(c_scale * 2.0 * (1.0 - kr) * kr / kg),
        .bu = (int32_t)lrint(c_scale * 2.0 * (1.0 - kb)),
        .shift = shift,
    };
}

#define PLAIN_ROW(name, type, ssx)                                                                         \
    static void name(const ib_yuv_coefficients *k, const void *y, const void *u, const void *v, int width, \
                     uint8_t *rgb)                                                                         \
    {                                                                                                      \
        const type *py = y, *pu = u, *pv = v;                                                              \
        for (int x = 0; x < width; x++) ib_yuv_pixel(k, py[x], pu[x >> ssx], pv[x >> ssx], rgb + 3 * x);   \
    }
PLAIN_ROW(row_8_0, uint8_t, 0)
PLAIN_ROW(row_8_1, uint8_t, 1)
PLAIN_ROW(row_16_0, uint16_t, 0)
PLAIN_ROW(row_16_1, uint16_t, 1)

ib_yuv_row_fn ib_yuv_row_function(int wide, int ssx, int simd)
{
    ib_yuv_row_fn fast = simd ? ib_yuv_row_x86(wide, ssx) : NULL;
    if (fast) return fast;
    if (wide) return ssx ? row_16_1 : row_16_0;
    return ssx ? row_8_1 : row_8_0;
}

/* ---- the converter ------------------------------------------------------------------------------------------------
 */

struct ib_colour {
    ib_picture like;
    ib_pool *pool;
    ib_yuv_coefficients k;
    ib_yuv_row_fn row;   /* YUV: of row_ssx */
    int row_ssx;         /* 0 when chroma is widened first (4:1:1) */
    uint8_t *lut;        /* RGB and GRAY of more than 8 bits, and limited GRAY: sample -> 8 bits; else NULL */
    ib_tonemap *tonemap; /* PQ and HLG; else NULL */
    float *steps;        /* float kinds: steps[i] is the smallest value that becomes i + 1; [255] */
    uint8_t *scratch;    /* one slot of scratch_bytes per thread: three unpacked rows */
    size_t scratch_bytes, row_bytes;
};

static int is_wide(const ib_picture *p) { return p->bits + p->shift > 8; }

static int is_float(const ib_picture *p) { return p->kind == IB_PICTURE_RGB_FLOAT || p->kind == IB_PICTURE_GRAY_FLOAT; }

/* Table of one byte per sample value; NULL: out of memory. Limited grey is a YUV pixel without chroma. */
static uint8_t *make_lut(const ib_picture *p, const ib_yuv_coefficients *k)
{
    uint8_t *lut = malloc((size_t)1 << p->bits);
    for (int32_t v = 0; lut && v < 1 << p->bits; v++) {
        uint8_t rgb[3];
        ib_yuv_pixel(k, v, k->c_offset, k->c_offset, rgb);
        lut[v] = p->kind == IB_PICTURE_GRAY && !p->full_range ? rgb[0] : ib_depth_to_8((uint32_t)v, p->bits);
    }
    return lut;
}

/* Where rounding of 255 * srgb(x) changes: the inverse sRGB curve at (i + 0.5) / 255. */
static float *make_steps(void)
{
    float *steps = malloc(255 * sizeof *steps);
    for (int i = 0; steps && i < 255; i++) {
        double s = (i + 0.5) / 255.0;
        steps[i] = (float)(s <= 0.04045 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4));
    }
    return steps;
}

static uint8_t float_to_8(const float *steps, float x)
{
    int lo = 0, hi = 255; /* the number of steps <= x; NaN counts none */
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (x >= steps[mid])
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint8_t)lo;
}

isobath_status ib_colour_create(const ib_picture *like, ib_pool *pool, ib_diag *diag, ib_colour **out)
{
    *out = NULL;
    ib_colour *c = calloc(1, sizeof *c);
    if (!c) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the colour conversion");
    c->like = *like;
    c->pool = pool;
    int ok = 1;
    if (is_float(like)) {
        c->steps = make_steps();
        ok = c->steps != NULL;
    } else {
        c->k = ib_yuv_coefficients_for(like->matrix, like->full_range, like->bits);
        c->row_ssx = like->ssx == 1;
        c->row = ib_yuv_row_function(is_wide(like), c->row_ssx, 1);
        if (like->kind != IB_PICTURE_YUV && (like->bits > 8 || (like->kind == IB_PICTURE_GRAY && !like->full_range))) {
            c->lut = make_lut(like, &c->k);
            ok = c->lut != NULL;
        }
        if (like->transfer != IB_TRANSFER_SDR && like->kind != IB_PICTURE_GRAY) {
            c->tonemap = malloc(sizeof *c->tonemap);
            if (c->tonemap)
                ib_tonemap_init(c->tonemap, like->transfer);
            else
                ok = 0;
        }
    }
    c->row_bytes = ((size_t)like->width * 2 + 63) & ~(size_t)63;
    c->scratch_bytes = 3 * c->row_bytes;
    c->scratch = malloc(c->scratch_bytes * (size_t)ib_pool_threads(pool));
    if (!ok || !c->scratch) {
        ib_colour_destroy(c);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the colour conversion of %dx%d pictures",
                       like->width, like->height);
    }
    *out = c;
    return ISOBATH_OK;
}

void ib_colour_destroy(ib_colour *c)
{
    if (!c) return;
    free(c->lut);
    free(c->steps);
    free(c->tonemap);
    free(c->scratch);
    free(c);
}

int ib_colour_fits(const ib_colour *c, const ib_picture *p)
{
    const ib_picture *l = &c->like;
    return l->kind == p->kind && l->width == p->width && l->height == p->height && l->bits == p->bits &&
           l->shift == p->shift && l->big_endian == p->big_endian && l->ssx == p->ssx && l->ssy == p->ssy &&
           l->matrix == p->matrix && l->full_range == p->full_range && l->transfer == p->transfer;
}

/* Samples [0, n) of a row as contiguous bytes or host-order words: the row itself where it is that already, else
 * unpacked into `scratch`. Each sample is repeated `repeat` times (widened chroma), n counts what comes out. */
static const void *unpack(const ib_picture *p, const ib_component *c, int row, int n, int repeat_shift, void *scratch)
{
    const uint8_t *s = c->data + (ptrdiff_t)row * c->stride;
    int step = c->step;
    if (!is_wide(p)) {
        if (step == 1 && !repeat_shift && !p->shift) return s;
        uint8_t *d = scratch;
        unsigned mask = (1u << p->bits) - 1;
        if (step == 2 && !repeat_shift && !p->shift) /* NV12 */
            for (int x = 0; x < n; x++) d[x] = s[2 * x];
        else
            for (int x = 0; x < n; x++) d[x] = (uint8_t)((s[(ptrdiff_t)(x >> repeat_shift) * step] >> p->shift) & mask);
        return d;
    }
    uint16_t *d = scratch;
    unsigned max = (1u << p->bits) - 1;
    int hi = p->big_endian ? 0 : 1;
    for (int x = 0; x < n; x++) {
        const uint8_t *q = s + (ptrdiff_t)(x >> repeat_shift) * step;
        unsigned v = ((unsigned)q[hi] << 8 | q[!hi]) >> p->shift;
        d[x] = (uint16_t)(v < max ? v : max); /* stray high bits must not leave the tables */
    }
    return d;
}

static void yuv_row(const ib_colour *c, const ib_picture *p, int row, uint8_t *scratch, uint8_t *rgb)
{
    int chroma_rows = (p->height + (1 << p->ssy) - 1) >> p->ssy;
    int crow = ib_chroma_row(row, p->ssy, p->interlaced, chroma_rows);
    int widen = c->row_ssx ? 0 : p->ssx; /* 4:1:1: repeat to full width, then 4:4:4 */
    int cn = c->row_ssx ? (p->width + 1) >> 1 : p->width;
    const void *y = unpack(p, &p->c[0], row, p->width, 0, scratch);
    const void *u = unpack(p, &p->c[1], crow, cn, widen, scratch + c->row_bytes);
    const void *v = unpack(p, &p->c[2], crow, cn, widen, scratch + 2 * c->row_bytes);
    c->row(&c->k, y, u, v, p->width, rgb);
}

/* RGB and GRAY: component by component, through the table where there is one. */
static void direct_row(const ib_colour *c, const ib_picture *p, int row, uint8_t *scratch, uint8_t *rgb)
{
    const void *s[3];
    int n = p->kind == IB_PICTURE_GRAY ? 1 : 3;
    for (int i = 0; i < 3; i++)
        s[i] = i < n ? unpack(p, &p->c[i], row, p->width, 0, scratch + (size_t)i * c->row_bytes) : s[0];
    if (!is_wide(p)) {
        const uint8_t *r = s[0], *g = s[1], *b = s[2];
        for (int x = 0; x < p->width; x++, rgb += 3) {
            rgb[0] = c->lut ? c->lut[r[x]] : r[x];
            rgb[1] = c->lut ? c->lut[g[x]] : g[x];
            rgb[2] = c->lut ? c->lut[b[x]] : b[x];
        }
    } else {
        const uint16_t *r = s[0], *g = s[1], *b = s[2];
        for (int x = 0; x < p->width; x++, rgb += 3) {
            rgb[0] = c->lut[r[x]];
            rgb[1] = c->lut[g[x]];
            rgb[2] = c->lut[b[x]];
        }
    }
}

static void float_row(const ib_colour *c, const ib_picture *p, int row, uint8_t *rgb)
{
    for (int i = 0; i < 3; i++) {
        const ib_component *q = &p->c[p->kind == IB_PICTURE_GRAY_FLOAT ? 0 : i];
        const uint8_t *s = q->data + (ptrdiff_t)row * q->stride;
        for (int x = 0; x < p->width; x++, s += q->step) {
            float v;
            memcpy(&v, s, sizeof v);
            rgb[3 * x + i] = float_to_8(c->steps, v);
        }
    }
}

static int32_t sample(const ib_picture *p, const void *row, int x)
{
    return is_wide(p) ? ((const uint16_t *)row)[x] : ((const uint8_t *)row)[x];
}

/* YUV and RGB with PQ or HLG, pixel by pixel. */
static void hdr_row(const ib_colour *c, const ib_picture *p, int row, uint8_t *scratch, uint8_t *rgb)
{
    const void *s[3];
    int chroma_rows = (p->height + (1 << p->ssy) - 1) >> p->ssy;
    int crow = ib_chroma_row(row, p->ssy, p->interlaced, chroma_rows);
    for (int i = 0; i < 3; i++)
        s[i] = unpack(p, &p->c[i], i ? crow : row, p->width, i ? p->ssx : 0, scratch + (size_t)i * c->row_bytes);
    int32_t max = (1 << p->bits) - 1;
    for (int x = 0; x < p->width; x++, rgb += 3) {
        int32_t a = sample(p, s[0], x), b = sample(p, s[1], x), d = sample(p, s[2], x), code[3];
        if (p->kind == IB_PICTURE_YUV) {
            ib_yuv_pixel_fine(&c->k, a, b, d, code);
        } else {
            code[0] = (a * 4080 + max / 2) / max;
            code[1] = (b * 4080 + max / 2) / max;
            code[2] = (d * 4080 + max / 2) / max;
        }
        ib_tonemap_pixel(c->tonemap, code, rgb);
    }
}

typedef struct run_ctx {
    const ib_colour *colour;
    const ib_picture *pic;
    uint8_t *rgb;
    ptrdiff_t stride;
} run_ctx;

static void run_band(void *arg, int64_t band, int thread)
{
    run_ctx *r = arg;
    const ib_colour *c = r->colour;
    const ib_picture *p = r->pic;
    uint8_t *scratch = c->scratch + (size_t)thread * c->scratch_bytes;
    int end = (int)((band + 1) * BAND < p->height ? (band + 1) * BAND : p->height);
    for (int row = (int)(band * BAND); row < end; row++) {
        uint8_t *rgb = r->rgb + (ptrdiff_t)row * r->stride;
        if (c->tonemap)
            hdr_row(c, p, row, scratch, rgb);
        else if (p->kind == IB_PICTURE_YUV)
            yuv_row(c, p, row, scratch, rgb);
        else if (is_float(p))
            float_row(c, p, row, rgb);
        else
            direct_row(c, p, row, scratch, rgb);
    }
}

void ib_colour_run(ib_colour *c, const ib_picture *p, uint8_t *rgb, ptrdiff_t stride)
{
    run_ctx r = {c, p, rgb, stride};
    ib_pool_run(c->pool, (p->height + BAND - 1) / BAND, run_band, &r);
}
