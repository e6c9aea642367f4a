/* Inner loops of the resize; see resize_rows.h. */
#include "media/resize_rows.h"

#include <string.h>

static void columns_plain(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int taps, size_t n,
                          uint16_t *row)
{
    for (size_t i = 0; i < n; i++) {
        int32_t sum = 128;
        for (int k = 0; k < taps; k++) sum += weights[k] * src[k * stride + (ptrdiff_t)i];
        row[i] = (uint16_t)(sum >> 8);
    }
}

static void along_plain(const uint16_t *row, const int32_t *first, const int16_t *weights, int taps, int out,
                        uint8_t *dst)
{
    for (int i = 0; i < out; i++, weights += taps, dst += 3) {
        const uint16_t *p = row + (size_t)first[i] * 3;
        int32_t r = 1 << 19, g = 1 << 19, b = 1 << 19;
        for (int k = 0; k < taps; k++, p += 3) {
            r += weights[k] * p[0];
            g += weights[k] * p[1];
            b += weights[k] * p[2];
        }
        dst[0] = (uint8_t)(r >> 20);
        dst[1] = (uint8_t)(g >> 20);
        dst[2] = (uint8_t)(b >> 20);
    }
}

#ifdef __SSE4_1__
#include <smmintrin.h>

/* Two weights side by side for pmaddwd; w1 is 0 behind the last tap. */
static inline __m128i weight_pair(const int16_t *weights, int k, int taps)
{
    uint32_t w0 = (uint16_t)weights[k], w1 = k + 1 < taps ? (uint16_t)weights[k + 1] : 0;
    return _mm_set1_epi32((int)(w0 | w1 << 16));
}

static void columns_sse4(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int taps, size_t n,
                         uint16_t *row)
{
    const __m128i zero = _mm_setzero_si128();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i s0 = _mm_set1_epi32(128), s1 = s0, s2 = s0, s3 = s0;
        for (int k = 0; k < taps; k += 2) {
            const uint8_t *p = src + k * stride + (ptrdiff_t)i;
            __m128i w = weight_pair(weights, k, taps), a = _mm_loadu_si128((const __m128i *)p);
            __m128i b = k + 1 < taps ? _mm_loadu_si128((const __m128i *)(p + stride)) : zero;
            __m128i lo = _mm_unpacklo_epi8(a, b), hi = _mm_unpackhi_epi8(a, b); /* a0 b0 a1 b1 ... */
            s0 = _mm_add_epi32(s0, _mm_madd_epi16(_mm_unpacklo_epi8(lo, zero), w));
            s1 = _mm_add_epi32(s1, _mm_madd_epi16(_mm_unpackhi_epi8(lo, zero), w));
            s2 = _mm_add_epi32(s2, _mm_madd_epi16(_mm_unpacklo_epi8(hi, zero), w));
            s3 = _mm_add_epi32(s3, _mm_madd_epi16(_mm_unpackhi_epi8(hi, zero), w));
        }
        _mm_storeu_si128((__m128i *)(row + i), _mm_packus_epi32(_mm_srli_epi32(s0, 8), _mm_srli_epi32(s1, 8)));
        _mm_storeu_si128((__m128i *)(row + i + 8), _mm_packus_epi32(_mm_srli_epi32(s2, 8), _mm_srli_epi32(s3, 8)));
    }
    columns_plain(src + i, stride, weights, taps, n - i, row + i);
}

/* Lanes are R, G, B and something; values of 8.6 fixed point fit pmaddwd's signed 16 bits. */
static void along_sse4(const uint16_t *row, const int32_t *first, const int16_t *weights, int taps, int out,
                       uint8_t *dst)
{
    for (int i = 0; i < out; i++, weights += taps, dst += 3) {
        const uint16_t *p = row + (size_t)first[i] * 3;
        __m128i sum = _mm_set1_epi32(1 << 19);
        for (int k = 0; k < taps; k += 2, p += 6) {
            __m128i a = _mm_loadl_epi64((const __m128i *)p);
            __m128i b = k + 1 < taps ? _mm_loadl_epi64((const __m128i *)(p + 3)) : _mm_setzero_si128();
            sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_unpacklo_epi16(a, b), weight_pair(weights, k, taps)));
        }
        __m128i bytes = _mm_packus_epi16(_mm_packus_epi32(_mm_srli_epi32(sum, 20), sum), sum);
        uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(bytes);
        memcpy(dst, &rgb, 3);
    }
}

ib_resize_columns_fn ib_resize_columns(int simd) { return simd ? columns_sse4 : columns_plain; }
ib_resize_along_fn ib_resize_along(int simd) { return simd ? along_sse4 : along_plain; }

#else

ib_resize_columns_fn ib_resize_columns(int simd)
{
    (void)simd;
    return columns_plain;
}

ib_resize_along_fn ib_resize_along(int simd)
{
    (void)simd;
    return along_plain;
}

#endif
