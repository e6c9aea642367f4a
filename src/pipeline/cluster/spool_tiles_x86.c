/* Unpacking four rows of a map at a time with AVX-512 VBMI or AVX2, chosen at run time; see spool_tiles.h. The same bits as the plain code
 * in spool_pack.c. */
#include "pipeline/cluster/spool_tiles.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))
#define NARROW __attribute__((target("avx2")))

/* The differences of a tile, a register row after row, each row summed up from the map's left edge. Rotated so that its lowest bit comes to lie in front,
 * a folded value z is (z >> 1) ^ -(z & 1) in two operations. */
WIDE static inline __attribute__((always_inline)) __m512i tile_sums(const ib_tile_tables *t, const uint8_t *p, unsigned b, __m512i *left)
{
    __m512i z = _mm512_permutexvar_epi8(_mm512_load_si512(t->byte[b]), _mm512_loadu_si512(b ? p : t->nothing));
    z = _mm512_rorv_epi32(z, _mm512_load_si512(t->rotate[b]));
    __m512i d = _mm512_ternarylogic_epi32(z, _mm512_set1_epi32((int)t->half[b]), _mm512_srai_epi32(z, 31), 0x6a); /* (a & b) ^ c */
    d = _mm512_add_epi32(d, _mm512_bslli_epi128(d, 4));
    d = _mm512_add_epi32(d, _mm512_bslli_epi128(d, 8));
    __asm__("" : "+v"(d)); /* in this order: what waits for the tile before comes last */
    d = _mm512_add_epi32(d, *left);
    *left = _mm512_shuffle_epi32(d, 0xff);
    return d;
}

/* Up to four tiles side by side: their rows are put together, added up from above to below and stored whole. */
WIDE static inline __attribute__((always_inline)) const uint8_t *four_tiles(const ib_tile_tables *t, const uint8_t *p, const uint8_t *bits, int tiles, const uint32_t *above,
                                                                            uint32_t *const row[IB_TILE], __m512i *left)
{
    __mmask16 columns = (__mmask16)((1u << 4 * tiles) - 1);
    __m512i d[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        d[i] = _mm512_setzero_si512();
        if (i >= tiles) continue;
        d[i] = tile_sums(t, p, bits[i], left);
        p += 2 * bits[i];
    }
    __m512i a = _mm512_shuffle_i32x4(d[0], d[1], 0x44), b = _mm512_shuffle_i32x4(d[2], d[3], 0x44);
    __m512i c = _mm512_shuffle_i32x4(d[0], d[1], 0xee), e = _mm512_shuffle_i32x4(d[2], d[3], 0xee);
    __m512i sum = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_maskz_loadu_epi32(columns, above));
    _mm512_mask_storeu_epi32(row[0], columns, sum);
    sum = _mm512_add_epi32(sum, _mm512_shuffle_i32x4(a, b, 0xdd));
    _mm512_mask_storeu_epi32(row[1], columns, sum);
    sum = _mm512_add_epi32(sum, _mm512_shuffle_i32x4(c, e, 0x88));
    _mm512_mask_storeu_epi32(row[2], columns, sum);
    _mm512_mask_storeu_epi32(row[3], columns, _mm512_add_epi32(sum, _mm512_shuffle_i32x4(c, e, 0xdd)));
    return p;
}

WIDE static const uint8_t *band_wide(const ib_tile_tables *t, const uint8_t *p, const uint8_t *bits, size_t count, const uint32_t *above,
                                     uint32_t *const row[IB_TILE])
{
    __m512i left = _mm512_setzero_si512();
    uint32_t *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];
    size_t i = 0;
    for (; i + 4 <= count; i += 4) p = four_tiles(t, p, bits + i, 4, above + 4 * i, (uint32_t *const[]){r0 + 4 * i, r1 + 4 * i, r2 + 4 * i, r3 + 4 * i}, &left);
    bits += i;
    above += 4 * i;
    uint32_t *const rest[] = {r0 + 4 * i, r1 + 4 * i, r2 + 4 * i, r3 + 4 * i};
    switch (count - i) {
    case 1: return four_tiles(t, p, bits, 1, above, rest, &left);
    case 2: return four_tiles(t, p, bits, 2, above, rest, &left);
    case 3: return four_tiles(t, p, bits, 3, above, rest, &left);
    default: return p;
    }
}

