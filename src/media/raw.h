/* What a user says of video that does not say it itself: "1280x720:yuyv422:30". */
#ifndef IB_MEDIA_RAW_H
#define IB_MEDIA_RAW_H

#include "base/diag.h"
#include <libavutil/dict.h>

typedef struct ib_raw {
    int width, height; /* 0: not said */
    char format[32];   /* a pixel format of libav or, of a camera, a codec (mjpeg); "": not said */
    double fps;        /* 0: not said */
} ib_raw;

/* Headerless video: all three parts, and a pixel format. Errors: ISOBATH_ERR_USAGE. */
isobath_status ib_raw_parse(const char *spec, ib_diag *diag, ib_raw *out);
/* What to ask a camera for: any part may be empty ("1280x720", ":mjpeg", "::60"). Errors: ISOBATH_ERR_USAGE. */
isobath_status ib_raw_parse_mode(const char *spec, ib_diag *diag, ib_raw *out);
/* As options of libav's rawvideo and v4l2 demuxers. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_raw_options(const ib_raw *raw, AVDictionary **dict, ib_diag *diag);

#endif
