/* YUV to RGB rows with AVX2: the same int32 arithmetic as ib_yuv_pixel, 16 pixels at a time, chosen at run time. */
#include "media/yuv.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i load8(const void *base, int i, int wide)
{
    if (wide) return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)((const uint16_t *)base + i)));
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)((const uint8_t *)base + i)));
}

/* 16 values: (luma + chroma) >> shift, clamped, in order. Saturating packs do what ib_clip8 does: after the shift any
 * sum of up to 16-bit samples is far inside int32, packs keeps sign and order, packus clamps to 0..255. */
AVX2 static inline __m128i finish(__m256i y0, __m256i y1, __m256i c0, __m256i c1, __m128i shift)
{
    __m256i a = _mm256_sra_epi32(_mm256_add_epi32(y0, c0), shift);
    __m256i b = _mm256_sra_epi32(_mm256_add_epi32(y1, c1), shift);
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}

/* 16 R, G and B bytes to 48 bytes RGBRGB... */
AVX2 static inline void store_rgb(uint8_t *d, __m128i r, __m128i g, __m128i b)
{
    const __m128i r0 = _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const __m128i r1 = _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const __m128i r2 = _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const __m128i g0 = _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const __m128i g1 = _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const __m128i g2 = _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const __m128i b0 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i b1 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const __m128i b2 = _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
#define JOIN(i) \
    _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, r##i), _mm_shuffle_epi8(g, g##i)), _mm_shuffle_epi8(b, b##i))
    _mm_storeu_si128((__m128i *)d, JOIN(0));
    _mm_storeu_si128((__m128i *)(d + 16), JOIN(1));
    _mm_storeu_si128((__m128i *)(d + 32), JOIN(2));
#undef JOIN
}

/* The body of all four rows; `wide` and `ssx` are constants where it is inlined. */
AVX2 __attribute__((always_inline)) static inline void row_body(const ib_yuv_coefficients *k, const void *y,
                                                                const void *u, const void *v, int width, uint8_t *rgb,
                                                                int wide, int ssx)
{
    const __m256i y_gain = _mm256_set1_epi32(k->y_gain);
    const __m256i y_base = _mm256_set1_epi32((1 << (k->shift - 1)) - k->y_offset * k->y_gain);
    const __m256i c_off = _mm256_set1_epi32(k->c_offset);
    const __m256i rv = _mm256_set1_epi32(k->rv), gu = _mm256_set1_epi32(-k->gu), gv = _mm256_set1_epi32(-k->gv);
    const __m256i bu = _mm256_set1_epi32(k->bu);
    const __m256i dup_lo = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3),
                  dup_hi = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
    const __m128i shift = _mm_cvtsi32_si128(k->shift);
    int x = 0;
    for (; x + 16 <= width; x += 16) {
        __m256i y0 = _mm256_add_epi32(_mm256_mullo_epi32(load8(y, x, wide), y_gain), y_base);
        __m256i y1 = _mm256_add_epi32(_mm256_mullo_epi32(load8(y, x + 8, wide), y_gain), y_base);
        __m256i r0, r1, g0, g1, b0, b1;
        __m256i us = _mm256_sub_epi32(load8(u, x >> ssx, wide), c_off);
        __m256i vs = _mm256_sub_epi32(load8(v, x >> ssx, wide), c_off);
        r0 = _mm256_mullo_epi32(vs, rv);
        g0 = _mm256_add_epi32(_mm256_mullo_epi32(us, gu), _mm256_mullo_epi32(vs, gv));
        b0 = _mm256_mullo_epi32(us, bu);
        if (ssx) {
            r1 = _mm256_permutevar8x32_epi32(r0, dup_hi);
            r0 = _mm256_permutevar8x32_epi32(r0, dup_lo);
            g1 = _mm256_permutevar8x32_epi32(g0, dup_hi);
            g0 = _mm256_permutevar8x32_epi32(g0, dup_lo);
            b1 = _mm256_permutevar8x32_epi32(b0, dup_hi);
            b0 = _mm256_permutevar8x32_epi32(b0, dup_lo);
        } else {
            us = _mm256_sub_epi32(load8(u, x + 8, wide), c_off);
            vs = _mm256_sub_epi32(load8(v, x + 8, wide), c_off);
            r1 = _mm256_mullo_epi32(vs, rv);
            g1 = _mm256_add_epi32(_mm256_mullo_epi32(us, gu), _mm256_mullo_epi32(vs, gv));
            b1 = _mm256_mullo_epi32(us, bu);
        }
        store_rgb(rgb + 3 * x, finish(y0, y1, r0, r1, shift), finish(y0, y1, g0, g1, shift),
                  finish(y0, y1, b0, b1, shift));
    }
    for (; x < width; x++) {
        int c = x >> ssx;
        if (wide)
            ib_yuv_pixel(k, ((const uint16_t *)y)[x], ((const uint16_t *)u)[c], ((const uint16_t *)v)[c], rgb + 3 * x);
        else
            ib_yuv_pixel(k, ((const uint8_t *)y)[x], ((const uint8_t *)u)[c], ((const uint8_t *)v)[c], rgb + 3 * x);
    }
}

#define AVX2_ROW(name, wide, ssx)                                                                               \
    AVX2 static void name(const ib_yuv_coefficients *k, const void *y, const void *u, const void *v, int width, \
                          uint8_t *rgb)                                                                         \
    {                                                                                                           \
        row_body(k, y, u, v, width, rgb, wide, ssx);                                                            \
    }
AVX2_ROW(row_8_0, 0, 0)
AVX2_ROW(row_8_1, 0, 1)
AVX2_ROW(row_16_0, 1, 0)
AVX2_ROW(row_16_1, 1, 1)

ib_yuv_row_fn ib_yuv_row_x86(int wide, int ssx)
{
    if (!__builtin_cpu_supports("avx2")) return NULL;
    if (wide) return ssx ? row_16_1 : row_16_0;
    return ssx ? row_8_1 : row_8_0;
}

#else

ib_yuv_row_fn ib_yuv_row_x86(int wide, int ssx)
{
    (void)wide;
    (void)ssx;
    return NULL;
}

#endif
