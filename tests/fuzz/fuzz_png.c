/* Depth PNG files from strangers. */
#include "accept.h"
#include "sink/png_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_png_image image;
    if (ib_png_decode(data, size, "fuzz", NULL, &image) != ISOBATH_OK) return 0;
    fuzz_accept(1);
    /* every sample that the header promises is there */
    unsigned largest = 0;
    for (int64_t k = 0; k < (int64_t)image.width * image.height; k++)
        largest = image.q[k] > largest ? image.q[k] : largest;
    if (image.bits == 8 && largest > 255) abort();
    ib_png_image_text(&image, "isobath:scale");
    ib_png_image_free(&image);
    return 0;
}
