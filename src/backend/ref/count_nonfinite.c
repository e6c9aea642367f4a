/* count_nonfinite: how many values are NaN or infinite. */
#include "backend/ref/ref.h"

#include <math.h>

isobath_status ib_ref_count_nonfinite(ib_backend *b, const ib_count_nonfinite_args *a)
{
    (void)b;
    int64_t total = ib_tensor_count(&a->x);
    *a->count = 0;
    for (int64_t i = 0; i < total; i++) *a->count += !isfinite(ib_ref_get(&a->x, i));
    return ISOBATH_OK;
}
