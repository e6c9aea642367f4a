/* Sixty-four bytes to Huffman codes at a time with AVX-512 VBMI, chosen at run time: tables of 256 bytes in four registers each, codes joined
 * by twos and fours, so that the writer takes four bytes' codes at once. The same bits as put_group. */
#include "sink/png_deflate_internal.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt")))
#define BLOCK 64

int ib_png_deflate_is_wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2");
}

/* Counts what waits. */
WIDE static void count_waiting(ib_png_deflate *d, const uint8_t *waiting, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) count_literals(d, load64(waiting + i));
    for (; i < count; i++) d->counts[0][waiting[i]]++;
}

/* Nearly all high bytes of filtered depth are 0, 1 or -1: these are counted by the block. The others are gathered. */
WIDE const uint8_t *ib_png_deflate_count_wide(ib_png_deflate *d, const uint8_t *p, const uint8_t *stop, const uint8_t *end, ptrdiff_t ahead, uint32_t *runs)
{
    const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    uint8_t waiting[4096 + BLOCK];
    size_t count = 0;
    uint32_t zero = 0, one = 0, less = 0;
    while (stop - p >= BLOCK && end - p >= BLOCK + ahead) {
        __m512i x = _mm512_loadu_si512(p);
        if (_mm512_testn_epi64_mask(x, x)) { /* a group of zeros */
            p = count_group(d, p, end, runs);
            continue;
        }
        __mmask64 is0 = _mm512_testn_epi8_mask(x, x), is1 = _mm512_cmpeq_epi8_mask(x, plus), is255 = _mm512_cmpeq_epi8_mask(x, minus);
        __mmask64 other = ~(is0 | is1 | is255);
        zero += (uint32_t)_mm_popcnt_u64(is0);
        one += (uint32_t)_mm_popcnt_u64(is1);
        less += (uint32_t)_mm_popcnt_u64(is255);
        _mm512_storeu_si512(waiting + count, _mm512_maskz_compress_epi8(other, x));
        count += (size_t)_mm_popcnt_u64(other);
        if (count > sizeof waiting - BLOCK) {
            count_waiting(d, waiting, count);
            count = 0;
        }
        p += BLOCK;
    }
    count_waiting(d, waiting, count);
    d->counts[0][0] += zero;
    d->counts[0][1] += one;
    d->counts[0][255] += less;
    return p;
}

typedef struct tables {
    __m512i bits[4], low[4], high[4];
} tables;

/* Codes of four bytes each, in the order of the data: of group g (8 bytes) code[g], then code[8 + g]; bits[2g], then bits[2g + 1]. */
typedef struct block {
    _Alignas(64) uint64_t code[16];
    _Alignas(64) uint32_t bits[16];
} block;

WIDE static inline tables load_tables(const wide_table *t)
{
    tables r;
    for (int i = 0; i < 4; i++) {
        r.bits[i] = _mm512_load_si512(t->bits + 64 * i);
        r.low[i] = _mm512_load_si512(t->low + 64 * i);
        r.high[i] = _mm512_load_si512(t->high + 64 * i);
    }
    return r;
}

WIDE static inline __m512i look_up(__m512i x, const __m512i t[4])
{
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), _mm512_permutex2var_epi8(t[0], x, t[1]), _mm512_permutex2var_epi8(t[2], x, t[3]));
}

/* 1: there is a group of zeros in it, which is put_group's. */
WIDE static inline int has_zeros(const uint8_t *p)
{
    __m512i x = _mm512_loadu_si512(p);
    return _mm512_testn_epi64_mask(x, x) != 0;
}

