/* Huffman-only deflate; see png_deflate.h. The codes are ISA-L's (isal_create_hufftables), the loops are ours: one
 * counts, one writes, and both see the data as groups of 8 bytes. A group of zeros starts a run: one literal 0, then a
 * match of distance 1 over the zeros that follow, at most 258 bytes. Where the second half of the stream begins is known to the bit before
 * anything is written, so two writers go side by side: each waits for its own bits only. */
#include "sink/png_deflate_internal.h"

#include <libdeflate.h>
#include <stdlib.h>

#define LOOK_AHEAD (8 + MAX_MATCH + 6) /* a run that begins here is seen to its end */
#define TWO_WRITERS 4096               /* bytes of data; below it is one */

ib_png_deflate *ib_png_deflate_create(int plain)
{
    ib_png_deflate *d = malloc(sizeof *d);
    if (d) d->wide = !plain && ib_png_deflate_is_wide();
    return d;
}

void ib_png_deflate_destroy(ib_png_deflate *deflate) { free(deflate); }

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
    if (d->wide) p = ib_png_deflate_count_wide(d, p, stop, end, ahead, runs);
    while (p < stop && end - p >= ahead) p = count_group(d, p, end, runs);
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

/* Bits of the symbols of the first half. */
static uint64_t first_half_bits(const ib_png_deflate *d)
{
    uint64_t bits = 0;
    for (int i = 0; i < 256; i++) bits += (uint64_t)d->first_counts[i] * d->codes.lit_table_sizes[i];
    for (int i = 3; i <= MAX_MATCH; i++) bits += (uint64_t)d->runs[i] * ((d->codes.len_table[i - 3] & 31) + (d->codes.dist_table[0] & 31));
    return bits;
}

/* Groups from x on that begin before `stop`. */
__attribute__((always_inline)) static inline void write_groups(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *x,
                                                               const uint8_t *stop, int four)
{
    const uint8_t *end = d->data + d->size;
    if (wide) ib_png_deflate_one_wide(d, t, wide, x, stop);
    writing y = *x;
    while (y.at < stop && end - y.at >= 8) y.at = put_group(d, t, &y.w, y.at, end, four);
    *x = y;
}

/* Both halves; x is behind the head, and afterwards behind the groups of the second half. 0: not two after all, x is as it was. */
__attribute__((always_inline)) static inline int write_halves(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *x,
                                                              uint8_t *out, int four)
{
    const uint8_t *end = d->data + d->size, *half = d->data + d->middle;
    uint8_t first[APART + 32]; /* a group takes 15 bytes, a store 8 */
    uint64_t position = (uint64_t)(x->w.out - out) * 8 + x->w.count + first_half_bits(d);
    uint8_t *seam = out + position / 8;
    writing a = *x, b = {half, {.count = (unsigned)position & 7, .out = first}};
    while (b.w.out - first < APART && end - b.at >= 8) b.at = put_group(d, t, &b.w, b.at, end, four);
    size_t kept = (size_t)(b.w.out - first);
    if (kept < APART) return 0;
    b.w.out = seam + kept;
    if (wide) ib_png_deflate_two_wide(d, t, wide, &a, half, &b);
    while (a.at < half && end - b.at >= 8) {
        a.at = put_group(d, t, &a.w, a.at, end, four);
        b.at = put_group(d, t, &b.w, b.at, end, four);
    }
    write_groups(d, t, wide, &a, half, four);
    *seam = (uint8_t)(*first | a.w.bits);
    memcpy(seam + 1, first + 1, kept - 1);
    write_groups(d, t, wide, &b, end, four);
    *x = b;
    return 1;
}

/* All symbols; `w` is behind the head. `wide` NULL: without vector code. */
__attribute__((always_inline)) static inline void write_symbols(const ib_png_deflate *d, const code_table *t, const wide_table *wide, bit_writer *w,
                                                                uint8_t *out, int four)
{
    const uint8_t *end = d->data + d->size;
    writing x = {d->data, *w};
    if (d->middle == d->size || !write_halves(d, t, wide, &x, out, four)) write_groups(d, t, wide, &x, end, four);
    for (; x.at < end; x.at++) {
        put_literal(&x.w, t, *x.at);
        flush(&x.w);
    }
    put_literal(&x.w, t, END_OF_BLOCK);
    flush(&x.w);
    *w = x.w;
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
    wide_table wide;
    for (int i = 0; i <= END_OF_BLOCK; i++) {
        t.code[i] = d->codes.lit_table[i] | (uint32_t)d->codes.lit_table_sizes[i] << 16;
        if (i < END_OF_BLOCK && d->codes.lit_table_sizes[i] > longest) longest = d->codes.lit_table_sizes[i];
    }
    for (int i = 0; i < 256; i++) {
        wide.bits[i] = (uint8_t)(t.code[i] >> 16);
        wide.low[i] = (uint8_t)t.code[i];
        wide.high[i] = (uint8_t)(t.code[i] >> 8);
    }
    if (d->wide) write_symbols(d, &t, &wide, &w, out, 0);
    else if (longest > 14) write_symbols(d, &t, NULL, &w, out, 0);
    else write_symbols(d, &t, NULL, &w, out, 1);
    if (w.count) *w.out++ = (uint8_t)w.bits;
    uint32_t adler = libdeflate_adler32(1, d->data, d->size);
    for (int i = 3; i >= 0; i--) *w.out++ = (uint8_t)(adler >> 8 * i);
    return (size_t)(w.out - out);
}
