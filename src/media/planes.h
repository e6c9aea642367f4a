/* libav's frames as planes for the card (base/yuv_pixel.h). */
#ifndef IB_MEDIA_PLANES_H
#define IB_MEDIA_PLANES_H

#include "base/yuv_pixel.h"
#include "media/picture.h"

/* Describes `frame` in place. 0 when it is not YUV that a card converts: another kind, big-endian samples, rows from
 * bottom to top, PQ or HLG (unless keep_hdr). */
int ib_planes_from_frame(const AVFrame *frame, int keep_hdr, ib_yuv_planes *out);

#endif
