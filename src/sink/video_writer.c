/* Video by libav; see video_writer.h. No B-frames: packets come out as frames went in, so the presentation times of the
 * container are ours to the microsecond and groups of pictures can be joined without touching time stamps. */
#include "sink/video_writer.h"

#include "base/pool.h"
#include "sink/file.h"
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Encoders in order of preference, all of whose files browsers or common players show. */
static const char *const encoder_names[] = {"libx264", "libopenh264", "mpeg4", NULL};

typedef struct group_slot { /* one group being encoded */
    AVPacket **packets;     /* `group` of them */
    int count;
    uint8_t *extradata;
    int extradata_size;
} group_slot;

typedef struct encode_run {
    const ib_video_job *job;
    ib_diag *diag;
    const AVCodec *codec;
    int64_t first_group; /* of the batch in work */
    group_slot *slots;   /* job->threads of them */
    atomic_int status;
} encode_run;

static const AVCodec *find_encoder(const char *wanted)
{
    if (wanted) return avcodec_find_encoder_by_name(wanted);
    for (int i = 0; encoder_names[i]; i++) {
        const AVCodec *codec = avcodec_find_encoder_by_name(encoder_names[i]);
        if (codec) return codec;
    }
    return NULL;
}

static isobath_status av_fail(ib_diag *diag, isobath_status status, const char *path, const char *what, int code)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    return ib_fail(diag, status, "%s: %s: %s", path, what, text);
}

static isobath_status open_encoder(const encode_run *run, AVCodecContext **out)
{
    const ib_video_job *job = run->job;
    AVCodecContext *ctx = avcodec_alloc_context3(run->codec);
    *out = ctx;
    if (!ctx) return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->path);
    ctx->width = job->width;
    ctx->height = job->height;
    ctx->pix_fmt = AV_PIX_FMT_YUV420P;
    ctx->framerate = av_d2q(job->fps > 0 && job->fps < 1000 ? job->fps : 30, 60000);
    ctx->time_base = av_inv_q(ctx->framerate);
    ctx->gop_size = job->group;
    ctx->max_b_frames = 0;
    ctx->thread_count = 1;
    ctx->color_range = AVCOL_RANGE_MPEG;
    ctx->colorspace = AVCOL_SPC_BT709;
    ctx->color_primaries = AVCOL_PRI_BT709;
    ctx->color_trc = AVCOL_TRC_BT709;
    ctx->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    if (strcmp(run->codec->name, "libx264") == 0) {
        av_opt_set(ctx->priv_data, "preset", "veryfast", 0);
        av_opt_set(ctx->priv_data, "crf", "18", 0);
        av_opt_set(ctx->priv_data, "x264-params", "log=0:scenecut=0", 0);
    } else {
        ctx->flags |= AV_CODEC_FLAG_QSCALE;
        ctx->global_quality = 3 * FF_QP2LAMBDA;
        ctx->bit_rate = (int64_t)job->width * job->height * 6; /* for encoders without a quality scale */
    }
    int code = avcodec_open2(ctx, run->codec, NULL);
    if (code < 0) return av_fail(run->diag, ISOBATH_ERR_UNSUPPORTED, job->path, run->codec->name, code);
    return ISOBATH_OK;
}

/* Moves what the encoder has ready into the slot. */
static isobath_status receive(const encode_run *run, AVCodecContext *ctx, group_slot *slot)
{
    for (;;) {
        if (slot->count == run->job->group) return ISOBATH_OK;
        AVPacket *packet = slot->packets[slot->count];
        int code = avcodec_receive_packet(ctx, packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return ISOBATH_OK;
        if (code < 0) return av_fail(run->diag, ISOBATH_ERR_INTERNAL, run->job->path, "encoding failed", code);
        slot->count++;
    }
}

static isobath_status encode_frames(const encode_run *run, AVCodecContext *ctx, AVFrame *frame, int64_t first, int n,
                                    group_slot *slot, int thread)
{
    const ib_video_job *job = run->job;
    for (int i = 0; i < n; i++) {
        if (job->cancelled && job->cancelled(job->cancel_ctx))
            return ib_fail(run->diag, ISOBATH_ERR_INTERRUPTED, "%s: stopped before it was complete", job->path);
        if (av_frame_make_writable(frame) < 0) /* the encoder may still hold the last one */
            return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->path);
        IB_TRY(job->draw(job->ctx, first + i, thread, frame->data, frame->linesize));
        frame->pts = i;
        int code = avcodec_send_frame(ctx, frame);
        if (code < 0) return av_fail(run->diag, ISOBATH_ERR_INTERNAL, job->path, "encoding failed", code);
        IB_TRY(receive(run, ctx, slot));
    }
    avcodec_send_frame(ctx, NULL);
    IB_TRY(receive(run, ctx, slot));
    if (slot->count != n)
        return ib_fail(run->diag, ISOBATH_ERR_INTERNAL, "%s: the encoder made %d packets of %d frames", job->path,
                       slot->count, n);
    return ISOBATH_OK;
}

