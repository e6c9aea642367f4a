/* Homographies from strangers. */
#include "track/homography.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_homographies h;
    ib_lens lens = {.fx = 50, .fy = 50, .cx = 31.5, .cy = 23.5};
    double point[2], rotation[9];
    ib_homographies_are((const char *)data, size);
    if (ib_homographies_parse((const char *)data, size, "fuzz", NULL, &h) == ISOBATH_OK)
        for (int64_t i = 0; i < 100; i++) {
            const double *m = ib_homography_of(&h, i);
            if (!m) continue;
            ib_homography_ground(m, 20, 40, 64, 48, point);
            if (ib_homography_rotation(m, &lens, rotation)) /* what later stages trust */
                for (int k = 0; k < 9; k++)
                    if (!(rotation[k] >= -1.001 && rotation[k] <= 1.001)) __builtin_trap();
        }
    ib_homographies_free(&h);
    return 0;
}
