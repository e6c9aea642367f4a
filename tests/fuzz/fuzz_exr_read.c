/* OpenEXR files from strangers: headers, tables of chunks, lines and tiles. */
#include "accept.h"
#include "depthio/exr_decode.h"

#include <stdlib.h>

#define MAX_PIXELS (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_exr_picture picture;
    if (ib_exr_decode(data, size, "fuzz", NULL, 0, 0, NULL, &picture) != ISOBATH_OK) return 0;
    if ((int64_t)picture.width * picture.height > MAX_PIXELS) return 0;
    float *out = calloc((size_t)picture.width * (size_t)picture.height, sizeof *out);
    if (out) fuzz_accept(ib_exr_decode(data, size, "fuzz", out, picture.width, picture.height, NULL, &picture) == ISOBATH_OK);
    free(out);
    return 0;
}
