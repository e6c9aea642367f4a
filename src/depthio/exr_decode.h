/* One channel of an OpenEXR file in memory, by the library's C core. */
#ifndef IB_DEPTHIO_EXR_DECODE_H
#define IB_DEPTHIO_EXR_DECODE_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ib_exr_picture {
    int width, height;
    char kind[16];   /* our attribute isobath:kind, "" */
    int64_t time_us; /* our attribute isobath:time_us, -1 */
} ib_exr_picture;

/* Reads the header of the file's first part and, unless `out` is NULL, its depth into out (H,W): channel Z, else
 * NAME.Z, depth, Y, R or the only one, of halves, floats or whole numbers, in lines or tiles, any compression that the
 * library decodes (not DWA). `width` and `height` are those of `out`; another picture is an error. Errors:
 * ISOBATH_ERR_INPUT, ISOBATH_ERR_UNSUPPORTED (built without OpenEXR). */
isobath_status ib_exr_decode(const uint8_t *data, size_t size, const char *name, float *out, int width, int height,
                             ib_diag *diag, ib_exr_picture *picture);

#endif
