/* add_pos: the position of its frame is added to every token. */
#include "backend/ref/ref.h"

isobath_status ib_ref_add_pos(ib_backend *b, const ib_add_pos_args *a)
{
    (void)b;
    for (int64_t t = 0; t < a->x.dim[0]; t++) {
        for (int64_t n = 0; n < a->x.dim[1]; n++) {
            int64_t from = ib_ref_row(&a->x, t, n), to = ib_ref_row(&a->y, t, n);
            for (int64_t c = 0; c < a->x.dim[2]; c++)
                ib_ref_set(&a->y, to + c,
                           (double)ib_ref_get(&a->x, from + c) + ib_ref_get(&a->pos, t * a->pos.stride[0] + c));
        }
    }
    return ISOBATH_OK;
}
