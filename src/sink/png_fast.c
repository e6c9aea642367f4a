/* The quick PNG decoder; see png_fast.h. */
#include "sink/png_fast.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXTS 32
#define MAX_SIDE 65500

typedef struct chunks {
    uint32_t width, height;
    const uint8_t *idat;
    size_t idat_bytes;
    ib_png_text *texts; /* MAX_TEXTS */
    int text_count;
} chunks;

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Keeps a tEXt chunk of ours; 0 when it is not a text at all. */
static int keep_text(chunks *c, const uint8_t *p, size_t length)
{
    const uint8_t *zero = memchr(p, 0, length);
    if (!zero || zero == p) return 0;
    size_t key = (size_t)(zero - p), value = length - key - 1;
    ib_png_text *t = &c->texts[c->text_count];
    if (strncmp((const char *)p, "isobath:", 8) != 0 || key >= sizeof t->key || value >= sizeof t->value ||
        memchr(zero + 1, 0, value) || c->text_count == MAX_TEXTS)
        return 1;
    memcpy(t->key, p, key + 1);
    memcpy(t->value, zero + 1, value);
    t->value[value] = 0;
    c->text_count++;
    return 1;
}

static int parse(const uint8_t *data, size_t size, chunks *c)
{
    for (size_t at = 8; size - at >= 12;) {
        const uint8_t *p = data + at + 8;
        size_t length = get_be32(data + at);
        if (length > size - at - 12 || libdeflate_crc32(0, data + at + 4, length + 4) != get_be32(p + length)) return 0;
        if (memcmp(data + at + 4, "IHDR", 4) == 0) {
            if (at != 8 || length != 13 || memcmp(p + 8, "\x10\0\0\0\0", 5) != 0) return 0;
            c->width = get_be32(p);
            c->height = get_be32(p + 4);
        } else if (memcmp(data + at + 4, "tEXt", 4) == 0) {
            if (!keep_text(c, p, length)) return 0;
        } else if (memcmp(data + at + 4, "IDAT", 4) == 0) {
            if (c->idat) return 0;
            c->idat = p;
            c->idat_bytes = length;
        } else {
            return memcmp(data + at + 4, "IEND", 4) == 0 && c->idat && c->width - 1u < MAX_SIDE &&
                   c->height - 1u < MAX_SIDE;
        }
        at += length + 12;
    }
    return 0;
}

static uint8_t paeth(int a, int b, int c)
{
    int p = b - c, q = a - c, pa = abs(p), pb = abs(q), pc = abs(p + q);
    int first = pb < pa ? b : a, least = pb < pa ? pb : pa; /* no branches: residuals are noise */
    return (uint8_t)(pc < least ? c : first);
}

/* Undoes the filter of one row into q (n samples); `up` is the row before. The two bytes of a sample are chains of their own. 0: no such
 * filter. */
static int unfilter(int type, const uint8_t *restrict row, const uint16_t *restrict up, uint16_t *restrict q, size_t n)
{
    uint8_t a0 = 0, a1 = 0, c0 = 0, c1 = 0;
    switch (type) {
    case 0:
        for (size_t x = 0; x < n; x++) q[x] = (uint16_t)(row[2 * x] << 8 | row[2 * x + 1]);
        return 1;
    case 1:
        for (size_t x = 0; x < n; x++) {
            a0 = (uint8_t)(a0 + row[2 * x]);
            a1 = (uint8_t)(a1 + row[2 * x + 1]);
            q[x] = (uint16_t)(a0 << 8 | a1);
        }
        return 1;
    case 2:
        for (size_t x = 0; x < n; x++)
            q[x] = (uint16_t)((uint8_t)(row[2 * x] + (up[x] >> 8)) << 8 | (uint8_t)(row[2 * x + 1] + (up[x] & 255)));
        return 1;
    case 3:
        for (size_t x = 0; x < n; x++) {
            a0 = (uint8_t)(row[2 * x] + (a0 + (up[x] >> 8)) / 2);
            a1 = (uint8_t)(row[2 * x + 1] + (a1 + (up[x] & 255)) / 2);
            q[x] = (uint16_t)(a0 << 8 | a1);
        }
        return 1;
    case 4:
        for (size_t x = 0; x < n; x++) {
            uint8_t b0 = (uint8_t)(up[x] >> 8), b1 = (uint8_t)up[x];
            a0 = (uint8_t)(row[2 * x] + paeth(a0, b0, c0));
            a1 = (uint8_t)(row[2 * x + 1] + paeth(a1, b1, c1));
            q[x] = (uint16_t)(a0 << 8 | a1);
            c0 = b0;
            c1 = b1;
        }
        return 1;
    default: return 0;
    }
}

/* q has a row of zeros behind the picture: what is above the first one. */
static int decode_rows(const chunks *c, const uint8_t *raw, uint16_t *q)
{
    size_t n = c->width;
    const uint16_t *up = q + n * c->height;
    memset(q + n * c->height, 0, n * sizeof *q);
    for (uint32_t y = 0; y < c->height; y++) {
        const uint8_t *row = raw + (2 * n + 1) * y;
        if (!unfilter(row[0], row + 1, up, q + n * y, n)) return 0;
        up = q + n * y;
    }
    return 1;
}

/* Room for `bytes` of filtered rows and `pixels` samples. */
static int make_room(ib_png_work *w, size_t bytes, size_t pixels)
{
    if (w->raw_bytes < bytes) {
        free(w->raw);
        w->raw = malloc(bytes);
        w->raw_bytes = w->raw ? bytes : 0;
    }
    if (w->pixels < pixels) {
        free(w->q);
        w->q = malloc(pixels * sizeof *w->q);
        w->pixels = w->q ? pixels : 0;
    }
    if (!w->inflate) w->inflate = libdeflate_alloc_decompressor();
    return w->raw && w->q && w->inflate;
}

int ib_png_decode_fast_again(ib_png_work *w, const uint8_t *data, size_t size, ib_png_image *image)
{
    if (!w->texts) w->texts = malloc(MAX_TEXTS * sizeof *w->texts);
    chunks c = {.texts = w->texts};
    if (!c.texts || size < 20 || !parse(data, size, &c)) return 0;
    /* deflate cannot shrink below 1/1032: a larger claim is a lie that would cost memory */
    size_t pixels = (size_t)c.width * c.height, bytes = 2 * pixels + c.height;
    if (bytes / 1040 > size || !make_room(w, bytes, pixels + c.width) ||
        libdeflate_zlib_decompress(w->inflate, c.idat, c.idat_bytes, w->raw, bytes, NULL) != LIBDEFLATE_SUCCESS ||
        !decode_rows(&c, w->raw, w->q))
        return 0;
    *image = (ib_png_image){(int)c.width, (int)c.height, 16, w->q, c.texts, c.text_count};
    return 1;
}

void ib_png_work_free(ib_png_work *w)
{
    libdeflate_free_decompressor(w->inflate);
    free(w->raw);
    free(w->q);
    free(w->texts);
    *w = (ib_png_work){0};
}

int ib_png_decode_fast(const uint8_t *data, size_t size, ib_png_image *image)
{
    ib_png_work w = {0};
    int ok = ib_png_decode_fast_again(&w, data, size, image);
    if (ok) { /* the picture and its texts are the caller's */
        w.q = NULL;
        w.texts = NULL;
    }
    ib_png_work_free(&w);
    return ok;
}
