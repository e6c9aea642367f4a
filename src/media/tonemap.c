/* The tables of the tone-mapping; see tonemap.h. */
#include "media/tonemap.h"

#include <math.h>

/* Light in cd/m2 of a signal in 0..1. */
static double pq_nits(double e) /* SMPTE ST 2084 */
{
    const double m1 = 2610.0 / 16384, m2 = 2523.0 / 4096 * 128, c1 = 3424.0 / 4096, c2 = 2413.0 / 4096 * 32,
                 c3 = 2392.0 / 4096 * 32;
    double p = pow(e, 1 / m2);
    return 10000 * pow(fmax(p - c1, 0) / (c2 - c3 * p), 1 / m1);
}

static double hlg_nits(double e) /* BT.2100, on a display of 1000 cd/m2, its system gamma 1.2 applied per channel */
{
    const double a = 0.17883277, b = 1 - 4 * a, c = 0.5 - a * log(4 * a);
    double scene = e <= 0.5 ? e * e / 3 : (exp((e - c) / a) + b) / 12;
    return 1000 * pow(scene, 1.2);
}

/* 203 cd/m2 (BT.2408's white) is 1. Linear up to one half, then towards 1 without ever reaching it: slope 1 at the
 * joint, three quarters at diffuse white. */
static double tone(double nits)
{
    double x = nits / 203;
    return x <= 0.5 ? x : 1 - 0.25 / x;
}

void ib_tonemap_init(ib_tonemap *map, ib_transfer transfer)
{
    for (int i = 0; i < IB_TONEMAP_CODES; i++) {
        double e = i / 4080.0;
        map->linear[i] = (uint16_t)lrint(IB_TONEMAP_ONE * tone(transfer == IB_TRANSFER_PQ ? pq_nits(e) : hlg_nits(e)));
    }
    for (int i = 0; i <= IB_TONEMAP_ONE; i++) {
        double x = (double)i / IB_TONEMAP_ONE;
        map->srgb[i] = (uint8_t)lrint(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055));
    }
}
