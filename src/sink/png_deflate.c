/* Huffman-only deflate; see png_deflate.h. The codes are ISA-L's (isal_create_hufftables), the loops are ours: one
 * counts, one writes, and both see the data as groups of 8 bytes. A group of zeros starts a run: one literal 0, then a
 * match of distance 1 over the zeros that follow, at most 258 bytes. */
#include "sink/png_deflate.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MATCH 258
#define END_OF_BLOCK 256

struct ib_png_deflate {
    struct isal_huff_histogram histogram;
    struct isal_hufftables codes;
    uint32_t counts[4][256]; /* neighbouring equal bytes must not wait for each other */
};

ib_png_deflate *ib_png_deflate_create(void) { return malloc(sizeof(ib_png_deflate)); }
void ib_png_deflate_destroy(ib_png_deflate *deflate) { free(deflate); }

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Zeros from p on, whole groups of 8, at most MAX_MATCH + 1 bytes. The first group is known to be zeros. */
static size_t zero_run(const uint8_t *p, const uint8_t *end)
{
    size_t n = 8;
    while (n + 8 <= MAX_MATCH + 1 && (size_t)(end - p) >= n + 8 && load64(p + n) == 0) n += 8;
    return n;
}

/* RFC 1951: the symbol of a match length (3..258). */
static int length_symbol(size_t length)
{
    if (length == 258) return 285;
    if (length < 11) return (int)(254 + length);
    int bits = 29 - __builtin_clz((unsigned)length - 3); /* extra bits */
    return 257 + 4 * (bits + 1) + (int)((length - 3) >> bits & 3);
}

static void count(ib_png_deflate *d, const uint8_t *p, const uint8_t *end)
{
    memset(&d->histogram, 0, sizeof d->histogram);
    memset(d->counts, 0, sizeof d->counts);
    uint64_t *symbols = d->histogram.lit_len_histogram;
    while (end - p >= 8) {
        uint64_t v = load64(p);
        if (v == 0) {
            size_t n = zero_run(p, end);
            d->counts[0][0]++;
            symbols[length_symbol(n - 1)]++;
            d->histogram.dist_histogram[0]++;
            p += n;
            continue;
        }
        d->counts[0][v & 255]++, d->counts[1][v >> 8 & 255]++, d->counts[2][v >> 16 & 255]++,
            d->counts[3][v >> 24 & 255]++;
        v >>= 32;
        d->counts[0][v & 255]++, d->counts[1][v >> 8 & 255]++, d->counts[2][v >> 16 & 255]++, d->counts[3][v >> 24]++;
        p += 8;
    }
    while (p < end) d->counts[0][*p++]++;
    for (int i = 0; i < 256; i++)
        symbols[i] = (uint64_t)d->counts[0][i] + d->counts[1][i] + d->counts[2][i] + d->counts[3][i];
    symbols[END_OF_BLOCK] = 1;
}

/* Bits of the block; exact for literals, an upper bound for runs. */
static uint64_t block_bits(const ib_png_deflate *d)
{
    uint64_t bits = 8ull * d->codes.deflate_hdr_count + 8 + d->codes.lit_table_sizes[END_OF_BLOCK];
    for (int i = 0; i < 256; i++) bits += d->histogram.lit_len_histogram[i] * d->codes.lit_table_sizes[i];
    return bits + d->histogram.dist_histogram[0] * (15 + 5 + 15);
}

/* Bits go in at the low end; whole bytes leave. */
typedef struct bit_writer {
    uint64_t bits;
    unsigned count; /* below 8 after flush */
    uint8_t *out;
} bit_writer;

static inline void put(bit_writer *w, uint64_t bits, unsigned count)
{
    w->bits |= bits << w->count;
    w->count += count;
}

static inline void flush(bit_writer *w)
{
    memcpy(w->out, &w->bits, 8); /* little-endian, as the rest of this layer */
    w->out += w->count >> 3;
    w->bits >>= w->count & ~7u;
    w->count &= 7;
}

/* Two codes become one before they meet the others: a shorter chain. */
static inline void put_pair(bit_writer *w, const uint32_t *table, uint64_t two_bytes)
{
    uint32_t a = table[two_bytes & 255], b = table[two_bytes >> 8 & 255];
    unsigned a_bits = a >> 16, b_bits = b >> 16;
    put(w, (a & 0xffff) | (uint64_t)(b & 0xffff) << a_bits, a_bits + b_bits);
}

/* `four`: no code is longer than 14 bits, so that four and 7 bits from before fit into 64. */
static inline void write_symbols(const ib_png_deflate *d, bit_writer *writer, const uint8_t *p, const uint8_t *end,
                                 int four)
{
    uint32_t table[END_OF_BLOCK + 1]; /* code, length above it */
    bit_writer w = *writer;
    for (int i = 0; i <= END_OF_BLOCK; i++)
        table[i] = d->codes.lit_table[i] | (uint32_t)d->codes.lit_table_sizes[i] << 16;
#define LITERAL(byte) (put(&w, table[byte] & 0xffff, table[byte] >> 16))
    while (end - p >= 8) {
        uint64_t v = load64(p);
        if (v == 0) {
            size_t n = zero_run(p, end);
            uint32_t length = d->codes.len_table[n - 1 - 3], distance = d->codes.dist_table[0];
            LITERAL(0);
            put(&w, length >> 5, length & 31);
            flush(&w);
            put(&w, distance >> 5, distance & 31);
            flush(&w);
            p += n;
            continue;
        }
        put_pair(&w, table, v);
        if (!four) flush(&w);
        put_pair(&w, table, v >> 16);
        flush(&w);
        put_pair(&w, table, v >> 32);
        if (!four) flush(&w);
        put_pair(&w, table, v >> 48);
        flush(&w);
        p += 8;
    }
    for (; p < end; p++) {
        LITERAL(*p);
        flush(&w);
    }
    LITERAL(END_OF_BLOCK);
    flush(&w);
#undef LITERAL
    *writer = w;
}

size_t ib_png_deflate_run(ib_png_deflate *d, const uint8_t *data, size_t size, uint8_t *out, size_t capacity)
{
    count(d, data, data + size);
    if (isal_create_hufftables(&d->codes, &d->histogram) != 0) return 0;
    if (block_bits(d) / 8 + 32 > capacity) return 0;
    bit_writer w = {.out = out};
    *w.out++ = 0x78; /* zlib: deflate, window of 32 KiB, fastest */
    *w.out++ = 0x01;
    memcpy(w.out, d->codes.deflate_hdr, d->codes.deflate_hdr_count); /* begins with "last block, dynamic codes" */
    w.out += d->codes.deflate_hdr_count;
    if (d->codes.deflate_hdr_extra_bits)
        put(&w, d->codes.deflate_hdr[d->codes.deflate_hdr_count] & ((1u << d->codes.deflate_hdr_extra_bits) - 1),
            d->codes.deflate_hdr_extra_bits);
    int longest = 0;
    for (int i = 0; i <= END_OF_BLOCK; i++)
        if (d->codes.lit_table_sizes[i] > longest) longest = d->codes.lit_table_sizes[i];
    if (longest <= 14)
        write_symbols(d, &w, data, data + size, 1);
    else
        write_symbols(d, &w, data, data + size, 0);
    if (w.count) *w.out++ = (uint8_t)w.bits;
    uint32_t adler = libdeflate_adler32(1, data, size);
    for (int i = 3; i >= 0; i--) *w.out++ = (uint8_t)(adler >> 8 * i);
    return (size_t)(w.out - out);
}
