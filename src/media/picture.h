/* libav's frames as ib_picture: what the pixel format, matrix and range are taken to be. */
#ifndef IB_MEDIA_PICTURE_H
#define IB_MEDIA_PICTURE_H

#include "media/resize.h"
#include "media/yuv.h"
#include <libavutil/frame.h>

/* Describes `frame` (no copy; of a frame on a card the addresses are the card's). 0 when its layout is not one that our own arithmetic covers (palettes, bit fields,
 * Bayer, XYZ ...): then libswscale makes RGB24 of it first. */
int ib_picture_from_frame(const AVFrame *frame, ib_picture *picture);

/* Matrix and range by the stated rules: metadata first; then BT.2020 with PQ, HLG or BT.2020 primaries; else BT.709
 * from 1280 columns or 577 rows on; else BT.601. Unspecified range: full for yuvj and grey, else limited. */
ib_yuv_matrix ib_frame_matrix(const AVFrame *frame);
int ib_frame_full_range(const AVFrame *frame);

/* "yuv420p bt709 limited transfer bt709" */
void ib_picture_describe(const AVFrame *frame, char *buf, size_t size);

/* The turn that a display matrix (9 integers, 16.16) asks for, to the nearest quarter; NULL: none. */
ib_orientation ib_orientation_from_matrix(const int32_t *matrix);
/* The frame's own: display matrix side data, or the EXIF tag "Orientation". */
ib_orientation ib_frame_orientation(const AVFrame *frame);

#endif
