/* Turning RGB8 pictures upright: transposition and flips, exact copies of pixels. */
#include "media/resize.h"

#include <string.h>

#define BAND 16

int ib_orientation_degrees(ib_orientation o)
{
    if (!o.transpose) return o.vflip ? 180 : 0;
    return o.vflip ? 270 : 90;
}

typedef struct orient_ctx {
    ib_orientation o;
    const uint8_t *src;
    int width, height; /* of src */
    uint8_t *dst;
} orient_ctx;

static void orient_band(void *arg, int64_t band, int thread)
{
    (void)thread;
    const orient_ctx *c = arg;
    int out_w = c->o.transpose ? c->height : c->width, out_h = c->o.transpose ? c->width : c->height;
    int end = (int)((band + 1) * BAND < out_h ? (band + 1) * BAND : out_h);
    ptrdiff_t row = (ptrdiff_t)c->width * 3;
    ptrdiff_t step = c->o.transpose ? row : 3; /* of src, from one output pixel to the next */
    for (int y = (int)(band * BAND); y < end; y++) {
        int line = c->o.vflip ? out_h - 1 - y : y;
        const uint8_t *s = c->src + line * (c->o.transpose ? 3 : row);
        ptrdiff_t d = step;
        if (c->o.hflip) {
            s += (out_w - 1) * step;
            d = -step;
        }
        uint8_t *out = c->dst + (size_t)y * (size_t)out_w * 3;
        for (int x = 0; x < out_w; x++, s += d, out += 3) {
            out[0] = s[0];
            out[1] = s[1];
            out[2] = s[2];
        }
    }
}

void ib_orient(ib_orientation o, const uint8_t *src, int width, int height, uint8_t *dst, ib_pool *pool)
{
    orient_ctx c = {o, src, width, height, dst};
    int out_h = o.transpose ? width : height;
    ib_pool_run(pool, (out_h + BAND - 1) / BAND, orient_band, &c);
}
