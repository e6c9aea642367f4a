/* Huffman-only deflate; see png_deflate.h. The codes are ISA-L's (isal_create_hufftables), the loops are ours: one
 * counts, one writes, and both see the data as groups of 8 bytes. A group of zeros starts a run: one literal 0, then a
 * match of distance 1 over the zeros that follow, at most 258 bytes. Where the second half of the stream begins is known to the bit before
 * anything is written, so two writers go side by side: each waits for its own bits only. */
#include "sink/png_deflate.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MATCH 258
#define END_OF_BLOCK 256

#define LOOK_AHEAD (8 + MAX_MATCH + 6) /* a run that begins here is seen to its end */
#define TWO_WRITERS 4096               /* bytes of data; below it is one */
#define APART 16 /* the second writer's first bytes wait elsewhere: the first one's last store runs over them */

struct ib_png_deflate {
    const uint8_t *data;
    size_t size, at; /* groups before `at` are counted */
    size_t middle;   /* where the second half begins; `size`: there is none */
    struct isal_huff_histogram histogram;
    struct isal_hufftables codes;
    uint32_t counts[4][256]; /* neighbouring equal bytes must not wait for each other */
    uint32_t first_counts[256], runs[MAX_MATCH + 1]; /* of the first half: literals, and matches by length */
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

void ib_png_deflate_begin(ib_png_deflate *d, const uint8_t *data, size_t size)
{
    d->data = data;
    d->size = size;
    d->at = 0;
    d->middle = size;
    memset(&d->histogram, 0, sizeof d->histogram);
    memset(d->counts, 0, sizeof d->counts);
    memset(d->runs, 0, sizeof d->runs);
}

static uint32_t literals(const ib_png_deflate *d, int byte)
{
    return d->counts[0][byte] + d->counts[1][byte] + d->counts[2][byte] + d->counts[3][byte];
}

/* Groups that begin before `stop` and have `ahead` bytes before `end`. `runs` NULL: their lengths do not matter. */
static const uint8_t *count_groups(ib_png_deflate *d, const uint8_t *p, const uint8_t *stop, const uint8_t *end, ptrdiff_t ahead, uint32_t *runs)
{
    uint64_t *symbols = d->histogram.lit_len_histogram;
    while (p < stop && end - p >= ahead) {
        uint64_t v = load64(p);
        if (v == 0) {
            size_t n = zero_run(p, end);
            d->counts[0][0]++;
            symbols[length_symbol(n - 1)]++;
            d->histogram.dist_histogram[0]++;
            if (runs) runs[n - 1]++;
            p += n;
            continue;
        }
        d->counts[0][v & 255]++, d->counts[1][v >> 8 & 255]++, d->counts[2][v >> 16 & 255]++,
            d->counts[3][v >> 24 & 255]++;
        v >>= 32;
        d->counts[0][v & 255]++, d->counts[1][v >> 8 & 255]++, d->counts[2][v >> 16 & 255]++, d->counts[3][v >> 24]++;
        p += 8;
    }
    return p;
}

void ib_png_deflate_count(ib_png_deflate *d, size_t ready)
{
    const uint8_t *p = d->data + d->at, *end = d->data + ready, *half = d->data + d->size / 2;
    ptrdiff_t ahead = ready == d->size ? 8 : LOOK_AHEAD;
    if (d->size >= TWO_WRITERS && d->middle == d->size) {
        p = count_groups(d, p, half, end, ahead, d->runs);
        if (p >= half) {
            d->middle = (size_t)(p - d->data);
            for (int i = 0; i < 256; i++) d->first_counts[i] = literals(d, i);
        }
    }
    if (d->size < TWO_WRITERS || p >= half) p = count_groups(d, p, end, end, ahead, NULL);
    d->at = (size_t)(p - d->data);
    if (ready < d->size) return;
    while (p < end) d->counts[0][*p++]++;
    for (int i = 0; i < 256; i++) d->histogram.lit_len_histogram[i] = literals(d, i);
    d->histogram.lit_len_histogram[END_OF_BLOCK] = 1;
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

/* Bits of the symbols of the first half. */
static uint64_t first_half_bits(const ib_png_deflate *d)
{
    uint64_t bits = 0;
    for (int i = 0; i < 256; i++) bits += (uint64_t)d->first_counts[i] * d->codes.lit_table_sizes[i];
    for (int i = 3; i <= MAX_MATCH; i++) bits += (uint64_t)d->runs[i] * ((d->codes.len_table[i - 3] & 31) + (d->codes.dist_table[0] & 31));
    return bits;
}

/* Code of every literal, its length above it. */
typedef struct code_table {
    uint32_t code[END_OF_BLOCK + 1];
} code_table;

static inline void put_literal(bit_writer *w, const code_table *t, int symbol) { put(w, t->code[symbol] & 0xffff, t->code[symbol] >> 16); }

/* The group at p; returns where the next one begins. `four`: no code is longer than 14 bits, so that four and 7 bits from before fit into
 * 64. */
__attribute__((always_inline)) static inline const uint8_t *put_group(const ib_png_deflate *d, const code_table *t, bit_writer *w, const uint8_t *p, const uint8_t *end, int four)
{
    uint64_t v = load64(p);
    if (v == 0) {
        size_t n = zero_run(p, end);
        uint32_t length = d->codes.len_table[n - 1 - 3], distance = d->codes.dist_table[0];
        put_literal(w, t, 0);
        put(w, length >> 5, length & 31);
        flush(w);
        put(w, distance >> 5, distance & 31);
        flush(w);
        return p + n;
    }
    put_pair(w, t->code, v);
    if (!four) flush(w);
    put_pair(w, t->code, v >> 16);
    flush(w);
    put_pair(w, t->code, v >> 32);
    if (!four) flush(w);
    put_pair(w, t->code, v >> 48);
    flush(w);
    return p + 8;
}

/* All symbols; `w` is behind the head. */
__attribute__((always_inline)) static inline void write_symbols(const ib_png_deflate *d, const code_table *t, bit_writer *w, uint8_t *out, int four)
{
    const uint8_t *end = d->data + d->size, *p = d->data, *half = d->data + d->middle, *q = half;
    uint8_t first[APART + 32]; /* a group takes 15 bytes, a store 8 */
    bit_writer a = *w;
    uint64_t position = (uint64_t)(a.out - out) * 8 + a.count + first_half_bits(d);
    if (half < end) {
        bit_writer b = {.count = (unsigned)position & 7, .out = first};
        uint8_t *seam = out + position / 8;
        while (b.out - first < APART && end - q >= 8) q = put_group(d, t, &b, q, end, four);
        size_t kept = (size_t)(b.out - first);
        if (kept >= APART) {
            b.out = seam + kept;
            while (p < half && end - q >= 8) {
                p = put_group(d, t, &a, p, end, four);
                q = put_group(d, t, &b, q, end, four);
            }
            while (p < half) p = put_group(d, t, &a, p, end, four);
            *seam = (uint8_t)(*first | a.bits);
            memcpy(seam + 1, first + 1, kept - 1);
            a = b;
            p = q;
        }
    }
    while (end - p >= 8) p = put_group(d, t, &a, p, end, four);
    for (; p < end; p++) {
        put_literal(&a, t, *p);
        flush(&a);
    }
    put_literal(&a, t, END_OF_BLOCK);
    flush(&a);
    *w = a;
}

size_t ib_png_deflate_write(ib_png_deflate *d, uint8_t *out, size_t capacity)
{
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
    code_table t;
    for (int i = 0; i <= END_OF_BLOCK; i++) {
        t.code[i] = d->codes.lit_table[i] | (uint32_t)d->codes.lit_table_sizes[i] << 16;
        if (d->codes.lit_table_sizes[i] > longest) longest = d->codes.lit_table_sizes[i];
    }
    if (longest <= 14) write_symbols(d, &t, &w, out, 1);
    else write_symbols(d, &t, &w, out, 0);
    if (w.count) *w.out++ = (uint8_t)w.bits;
    uint32_t adler = libdeflate_adler32(1, d->data, d->size);
    for (int i = 3; i >= 0; i--) *w.out++ = (uint8_t)(adler >> 8 * i);
    return (size_t)(w.out - out);
}
