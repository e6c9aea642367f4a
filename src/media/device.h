/* Cameras (/dev/video0) as input: libav's v4l2 demuxer, out of libavdevice, which is loaded when one is asked for. What V4L2 says of a
 * device before and after is asked here, so that a message can say what is the matter. */
#ifndef IB_MEDIA_DEVICE_H
#define IB_MEDIA_DEVICE_H

#include "base/diag.h"
#include "media/raw.h"
#include <libavformat/avformat.h>

/* Is `name` a character device? */
int ib_device_is(const char *name);
/* Makes sure that it is a camera, and gives the demuxer for it. Errors: ISOBATH_ERR_INPUT (no V4L2 capture device, no rights, gone),
 * ISOBATH_ERR_UNSUPPORTED when libavdevice or its v4l2 part is missing. */
isobath_status ib_device_demuxer(const char *name, ib_diag *diag, const AVInputFormat **out);
/* Says why libav did not open it (err < 0; `mode` NULL: none was asked for). Returns ISOBATH_ERR_INPUT or ISOBATH_ERR_MEMORY. */
isobath_status ib_device_refused(const char *name, const ib_raw *mode, int err, ib_diag *diag);
/* Drivers answer a mode that they do not have with another one: 1 when the stream is what was asked for. */
int ib_device_gives(const AVStream *stream, const ib_raw *mode);
/* The modes that it has, in one line: "yuyv422 640x480 at 30, 320x240 at 30; mjpeg 1280x720 at 30"; "" when it does not say. */
void ib_device_modes(const char *name, char *text, size_t size);

#endif
