/* Letterbox bars: rows and columns at the edges that stay dark in frames from all over the input. */
#include "media/convert.h"
#include "media/decoder.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLES 16
#define DARK 20 /* luma of 0..255 up to which a pixel may belong to a bar: black with noise */

/* Bounds of what is lit, over all samples: first and behind the last row and column. */
typedef struct bounds {
    int x0, y0, x1, y1;
} bounds;

/* A row or column is lit when more than one pixel in 64 of it is brighter than DARK. */
static isobath_status add_frame(bounds *b, const uint8_t *rgb, int width, int height)
{
    int *columns = calloc((size_t)width, sizeof *columns);
    if (!columns) return ISOBATH_ERR_MEMORY;
    for (int y = 0; y < height; y++) {
        int lit = 0;
        for (int x = 0; x < width; x++, rgb += 3) {
            int bright = (77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2]) >> 8 > DARK;
            lit += bright;
            columns[x] += bright;
        }
        if (lit * 64 <= width) continue;
        if (y < b->y0) b->y0 = y;
        if (y >= b->y1) b->y1 = y + 1;
    }
    for (int x = 0; x < width; x++) {
        if (columns[x] * 64 <= height) continue;
        if (x < b->x0) b->x0 = x;
        if (x >= b->x1) b->x1 = x + 1;
    }
    free(columns);
    return ISOBATH_OK;
}

/* Bars on one axis worth cutting: at least 1/50 of the side and 4 pixels in all, and half of the side must stay. */
static void settle(int first, int end, int size, int *offset, int *length)
{
    *offset = 0;
    *length = size;
    if (end <= first) return; /* nothing was lit */
    first = (first + 1) & ~1;
    int n = (end - first) & ~1;
    if (n < size / 2 || size - n < 4 || (size - n) * 50 < size) return;
    *offset = first;
    *length = n;
}

isobath_status ib_media_detect_crop(const char *input, const ib_media_options *options, ib_diag *diag, ib_rect *rect)
{
    static const ib_media_options defaults;
    ib_media_options o = options ? *options : defaults, plain = {.pool = o.pool, .keep_hdr = o.keep_hdr};
    ib_decoder *decoder = NULL;
    ib_convert *convert = NULL;
    uint8_t *rgb = NULL;
    ib_media_info info = {0};
    bounds b = {INT32_MAX, INT32_MAX, 0, 0};
    o.threads = 1;
    o.on_error = IB_ON_ERROR_REPEAT;
    o.start_s = 0;
    o.start_frame = 0;
    isobath_status st =
        strcmp(input, "-") == 0
            ? ib_fail(diag, ISOBATH_ERR_USAGE, "standard input can be read only once: give the crop as a rectangle")
            : ib_decoder_open(input, &o, diag, &decoder);
    for (int i = 0; st == ISOBATH_OK && i < SAMPLES; i++) {
        ib_decoded d;
        int got = 0;
        if (i > 0 && !ib_decoder_jump(decoder, (i + 0.5) / SAMPLES)) break; /* cannot seek: the first frame must do */
        st = ib_decoder_next(decoder, &d, &got);
        if (st != ISOBATH_OK || !got) continue;
        if (!convert) {
            const int32_t *matrix = ib_decoder_matrix(decoder);
            ib_orientation turn = matrix ? ib_orientation_from_matrix(matrix) : ib_frame_orientation(d.frame);
            st = ib_convert_create(d.frame, turn, 1, &plain, input, diag, &info, &convert);
            if (st != ISOBATH_OK) break;
            rgb = malloc((size_t)info.width * (size_t)info.height * 3);
        }
        if (!rgb) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", input);
        if (st != ISOBATH_OK || d.frame->width != info.coded_width || d.frame->height != info.coded_height) continue;
        st = ib_convert_run(convert, d.frame, rgb);
        if (st == ISOBATH_OK && add_frame(&b, rgb, info.width, info.height) != ISOBATH_OK)
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", input);
    }
    if (st == ISOBATH_OK) {
        settle(b.x0, b.x1, info.width, &rect->x, &rect->width);
        settle(b.y0, b.y1, info.height, &rect->y, &rect->height);
    }
    free(rgb);
    ib_convert_destroy(convert);
    ib_decoder_close(decoder);
    return st;
}
