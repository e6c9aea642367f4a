/* Packing of raw maps without losing a bit; see spool.h and docs/CLUSTER.md.
 *
 * A float's bits, read as an integer, order positive floats; neighbours of a smooth map differ little in them. So: each is predicted
 * from left + above - above left (modulo 2^32; 0 outside the map) and the difference folded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...). A
 * tile of 4 x 4 differences takes as many bits for each as its largest needs (and is filled up with zeros at the right and lower edge). A
 * packed map is the width of every tile, a byte each, then the bits of all tiles, each of two bytes times its width: value i (row by row)
 * at bit i times width, lowest bit first. */
#include "pipeline/cluster/spool.h"

#include "pipeline/cluster/spool_tiles.h"
#include <stdlib.h>
#include <string.h>

struct ib_spool_packer {
    ib_tile_band band; /* NULL: plain code */
    uint32_t *rows;    /* packing: four rows of differences; unpacking: zeros, and rows below the map */
    size_t width;      /* of a row of these */
    ib_tile_tables tables;
};

static void fill_tables(ib_tile_tables *t)
{
    memset(t->nothing, 0, sizeof t->nothing);
    for (unsigned b = 0; b <= IB_TILE_BITS; b++) {
        t->half[b] = b ? ((uint32_t)1 << (b - 1)) - 1 : 0;
        for (unsigned i = 0; i < IB_TILE_VALUES; i++) {
            if (i % IB_TILE == 0) t->row_at[b][i / IB_TILE] = (uint8_t)(i * b / 8);
            t->rotate[b][i] = i * b % 8 + 1;
            t->lift[b][i] = b ? 31 - i * b % 8 : 32;
            for (unsigned k = 0; k < 4; k++) {
                unsigned byte = i * b / 8 + k;
                t->byte[b][4 * i + k] = (uint8_t)(byte < 64 ? byte : 63); /* beyond: not of this value */
                t->row_byte[b][4 * i + k] = (uint8_t)(byte - t->row_at[b][i / IB_TILE]);
            }
        }
    }
}

ib_spool_packer *ib_spool_packer_create(int most)
{
    ib_spool_packer *p = aligned_alloc(64, (sizeof *p + 63) & ~(size_t)63);
    if (!p) return NULL;
    p->band = most < 2 ? ib_tile_band_find(most) : NULL;
    p->rows = NULL;
    p->width = 0;
    fill_tables(&p->tables);
    return p;
}

void ib_spool_packer_destroy(ib_spool_packer *p)
{
    if (!p) return;
    free(p->rows);
    free(p);
}

static size_t tiles_of(int pixels) { return ((size_t)pixels + IB_TILE - 1) / IB_TILE; }

size_t ib_spool_bound(int width, int height) { return tiles_of(width) * tiles_of(height) * (1 + IB_TILE_VALUES * 4); }

/* Four rows of whole tiles. */
static int reserve(ib_spool_packer *p, int width)
{
    size_t w = tiles_of(width) * IB_TILE;
    if (w <= p->width) return 1;
    uint32_t *rows = realloc(p->rows, IB_TILE * w * sizeof *rows);
    if (!rows) return 0;
    p->rows = rows;
    p->width = w;
    return 1;
}

static uint32_t fold(uint32_t d) { return d << 1 ^ (0u - (d >> 31)); }
static uint32_t unfold(uint32_t z) { return z >> 1 ^ (0u - (z & 1)); }

/* Folded differences of a row; above: NULL for the first one. */
static void differ(const uint32_t *row, const uint32_t *above, int width, uint32_t *out)
{
    if (!above) {
        for (int x = width - 1; x > 0; x--) out[x] = fold(row[x] - row[x - 1]);
        out[0] = fold(row[0]);
        return;
    }
    for (int x = width - 1; x > 0; x--) out[x] = fold(row[x] - row[x - 1] - above[x] + above[x - 1]);
    out[0] = fold(row[0] - above[0]);
}

/* Sixteen values of four rows; returns how many bits each takes. */
static int put_tile(const uint32_t *rows, size_t stride, uint8_t *out)
{
    uint32_t all = 0;
    for (int y = 0; y < IB_TILE; y++) all |= rows[y * stride] | rows[y * stride + 1] | rows[y * stride + 2] | rows[y * stride + 3];
    int bits = all ? ib_tile_width(32 - __builtin_clz(all)) : 0, count = 0;
    uint64_t held = 0;
    for (int i = 0; i < IB_TILE_VALUES; i++) {
        held |= (uint64_t)rows[(size_t)(i / IB_TILE) * stride + (size_t)(i % IB_TILE)] << count;
        count += bits;
        if (count < 32) continue;
        memcpy(out, &held, 4); /* little-endian, as the whole file */
        out += 4;
        held >>= 32;
        count -= 32;
    }
    memcpy(out, &held, (size_t)count / 8);
    return bits;
}

