/* The Paeth filter of PNG rows. */
#ifndef IB_SINK_PNG_FILTER_H
#define IB_SINK_PNG_FILTER_H

#include <stddef.h>
#include <stdint.h>

#define IB_PNG_FILTER_SLACK 64 /* bytes that vector code reads and writes behind a row */

/* out[i] = cur[i] - paeth(cur[i-2], up[i], up[i-2]) over n bytes; cur and up have 2 bytes in front. */
typedef void (*ib_png_filter)(const uint8_t *cur, const uint8_t *up, size_t n, uint8_t *out);

/* Wider vector code than png_filter.c's own, chosen at run time; NULL: none. `most`: 0 any, 1 none beyond AVX2. */
ib_png_filter ib_png_filter_wide(int most);
/* The quickest that this processor has; 1: none beyond AVX2; 2: none that is chosen at run time. The bytes are the same. */
ib_png_filter ib_png_filter_find(int most);

#endif
