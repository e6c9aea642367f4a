/* Little-endian numbers in byte strings. Each call returns the place behind what it wrote or read. */
#ifndef IB_BASE_BYTES_H
#define IB_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint8_t *ib_put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
    return p + 4;
}

static inline uint8_t *ib_put64(uint8_t *p, uint64_t v) { return ib_put32(ib_put32(p, (uint32_t)v), (uint32_t)(v >> 32)); }

static inline const uint8_t *ib_get32(const uint8_t *p, uint32_t *v)
{
    *v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return p + 4;
}

static inline const uint8_t *ib_get64(const uint8_t *p, uint64_t *v)
{
    uint32_t low, high;
    p = ib_get32(ib_get32(p, &low), &high);
    *v = (uint64_t)high << 32 | low;
    return p;
}

/* A float by its bits. */
static inline uint8_t *ib_put_float(uint8_t *p, float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return ib_put32(p, bits);
}

static inline const uint8_t *ib_get_float(const uint8_t *p, float *f)
{
    uint32_t bits;
    p = ib_get32(p, &bits);
    memcpy(f, &bits, sizeof bits);
    return p;
}

#endif
