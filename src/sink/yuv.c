/* RGB to YUV for previews; see yuv.h. Fixed point with 16 fractional bits. */
#include "sink/yuv.h"

#include <stddef.h>

/* ITU-R BT.709, 8 bits, limited range, times 65536: Y = 16 + 219/255 (0.2126 R + 0.7152 G + 0.0722 B),
 * Cb = 128 + 224/255 (B - Y') / 1.8556, Cr = 128 + 224/255 (R - Y') / 1.5748. The rows of Cb and Cr sum to 0. */
static int luma(int r, int g, int b) { return (11966 * r + 40254 * g + 4064 * b + (16 << 16) + 32768) >> 16; }
/* in 1/16 */
static int cb16(int r, int g, int b) { return (-6596 * r - 22189 * g + 28785 * b + (128 << 16) + 2048) >> 12; }
static int cr16(int r, int g, int b) { return (28784 * r - 26145 * g - 2639 * b + (128 << 16) + 2048) >> 12; }

void ib_yuv_table_init(ib_yuv_table *table, const uint8_t rgb[768])
{
    for (int i = 0; i < 256; i++) {
        int r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2];
        table->y[i] = (uint8_t)luma(r, g, b);
        table->u[i] = (int16_t)cb16(r, g, b);
        table->v[i] = (int16_t)cr16(r, g, b);
    }
}

void ib_yuv_paint_indexed(const ib_yuv_table *table, const uint8_t *index, int width, int height,
                          uint8_t *const planes[3], const int strides[3], int x0, int y0)
{
    for (int y = 0; y < height; y += 2) {
        const uint8_t *row0 = index + (size_t)y * (size_t)width;
        const uint8_t *row1 = y + 1 < height ? row0 + width : row0;
        uint8_t *y_out0 = planes[0] + (ptrdiff_t)(y0 + y) * strides[0] + x0, *y_out1 = y_out0 + strides[0];
        uint8_t *u_out = planes[1] + (ptrdiff_t)((y0 + y) / 2) * strides[1] + x0 / 2;
        uint8_t *v_out = planes[2] + (ptrdiff_t)((y0 + y) / 2) * strides[2] + x0 / 2;
        for (int x = 0; x < width; x += 2) {
            int x1 = x + 1 < width ? x + 1 : x;
            uint8_t a = row0[x], b = row0[x1], c = row1[x], d = row1[x1];
            y_out0[x] = table->y[a];
            y_out0[x + 1] = table->y[b];
            y_out1[x] = table->y[c];
            y_out1[x + 1] = table->y[d];
            u_out[x / 2] = (uint8_t)((table->u[a] + table->u[b] + table->u[c] + table->u[d] + 32) >> 6);
            v_out[x / 2] = (uint8_t)((table->v[a] + table->v[b] + table->v[c] + table->v[d] + 32) >> 6);
        }
    }
}

void ib_yuv_paint_rgb(const uint8_t *rgb, int width, int height, uint8_t *const planes[3], const int strides[3], int x0,
                      int y0)
{
    for (int y = 0; y < height; y += 2) {
        const uint8_t *rows[2];
        rows[0] = rgb + (size_t)y * (size_t)width * 3;
        rows[1] = y + 1 < height ? rows[0] + (size_t)width * 3 : rows[0];
        uint8_t *y_out = planes[0] + (ptrdiff_t)(y0 + y) * strides[0] + x0;
        uint8_t *u_out = planes[1] + (ptrdiff_t)((y0 + y) / 2) * strides[1] + x0 / 2;
        uint8_t *v_out = planes[2] + (ptrdiff_t)((y0 + y) / 2) * strides[2] + x0 / 2;
        for (int x = 0; x < width; x += 2) {
            int u = 32, v = 32;
            for (int k = 0; k < 4; k++) {
                int xk = x + (k & 1) < width ? x + (k & 1) : x;
                const uint8_t *p = rows[k >> 1] + (size_t)xk * 3;
                y_out[(k >> 1) * strides[0] + x + (k & 1)] = (uint8_t)luma(p[0], p[1], p[2]);
                u += cb16(p[0], p[1], p[2]);
                v += cr16(p[0], p[1], p[2]);
            }
            u_out[x / 2] = (uint8_t)(u >> 6);
            v_out[x / 2] = (uint8_t)(v >> 6);
        }
    }
}

void ib_rgb_resize(const uint8_t *in, int in_w, int in_h, uint8_t *out, int w, int h)
{
    for (int y = 0; y < h; y++) {
        /* source position in 1/256 */
        int64_t sy = ((2 * (int64_t)y + 1) * in_h * 128) / h - 128;
        if (sy < 0) sy = 0;
        int y0 = (int)(sy >> 8), y1 = y0 + 1 < in_h ? y0 + 1 : in_h - 1, fy = (int)(sy & 255);
        if (y0 > in_h - 1) y0 = in_h - 1;
        for (int x = 0; x < w; x++) {
            int64_t sx = ((2 * (int64_t)x + 1) * in_w * 128) / w - 128;
            if (sx < 0) sx = 0;
            int x0 = (int)(sx >> 8), x1 = x0 + 1 < in_w ? x0 + 1 : in_w - 1, fx = (int)(sx & 255);
            if (x0 > in_w - 1) x0 = in_w - 1;
            const uint8_t *a = in + ((size_t)y0 * (size_t)in_w) * 3, *b = in + ((size_t)y1 * (size_t)in_w) * 3;
            for (int c = 0; c < 3; c++) {
                int top = a[3 * x0 + c] * (256 - fx) + a[3 * x1 + c] * fx;
                int bottom = b[3 * x0 + c] * (256 - fx) + b[3 * x1 + c] * fx;
                out[((size_t)y * (size_t)w + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)((top * (256 - fy) + bottom * fy + 32768) >> 16);
            }
        }
    }
}
