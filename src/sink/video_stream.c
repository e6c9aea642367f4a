/* A video written frame by frame; see video_writer.h. */
#include "sink/video_segment.h"

#include "sink/file.h"
#include "sink/formats.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENCODER_THREADS 4 /* fixed: the bytes must not depend on the machine */

struct ib_video_stream {
    ib_video_format format;
    ib_diag *diag;
    ib_video_result result;
    const AVCodec *codec;
    AVCodecContext *encoder; /* of the segment in work; NULL between segments */
    AVFrame *frame;
    ib_segment segment;
    int in_segment;                     /* frames sent to the encoder */
    int ended;                          /* the last segment is written */
    int64_t *times_us, count, capacity; /* from 0, strictly increasing */
    int64_t first_time_us;
    atomic_int_fast64_t durable; /* frames in written segments */
    char *folder, *tmp;
    int finished;
};

static isobath_status add_time(ib_video_stream *s, int64_t time_us)
{
    if (s->count == 0) s->first_time_us = time_us;
    int64_t t = time_us - s->first_time_us;
    if (s->count > 0 && t <= s->times_us[s->count - 1]) t = s->times_us[s->count - 1] + 1;
    return ib_times_append(&s->times_us, &s->count, &s->capacity, t, s->diag);
}

isobath_status ib_video_stream_open(const ib_video_format *format, const ib_sink_resume *resume, ib_diag *diag, ib_video_stream **out)
{
    *out = NULL;
    ib_av_quiet();
    ib_video_stream *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    s->format = *format;
    s->diag = diag;
    s->codec = ib_av_find_encoder(format);
    s->tmp = ib_text("%s.tmp", format->path);
    s->folder = ib_segment_folder(format->path);
    s->frame = ib_av_frame(format);
    isobath_status st = ISOBATH_OK;
    if (!s->codec)
        st = ib_av_no_encoder(format, diag);
    else if (!s->tmp || !s->folder || !s->frame)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    if (st == ISOBATH_OK) st = ib_segment_create(IB_VIDEO_SEGMENT_FRAMES, diag, &s->segment);
    if (st == ISOBATH_OK && !resume) st = ib_remove_part(s->folder, diag);
    if (st == ISOBATH_OK) st = ib_make_folder(s->folder, diag);
    for (int64_t i = 0; st == ISOBATH_OK && resume && i < resume->count; i++) st = add_time(s, resume->frames[i].pts_us);
    s->ended = s->count % IB_VIDEO_SEGMENT_FRAMES != 0;
    atomic_init(&s->durable, s->count);
    if (st != ISOBATH_OK) {
        ib_video_stream_close(s);
        return st;
    }
    snprintf(s->result.encoder, sizeof s->result.encoder, "%s", s->codec->name);
    *out = s;
    return ISOBATH_OK;
}

/* Moves what the encoder has ready into the segment. */
static isobath_status receive(ib_video_stream *s)
{
    while (s->segment.count < s->in_segment) {
        int code = avcodec_receive_packet(s->encoder, s->segment.packets[s->segment.count]);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return ISOBATH_OK;
        if (code < 0) return ib_av_fail(s->diag, ISOBATH_ERR_INTERNAL, s->format.path, "encoding failed", code);
        s->segment.count++;
    }
    return ISOBATH_OK;
}

static isobath_status end_segment(ib_video_stream *s)
{
    avcodec_send_frame(s->encoder, NULL);
    IB_TRY(receive(s));
    if (s->segment.count != s->in_segment)
        return ib_fail(s->diag, ISOBATH_ERR_INTERNAL, "%s: the encoder made %d packets of %d frames", s->format.path,
                       s->segment.count, s->in_segment);
    if (s->encoder->extradata_size > 0) {
        s->segment.extradata = av_memdup(s->encoder->extradata, (size_t)s->encoder->extradata_size);
        if (!s->segment.extradata) return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->format.path);
        s->segment.extradata_size = s->encoder->extradata_size;
    }
    int64_t first = s->count - s->in_segment;
    ib_segment_key key = ib_segment_key_of(&s->format, s->codec, first, s->in_segment);
    IB_TRY(ib_segment_write(s->folder, first / IB_VIDEO_SEGMENT_FRAMES, &key, &s->segment, s->diag));
    if (s->in_segment < IB_VIDEO_SEGMENT_FRAMES) s->ended = 1;
    ib_segment_clear(&s->segment);
    avcodec_free_context(&s->encoder);
    s->in_segment = 0;
    atomic_store(&s->durable, s->count);
    return ISOBATH_OK;
}

isobath_status ib_video_stream_write(ib_video_stream *s, const uint8_t *yuv, int64_t time_us)
{
    if (s->ended) return ib_fail(s->diag, ISOBATH_ERR_INTERNAL, "%s: a frame came after the last one", s->format.path);
    if (!s->encoder)
        IB_TRY(ib_av_open_encoder(s->codec, &s->format, IB_VIDEO_SEGMENT_FRAMES, ENCODER_THREADS, s->diag, &s->encoder));
    IB_TRY(add_time(s, time_us));
    if (av_frame_make_writable(s->frame) < 0)
        return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->format.path);
    for (int p = 0; p < 3; p++) {
        int width = p ? s->format.width / 2 : s->format.width, height = p ? s->format.height / 2 : s->format.height;
        for (int y = 0; y < height; y++, yuv += width)
            memcpy(s->frame->data[p] + (ptrdiff_t)y * s->frame->linesize[p], yuv, (size_t)width);
    }
    s->frame->pts = s->in_segment++;
    int code = avcodec_send_frame(s->encoder, s->frame);
    if (code < 0) return ib_av_fail(s->diag, ISOBATH_ERR_INTERNAL, s->format.path, "encoding failed", code);
    IB_TRY(receive(s));
    return s->in_segment == IB_VIDEO_SEGMENT_FRAMES ? end_segment(s) : ISOBATH_OK;
}

int64_t ib_video_stream_durable(const ib_video_stream *s) { return atomic_load(&((ib_video_stream *)s)->durable); }

isobath_status ib_video_stream_end(ib_video_stream *s) { return s->in_segment ? end_segment(s) : ISOBATH_OK; }

isobath_status ib_video_stream_finish(ib_video_stream *s, ib_video_result *result)
{
    if (s->count == 0)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: no frames came, so there is no video", s->format.path);
    IB_TRY(ib_video_stream_end(s));
    ib_segment_joining joining = {.format = &s->format, .codec = s->codec, .folder = s->folder, .tmp = s->tmp,
                                  .times_us = s->times_us, .first_time_us = s->first_time_us, .frames = s->count,
                                  .segment_frames = IB_VIDEO_SEGMENT_FRAMES, .diag = s->diag};
    IB_TRY(ib_segments_join(&joining, &s->segment, &s->result));
    s->finished = 1;
    *result = s->result;
    return ISOBATH_OK;
}

void ib_video_stream_close(ib_video_stream *s)
{
    if (!s) return;
    if (!s->finished && s->tmp) unlink(s->tmp);
    if (!s->format.resumable && s->folder) ib_remove_part(s->folder, NULL);
    ib_segment_destroy(&s->segment);
    avcodec_free_context(&s->encoder);
    av_frame_free(&s->frame);
    free(s->times_us);
    free(s->folder);
    free(s->tmp);
    free(s);
}
