/* copy: y = x with conversion of type. */
#include "backend/ref/ref.h"

isobath_status ib_ref_copy(ib_backend *b, const ib_copy_args *a)
{
    (void)b;
    for (int64_t t = 0; t < a->x.dim[0]; t++)
        for (int64_t n = 0; n < a->x.dim[1]; n++)
            for (int64_t c = 0; c < a->x.dim[2]; c++)
                ib_ref_set(&a->y, ib_ref_row(&a->y, t, n) + c, ib_ref_get(&a->x, ib_ref_row(&a->x, t, n) + c));
    return ISOBATH_OK;
}
