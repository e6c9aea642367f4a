/* Inside of png_deflate.c and its vector code (png_deflate_x86.c): the writer of bits, and a group of eight bytes in symbols. */
#ifndef IB_SINK_PNG_DEFLATE_INTERNAL_H
#define IB_SINK_PNG_DEFLATE_INTERNAL_H

#include "sink/png_deflate.h"

#include <isa-l/igzip_lib.h>
#include <string.h>

#define MAX_MATCH 258
#define END_OF_BLOCK 256
#define APART 16 /* the second writer's first bytes wait elsewhere: the first one's last store runs over them */

struct ib_png_deflate {
    int wide; /* vector code is used */
    const uint8_t *data;
    size_t size, at; /* groups before `at` are counted */
    size_t middle;   /* where the second half begins; `size`: there is none */
    struct isal_huff_histogram histogram;
    struct isal_hufftables codes;
    uint32_t counts[4][256]; /* neighbouring equal bytes must not wait for each other */
    uint32_t first_counts[256], runs[MAX_MATCH + 1]; /* of the first half: literals, and matches by length */
};

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Zeros from p on, whole groups of 8, at most MAX_MATCH + 1 bytes. The first group is known to be zeros. */
static inline size_t zero_run(const uint8_t *p, const uint8_t *end)
{
    size_t n = 8;
    while (n + 8 <= MAX_MATCH + 1 && (size_t)(end - p) >= n + 8 && load64(p + n) == 0) n += 8;
    return n;
}

/* RFC 1951: the symbol of a match length (3..258). */
static inline int length_symbol(size_t length)
{
    if (length == 258) return 285;
    if (length < 11) return (int)(254 + length);
    int bits = 29 - __builtin_clz((unsigned)length - 3); /* extra bits */
    return 257 + 4 * (bits + 1) + (int)((length - 3) >> bits & 3);
}

/* Eight literals. */
static inline void count_literals(ib_png_deflate *d, uint64_t v)
{
    d->counts[0][v & 255]++, d->counts[1][v >> 8 & 255]++, d->counts[2][v >> 16 & 255]++, d->counts[3][v >> 24 & 255]++;
    v >>= 32;
    d->counts[0][v & 255]++, d->counts[1][v >> 8 & 255]++, d->counts[2][v >> 16 & 255]++, d->counts[3][v >> 24]++;
}

/* The group at p; returns where the next one begins. `runs` NULL: their lengths do not matter. */
static inline const uint8_t *count_group(ib_png_deflate *d, const uint8_t *p, const uint8_t *end, uint32_t *runs)
{
    uint64_t v = load64(p);
    if (v != 0) {
        count_literals(d, v);
        return p + 8;
    }
    size_t n = zero_run(p, end);
    d->counts[0][0]++;
    d->histogram.lit_len_histogram[length_symbol(n - 1)]++;
    d->histogram.dist_histogram[0]++;
    if (runs) runs[n - 1]++;
    return p + n;
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


/* Where a writer stands: in the data and in the stream. */
typedef struct writing {
    const uint8_t *at;
    bit_writer w;
} writing;

/* Codes by byte, for the vector code. */
typedef struct wide_table {
    _Alignas(64) uint8_t bits[256], low[256], high[256];
} wide_table;

int ib_png_deflate_is_wide(void); /* this processor has what the following needs */
/* Counts groups that begin before `stop` and have `ahead` bytes before `end`, but for a few at the end; returns where it stopped. */
const uint8_t *ib_png_deflate_count_wide(ib_png_deflate *d, const uint8_t *p, const uint8_t *stop, const uint8_t *end, ptrdiff_t ahead, uint32_t *runs);
/* Groups of one half, or of both, as long as eight of them lie before `stop` (a_stop, and the end of the data). */
void ib_png_deflate_one_wide(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *a, const uint8_t *stop);
void ib_png_deflate_two_wide(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *a, const uint8_t *a_stop, writing *b);

#endif
