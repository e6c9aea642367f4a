/* PQ and HLG to 8-bit sRGB: a fixed curve per channel, then BT.2020 to BT.709 in linear light (docs/MEDIA.md). */
#ifndef IB_MEDIA_TONEMAP_H
#define IB_MEDIA_TONEMAP_H

#include "media/yuv.h"

#define IB_TONEMAP_CODES 4081 /* non-linear signal in sixteenths of an 8-bit step: 0..4080 */
#define IB_TONEMAP_ONE 16384  /* linear light of SDR white */

typedef struct ib_tonemap {
    uint16_t linear[IB_TONEMAP_CODES]; /* signal -> tone-mapped linear light, BT.2020 primaries */
    uint8_t srgb[IB_TONEMAP_ONE + 1];  /* linear light, BT.709 primaries -> 8 bits */
} ib_tonemap;

/* transfer: IB_TRANSFER_PQ or IB_TRANSFER_HLG. */
void ib_tonemap_init(ib_tonemap *map, ib_transfer transfer);

/* As ib_yuv_pixel, but R', G', B' in sixteenths of a step, 0..4080. */
static inline void ib_yuv_pixel_fine(const ib_yuv_coefficients *k, int32_t y, int32_t u, int32_t v, int32_t rgb[3])
{
    int shift = k->shift - 4;
    int32_t luma = (y - k->y_offset) * k->y_gain + (1 << (shift - 1));
    u -= k->c_offset;
    v -= k->c_offset;
    rgb[0] = (luma + k->rv * v) >> shift;
    rgb[1] = (luma - k->gu * u - k->gv * v) >> shift;
    rgb[2] = (luma + k->bu * u) >> shift;
    for (int i = 0; i < 3; i++) rgb[i] = rgb[i] < 0 ? 0 : rgb[i] > 4080 ? 4080 : rgb[i];
}

/* Signal (0..4080 each) to 8-bit sRGB. */
static inline void ib_tonemap_pixel(const ib_tonemap *map, const int32_t code[3], uint8_t rgb[3])
{
    static const int32_t m[3][3] = {
        {27206, -9628, -1194}, {-2041, 18562, -137}, {-297, -1648, 18329}}; /* rows sum to 2^14 */
    int32_t r = map->linear[code[0]], g = map->linear[code[1]], b = map->linear[code[2]];
    for (int i = 0; i < 3; i++) {
        int32_t x = (m[i][0] * r + m[i][1] * g + m[i][2] * b + 8192) >> 14;
        rgb[i] = map->srgb[x < 0 ? 0 : x > IB_TONEMAP_ONE ? IB_TONEMAP_ONE : x];
    }
}

#endif
