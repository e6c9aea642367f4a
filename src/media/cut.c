/* Encoded parts of a video; see cut.h. */
#include "media/cut.h"
#include "media/compat.h"
#include "media/log.h"

#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ib_cut {
    ib_diag *diag;
    char *path;
    AVFormatContext *mux;
    AVCodecContext *encoder;
    AVFrame *frame;
    AVPacket *packet;
    int64_t *times_us, count, capacity, packets;
    int header, finished;
};

static const AVCodec *find_encoder(ib_cut_codec codec)
{
    return avcodec_find_encoder_by_name(codec == IB_CUT_H264 ? "libx264" : "ffv1");
}

static int takes(ib_cut_codec codec, int pix_fmt)
{
    const AVCodec *encoder = find_encoder(codec);
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(pix_fmt);
    if (!encoder || !d) return 0;
    if (codec == IB_CUT_H264 && d->comp[0].depth != 8) return 0; /* x264's qp 0 is lossless at 8 bits only */
    return ib_compat_takes(encoder, pix_fmt);
}

/* The full-range twin of a YUV format is the format with a flag. */
static int plain_format(int pix_fmt)
{
    switch (pix_fmt) {
    case AV_PIX_FMT_YUVJ420P: return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P: return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P: return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P: return AV_PIX_FMT_YUV440P;
    default: return pix_fmt;
    }
}

ib_cut_codec ib_cut_lossless(int pix_fmt, ib_cut_codec wish)
{
    pix_fmt = plain_format(pix_fmt);
    if (wish != IB_CUT_FFV1 && takes(IB_CUT_H264, pix_fmt)) return IB_CUT_H264;
    return takes(IB_CUT_FFV1, pix_fmt) ? IB_CUT_FFV1 : IB_CUT_COPY;
}

static isobath_status failed(const ib_cut *c, isobath_status status, const char *what, int code)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return ib_fail(c->diag, status, "%s: %s: %s", c->path, what, text);
}

