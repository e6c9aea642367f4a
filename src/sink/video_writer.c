/* Videos encoded group by group, in parallel; see video_writer.h. No B-frames: packets come out as frames went in, so
 * groups of pictures can be joined without touching time stamps. */
#include "sink/video_av.h"

#include "base/pool.h"
#include "sink/file.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct group_slot { /* one group being encoded */
    AVPacket **packets;     /* job->group of them */
    int count;
    uint8_t *extradata;
    int extradata_size;
} group_slot;

typedef struct encode_run {
    const ib_video_job *job;
    ib_diag *diag;
    const AVCodec *codec;
    ib_video_result *result;
    int64_t first_group; /* of the batch in work */
    group_slot *slots;   /* job->threads of them */
    atomic_int status;
    ib_av_mux mux;
} encode_run;

/* Moves what the encoder has ready into the slot. */
static isobath_status receive(const encode_run *run, AVCodecContext *ctx, group_slot *slot)
{
    while (slot->count < run->job->group) {
        int code = avcodec_receive_packet(ctx, slot->packets[slot->count]);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return ISOBATH_OK;
        if (code < 0)
            return ib_av_fail(run->diag, ISOBATH_ERR_INTERNAL, run->job->format.path, "encoding failed", code);
        slot->count++;
    }
    return ISOBATH_OK;
}

static isobath_status encode_frames(const encode_run *run, AVCodecContext *ctx, AVFrame *frame, int64_t first, int n,
                                    group_slot *slot, int thread)
{
    const ib_video_job *job = run->job;
    const char *path = job->format.path;
    for (int i = 0; i < n; i++) {
        if (job->cancelled && job->cancelled(job->cancel_ctx))
            return ib_fail(run->diag, ISOBATH_ERR_INTERRUPTED, "%s: stopped before it was complete", path);
        if (av_frame_make_writable(frame) < 0) /* the encoder may still hold the last one */
            return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
        IB_TRY(job->draw(job->ctx, first + i, thread, frame->data, frame->linesize));
        frame->pts = i;
        int code = avcodec_send_frame(ctx, frame);
        if (code < 0) return ib_av_fail(run->diag, ISOBATH_ERR_INTERNAL, path, "encoding failed", code);
        IB_TRY(receive(run, ctx, slot));
    }
    avcodec_send_frame(ctx, NULL);
    IB_TRY(receive(run, ctx, slot));
    if (slot->count != n)
        return ib_fail(run->diag, ISOBATH_ERR_INTERNAL, "%s: the encoder made %d packets of %d frames", path,
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
    AVFrame *frame = ib_av_frame(&job->format);
    isobath_status st = ib_av_open_encoder(run->codec, &job->format, job->group, 1, run->diag, &ctx);
    if (st == ISOBATH_OK && !frame) st = ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    if (st == ISOBATH_OK) st = encode_frames(run, ctx, frame, first, n, slot, thread);
    if (st == ISOBATH_OK && !slot->extradata && ctx->extradata_size > 0) {
        slot->extradata = av_memdup(ctx->extradata, (size_t)ctx->extradata_size);
        slot->extradata_size = slot->extradata ? ctx->extradata_size : 0;
    }
    av_frame_free(&frame);
    avcodec_free_context(&ctx);
    return st;
}

static void encode_one(void *ctx, int64_t i, int thread)
{
    encode_run *run = ctx;
    if (atomic_load(&run->status) != ISOBATH_OK) return;
    int st = encode_group(run, run->first_group + i, &run->slots[i], thread), none = ISOBATH_OK;
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&run->status, &none, st);
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

/* How long frame k is shown. */
static int64_t duration_of(const ib_video_job *job, const int64_t *times, int64_t k)
{
    if (k + 1 < job->frames) return times[k + 1] - times[k];
    if (k > 0) return times[k] - times[k - 1];
    return job->format.fps > 0 ? (int64_t)(1e6 / job->format.fps + 0.5) : 33333;
}

/* Encodes batch after batch and muxes in order. */
static isobath_status encode_all(encode_run *run, const char *tmp, const int64_t *times, ib_pool *pool)
{
    const ib_video_job *job = run->job;
    int64_t groups = (job->frames + job->group - 1) / job->group, k = 0;
    for (int64_t g = 0; g < groups; g += job->threads) {
        int64_t n = groups - g < job->threads ? groups - g : job->threads;
        run->first_group = g;
        ib_pool_run(pool, n, encode_one, run);
        IB_TRY((isobath_status)atomic_load(&run->status));
        if (g == 0)
            IB_TRY(ib_av_mux_open(&run->mux, run->codec, &job->format, run->slots[0].extradata,
                                  run->slots[0].extradata_size, job->times_us[0], tmp, run->diag, run->result));
        for (int64_t i = 0; i < n; i++)
            for (int p = 0; p < run->slots[i].count; p++, k++)
                IB_TRY(ib_av_mux_write(&run->mux, run->slots[i].packets[p], times[k], duration_of(job, times, k)));
    }
    return ib_av_mux_finish(&run->mux, times[job->frames - 1] + duration_of(job, times, job->frames - 1));
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
    for (int t = 0; run->slots && t < run->job->threads; t++) {
        group_slot *slot = &run->slots[t];
        slot->packets = calloc((size_t)run->job->group, sizeof *slot->packets);
        if (!slot->packets) return 0;
        for (int i = 0; i < run->job->group; i++)
            if (!(slot->packets[i] = av_packet_alloc())) return 0;
    }
    return run->slots != NULL;
}

isobath_status ib_video_encode(const ib_video_job *job, ib_diag *diag, ib_video_result *result)
{
    *result = (ib_video_result){0};
    ib_av_quiet();
    encode_run run = {.job = job, .diag = diag, .codec = ib_av_find_encoder(&job->format), .result = result};
    atomic_init(&run.status, ISOBATH_OK);
    if (!run.codec) return ib_av_no_encoder(&job->format, diag);
    snprintf(result->encoder, sizeof result->encoder, "%s", run.codec->name);
    char *tmp = ib_text("%s.tmp", job->format.path);
    int64_t *times = tidy_times(job);
    ib_pool *pool = NULL;
    isobath_status st = ISOBATH_OK;
    if (!tmp || !times || !alloc_slots(&run))
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    if (st == ISOBATH_OK) st = ib_pool_create(job->threads, diag, &pool);
    if (st == ISOBATH_OK) st = encode_all(&run, tmp, times, pool);
    ib_av_mux_close(&run.mux);
    ib_pool_destroy(pool);
    free_slots(&run);
    if (st == ISOBATH_OK)
        st = ib_commit_path(tmp, job->format.path, diag);
    else if (tmp)
        unlink(tmp);
    free(times);
    free(tmp);
    return st;
}
