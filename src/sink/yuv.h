/* RGB to the planes of a preview: BT.709, limited range, 4:2:0 with chroma averaged over 2 x 2 pixels. */
#ifndef IB_SINK_YUV_H
#define IB_SINK_YUV_H

#include <stdint.h>

/* A colour table of 256 entries in YUV: luma as it is written, chroma in 1/16. */
typedef struct ib_yuv_table {
    uint8_t y[256];
    int16_t u[256], v[256];
} ib_yuv_table;

void ib_yuv_table_init(ib_yuv_table *table, const uint8_t rgb[768]);

/* Paints `width` x `height` colour indices at (x0, y0) of the planes; x0 and y0 even. An odd width or height is
 * completed to even by repeating the last column or row. */
void ib_yuv_paint_indexed(const ib_yuv_table *table, const uint8_t *index, int width, int height,
                          uint8_t *const planes[3], const int strides[3], int x0, int y0);
/* The same for RGB pixels (H,W,3). */
void ib_yuv_paint_rgb(const uint8_t *rgb, int width, int height, uint8_t *const planes[3], const int strides[3], int x0,
                      int y0);
/* Bilinear, half-pixel centres: (in_h,in_w,3) to (h,w,3). For pictures to look at. */
void ib_rgb_resize(const uint8_t *in, int in_w, int in_h, uint8_t *out, int w, int h);

#endif
