/* Grey video as samples, for depth that was stored as one: no colour conversion, no range expansion. */
#ifndef IB_MEDIA_GREY_H
#define IB_MEDIA_GREY_H

#include "base/diag.h"
#include <stdint.h>

typedef struct ib_grey ib_grey;

typedef struct ib_grey_info {
    int width, height, bits; /* 8 to 16 */
    int64_t frames;          /* counted */
    char codec[32];
} ib_grey_info;

/* Opens a grey video of 8, 10, 12, 14 or 16 bits, counts its packets and learns their times. Colour video is refused:
 * its brightness is no depth. Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_UNSUPPORTED, ISOBATH_ERR_MEMORY. */
isobath_status ib_grey_open(const char *path, int threads, ib_diag *diag, ib_grey **out);
void ib_grey_close(ib_grey *grey); /* NULL allowed */
const ib_grey_info *ib_grey_get_info(const ib_grey *grey);
/* A tag of the file, or NULL. */
const char *ib_grey_tag(const ib_grey *grey, const char *key);
/* Samples of frame i (H,W). In order is fastest; elsewhere it jumps, or starts over where the container cannot. Errors: ISOBATH_ERR_INPUT. */
isobath_status ib_grey_read(ib_grey *grey, int64_t i, float *samples);
/* Presentation time of frame i in microseconds from the first. */
int64_t ib_grey_time_us(const ib_grey *grey, int64_t i);

#endif