static isobath_status encode_group(encode_run *run, int64_t group, group_slot *slot, int thread)
{
    const ib_video_job *job = run->job;
    int64_t first = group * job->group, left = job->frames - first;
    int n = left < job->group ? (int)left : job->group;
    slot->count = 0;
    AVCodecContext *ctx = NULL;
    AVFrame *frame = av_frame_alloc();
    isobath_status st = open_encoder(run, &ctx);
    if (st == ISOBATH_OK && frame) {
        frame->width = job->width;
        frame->height = job->height;
        frame->format = AV_PIX_FMT_YUV420P;
        frame->color_range = AVCOL_RANGE_MPEG;
        frame->colorspace = AVCOL_SPC_BT709;
    }
    if (st == ISOBATH_OK && (!frame || av_frame_get_buffer(frame, 0) < 0))
        st = ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->path);
    if (st == ISOBATH_OK) st = encode_frames(run, ctx, frame, first, n, slot, thread);
    if (st == ISOBATH_OK && !slot->extradata && ctx->extradata_size > 0) {
        slot->extradata = av_mallocz((size_t)ctx->extradata_size + AV_INPUT_BUFFER_PADDING_SIZE);
        if (slot->extradata) memcpy(slot->extradata, ctx->extradata, (size_t)ctx->extradata_size);
        slot->extradata_size = slot->extradata ? ctx->extradata_size : 0;
    }
    av_frame_free(&frame);
    avcodec_free_context(&ctx);
    return st;
}

static void encode_job(void *ctx, int64_t i, int thread)
{
    encode_run *run = ctx;
    if (atomic_load(&run->status) != ISOBATH_OK) return;
    int st = encode_group(run, run->first_group + i, &run->slots[i], thread), none = ISOBATH_OK;
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&run->status, &none, st);
}

/* Opens PATH.tmp as MP4 with one video stream whose time base is the microsecond. */
static isobath_status open_muxer(const encode_run *run, const char *tmp, const group_slot *slot, AVFormatContext **out)
{
    const ib_video_job *job = run->job;
    AVFormatContext *mux = NULL;
    *out = NULL;
    int code = avformat_alloc_output_context2(&mux, NULL, "mp4", tmp);
    AVStream *stream = mux ? avformat_new_stream(mux, NULL) : NULL;
    *out = mux;
    if (code < 0 || !stream) return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->path);
    mux->flags |= AVFMT_FLAG_BITEXACT;
    AVCodecParameters *par = stream->codecpar;
    par->codec_type = AVMEDIA_TYPE_VIDEO;
    par->codec_id = run->codec->id;
    par->width = job->width;
    par->height = job->height;
    par->format = AV_PIX_FMT_YUV420P;
    par->color_range = AVCOL_RANGE_MPEG;
    par->color_space = AVCOL_SPC_BT709;
    par->color_primaries = AVCOL_PRI_BT709;
    par->color_trc = AVCOL_TRC_BT709;
    par->sample_aspect_ratio = (AVRational){1, 1};
    stream->sample_aspect_ratio = par->sample_aspect_ratio;
    if (slot->extradata_size > 0) {
        par->extradata = av_mallocz((size_t)slot->extradata_size + AV_INPUT_BUFFER_PADDING_SIZE);
        if (!par->extradata) return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->path);
        memcpy(par->extradata, slot->extradata, (size_t)slot->extradata_size);
        par->extradata_size = slot->extradata_size;
    }
    stream->time_base = (AVRational){1, 1000000};
    if (job->fps > 0 && job->fps < 1000) stream->avg_frame_rate = av_d2q(job->fps, 60000);
    code = avio_open(&mux->pb, tmp, AVIO_FLAG_WRITE);
    if (code < 0) return av_fail(run->diag, ISOBATH_ERR_IO, job->path, "cannot create", code);
    AVDictionary *options = NULL;
    av_dict_set(&options, "movflags", "+faststart", 0);
    code = avformat_write_header(mux, &options);
    av_dict_free(&options);
    if (code < 0) return av_fail(run->diag, ISOBATH_ERR_IO, job->path, "cannot write", code);
    return ISOBATH_OK;
}

/* Presentation times from 0, strictly increasing. NULL: out of memory. */
static int64_t *tidy_times(const ib_video_job *job)
{
    int64_t *times = malloc((size_t)job->frames * sizeof *times);
    for (int64_t i = 0; times && i < job->frames; i++) {
        times[i] = job->times_us[i] - job->times_us[0];
        if (i > 0 && times[i] <= times[i - 1]) times[i] = times[i - 1] + 1;
    }
    return times;
}

