/* add: y = a + b. */
#include "backend/ref/ref.h"

isobath_status ib_ref_add(ib_backend *b, const ib_add_args *a)
{
    (void)b;
    for (int64_t t = 0; t < a->y.dim[0]; t++) {
        for (int64_t n = 0; n < a->y.dim[1]; n++) {
            int64_t left = ib_ref_row(&a->a, t, n), right = ib_ref_row(&a->b, t, n), to = ib_ref_row(&a->y, t, n);
            for (int64_t c = 0; c < a->y.dim[2]; c++)
                ib_ref_set(&a->y, to + c, (double)ib_ref_get(&a->a, left + c) + ib_ref_get(&a->b, right + c));
        }
    }
    return ISOBATH_OK;
}
