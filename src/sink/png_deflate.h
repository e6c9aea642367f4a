/* Deflate for filtered depth: Huffman coding and runs of zeros, no search for matches. The residuals of 16-bit depth
 * hardly ever repeat, so a search finds next to nothing and costs most of the time. The bytes are the same on every
 * CPU. */
#ifndef IB_SINK_PNG_DEFLATE_H
#define IB_SINK_PNG_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct ib_png_deflate ib_png_deflate; /* tables, about 30 KiB */

/* `plain`: without vector code that is chosen at run time. NULL: out of memory. */
ib_png_deflate *ib_png_deflate_create(int plain);
void ib_png_deflate_destroy(ib_png_deflate *deflate);
/* One zlib stream of data[0..size) with one block, in two passes. The first one can follow close behind whoever makes the data, while the
 * cache has it: begin, then count whenever more is there (`ready` bytes in all), at last with ready == size. How it was cut into calls does
 * not show in the bytes. */
void ib_png_deflate_begin(ib_png_deflate *deflate, const uint8_t *data, size_t size);
void ib_png_deflate_count(ib_png_deflate *deflate, size_t ready);
/* The second pass. Returns the stream's size, or 0 when it does not fit `capacity` (which it does with size + size / 8 + 1024 bytes unless
 * the codes are unlucky: then store or search instead). */
size_t ib_png_deflate_write(ib_png_deflate *deflate, uint8_t *out, size_t capacity);

#endif