size_t ib_spool_pack(ib_spool_packer *p, const float *map, int width, int height, uint8_t *packed)
{
    if (!reserve(p, width)) return 0;
    size_t across = tiles_of(width), w = (size_t)width, stride = p->width;
    uint8_t *bits = packed, *out = packed + across * tiles_of(height);
    const uint32_t *pixels = (const uint32_t *)(const void *)map;
    memset(p->rows, 0, IB_TILE * stride * sizeof *p->rows);
    for (int y = 0; y < height; y += IB_TILE) {
        for (int i = 0; i < IB_TILE; i++) {
            const uint32_t *row = pixels + (size_t)(y + i) * w;
            if (y + i < height) differ(row, y + i ? row - w : NULL, width, p->rows + (size_t)i * stride);
            else memset(p->rows + (size_t)i * stride, 0, w * sizeof *p->rows);
        }
        for (size_t i = 0; i < across; i++) {
            *bits = (uint8_t)put_tile(p->rows + IB_TILE * i, stride, out);
            out += 2 * *bits++;
        }
    }
    return (size_t)(out - packed);
}

/* The bytes of all tiles; SIZE_MAX when a width cannot be. */
static size_t tile_bytes(const uint8_t *bits, size_t tiles)
{
    enum { AT_ONCE = 64 }; /* what compilers make vectors of */
    size_t sum = 0, i = 0;
    uint8_t wrong = 0;
    for (; i + AT_ONCE <= tiles; i += AT_ONCE) {
        uint16_t part = 0;
        for (int k = 0; k < AT_ONCE; k++) {
            part = (uint16_t)(part + bits[i + (size_t)k]);
            wrong |= (uint8_t)((bits[i + (size_t)k] > 26) & (bits[i + (size_t)k] != 28) & (bits[i + (size_t)k] != 32));
        }
        sum += part;
    }
    for (; i < tiles; i++) {
        sum += bits[i];
        wrong |= (uint8_t)((bits[i] > 26) & (bits[i] != 28) & (bits[i] != 32));
    }
    return wrong ? SIZE_MAX : 2 * sum;
}

/* The definition of a tile at column 4*i; row[k] beyond `rows` are none. Returns what follows it. */
static const uint8_t *get_tile(const uint8_t *in, unsigned bits, size_t i, size_t width, const uint32_t *above, uint32_t *const row[IB_TILE], int rows)
{
    for (unsigned k = 0; k < IB_TILE_VALUES; k++) {
        size_t x = IB_TILE * i + k % IB_TILE;
        int y = (int)(k / IB_TILE);
        if (x >= width || y >= rows) continue;
        uint64_t v = 0;
        unsigned at = k * bits, first = at / 8, end = (at + bits + 7) / 8;
        for (unsigned b = first; b < end; b++) v |= (uint64_t)in[b] << 8 * (b - first);
        const uint32_t *up = y ? row[y - 1] : above;
        uint32_t d = unfold((uint32_t)(v >> at % 8 & (((uint64_t)1 << bits) - 1)));
        row[y][x] = d + up[x] + (x ? row[y][x - 1] - up[x - 1] : 0);
    }
    return in + 2 * bits;
}

int ib_spool_unpack(ib_spool_packer *p, const uint8_t *packed, size_t size, int width, int height, float *map)
{
    size_t across = tiles_of(width), tiles = across * tiles_of(height), w = (size_t)width;
    if (size < tiles || tile_bytes(packed, tiles) != size - tiles || !reserve(p, width)) return 0;
    const uint8_t *bits = packed, *in = packed + tiles, *end = packed + size;
    uint32_t *pixels = (uint32_t *)(void *)map, *spare = p->rows + p->width, *const zeros = p->rows;
    memset(zeros, 0, p->width * sizeof *zeros);
    for (int y = 0; y < height; y += IB_TILE, bits += across) {
        int rows = height - y < IB_TILE ? height - y : IB_TILE;
        uint32_t *row[IB_TILE];
        for (int i = 0; i < IB_TILE; i++) row[i] = i < rows ? pixels + (size_t)(y + i) * w : spare + (size_t)(i - 1) * p->width;
        const uint32_t *above = y ? row[0] - w : zeros;
        size_t i = 0;
        if (p->band) { /* of the tiles of the last bytes the vector code would read beyond them */
            size_t whole = w / IB_TILE, most = IB_TILE_READ + 2 * IB_TILE_BITS * (whole ? whole - 1 : 0);
            if ((size_t)(end - in) < most) {
                size_t left = (size_t)(end - in), used = 0, fit = 0;
                for (; fit < whole && used + IB_TILE_READ <= left; fit++) used += 2 * (size_t)bits[fit];
                whole = fit;
            }
            in = p->band(&p->tables, in, bits, whole, above, row);
            i = whole;
        }
        for (; i < across; i++) in = get_tile(in, bits[i], i, w, above, row, rows);
    }
    return 1;
}
