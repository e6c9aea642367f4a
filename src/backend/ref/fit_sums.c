/* fit_sums: the bit-exact definition of the alignment's sums. The order of every addition is part of it: 16 lanes per
 * row, folded 8, 4, 2, 1, rows in order, frame 0 then frame 1. Products of two f32 values are exact in double. */
#include "backend/ref/ref.h"

#define LANES 16

isobath_status ib_ref_fit_sums(ib_backend *b, const ib_fit_sums_args *a)
{
    (void)b;
    double total[4] = {0}; /* p, p*p, r, p*r */
    for (int i = 0; i < 2; i++) {
        for (int64_t y = 0; y < a->height; y++) {
            double lane[4][LANES] = {{0}};
            for (int64_t x = 0; x < a->width; x++) {
                float p = ib_ref_upsample(&a->p[i], y, x, a->height, a->width);
                float r = ib_ref_upsample(&a->r[i], y, x, a->height, a->width);
                if (i == 1) r = ib_ref_align(r, a->r1_scale, a->r1_shift);
                int j = (int)(x % LANES);
                lane[0][j] += (double)p;
                lane[1][j] += (double)p * (double)p;
                lane[2][j] += (double)r;
                lane[3][j] += (double)p * (double)r;
            }
            for (int s = 0; s < 4; s++) {
                for (int half = LANES / 2; half > 0; half /= 2)
                    for (int j = 0; j < half; j++) lane[s][j] += lane[s][j + half];
                total[s] += lane[s][0];
            }
        }
    }
    a->sums[0] = (double)(2 * a->height * a->width);
    for (int s = 0; s < 4; s++) a->sums[1 + s] = total[s];
    return ISOBATH_OK;
}
