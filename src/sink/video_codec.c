/* Encoders and files of the video sinks: which, with which settings, and what the container says. */
#include "sink/video_av.h"

#include <libavutil/opt.h>
#include <stdlib.h>
#include <string.h>

/* In order of preference; browsers or common players show all of them. */
static const char *const h264_encoders[] = {"libx264", "libopenh264", "mpeg4", NULL};
static const char *const ffv1_encoders[] = {"ffv1", NULL};

isobath_status ib_av_fail(ib_diag *diag, isobath_status status, const char *path, const char *what, int code)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return ib_fail(diag, status, "%s: %s: %s", path, what, text);
}

/* libav prints to stderr by default. A program that has chosen a level of its own keeps it. */
void ib_av_quiet(void)
{
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
}

const AVCodec *ib_av_find_encoder(const ib_video_format *format)
{
    if (format->encoder) return avcodec_find_encoder_by_name(format->encoder);
    const char *const *names = format->kind == IB_VIDEO_H264 ? h264_encoders : ffv1_encoders;
    for (int i = 0; names[i]; i++) {
        const AVCodec *codec = avcodec_find_encoder_by_name(names[i]);
        if (codec) return codec;
    }
    return NULL;
}

isobath_status ib_av_no_encoder(const ib_video_format *format, ib_diag *diag)
{
    const char *names = format->kind == IB_VIDEO_H264 ? "libx264, libopenh264 or mpeg4" : "ffv1";
    return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: this build of FFmpeg has no encoder for it (%s)", format->path,
                   format->encoder ? format->encoder : names);
}

static AVRational frame_rate(const ib_video_format *format)
{
    return av_d2q(format->fps > 0 && format->fps < 1000 ? format->fps : 30, 60000);
}

isobath_status ib_av_open_encoder(const AVCodec *codec, const ib_video_format *format, int group, int threads,
                                  ib_diag *diag, AVCodecContext **out)
{
    AVCodecContext *ctx = avcodec_alloc_context3(codec);
    *out = ctx;
    if (!ctx) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    ctx->width = format->width;
    ctx->height = format->height;
    ctx->framerate = frame_rate(format);
    ctx->time_base = av_inv_q(ctx->framerate);
    ctx->max_b_frames = 0; /* packets come out as frames went in, so times are ours to the microsecond */
    ctx->thread_count = 1;
    ctx->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    if (format->kind == IB_VIDEO_FFV1_GRAY16) {
        ctx->pix_fmt = AV_PIX_FMT_GRAY16LE;
        ctx->gop_size = 1;
        ctx->level = 3;
        ctx->slices = 4;
        av_opt_set_int(ctx->priv_data, "slicecrc", 1, 0);
    } else {
        ctx->pix_fmt = AV_PIX_FMT_YUV420P;
        ctx->gop_size = group;
        ctx->color_range = AVCOL_RANGE_MPEG;
        ctx->colorspace = AVCOL_SPC_BT709;
        ctx->color_primaries = AVCOL_PRI_BT709;
        ctx->color_trc = AVCOL_TRC_BT709;
        int hardware = format->hardware && strcmp(codec->name, format->hardware) == 0;
        if (hardware) av_opt_set_int(ctx->priv_data, "forced-idr", 1, 0); /* our I pictures begin groups */
        if (strcmp(codec->name, "h264_nvenc") == 0) {
            av_opt_set_int(ctx->priv_data, "gpu", format->hardware_card, 0);
            av_opt_set(ctx->priv_data, "preset", "p4", 0);
            av_opt_set(ctx->priv_data, "rc", "constqp", 0);
            av_opt_set_int(ctx->priv_data, "qp", 20, 0);
        } else if (strcmp(codec->name, "libx264") == 0) {
            ctx->thread_count = threads; /* x264 gives the same bytes for the same number, on any machine */
            av_opt_set(ctx->priv_data, "preset", "veryfast", 0);
            av_opt_set(ctx->priv_data, "crf", "18", 0);
            /* cpu-independent: without it x264 164's macroblock tree was seen to give different bytes for the same
             * small pictures, now and then, on one machine; with it they are also the same on every CPU. Without texture small
             * blocks and fine search find nothing: the same quality and size in two thirds of the time. */
            av_opt_set(ctx->priv_data, "x264-params",
                       format->smooth ? "log=0:scenecut=0:cpu-independent=1:me=dia:subme=1:weightp=0:partitions=none"
                                      : "log=0:scenecut=0:cpu-independent=1", 0);
        } else {
            ctx->flags |= AV_CODEC_FLAG_QSCALE;
            ctx->global_quality = 3 * FF_QP2LAMBDA;
            ctx->bit_rate = (int64_t)format->width * format->height * 6; /* for encoders without a quality scale */
        }
    }
    int code = avcodec_open2(ctx, codec, NULL);
    if (code < 0) return ib_av_fail(diag, ISOBATH_ERR_UNSUPPORTED, format->path, codec->name, code);
    return ISOBATH_OK;
}

AVFrame *ib_av_frame(const ib_video_format *format)
{
    AVFrame *frame = av_frame_alloc();
    if (!frame) return NULL;
    frame->width = format->width;
    frame->height = format->height;
    frame->format = format->kind == IB_VIDEO_H264 ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_GRAY16LE;
    if (format->kind == IB_VIDEO_H264) {
        frame->color_range = AVCOL_RANGE_MPEG;
        frame->colorspace = AVCOL_SPC_BT709;
    }
    if (av_frame_get_buffer(frame, 0) < 0) av_frame_free(&frame);
    return frame;
}

