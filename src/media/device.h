/* Cameras (/dev/video0) as input: libav's v4l2 demuxer, out of libavdevice, which is loaded when one is asked for. */
#ifndef IB_MEDIA_DEVICE_H
#define IB_MEDIA_DEVICE_H

#include "base/diag.h"
#include <libavformat/avformat.h>

/* Is `name` a character device? */
int ib_device_is(const char *name);
/* The demuxer for it. Errors: ISOBATH_ERR_UNSUPPORTED when libavdevice or its v4l2 part is missing. */
isobath_status ib_device_demuxer(const char *name, ib_diag *diag, const AVInputFormat **out);

#endif
