/* What differs between FFmpeg 5, 6 and 7, in one place. */
#ifndef IB_MEDIA_COMPAT_H
#define IB_MEDIA_COMPAT_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

/* The display matrix of a stream (9 integers), or NULL. */
static inline const int32_t *ib_compat_stream_matrix(const AVStream *stream)
{
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100) /* 6.1 */
    const AVCodecParameters *par = stream->codecpar;
    const AVPacketSideData *sd =
        av_packet_side_data_get(par->coded_side_data, par->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    return sd && sd->size >= 9 * sizeof(int32_t) ? (const int32_t *)sd->data : NULL;
#else
    size_t size = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    return data && size >= 9 * sizeof(int32_t) ? (const int32_t *)data : NULL;
#endif
}

/* Does an encoder take pictures of this format? */
static inline int ib_compat_takes(const AVCodec *encoder, enum AVPixelFormat format)
{
    const enum AVPixelFormat *list = NULL;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100) /* 7.1 */
    const void *known = NULL;
    if (avcodec_get_supported_config(NULL, encoder, AV_CODEC_CONFIG_PIX_FORMAT, 0, &known, NULL) >= 0) list = known;
#else
    list = encoder->pix_fmts;
#endif
    for (; list && *list != AV_PIX_FMT_NONE; list++)
        if (*list == format) return 1;
    return 0;
}

/* Gives a stream that is written a display matrix. 0: out of memory. */
static inline int ib_compat_set_stream_matrix(AVStream *stream, const int32_t *matrix)
{
    size_t size = 9 * sizeof(int32_t);
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100) /* 6.1 */
    AVCodecParameters *par = stream->codecpar;
    AVPacketSideData *sd = av_packet_side_data_new(&par->coded_side_data, &par->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX, size, 0);
    uint8_t *data = sd ? sd->data : NULL;
#else
    uint8_t *data = av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, size);
#endif
    for (size_t i = 0; data && i < size; i++) data[i] = ((const uint8_t *)matrix)[i];
    return data != NULL;
}

static inline int ib_compat_interlaced(const AVFrame *frame)
{
#ifdef AV_FRAME_FLAG_INTERLACED /* 6.1 */
    return (frame->flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
    return frame->interlaced_frame;
#endif
}

static inline int64_t ib_compat_duration(const AVFrame *frame)
{
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100) /* 6.0 */
    return frame->duration;
#else
    return frame->pkt_duration;
#endif
}

/* Frames carry the byte position of their packet: by the frame itself in FFmpeg 5, by the packet's opaque later. */
static inline void ib_compat_track_position(AVCodecContext *codec)
{
#ifdef AV_CODEC_FLAG_COPY_OPAQUE
    codec->flags |= AV_CODEC_FLAG_COPY_OPAQUE;
#else
    (void)codec;
#endif
}

static inline void ib_compat_tag_packet(AVPacket *packet)
{
#ifdef AV_CODEC_FLAG_COPY_OPAQUE
    packet->opaque = (void *)(intptr_t)(packet->pos + 1);
#else
    (void)packet;
#endif
}

/* -1: unknown. */
static inline int64_t ib_compat_position(const AVFrame *frame)
{
#ifdef AV_CODEC_FLAG_COPY_OPAQUE
    return (int64_t)(intptr_t)frame->opaque - 1;
#else
    return frame->pkt_pos;
#endif
}

#endif