static isobath_status mux_group(const encode_run *run, AVFormatContext *mux, group_slot *slot, int64_t first,
                                const int64_t *times)
{
    const ib_video_job *job = run->job;
    int64_t usual = job->fps > 0 ? (int64_t)(1e6 / job->fps + 0.5) : 33333;
    for (int i = 0; i < slot->count; i++) {
        AVPacket *packet = slot->packets[i];
        int64_t k = first + i;
        packet->stream_index = 0;
        packet->pts = packet->dts = times[k];
        packet->duration = k + 1 < job->frames ? times[k + 1] - times[k] : k > 0 ? times[k] - times[k - 1] : usual;
        packet->pos = -1;
        AVRational from = {1, 1000000};
        av_packet_rescale_ts(packet, from, mux->streams[0]->time_base);
        int code = av_write_frame(mux, packet);
        av_packet_unref(packet);
        if (code >= 0 && mux->pb->error < 0) code = mux->pb->error;
        if (code < 0) return av_fail(run->diag, ISOBATH_ERR_IO, job->path, "cannot write", code);
    }
    return ISOBATH_OK;
}

/* Encodes batch after batch and muxes in order. */
static isobath_status encode_all(encode_run *run, const char *tmp, const int64_t *times, ib_pool *pool,
                                 AVFormatContext **mux)
{
    const ib_video_job *job = run->job;
    int64_t groups = (job->frames + job->group - 1) / job->group;
    for (int64_t g = 0; g < groups; g += job->threads) {
        int64_t n = groups - g < job->threads ? groups - g : job->threads;
        run->first_group = g;
        ib_pool_run(pool, n, encode_job, run);
        IB_TRY((isobath_status)atomic_load(&run->status));
        if (!*mux) IB_TRY(open_muxer(run, tmp, &run->slots[0], mux));
        for (int64_t i = 0; i < n; i++) IB_TRY(mux_group(run, *mux, &run->slots[i], (g + i) * job->group, times));
    }
    int code = av_write_trailer(*mux);
    if (code >= 0 && (*mux)->pb->error < 0) code = (*mux)->pb->error;
    int closed = avio_closep(&(*mux)->pb);
    if (code >= 0) code = closed;
    if (code < 0) return av_fail(run->diag, ISOBATH_ERR_IO, job->path, "cannot write", code);
    return ISOBATH_OK;
}

static void free_slots(encode_run *run)
{
    for (int t = 0; run->slots && t < run->job->threads; t++) {
        group_slot *slot = &run->slots[t];
        for (int i = 0; slot->packets && i < run->job->group; i++) av_packet_free(&slot->packets[i]);
        free(slot->packets);
        av_free(slot->extradata);
    }
    free(run->slots);
}

static int alloc_slots(encode_run *run)
{
    run->slots = calloc((size_t)run->job->threads, sizeof *run->slots);
    if (!run->slots) return 0;
    for (int t = 0; t < run->job->threads; t++) {
        group_slot *slot = &run->slots[t];
        slot->packets = calloc((size_t)run->job->group, sizeof *slot->packets);
        if (!slot->packets) return 0;
        for (int i = 0; i < run->job->group; i++)
            if (!(slot->packets[i] = av_packet_alloc())) return 0;
    }
    return 1;
}

/* libav prints to stderr by default. A program that has chosen a level of its own keeps it. */
static void quiet_libav(void)
{
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
}

isobath_status ib_video_encode(const ib_video_job *job, ib_diag *diag, char encoder[64])
{
    encoder[0] = 0;
    quiet_libav();
    encode_run run = {.job = job, .diag = diag, .codec = find_encoder(job->encoder)};
    atomic_init(&run.status, ISOBATH_OK);
    if (!run.codec)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: this build of FFmpeg has no encoder for it (%s)", job->path,
                       job->encoder ? job->encoder : "libx264, libopenh264, mpeg4");
    snprintf(encoder, 64, "%s", run.codec->name);
    char *tmp = ib_text("%s.tmp", job->path);
    int64_t *times = tidy_times(job);
    ib_pool *pool = NULL;
    AVFormatContext *mux = NULL;
    isobath_status st = tmp && times && alloc_slots(&run) ? ISOBATH_OK
                                                          : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->path);
    if (st == ISOBATH_OK) st = ib_pool_create(job->threads, diag, &pool);
    if (st == ISOBATH_OK) st = encode_all(&run, tmp, times, pool, &mux);
    if (mux && mux->pb) avio_closep(&mux->pb);
    avformat_free_context(mux);
    ib_pool_destroy(pool);
    free_slots(&run);
    if (st == ISOBATH_OK)
        st = ib_commit_path(tmp, job->path, diag);
    else if (tmp)
        unlink(tmp);
    free(times);
    free(tmp);
    return st;
}
