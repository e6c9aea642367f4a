/* Separable triangle filter on RGB8 in integers: columns first, then along the rows (inner loops in resize_rows.c). */
#include "media/resize.h"
#include "media/media.h"
#include "media/resize_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAND 8 /* output rows per task of the pool */

void ib_media_reduced_size(int width, int height, int max_res, int *out_width, int *out_height)
{
    int longest = width > height ? width : height;
    *out_width = width;
    *out_height = height;
    if (max_res <= 0 || longest <= max_res) return;
    /* the product is exact and the quotient rounded once, so ties are ties; rint rounds them to even */
    int w = (int)rint((double)width * max_res / longest), h = (int)rint((double)height * max_res / longest);
    *out_width = w + (w & 1) > 0 ? w + (w & 1) : 2;
    *out_height = h + (h & 1) > 0 ? h + (h & 1) : 2;
}

void ib_resize_axis_free(ib_resize_axis *axis)
{
    free(axis->first);
    free(axis->weights);
    memset(axis, 0, sizeof *axis);
}

/* The centre of output i lies at (2i+1)*in/(2*out), that of input j at (2j+1)/2, the triangle's half width is
 * max(in/out, 1). Everything times 2*out is an integer. */
isobath_status ib_resize_axis_init(ib_resize_axis *axis, int in, int out, ib_diag *diag)
{
    int64_t half = 2 * (int64_t)(in > out ? in : out); /* half width */
    int taps = (int)(half / out) + 1;                  /* inputs closer than `half`, at most */
    if (taps > in) taps = in;
    *axis = (ib_resize_axis){in, out, taps, malloc((size_t)out * sizeof(int32_t)),
                             calloc((size_t)out * (size_t)taps, sizeof(int16_t))};
    if (!axis->first || !axis->weights) {
        ib_resize_axis_free(axis);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the filter of a resize from %d to %d", in, out);
    }
    for (int i = 0; i < out; i++) {
        int64_t centre = (2 * (int64_t)i + 1) * in;
        int64_t low = centre - half - out; /* input j counts when 2*out*j > low, so that its weight is positive */
        int64_t j0 = low < 0 ? 0 : low / (2 * (int64_t)out) + 1;
        if (j0 > in - taps) j0 = in - taps;
        int16_t *w = axis->weights + (size_t)i * (size_t)taps;
        int64_t raw_sum = 0;
        for (int k = 0; k < taps; k++) {
            int64_t d = llabs((2 * (j0 + k) + 1) * out - centre);
            if (d < half) raw_sum += half - d;
        }
        /* differences of the rounded running sum: never negative, and exactly 2^14 in all */
        int64_t running = 0, before = 0;
        for (int k = 0; k < taps; k++) {
            int64_t d = llabs((2 * (j0 + k) + 1) * out - centre);
            if (d < half) running += half - d;
            int64_t upto = ((running << (IB_RESIZE_BITS + 1)) + raw_sum) / (2 * raw_sum);
            w[k] = (int16_t)(upto - before);
            before = upto;
        }
        axis->first[i] = (int32_t)j0;
    }
    return ISOBATH_OK;
}

struct ib_resize {
    ib_resize_axis x, y;
    ib_pool *pool;
    uint16_t *rows; /* per thread one row filtered by columns, in_w*3 + 1 */
    size_t row;     /* in_w*3 */
};

isobath_status ib_resize_create(int in_w, int in_h, int out_w, int out_h, ib_pool *pool, ib_diag *diag, ib_resize **out)
{
    *out = NULL;
    ib_resize *r = calloc(1, sizeof *r);
    if (!r) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a resize");
    isobath_status st = ISOBATH_OK;
    size_t threads = (size_t)ib_pool_threads(pool);
    r->pool = pool;
    r->row = (size_t)in_w * 3;
    IB_TRY_GOTO(st, ib_resize_axis_init(&r->x, in_w, out_w, diag), fail);
    IB_TRY_GOTO(st, ib_resize_axis_init(&r->y, in_h, out_h, diag), fail);
    r->rows = calloc(threads * (r->row + 1), sizeof *r->rows);
    if (!r->rows) {
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a resize of %dx%d pictures", in_w, in_h);
        goto fail;
    }
    *out = r;
    return ISOBATH_OK;
fail:
    ib_resize_destroy(r);
    return st;
}

void ib_resize_destroy(ib_resize *r)
{
    if (!r) return;
    ib_resize_axis_free(&r->x);
    ib_resize_axis_free(&r->y);
    free(r->rows);
    free(r);
}

typedef struct resize_ctx {
    ib_resize *resize;
    const uint8_t *src;
    ptrdiff_t stride;
    uint8_t *dst;
} resize_ctx;

static void resize_band(void *arg, int64_t band, int thread)
{
    resize_ctx *c = arg;
    ib_resize *r = c->resize;
    uint16_t *row = r->rows + (size_t)thread * (r->row + 1);
    int end = (int)((band + 1) * BAND < r->y.out ? (band + 1) * BAND : r->y.out);
    for (int i = (int)(band * BAND); i < end; i++) {
        ib_resize_columns(1)(c->src + r->y.first[i] * c->stride, c->stride,
                             r->y.weights + (size_t)i * (size_t)r->y.taps, r->y.taps, r->row, row);
        ib_resize_along(1)(row, r->x.first, r->x.weights, r->x.taps, r->x.out,
                           c->dst + (size_t)i * (size_t)r->x.out * 3);
    }
}

void ib_resize_run(ib_resize *r, const uint8_t *src, ptrdiff_t src_stride, uint8_t *dst)
{
    resize_ctx c = {r, src, src_stride, dst};
    ib_pool_run(r->pool, (r->y.out + BAND - 1) / BAND, resize_band, &c);
}
