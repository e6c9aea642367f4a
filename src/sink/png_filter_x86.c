/* The Paeth filter with AVX-512 or AVX2, chosen at run time; the arithmetic is explained in png_filter.c. */
#include "sink/png_filter.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

__attribute__((target("avx512f,avx512bw"))) static void filter_avx512(const uint8_t *cur, const uint8_t *up, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i += 64) {
        __m512i a = _mm512_loadu_si512(cur + i - 2), b = _mm512_loadu_si512(up + i), c = _mm512_loadu_si512(up + i - 2);
        __m512i b_over = _mm512_subs_epu8(b, c), a_over = _mm512_subs_epu8(a, c);
        __m512i pa = _mm512_or_si512(b_over, _mm512_subs_epu8(c, b)), pb = _mm512_or_si512(a_over, _mm512_subs_epu8(c, a));
        __mmask64 outside = ~(_mm512_testn_epi8_mask(b_over, b_over) ^ _mm512_testn_epi8_mask(a_over, a_over));
        __m512i difference = _mm512_or_si512(_mm512_subs_epu8(pa, pb), _mm512_subs_epu8(pb, pa));
        __m512i pc = _mm512_or_si512(difference, _mm512_maskz_max_epu8(outside, pa, pb)), least = _mm512_min_epu8(pb, pc);
        __m512i p = _mm512_mask_mov_epi8(c, _mm512_cmple_epu8_mask(pb, pc), b);
        p = _mm512_mask_mov_epi8(p, _mm512_cmple_epu8_mask(pa, least), a);
        _mm512_storeu_si512(out + i, _mm512_sub_epi8(_mm512_loadu_si512(cur + i), p));
    }
}

__attribute__((target("avx2"))) static void filter_avx2(const uint8_t *cur, const uint8_t *up, size_t n, uint8_t *out)
{
    const __m256i zero = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(cur + i - 2)), b = _mm256_loadu_si256((const __m256i *)(up + i));
        __m256i c = _mm256_loadu_si256((const __m256i *)(up + i - 2)), x = _mm256_loadu_si256((const __m256i *)(cur + i));
        __m256i b_over = _mm256_subs_epu8(b, c), a_over = _mm256_subs_epu8(a, c);
        __m256i pa = _mm256_or_si256(b_over, _mm256_subs_epu8(c, b)), pb = _mm256_or_si256(a_over, _mm256_subs_epu8(c, a));
        __m256i outside = _mm256_cmpeq_epi8(_mm256_cmpeq_epi8(b_over, zero), _mm256_cmpeq_epi8(a_over, zero));
        __m256i difference = _mm256_or_si256(_mm256_subs_epu8(pa, pb), _mm256_subs_epu8(pb, pa));
        __m256i pc = _mm256_or_si256(difference, _mm256_and_si256(outside, _mm256_max_epu8(pa, pb)));
        __m256i least = _mm256_min_epu8(pa, _mm256_min_epu8(pb, pc));
        __m256i p = _mm256_blendv_epi8(c, b, _mm256_cmpeq_epi8(least, pb));
        p = _mm256_blendv_epi8(p, a, _mm256_cmpeq_epi8(least, pa));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_sub_epi8(x, p));
    }
}

ib_png_filter ib_png_filter_wide(int most)
{
    if (most == 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return filter_avx512;
    return __builtin_cpu_supports("avx2") ? filter_avx2 : NULL;
}
#else
ib_png_filter ib_png_filter_wide(int most)
{
    (void)most;
    return NULL;
}
#endif
