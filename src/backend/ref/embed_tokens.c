/* embed_tokens: class token in front, positions added. */
#include "backend/ref/ref.h"

isobath_status ib_ref_embed_tokens(ib_backend *b, const ib_embed_tokens_args *a)
{
    (void)b;
    for (int64_t t = 0; t < a->y.dim[0]; t++) {
        for (int64_t n = 0; n < a->y.dim[1]; n++) {
            for (int64_t c = 0; c < a->y.dim[2]; c++) {
                double token = n == 0 ? ib_ref_get(&a->cls, c) : ib_ref_get(&a->x, ib_ref_row(&a->x, t, n - 1) + c);
                double pos = ib_ref_get(&a->pos, n * a->pos.stride[0] + c);
                ib_ref_set(&a->y, ib_ref_row(&a->y, t, n) + c, token + pos);
            }
        }
    }
    return ISOBATH_OK;
}
