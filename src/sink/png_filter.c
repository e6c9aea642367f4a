/* The Paeth filter; see png_filter.h. */
#include "sink/png_filter.h"

#include <stdlib.h>
#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

static void filter_paeth(const uint8_t *cur, const uint8_t *up, size_t n, uint8_t *out)
{
    size_t i = 0;
#ifdef __SSE4_1__
    /* In bytes: |a + b - 2c| is |b - c| + |a - c| where c is not between a and b (and then not the smallest, so that it may saturate),
     * else their difference. */
    const __m128i zero = _mm_setzero_si128();
    for (; i < n; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(cur + i - 2)), b = _mm_loadu_si128((const __m128i *)(up + i));
        __m128i c = _mm_loadu_si128((const __m128i *)(up + i - 2)), x = _mm_loadu_si128((const __m128i *)(cur + i));
        __m128i b_over = _mm_subs_epu8(b, c), a_over = _mm_subs_epu8(a, c);
        __m128i pa = _mm_or_si128(b_over, _mm_subs_epu8(c, b)), pb = _mm_or_si128(a_over, _mm_subs_epu8(c, a));
        __m128i outside = _mm_cmpeq_epi8(_mm_cmpeq_epi8(b_over, zero), _mm_cmpeq_epi8(a_over, zero));
        __m128i difference = _mm_or_si128(_mm_subs_epu8(pa, pb), _mm_subs_epu8(pb, pa));
        __m128i pc = _mm_or_si128(difference, _mm_and_si128(outside, _mm_max_epu8(pa, pb)));
        __m128i smallest = _mm_min_epu8(pa, _mm_min_epu8(pb, pc));
        __m128i p = _mm_blendv_epi8(c, b, _mm_cmpeq_epi8(smallest, pb));
        p = _mm_blendv_epi8(p, a, _mm_cmpeq_epi8(smallest, pa));
        _mm_storeu_si128((__m128i *)(out + i), _mm_sub_epi8(x, p));
    }
#else
    for (; i < n; i++) {
        int a = cur[(ptrdiff_t)i - 2], b = up[i], c = up[(ptrdiff_t)i - 2];
        int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
        int p = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        out[i] = (uint8_t)(cur[i] - p);
    }
#endif
}

ib_png_filter ib_png_filter_find(int most)
{
    ib_png_filter wide = most < 2 ? ib_png_filter_wide(most) : NULL;
    return wide ? wide : filter_paeth;
}