WIDE static inline void code_block(const uint8_t *p, const tables *t, block *out)
{
    const __m512i of16 = _mm512_set1_epi16(255), of32 = _mm512_set1_epi32(0xffff), of64 = _mm512_set1_epi64(0xffffffff);
    __m512i x = _mm512_loadu_si512(p), bits = look_up(x, t->bits), low = look_up(x, t->low), high = look_up(x, t->high);
    /* in words: the code of the even byte and that of the odd one */
    __m512i even_bits = _mm512_and_si512(bits, of16), odd_bits = _mm512_srli_epi16(bits, 8), pair_bits = _mm512_add_epi16(even_bits, odd_bits);
    __m512i even = _mm512_or_si512(_mm512_and_si512(low, of16), _mm512_slli_epi16(high, 8));
    __m512i odd = _mm512_or_si512(_mm512_srli_epi16(low, 8), _mm512_andnot_si512(of16, high));
    /* in double words: two bytes' codes, of the lower and of the higher two */
    __m512i pair0 = _mm512_or_si512(_mm512_and_si512(even, of32), _mm512_sllv_epi32(_mm512_and_si512(odd, of32), _mm512_and_si512(even_bits, of32)));
    __m512i pair1 = _mm512_or_si512(_mm512_srli_epi32(even, 16), _mm512_sllv_epi32(_mm512_srli_epi32(odd, 16), _mm512_srli_epi32(even_bits, 16)));
    __m512i bits0 = _mm512_and_si512(pair_bits, of32), bits1 = _mm512_srli_epi32(pair_bits, 16);
    /* in quad words: four */
    __m512i four0 = _mm512_or_si512(_mm512_and_si512(pair0, of64), _mm512_sllv_epi64(_mm512_and_si512(pair1, of64), _mm512_and_si512(bits0, of64)));
    __m512i four1 = _mm512_or_si512(_mm512_srli_epi64(pair0, 32), _mm512_sllv_epi64(_mm512_srli_epi64(pair1, 32), _mm512_srli_epi64(bits0, 32)));
    _mm512_store_si512(out->code, four0);
    _mm512_store_si512(out->code + 8, four1);
    _mm512_store_si512(out->bits, _mm512_add_epi32(bits0, bits1));
}

static inline void put_four(bit_writer *w, const block *b, int i)
{
    uint64_t code = b->code[(i & 1) * 8 + i / 2];
    unsigned before = w->count;
    put(w, code, b->bits[i]);
    if (__builtin_expect(w->count < 64, 1)) {
        flush(w);
        return;
    }
    memcpy(w->out, &w->bits, 8); /* the longest codes: up to 60 bits and 7 from before */
    w->out += 8;
    w->bits = code >> (64 - before);
    w->count -= 64;
}

WIDE void ib_png_deflate_one_wide(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *a, const uint8_t *stop)
{
    const tables r = load_tables(wide);
    const uint8_t *end = d->data + d->size;
    writing x = *a;
    block b;
    while (stop - x.at >= BLOCK) {
        if (has_zeros(x.at)) {
            x.at = put_group(d, t, &x.w, x.at, end, 0);
            continue;
        }
        code_block(x.at, &r, &b);
        for (int i = 0; i < 16; i++) put_four(&x.w, &b, i);
        x.at += BLOCK;
    }
    *a = x;
}

WIDE void ib_png_deflate_two_wide(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *a, const uint8_t *a_stop, writing *b)
{
    const tables r = load_tables(wide);
    const uint8_t *end = d->data + d->size;
    writing x = *a, y = *b;
    block bx, by;
    while (a_stop - x.at >= BLOCK && end - y.at >= BLOCK) {
        int zeros = has_zeros(x.at), more = has_zeros(y.at);
        if (zeros) x.at = put_group(d, t, &x.w, x.at, end, 0);
        if (more) y.at = put_group(d, t, &y.w, y.at, end, 0);
        if (zeros || more) continue;
        code_block(x.at, &r, &bx);
        code_block(y.at, &r, &by);
        for (int i = 0; i < 16; i++) {
            put_four(&x.w, &bx, i);
            put_four(&y.w, &by, i);
        }
        x.at += BLOCK;
        y.at += BLOCK;
    }
    *a = x;
    *b = y;
}
#else
int ib_png_deflate_is_wide(void) { return 0; }
const uint8_t *ib_png_deflate_count_wide(ib_png_deflate *d, const uint8_t *p, const uint8_t *stop, const uint8_t *end, ptrdiff_t ahead, uint32_t *runs)
{
    (void)d, (void)stop, (void)end, (void)ahead, (void)runs;
    return p;
}
void ib_png_deflate_one_wide(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *a, const uint8_t *stop)
{
    (void)d, (void)t, (void)wide, (void)a, (void)stop;
}
void ib_png_deflate_two_wide(const ib_png_deflate *d, const code_table *t, const wide_table *wide, writing *a, const uint8_t *a_stop, writing *b)
{
    (void)d, (void)t, (void)wide, (void)a, (void)a_stop, (void)b;
}
#endif
