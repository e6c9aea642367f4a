/* One pixel from YUV to RGB: the definition of our fixed-point arithmetic (docs/MEDIA.md), shared by the decoder's side,
 * the reference backend and CUDA, so that every one of them gives the same bytes. */
#ifndef IB_BASE_YUV_PIXEL_H
#define IB_BASE_YUV_PIXEL_H

#include <stdint.h>

#ifdef __CUDACC__
#define IB_EVERYWHERE static __host__ __device__ __forceinline__
#else
#define IB_EVERYWHERE static inline
#endif

typedef struct ib_yuv_coefficients {
    int32_t y_offset, c_offset;     /* black of luma, zero of chroma */
    int32_t y_gain, rv, gu, gv, bu; /* all >= 0, scaled by 2^shift */
    int32_t shift;
} ib_yuv_coefficients;

/* Clamps to 0..255. */
IB_EVERYWHERE uint8_t ib_clip8(int32_t x) { return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x); }

/* One pixel. y, u, v are samples of `bits` bits as stored (no offset removed); rgb gets 3 bytes. Right shifts of
 * negative numbers are arithmetic. No intermediate leaves int32 for any sample of up to 16 bits. */
IB_EVERYWHERE void ib_yuv_pixel(const ib_yuv_coefficients *k, int32_t y, int32_t u, int32_t v, uint8_t rgb[3])
{
    int32_t luma = (y - k->y_offset) * k->y_gain + (1 << (k->shift - 1));
    u -= k->c_offset;
    v -= k->c_offset;
    rgb[0] = ib_clip8((luma + k->rv * v) >> k->shift);
    rgb[1] = ib_clip8((luma - k->gu * u - k->gv * v) >> k->shift);
    rgb[2] = ib_clip8((luma + k->bu * u) >> k->shift);
}

/* The row of chroma samples that belongs to luma row y: the nearest one of the same field. `rows` is the number of
 * chroma rows. Columns are x >> ssx. */
IB_EVERYWHERE int ib_chroma_row(int y, int ssy, int interlaced, int rows)
{
    int row = y >> ssy;
    if (interlaced && ssy == 1) row = ((y >> 2) << 1) | (y & 1);
    return row < rows ? row : rows - 1;
}

/* A picture in planes, by reference: what the card makes RGB of. A sample of component c at (row, x) has its first byte
 * at plane[c.plane] + row*stride + c.offset + x*c.step; two-byte samples are low byte first. Owns nothing. */
typedef struct ib_yuv_planes {
    int width, height;
    int bits;     /* of a sample, 8 to 16; samples are one byte when bits is 8 and shift 0, else two */
    int shift;    /* sample = min(stored >> shift, 2^bits - 1) (P010: 6) */
    int ssx, ssy; /* chroma subsampling as shifts, 0 to 2 */
    int interlaced;
    int on_device; /* 1: the planes are memory of the card that decoded them */
    ib_yuv_coefficients k;
    int planes;
    const uint8_t *plane[3];
    int64_t stride[3]; /* bytes, positive */
    int rows[3];
    struct {
        int plane, offset, step;
    } c[3];
} ib_yuv_planes;

#endif
