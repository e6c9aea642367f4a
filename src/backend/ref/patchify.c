/* patchify: images into rows of 14x14 patches, (ky, kx, c) within a row, zeros from column 588 on. */
#include "backend/ref/ref.h"

isobath_status ib_ref_patchify(ib_backend *b, const ib_patchify_args *a)
{
    (void)b;
    int64_t frames = a->x.dim[0], rows = a->x.dim[1] / IB_PATCH, columns = a->x.dim[2] / IB_PATCH;
    for (int64_t t = 0; t < frames; t++) {
        for (int64_t p = 0; p < rows * columns; p++) {
            int64_t y = p / columns * IB_PATCH, x = p % columns * IB_PATCH;
            int64_t to = (t * rows * columns + p) * IB_PATCH_KPAD;
            for (int64_t i = 0; i < IB_PATCH_KPAD; i++) {
                int64_t ky = i / (3 * IB_PATCH), rest = i % (3 * IB_PATCH); /* rest = kx*3 + c */
                int64_t from = ((t * a->x.dim[1] + y + ky) * a->x.dim[2] + x) * 3 + rest;
                ib_ref_set(&a->y, to + i, i < IB_PATCH_K ? (double)ib_ref_get(&a->x, from) : 0.0);
            }
        }
    }
    return ISOBATH_OK;
}