/* Two rows of a tile, as above; `at`: of the first one in `row_at`. */
NARROW static inline __attribute__((always_inline)) __m256i two_rows(const ib_tile_tables *t, const uint8_t *p, unsigned b, int at, __m256i *left)
{
    __m256i z = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(p + t->row_at[b][at]))),
                                        _mm_loadu_si128((const __m128i *)(p + t->row_at[b][at + 1])), 1);
    z = _mm256_shuffle_epi8(z, _mm256_load_si256((const __m256i *)(t->row_byte[b] + 16 * at)));
    __m256i half = _mm256_and_si256(_mm256_srlv_epi32(z, _mm256_load_si256((const __m256i *)(t->rotate[b] + 4 * at))), _mm256_set1_epi32((int)t->half[b]));
    __m256i lowest = _mm256_sllv_epi32(z, _mm256_load_si256((const __m256i *)(t->lift[b] + 4 * at)));
    __m256i d = _mm256_xor_si256(half, _mm256_srai_epi32(lowest, 31));
    d = _mm256_add_epi32(d, _mm256_slli_si256(d, 4));
    d = _mm256_add_epi32(d, _mm256_slli_si256(d, 8));
    __asm__("" : "+x"(d));
    d = _mm256_add_epi32(d, *left);
    *left = _mm256_shuffle_epi32(d, 0xff);
    return d;
}

NARROW static const uint8_t *band_narrow(const ib_tile_tables *t, const uint8_t *p, const uint8_t *bits, size_t count, const uint32_t *above,
                                         uint32_t *const row[IB_TILE])
{
    __m256i left0 = _mm256_setzero_si256(), left1 = left0;
    uint32_t *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];
    size_t i = 0;
    for (; i + 2 <= count; i += 2) { /* two tiles: whole rows of both, added up from above to below */
        __m256i upper = two_rows(t, p, bits[i], 0, &left0), lower = two_rows(t, p, bits[i], 2, &left1);
        p += 2 * bits[i];
        __m256i upper_next = two_rows(t, p, bits[i + 1], 0, &left0), lower_next = two_rows(t, p, bits[i + 1], 2, &left1);
        p += 2 * bits[i + 1];
        __m256i sum = _mm256_add_epi32(_mm256_permute2x128_si256(upper, upper_next, 0x20), _mm256_loadu_si256((const __m256i *)(above + 4 * i)));
        _mm256_storeu_si256((__m256i *)(r0 + 4 * i), sum);
        sum = _mm256_add_epi32(sum, _mm256_permute2x128_si256(upper, upper_next, 0x31));
        _mm256_storeu_si256((__m256i *)(r1 + 4 * i), sum);
        sum = _mm256_add_epi32(sum, _mm256_permute2x128_si256(lower, lower_next, 0x20));
        _mm256_storeu_si256((__m256i *)(r2 + 4 * i), sum);
        _mm256_storeu_si256((__m256i *)(r3 + 4 * i), _mm256_add_epi32(sum, _mm256_permute2x128_si256(lower, lower_next, 0x31)));
    }
    if (i < count) {
        __m256i upper = two_rows(t, p, bits[i], 0, &left0), lower = two_rows(t, p, bits[i], 2, &left1);
        p += 2 * bits[i];
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(upper), _mm_loadu_si128((const __m128i *)(above + 4 * i)));
        _mm_storeu_si128((__m128i *)(r0 + 4 * i), sum);
        sum = _mm_add_epi32(sum, _mm256_extracti128_si256(upper, 1));
        _mm_storeu_si128((__m128i *)(r1 + 4 * i), sum);
        sum = _mm_add_epi32(sum, _mm256_castsi256_si128(lower));
        _mm_storeu_si128((__m128i *)(r2 + 4 * i), sum);
        _mm_storeu_si128((__m128i *)(r3 + 4 * i), _mm_add_epi32(sum, _mm256_extracti128_si256(lower, 1)));
    }
    return p;
}

ib_tile_band ib_tile_band_find(int most)
{
    if (most == 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        return band_wide;
    return __builtin_cpu_supports("avx2") ? band_narrow : NULL;
}
#else
ib_tile_band ib_tile_band_find(int most)
{
    (void)most;
    return NULL;
}
#endif
