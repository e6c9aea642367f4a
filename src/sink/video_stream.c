/* A video written frame by frame; see video_writer.h. */
#include "sink/video_av.h"

#include "sink/file.h"
#include "sink/formats.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENCODER_THREADS 4 /* fixed: the bytes must not depend on the machine */
#define KEY_INTERVAL 240

struct ib_video_stream {
    ib_video_format format;
    ib_diag *diag;
    ib_video_result result;
    const AVCodec *codec;
    AVCodecContext *encoder;
    AVFrame *frame;
    AVPacket *packet, *held; /* held: the newest packet, whose duration the next frame tells */
    int is_held;
    int64_t *times_us, count, capacity; /* from 0, strictly increasing */
    int64_t first_time_us;
    int64_t packets; /* received so far */
    ib_av_mux mux;
    char *tmp;
    int finished;
};

isobath_status ib_video_stream_open(const ib_video_format *format, ib_diag *diag, ib_video_stream **out)
{
    *out = NULL;
    ib_av_quiet();
    ib_video_stream *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    s->format = *format;
    s->diag = diag;
    s->codec = ib_av_find_encoder(format);
    s->tmp = ib_text("%s.tmp", format->path);
    s->frame = ib_av_frame(format);
    s->packet = av_packet_alloc();
    s->held = av_packet_alloc();
    isobath_status st = ISOBATH_OK;
    if (!s->codec)
        st = ib_av_no_encoder(format, diag);
    else if (!s->tmp || !s->frame || !s->packet || !s->held)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    if (st == ISOBATH_OK) st = ib_av_open_encoder(s->codec, format, KEY_INTERVAL, ENCODER_THREADS, diag, &s->encoder);
    if (st != ISOBATH_OK) {
        ib_video_stream_close(s);
        return st;
    }
    snprintf(s->result.encoder, sizeof s->result.encoder, "%s", s->codec->name);
    *out = s;
    return ISOBATH_OK;
}

static int64_t usual_duration(const ib_video_stream *s)
{
    if (s->count > 1) return s->times_us[s->count - 1] - s->times_us[s->count - 2];
    return s->format.fps > 0 ? (int64_t)(1e6 / s->format.fps + 0.5) : 33333;
}

/* Writes the held packet, number s->packets - 1. */
static isobath_status write_held(ib_video_stream *s)
{
    int64_t k = s->packets - 1;
    int64_t duration = k + 1 < s->count ? s->times_us[k + 1] - s->times_us[k] : usual_duration(s);
    s->is_held = 0;
    return ib_av_mux_write(&s->mux, s->held, s->times_us[k], duration);
}

static isobath_status receive(ib_video_stream *s)
{
    for (;;) {
        int code = avcodec_receive_packet(s->encoder, s->packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return ISOBATH_OK;
        if (code < 0) return ib_av_fail(s->diag, ISOBATH_ERR_INTERNAL, s->format.path, "encoding failed", code);
        if (!s->mux.format) /* encoders may fill extradata late */
            IB_TRY(ib_av_mux_open(&s->mux, s->codec, &s->format, s->encoder->extradata, s->encoder->extradata_size,
                                  s->first_time_us, s->tmp, s->diag, &s->result));
        if (s->is_held) IB_TRY(write_held(s));
        av_packet_move_ref(s->held, s->packet);
        s->is_held = 1;
        s->packets++;
    }
}

isobath_status ib_video_stream_write(ib_video_stream *s, const uint8_t *yuv, int64_t time_us)
{
    if (s->count == 0) s->first_time_us = time_us;
    int64_t t = time_us - s->first_time_us;
    if (s->count > 0 && t <= s->times_us[s->count - 1]) t = s->times_us[s->count - 1] + 1;
    IB_TRY(ib_times_append(&s->times_us, &s->count, &s->capacity, t, s->diag));
    if (av_frame_make_writable(s->frame) < 0)
        return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->format.path);
    for (int p = 0; p < 3; p++) {
        int width = p ? s->format.width / 2 : s->format.width, height = p ? s->format.height / 2 : s->format.height;
        for (int y = 0; y < height; y++, yuv += width)
            memcpy(s->frame->data[p] + (ptrdiff_t)y * s->frame->linesize[p], yuv, (size_t)width);
    }
    s->frame->pts = s->count - 1;
    int code = avcodec_send_frame(s->encoder, s->frame);
    if (code < 0) return ib_av_fail(s->diag, ISOBATH_ERR_INTERNAL, s->format.path, "encoding failed", code);
    return receive(s);
}

isobath_status ib_video_stream_finish(ib_video_stream *s, ib_video_result *result)
{
    if (s->count == 0)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: no frames came, so there is no video", s->format.path);
    avcodec_send_frame(s->encoder, NULL);
    IB_TRY(receive(s));
    if (s->packets != s->count)
        return ib_fail(s->diag, ISOBATH_ERR_INTERNAL, "%s: the encoder made %lld packets of %lld frames",
                       s->format.path, (long long)s->packets, (long long)s->count);
    if (s->is_held) IB_TRY(write_held(s));
    IB_TRY(ib_av_mux_finish(&s->mux, s->times_us[s->count - 1] + usual_duration(s)));
    IB_TRY(ib_commit_path(s->tmp, s->format.path, s->diag));
    s->finished = 1;
    *result = s->result;
    return ISOBATH_OK;
}

void ib_video_stream_close(ib_video_stream *s)
{
    if (!s) return;
    ib_av_mux_close(&s->mux);
    if (!s->finished && s->tmp) unlink(s->tmp);
    avcodec_free_context(&s->encoder);
    av_frame_free(&s->frame);
    av_packet_free(&s->packet);
    av_packet_free(&s->held);
    free(s->times_us);
    free(s->tmp);
    free(s);
}
