/* Starting late without decoding what comes before: which packet to start at so that the frames from the wanted one on are
 * those of a decoder that began at the beginning. docs/MEDIA.md, "Starting late". */
#ifndef IB_MEDIA_SEEK_H
#define IB_MEDIA_SEEK_H

#include "media/clock.h"
#include "media/media.h"
#include <libavcodec/avcodec.h>

/* A packet that needs none before it, and the state in which a decoder that began at the beginning is before its picture. */
typedef struct ib_seek_point {
    int64_t pts, dts, pos; /* as the demuxer gives them */
    int64_t packet;        /* its number among the packets of the stream */
    int64_t frame;         /* number of its picture */
    ib_clock clock;
} ib_seek_point;

typedef struct ib_seek_plan {
    int found; /* 0: nothing to gain, or not sure: decode from the beginning */
    ib_seek_point point;
    int64_t target;    /* number of the first wanted frame */
    int64_t *times_us; /* of the frames point.frame .. target */
} ib_seek_plan;

/* Reads the packets of `input`, without decoding, up to where the first wanted frame of `options` must be. `clock` is the
 * state behind the first frame of the stream. Only ISOBATH_ERR_MEMORY is an error; free with ib_seek_plan_free. */
isobath_status ib_seek_plan_make(const char *input, const ib_media_options *options, const ib_clock *clock, ib_diag *diag,
                                 ib_seek_plan *plan);
void ib_seek_plan_free(ib_seek_plan *plan);

/* 1 when no picture shown after this packet's own refers to anything before it. */
int ib_seek_is_clean(const AVCodecParameters *codec, const AVPacket *packet);
/* 1 when a decoder that comes from elsewhere in the stream gives from this packet's picture on all that one gives that begins with it: an IDR
 * picture of H.264 or HEVC. */
int ib_seek_is_splice(const AVCodecParameters *codec, const AVPacket *packet);

#endif
