/* Packing of raw maps without losing a bit; see spool.h and docs/CLUSTER.md.
 *
 * A float's bits, read as an integer, order positive floats; neighbours of a smooth map differ little in them. So: each is predicted
 * from left + above - above left (modulo 2^32), the difference is folded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...), and its four bytes
 * go into planes. The highest planes are nearly all zero, the lowest is noise. Each plane is stored, or deflated where that is
 * smaller; a byte before it says which, four its size. */
#include "pipeline/cluster/spool.h"

#include "base/bytes.h"
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

enum { PLANE_STORED = 0, PLANE_DEFLATED = 1, PLANE_ZERO = 2, PLANES = 4, PLANE_HEAD = 5 };

struct ib_spool_packer {
    struct isal_zstream stream;
    uint8_t *level_buf;
    struct libdeflate_decompressor *inflate;
    uint8_t *planes; /* 4 * capacity */
    uint32_t *bits;  /* a row, and the one above */
    size_t capacity, row_capacity;
};

ib_spool_packer *ib_spool_packer_create(void)
{
    ib_spool_packer *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->level_buf = malloc(ISAL_DEF_LVL1_DEFAULT);
    p->inflate = libdeflate_alloc_decompressor();
    if (p->level_buf && p->inflate) return p;
    ib_spool_packer_destroy(p);
    return NULL;
}

void ib_spool_packer_destroy(ib_spool_packer *p)
{
    if (!p) return;
    if (p->inflate) libdeflate_free_decompressor(p->inflate);
    free(p->level_buf);
    free(p->planes);
    free(p->bits);
    free(p);
}

size_t ib_spool_bound(size_t pixels) { return PLANES * (pixels + PLANE_HEAD); }

static int reserve(ib_spool_packer *p, size_t pixels, size_t width)
{
    if (pixels > p->capacity) {
        uint8_t *planes = realloc(p->planes, PLANES * pixels);
        if (!planes) return 0;
        p->planes = planes;
        p->capacity = pixels;
    }
    if (width > p->row_capacity) {
        uint32_t *bits = realloc(p->bits, 2 * (width + 1) * sizeof *bits);
        if (!bits) return 0;
        p->bits = bits;
        p->row_capacity = width;
    }
    return 1;
}

static uint32_t fold(uint32_t d) { return d << 1 ^ (0u - (d >> 31)); }
static uint32_t unfold(uint32_t z) { return z >> 1 ^ (0u - (z & 1)); }

/* row and above: [0] is 0, [1 + x] the pixel. */
static void split_row(const uint32_t *row, const uint32_t *above, int width, uint8_t *const plane[PLANES])
{
    for (int x = 0; x < width; x++) {
        uint32_t z = fold(row[x + 1] - (row[x] + above[x + 1] - above[x]));
        plane[0][x] = (uint8_t)z;
        plane[1][x] = (uint8_t)(z >> 8);
        plane[2][x] = (uint8_t)(z >> 16);
        plane[3][x] = (uint8_t)(z >> 24);
    }
}

static int all_zero(const uint8_t *p, size_t n) { return !n || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0); }

/* Returns the size of the deflated plane, 0 when it would not be smaller. */
static size_t deflate_plane(ib_spool_packer *p, uint8_t *plane, size_t n, uint8_t *out)
{
    struct isal_zstream *z = &p->stream;
    isal_deflate_stateless_init(z);
    z->hist_bits = 0; /* the full window; the call above leaves what was there */
    z->level = 1;
    z->level_buf = p->level_buf;
    z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    z->end_of_stream = 1;
    z->flush = NO_FLUSH;
    z->next_in = plane;
    z->avail_in = (uint32_t)n;
    z->next_out = out;
    z->avail_out = (uint32_t)n;
    return isal_deflate_stateless(z) == COMP_OK && z->avail_in == 0 && z->total_out < n ? z->total_out : 0;
}

size_t ib_spool_pack(ib_spool_packer *p, const float *map, int width, int height, uint8_t *packed)
{
    size_t w = (size_t)width, n = w * (size_t)height;
    if (!reserve(p, n, w)) return 0;
    uint32_t *row = p->bits, *above = p->bits + w + 1;
    memset(p->bits, 0, 2 * (w + 1) * sizeof *p->bits);
    for (int y = 0; y < height; y++) {
        size_t at = (size_t)y * w;
        memcpy(row + 1, map + at, w * sizeof *map);
        split_row(row, above, width, (uint8_t *const[PLANES]){p->planes + at, p->planes + n + at, p->planes + 2 * n + at, p->planes + 3 * n + at});
        uint32_t *swap = row;
        row = above;
        above = swap;
    }
    uint8_t *out = packed;
    for (int i = 0; i < PLANES; i++) {
        uint8_t *plane = p->planes + (size_t)i * n;
        /* the lowest byte of a float that was computed is noise: not worth a try */
        int zero = all_zero(plane, n);
        size_t size = zero || i == 0 ? 0 : deflate_plane(p, plane, n, out + PLANE_HEAD);
        out[0] = zero ? PLANE_ZERO : size ? PLANE_DEFLATED : PLANE_STORED;
        if (!zero && !size) {
            memcpy(out + PLANE_HEAD, plane, n);
            size = n;
        }
        ib_put32(out + 1, (uint32_t)size);
        out += PLANE_HEAD + size;
    }
    return (size_t)(out - packed);
}

static int unpack_planes(ib_spool_packer *p, const uint8_t *in, size_t left, size_t n)
{
    for (int i = 0; i < PLANES; i++) {
        uint8_t *plane = p->planes + (size_t)i * n;
        uint32_t size;
        if (left < PLANE_HEAD) return 0;
        ib_get32(in + 1, &size);
        if (size > left - PLANE_HEAD) return 0;
        if (in[0] == PLANE_ZERO && size == 0) memset(plane, 0, n);
        else if (in[0] == PLANE_STORED && size == n) memcpy(plane, in + PLANE_HEAD, n);
        else if (in[0] != PLANE_DEFLATED || libdeflate_deflate_decompress(p->inflate, in + PLANE_HEAD, size, plane, n, NULL) != LIBDEFLATE_SUCCESS) return 0;
        in += PLANE_HEAD + size;
        left -= PLANE_HEAD + size;
    }
    return left == 0;
}

int ib_spool_unpack(ib_spool_packer *p, const uint8_t *packed, size_t size, int width, int height, float *map)
{
    size_t w = (size_t)width, n = w * (size_t)height;
    if (!reserve(p, n, w) || !unpack_planes(p, packed, size, n)) return 0;
    uint32_t *row = p->bits, *above = p->bits + w + 1;
    memset(p->bits, 0, 2 * (w + 1) * sizeof *p->bits);
    for (int y = 0; y < height; y++) {
        size_t at = (size_t)y * w;
        const uint8_t *b0 = p->planes + at, *b1 = b0 + n, *b2 = b1 + n, *b3 = b2 + n;
        for (size_t x = 0; x < w; x++) {
            uint32_t z = (uint32_t)b0[x] | (uint32_t)b1[x] << 8 | (uint32_t)b2[x] << 16 | (uint32_t)b3[x] << 24;
            row[x + 1] = unfold(z) + row[x] + above[x + 1] - above[x];
        }
        memcpy(map + at, row + 1, w * sizeof *map);
        uint32_t *swap = row;
        row = above;
        above = swap;
    }
    return 1;
}
