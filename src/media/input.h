/* Where packets come from: a demuxer (file, URL, pipe, raw video) or a list of image files. */
#ifndef IB_MEDIA_INPUT_H
#define IB_MEDIA_INPUT_H

#include "base/diag.h"
#include "media/images.h"
#include "media/media.h"
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

typedef struct ib_input {
    ib_diag *diag;
    const char *name;        /* for messages; owned by the media object */
    AVFormatContext *format; /* NULL: images */
    AVStream *stream;
    ib_image_list images;
    AVRational time_base;
    AVCodecParameters *codec; /* of the next packet; owned by the stream or (images) by this object */
    int is_device;            /* a camera */
    int is_live;              /* a camera or a URL: it may break off by no fault of the stream's */
    int reopenable;           /* 0: a pipe or live source, which can be read once only */
    int64_t stall_us;         /* so long it may give nothing; 0: for ever */
    int64_t deadline_us;      /* then; INT64_MAX: never */
    int64_t packets;          /* of the video stream that were read */
    int64_t missing_bytes;    /* that the container's header promises behind the end of the file; 0: none known */
    int64_t packet_end;       /* byte behind the last one, -1: not known */
    double fps;               /* average; 0: unknown */
    int64_t frames_hint;      /* -1: unknown */
    const int32_t *matrix;    /* display matrix of the stream, or NULL */
} ib_input;

/* Opens; on failure nothing is left to close. Errors: as ib_media_open. */
isobath_status ib_input_open(ib_input *input, const char *name, const ib_media_options *options, ib_diag *diag);
void ib_input_close(ib_input *input);

/* The next packet of the video stream. Images: the next file as one packet; input->codec names its codec. */
typedef enum ib_packet_result { IB_PACKET_OK, IB_PACKET_END, IB_PACKET_DAMAGED, IB_PACKET_FAILED } ib_packet_result;
/* IB_PACKET_DAMAGED: nothing more can be read, or (images) this file is unreadable; `text` says what (no diag yet).
 * IB_PACKET_FAILED: the diag has been set. */
ib_packet_result ib_input_next(ib_input *input, AVPacket *packet, char *text, size_t text_size);

/* "packet 17 at byte 1234" or the file name of the image that was read last. Returns buf. */
char *ib_input_where(const ib_input *input, const AVPacket *packet, char *buf, size_t size);

#endif
