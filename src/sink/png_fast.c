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

/* Undoes the filter of one row in place; `up` is the row before, without its filter byte. The two bytes of a sample are
 * chains of their own. 0: no such filter. */
static int unfilter(int type, uint8_t *row, const uint8_t *up, size_t n)
{
    uint8_t a0 = 0, a1 = 0, c0 = 0, c1 = 0;
    switch (type) {
    case 0: return 1;
    case 1:
        for (size_t i = 2; i < n; i++) row[i] = (uint8_t)(row[i] + row[i - 2]);
        return 1;
    case 2:
        for (size_t i = 0; i < n; i++) row[i] = (uint8_t)(row[i] + up[i]);
        return 1;
    case 3:
        for (size_t i = 0; i < n; i++) row[i] = (uint8_t)(row[i] + ((i < 2 ? 0 : row[i - 2]) + up[i]) / 2);
        return 1;
    case 4:
        for (size_t i = 0; i < n; i += 2) {
            uint8_t b0 = up[i], b1 = up[i + 1];
            row[i] = a0 = (uint8_t)(row[i] + paeth(a0, b0, c0));
            row[i + 1] = a1 = (uint8_t)(row[i + 1] + paeth(a1, b1, c1));
            c0 = b0;
            c1 = b1;
        }
        return 1;
    default: return 0;
    }
}

static int decode_rows(const chunks *c, uint8_t *raw, uint16_t *q)
{
    size_t n = 2 * (size_t)c->width;
    uint8_t *zeros = calloc(1, n);
    const uint8_t *up = zeros;
    int ok = zeros != NULL;
    for (uint32_t y = 0; ok && y < c->height; y++) {
        uint8_t *row = raw + (n + 1) * y + 1;
        ok = unfilter(row[-1], row, up, n);
        for (size_t x = 0; x < c->width; x++)
            q[(size_t)y * c->width + x] = (uint16_t)(row[2 * x] << 8 | row[2 * x + 1]);
        up = row;
    }
    free(zeros);
    return ok;
}

int ib_png_decode_fast(const uint8_t *data, size_t size, ib_png_image *image)
{
    chunks c = {.texts = calloc(MAX_TEXTS, sizeof *c.texts)};
    uint8_t *raw = NULL;
    uint16_t *q = NULL;
    struct libdeflate_decompressor *inflate = NULL;
    int ok = c.texts && size >= 20 && parse(data, size, &c);
    /* deflate cannot shrink below 1/1032: a larger claim is a lie that would cost memory */
    size_t pixels = (size_t)c.width * c.height, bytes = 2 * pixels + c.height;
    if (ok && bytes / 1040 <= size) {
        raw = malloc(bytes);
        q = malloc(pixels * sizeof *q);
        inflate = libdeflate_alloc_decompressor();
    }
    ok = ok && raw && q && inflate &&
         libdeflate_zlib_decompress(inflate, c.idat, c.idat_bytes, raw, bytes, NULL) == LIBDEFLATE_SUCCESS &&
         decode_rows(&c, raw, q);
    libdeflate_free_decompressor(inflate);
    free(raw);
    if (ok) {
        *image = (ib_png_image){(int)c.width, (int)c.height, 16, q, c.texts, c.text_count};
    } else {
        free(q);
        free(c.texts);
    }
    return ok;
}
