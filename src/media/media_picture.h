/* What ib_media_read_picture hands out, for the files that make and show it. */
#ifndef IB_MEDIA_MEDIA_PICTURE_H
#define IB_MEDIA_MEDIA_PICTURE_H

#include "media/media.h"
#include "media/planes.h"
#include <libavutil/frame.h>

struct ib_media_picture {
    AVFrame *frame; /* behind planes; NULL: rgb */
    ib_yuv_planes planes;
    uint8_t rgb[];
};

#endif
