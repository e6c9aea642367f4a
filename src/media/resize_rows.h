/* The two inner loops of the resize: plain C, and SSE4.1 with the same bytes. */
#ifndef IB_MEDIA_RESIZE_ROWS_H
#define IB_MEDIA_RESIZE_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* row[i] = (sum over k < taps of weights[k] * src[k*stride + i] + 128) >> 8 for i < n: 8.6 fixed point. */
typedef void (*ib_resize_columns_fn)(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int taps, size_t n,
                                     uint16_t *row);
/* dst[3i + c] = (sum over k < taps of weights[i*taps + k] * row[3*(first[i] + k) + c] + 2^19) >> 20 for i < out.
 * One value behind the end of `row` may be read. */
typedef void (*ib_resize_along_fn)(const uint16_t *row, const int32_t *first, const int16_t *weights, int taps, int out,
                                   uint8_t *dst);

/* The fastest of this build, or plain C with simd = 0. */
ib_resize_columns_fn ib_resize_columns(int simd);
ib_resize_along_fn ib_resize_along(int simd);

#endif
