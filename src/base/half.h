/* IEEE half and bfloat16 to and from float: round to nearest even, NaN stays NaN, overflow becomes infinity. */
#ifndef IB_BASE_HALF_H
#define IB_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ib_f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static inline float ib_f32_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static inline float ib_bf16_to_f32(uint16_t h) { return ib_f32_from_bits((uint32_t)h << 16); }

static inline uint16_t ib_f32_to_bf16(float x)
{
    uint32_t u = ib_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u); /* NaN: keep it quiet */
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float ib_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 1023u;
    if (e == 31) return ib_f32_from_bits(sign | 0x7f800000u | (m << 13) | (m ? 0x400000u : 0));
    if (e == 0) { /* zero and subnormals: m * 2^-24, exact in float */
        float v = (float)m * ib_f32_from_bits(0x33800000u);
        return sign ? -v : v;
    }
    return ib_f32_from_bits(sign | ((e + 112u) << 23) | (m << 13));
}

static inline uint16_t ib_f32_to_f16(float x)
{
    uint32_t u = ib_f32_bits(x), sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((u >> 13) & 0x3ffu));
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* >= 65520 rounds to infinity */
    if (u < 0x38800000u) {                                   /* below 2^-14: subnormal, rounded by the adder */
        float v = ib_f32_from_bits(u) + 0.5f;                /* ulp of 0.5 is 2^-24: the low bits are the result */
        return (uint16_t)(sign | (ib_f32_bits(v) - 0x3f000000u));
    }
    u += 0xfffu + ((u >> 13) & 1u);
    return (uint16_t)(sign | ((u - 0x38000000u) >> 13));
}

#endif