static isobath_status open_encoder(ib_cut *c, const ib_cut_format *format, const AVFrame *first)
{
    const AVCodec *codec = find_encoder(format->codec);
    if (!codec)
        return ib_fail(c->diag, ISOBATH_ERR_UNSUPPORTED, "%s: this build of FFmpeg has no %s", c->path,
                       format->codec == IB_CUT_H264 ? "libx264" : "ffv1");
    AVCodecContext *e = c->encoder = avcodec_alloc_context3(codec);
    if (!e) return ib_fail(c->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    e->width = first->width;
    e->height = first->height;
    e->pix_fmt = plain_format(first->format);
    e->sample_aspect_ratio = first->sample_aspect_ratio;
    e->color_range = e->pix_fmt != first->format ? AVCOL_RANGE_JPEG : first->color_range;
    e->colorspace = first->colorspace;
    e->color_primaries = first->color_primaries;
    e->color_trc = first->color_trc;
    e->chroma_sample_location = first->chroma_location;
    e->framerate = av_d2q(format->fps > 0 && format->fps < 1000 ? format->fps : 30, 60000);
    e->time_base = av_inv_q(e->framerate);
    e->thread_count = format->threads > 0 ? format->threads : 4;
    e->max_b_frames = 0;
    e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    if (format->codec == IB_CUT_FFV1) {
        e->level = 3;
        e->gop_size = 1;
        av_opt_set_int(e->priv_data, "slicecrc", 1, 0);
    } else {
        e->gop_size = 32;
        av_opt_set(e->priv_data, "preset", "veryfast", 0);
        av_opt_set(e->priv_data, "qp", "0", 0);
        av_opt_set(e->priv_data, "x264-params", "log=0", 0);
    }
    int code = avcodec_open2(e, codec, NULL);
    return code < 0 ? failed(c, ISOBATH_ERR_UNSUPPORTED, codec->name, code) : ISOBATH_OK;
}

static isobath_status open_mux(ib_cut *c, const ib_cut_format *format)
{
    const char *dot = strrchr(format->path, '.');
    int mkv = dot && strcmp(dot, ".mkv") == 0, mov = dot && strcmp(dot, ".mov") == 0;
    int code = avformat_alloc_output_context2(&c->mux, NULL, mkv ? "matroska" : mov ? "mov" : "mp4", format->path);
    AVStream *s = code < 0 ? NULL : avformat_new_stream(c->mux, NULL);
    if (!s || avcodec_parameters_from_context(s->codecpar, c->encoder) < 0 ||
        (format->matrix && !ib_compat_set_stream_matrix(s, format->matrix)))
        return ib_fail(c->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    s->time_base = (AVRational){1, 1000000};
    s->avg_frame_rate = c->encoder->framerate;
    s->sample_aspect_ratio = c->encoder->sample_aspect_ratio;
    c->mux->flags |= AVFMT_FLAG_BITEXACT;
    code = avio_open(&c->mux->pb, format->path, AVIO_FLAG_WRITE);
    if (code < 0) return failed(c, ISOBATH_ERR_IO, "cannot create", code);
    code = avformat_write_header(c->mux, NULL);
    if (code < 0) return failed(c, ISOBATH_ERR_IO, "cannot write", code);
    c->header = 1;
    return ISOBATH_OK;
}

isobath_status ib_cut_open(const ib_cut_format *format, const AVFrame *first, ib_diag *diag, ib_cut **out)
{
    *out = NULL;
    ib_log_init();
    ib_cut *c = calloc(1, sizeof *c);
    if (!c || !(c->path = strdup(format->path))) {
        free(c);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    }
    c->diag = diag;
    c->frame = av_frame_alloc();
    c->packet = av_packet_alloc();
    isobath_status st =
        c->frame && c->packet ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    if (st == ISOBATH_OK) st = open_encoder(c, format, first);
    if (st == ISOBATH_OK) st = open_mux(c, format);
    if (st != ISOBATH_OK)
        ib_cut_close(c);
    else
        *out = c;
    return st;
}

/* Packets come out as frames went in, so packet k has the time of frame k. */
static isobath_status receive(ib_cut *c)
{
    for (;;) {
        int code = avcodec_receive_packet(c->encoder, c->packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return ISOBATH_OK;
        if (code < 0) return failed(c, ISOBATH_ERR_INTERNAL, "encoding failed", code);
        int64_t k = c->packets++, last = c->count - 1;
        int64_t usual = (int64_t)(1e6 / av_q2d(c->encoder->framerate) + 0.5);
        int64_t duration = k < last ? c->times_us[k + 1] - c->times_us[k]
                           : k      ? c->times_us[k] - c->times_us[k - 1]
                                    : usual;
        c->packet->stream_index = 0;
        c->packet->pts = c->packet->dts = c->times_us[k];
        c->packet->duration = duration;
        av_packet_rescale_ts(c->packet, (AVRational){1, 1000000}, c->mux->streams[0]->time_base);
        code = av_write_frame(c->mux, c->packet);
        av_packet_unref(c->packet);
        if (code >= 0 && c->mux->pb->error < 0) code = c->mux->pb->error;
        if (code < 0) return failed(c, ISOBATH_ERR_IO, "cannot write", code);
    }
}

isobath_status ib_cut_write(ib_cut *c, const AVFrame *frame, int64_t time_us)
{
    if (c->count == c->capacity) {
        int64_t capacity = c->capacity ? 2 * c->capacity : 1024,
                *times = realloc(c->times_us, (size_t)capacity * sizeof *times);
        if (!times) return ib_fail(c->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
        c->times_us = times;
        c->capacity = capacity;
    }
    if (frame->width != c->encoder->width || frame->height != c->encoder->height ||
        plain_format(frame->format) != (int)c->encoder->pix_fmt)
        return ib_fail(c->diag, ISOBATH_ERR_UNSUPPORTED, "%s: the pictures change their size or format on the way",
                       c->path);
    c->times_us[c->count] = time_us;
    if (av_frame_ref(c->frame, frame) < 0) return ib_fail(c->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    c->frame->format = c->encoder->pix_fmt;
    c->frame->pts = c->count++;
    c->frame->pict_type = AV_PICTURE_TYPE_NONE;
    int code = avcodec_send_frame(c->encoder, c->frame);
    av_frame_unref(c->frame);
    return code < 0 ? failed(c, ISOBATH_ERR_INTERNAL, "encoding failed", code) : receive(c);
}

isobath_status ib_cut_finish(ib_cut *c)
{
    avcodec_send_frame(c->encoder, NULL);
    IB_TRY(receive(c));
    int code = av_write_trailer(c->mux), closed;
    if (code >= 0 && c->mux->pb->error < 0) code = c->mux->pb->error;
    closed = avio_closep(&c->mux->pb);
    if (code >= 0) code = closed;
    if (code < 0) return failed(c, ISOBATH_ERR_IO, "cannot write", code);
    c->finished = 1;
    return ISOBATH_OK;
}

void ib_cut_close(ib_cut *c)
{
    if (!c) return;
    if (c->mux && c->mux->pb) avio_closep(&c->mux->pb);
    if (!c->finished && c->header) unlink(c->path);
    avformat_free_context(c->mux);
    avcodec_free_context(&c->encoder);
    av_frame_free(&c->frame);
    av_packet_free(&c->packet);
    free(c->times_us);
    free(c->path);
    free(c);
}
