/* YUV to RGB: the definition of our fixed-point arithmetic, and pictures as the converters see them.
 *
 * One pixel is defined in base/yuv_pixel.h, which CUDA includes too; the fast rows of yuv_x86.c are tested to give the
 * same bytes. Nothing here knows libav. */
#ifndef IB_MEDIA_YUV_H
#define IB_MEDIA_YUV_H

#include "media/media.h"
#include <stddef.h>

/* Full-range RGB samples of `bits` bits to 8 bits, rounded to nearest. */
static inline uint8_t ib_depth_to_8(uint32_t v, int bits)
{
    uint32_t max = (1u << bits) - 1;
    if (v > max) v = max;
    return (uint8_t)((v * 255u + max / 2) / max);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------
 */

/* One row: `width` luma samples, ceil(width / 2^ssx) of u and v (ssx 0 or 1), uint8_t or (wide) uint16_t in host order,
 * into width*3 bytes. */
typedef void (*ib_yuv_row_fn)(const ib_yuv_coefficients *k, const void *y, const void *u, const void *v, int width,
                              uint8_t *rgb);
/* The fastest row function of this machine, or the plain C one with simd = 0. */
ib_yuv_row_fn ib_yuv_row_function(int wide, int ssx, int simd);
/* NULL when this machine has nothing better than C. */
ib_yuv_row_fn ib_yuv_row_x86(int wide, int ssx);

/* ---- pictures -----------------------------------------------------------------------------------------------------
 */

typedef enum ib_picture_kind {
    IB_PICTURE_YUV,
    IB_PICTURE_RGB,
    IB_PICTURE_GRAY,
    IB_PICTURE_RGB_FLOAT, /* scene-linear, native-endian floats */
    IB_PICTURE_GRAY_FLOAT
} ib_picture_kind;

/* SDR: R'G'B' is shown as it is. PQ and HLG are tone-mapped (tonemap.h). */
typedef enum ib_transfer { IB_TRANSFER_SDR, IB_TRANSFER_PQ, IB_TRANSFER_HLG } ib_transfer;

/* One component: samples `step` bytes apart, rows `stride` bytes apart (may be negative). */
typedef struct ib_component {
    const uint8_t *data;
    ptrdiff_t stride;
    int step;
} ib_component;

/* A decoded picture by reference: any layout that can be described by a start, a step and a stride per component.
 * Alpha is simply not described. Owns nothing. */
typedef struct ib_picture {
    ib_picture_kind kind;
    int width, height;
    int bits;       /* of a sample, 8 to 16; samples are one byte when bits + shift <= 8, else two */
    int shift;      /* sample = stored >> shift (P010: 6) */
    int big_endian; /* of two-byte samples */
    int ssx, ssy;   /* chroma subsampling as shifts, 0 to 2 */
    int interlaced; /* chroma rows belong to fields */
    ib_yuv_matrix matrix;
    int full_range;       /* YUV and GRAY */
    ib_transfer transfer; /* YUV and RGB */
    ib_component c[3];    /* Y U V, or R G B, or one of grey */
} ib_picture;

typedef struct ib_colour ib_colour; /* a converter: tables and scratch rows for one kind of picture */

/* Prepares for pictures like `like` (its data is not read). The pool may be NULL and must outlive the object.
 * Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_colour_create(const ib_picture *like, ib_pool *pool, ib_diag *diag, ib_colour **out);
void ib_colour_destroy(ib_colour *colour); /* NULL allowed */
/* 1 when `pic` is of the kind that `colour` was made for (size, layout, matrix, range). */
int ib_colour_fits(const ib_colour *colour, const ib_picture *pic);
/* Converts the whole picture into rgb (height rows of width*3 bytes, rows `stride` bytes apart). Same bytes for any
 * pool. One caller at a time. */
void ib_colour_run(ib_colour *colour, const ib_picture *pic, uint8_t *rgb, ptrdiff_t stride);

#endif