static isobath_status describe_stream(AVStream *stream, const AVCodec *codec, const ib_video_format *format,
                                      const uint8_t *extradata, int extradata_size, int64_t longest_us)
{
    AVCodecParameters *par = stream->codecpar;
    par->codec_type = AVMEDIA_TYPE_VIDEO;
    par->codec_id = codec->id;
    par->width = format->width;
    par->height = format->height;
    par->sample_aspect_ratio = stream->sample_aspect_ratio = format->pixel_aspect > 0 ? av_d2q(format->pixel_aspect, 255) : (AVRational){1, 1};
    if (format->kind == IB_VIDEO_H264) {
        par->format = AV_PIX_FMT_YUV420P;
        par->color_range = AVCOL_RANGE_MPEG;
        par->color_space = AVCOL_SPC_BT709;
        par->color_primaries = AVCOL_PRI_BT709;
        par->color_trc = AVCOL_TRC_BT709;
    } else {
        par->format = AV_PIX_FMT_GRAY16LE;
        par->bits_per_raw_sample = 16;
    }
    if (extradata_size > 0) {
        par->extradata = av_mallocz((size_t)extradata_size + AV_INPUT_BUFFER_PADDING_SIZE);
        if (!par->extradata) return ISOBATH_ERR_MEMORY;
        memcpy(par->extradata, extradata, (size_t)extradata_size);
        par->extradata_size = extradata_size;
    }
    int longest_s = longest_us < INT64_C(1000000) << 20 ? (int)(longest_us / 1000000) + 1 : 1 << 20;
    stream->time_base = (AVRational){1, longest_s < INT32_MAX / 1000000 ? 1000000 : longest_s < INT32_MAX / 90000 ? 90000 : 1000};
    stream->avg_frame_rate = frame_rate(format);
    return ISOBATH_OK;
}

isobath_status ib_av_mux_open(ib_av_mux *mux, const AVCodec *codec, const ib_video_format *format,
                              const uint8_t *extradata, int extradata_size, int64_t first_time_us, int64_t longest_us,
                              const char *tmp, ib_diag *diag, ib_video_result *result)
{
    *mux = (ib_av_mux){.path = format->path, .diag = diag};
    int mp4 = format->kind == IB_VIDEO_H264;
    int code = avformat_alloc_output_context2(&mux->format, NULL, mp4 ? "mp4" : "matroska", tmp);
    AVStream *stream = mux->format ? avformat_new_stream(mux->format, NULL) : NULL;
    if (code < 0 || !stream || describe_stream(stream, codec, format, extradata, extradata_size, longest_us) != ISOBATH_OK)
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    mux->format->flags |= AVFMT_FLAG_BITEXACT; /* no version, no date, no random identifiers */
    for (int i = 0; code >= 0 && i < format->tag_count; i++)
        code = av_dict_set(&mux->format->metadata, format->tags[i].key, format->tags[i].value, 0);
    if (code < 0) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    if (format->sound_from) {
        mux->sound = ib_sound_open(format->sound_from, mux->format, first_time_us, diag, result->sound, sizeof result->sound);
        if (!mux->sound) IB_TRY(ib_diag_status(diag)); /* no sound is no error, but out of memory is */
        result->has_sound = mux->sound != NULL;
    }
    code = avio_open(&mux->format->pb, tmp, AVIO_FLAG_WRITE);
    if (code < 0) return ib_av_fail(diag, ISOBATH_ERR_IO, format->path, "cannot create", code);
    AVDictionary *options = NULL;
    if (mp4) code = av_dict_set(&options, "movflags", "+faststart", 0);
    if (code >= 0) code = avformat_write_header(mux->format, &options);
    av_dict_free(&options);
    if (code == AVERROR(ENOMEM)) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", format->path);
    if (code < 0) return ib_av_fail(diag, ISOBATH_ERR_IO, format->path, "cannot write", code);
    return ISOBATH_OK;
}

isobath_status ib_av_mux_write(ib_av_mux *mux, AVPacket *packet, int64_t time_us, int64_t duration_us)
{
    int code = mux->sound ? ib_sound_copy(mux->sound, mux->format, time_us) : 0;
    packet->stream_index = 0;
    packet->pts = packet->dts = time_us;
    packet->duration = duration_us;
    packet->pos = -1;
    av_packet_rescale_ts(packet, (AVRational){1, 1000000}, mux->format->streams[0]->time_base);
    if (code >= 0) code = av_write_frame(mux->format, packet);
    av_packet_unref(packet);
    if (code >= 0 && mux->format->pb->error < 0) code = mux->format->pb->error;
    return code < 0 ? ib_av_fail(mux->diag, ISOBATH_ERR_IO, mux->path, "cannot write", code) : ISOBATH_OK;
}

isobath_status ib_av_mux_finish(ib_av_mux *mux, int64_t end_us)
{
    int code = mux->sound ? ib_sound_copy(mux->sound, mux->format, end_us) : 0;
    int trailer = av_write_trailer(mux->format);
    if (code >= 0) code = trailer;
    if (code >= 0 && mux->format->pb->error < 0) code = mux->format->pb->error;
    int closed = avio_closep(&mux->format->pb);
    if (code >= 0) code = closed;
    return code < 0 ? ib_av_fail(mux->diag, ISOBATH_ERR_IO, mux->path, "cannot write", code) : ISOBATH_OK;
}

void ib_av_mux_close(ib_av_mux *mux)
{
    ib_sound_close(mux->sound);
    if (mux->format && mux->format->pb) avio_closep(&mux->format->pb);
    avformat_free_context(mux->format);
    *mux = (ib_av_mux){0};
}
