/* A quick way through plain 16-bit grey PNG files, such as ours; everything else is libpng's. */
#ifndef IB_SINK_PNG_FAST_H
#define IB_SINK_PNG_FAST_H

#include "sink/png_file.h"

/* Returns 1 and fills *image when the file is grey, 16 bits, not interlaced, with one IDAT and no chunks but IHDR,
 * tEXt, IDAT and IEND, all CRCs right and the data whole. Returns 0, and leaves *image alone, for anything else, damage
 * included: libpng then decodes it or says what is wrong. About twice as fast as libpng. */
int ib_png_decode_fast(const uint8_t *data, size_t size, ib_png_image *image);

/* The same with memory that is used again for the next picture (zeroed at first): *image belongs to it until then. */
typedef struct ib_png_work {
    uint8_t *raw;
    uint16_t *q;
    size_t raw_bytes, pixels; /* of raw and q */
    ib_png_text *texts;
    struct libdeflate_decompressor *inflate;
} ib_png_work;
int ib_png_decode_fast_again(ib_png_work *work, const uint8_t *data, size_t size, ib_png_image *image);
void ib_png_work_free(ib_png_work *work);

#endif
