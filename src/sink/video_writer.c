/* Videos encoded group by group, in parallel; see video_writer.h. No B-frames: packets come out as frames went in, so
 * groups of pictures can be joined without touching time stamps. */
#include "sink/video_segment.h"

#include "base/pool.h"
#include "sink/file.h"
#include "sink/video_hardware.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct encode_run {
    const ib_video_job *job;
    ib_diag *diag;
    const AVCodec *codec;
    const char *folder;  /* of the segments */
    ib_segment *slots;   /* job->threads of them */
    atomic_int status;
} encode_run;

/* Moves what the encoder has ready into the slot. */
static isobath_status receive(const encode_run *run, AVCodecContext *ctx, ib_segment *slot)
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
                                    ib_segment *slot, int thread)
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

static isobath_status encode_group(encode_run *run, int64_t group, ib_segment *slot, int thread)
{
    const ib_video_job *job = run->job;
    int64_t first = group * job->group, left = job->frames - first;
    int n = left < job->group ? (int)left : job->group;
    ib_segment_key key = ib_segment_key_of(&job->format, run->codec, first, n);
    if (ib_segment_read(run->folder, group, &key, NULL) > 0) return ISOBATH_OK; /* of a run that was interrupted */
    ib_segment_clear(slot);
    AVCodecContext *ctx = NULL;
    AVFrame *frame = ib_av_frame(&job->format);
    isobath_status st = ib_av_open_encoder(run->codec, &job->format, job->group, 1, run->diag, &ctx);
    if (st == ISOBATH_OK && !frame) st = ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    if (st == ISOBATH_OK) st = encode_frames(run, ctx, frame, first, n, slot, thread);
    if (st == ISOBATH_OK && ctx->extradata_size > 0) {
        slot->extradata = av_memdup(ctx->extradata, (size_t)ctx->extradata_size);
        if (slot->extradata) slot->extradata_size = ctx->extradata_size;
        else st = ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    }
    av_frame_free(&frame);
    avcodec_free_context(&ctx);
    return st == ISOBATH_OK ? ib_segment_write(run->folder, group, &key, slot, run->diag) : st;
}

static void encode_one(void *ctx, int64_t i, int thread)
{
    encode_run *run = ctx;
    if (atomic_load(&run->status) != ISOBATH_OK) return;
    int st = encode_group(run, i, &run->slots[thread], thread), none = ISOBATH_OK;
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

/* With the encoder of format.hardware; *done = 0: this machine cannot. */
static isobath_status try_hardware(encode_run *run, ib_pool *pool, ib_video_result *result, int *done)
{
    ib_diag diag = IB_DIAG_INIT;
    const AVCodec *codec;
    isobath_status st = ib_video_encode_hardware(run->job, run->folder, pool, &run->slots[0], &diag, &codec);
    *done = st == ISOBATH_OK || st == ISOBATH_ERR_INTERRUPTED || st == ISOBATH_ERR_IO;
    if (*done && st != ISOBATH_OK) ib_fail(run->diag, st, "%s", diag.text);
    if (!*done) snprintf(result->no_hardware, sizeof result->no_hardware, "%.255s", diag.text);
    if (st == ISOBATH_OK) run->codec = codec;
    ib_diag_destroy(&diag);
    return *done ? st : ISOBATH_OK;
}

/* Encodes every group, then joins them. */
static isobath_status encode_all(encode_run *run, ib_pool *pool, const int64_t *times, ib_video_result *result)
{
    const ib_video_job *job = run->job;
    int done = 0;
    if (job->format.hardware) IB_TRY(try_hardware(run, pool, result, &done));
    if (!done && !run->codec) return ib_av_no_encoder(&job->format, run->diag);
    if (!done) ib_pool_run(pool, (job->frames + job->group - 1) / job->group, encode_one, run);
    IB_TRY((isobath_status)atomic_load(&run->status));
    snprintf(result->encoder, sizeof result->encoder, "%s", run->codec->name);
    char *tmp = ib_text("%s.tmp", job->format.path);
    ib_segment_joining joining = {.format = &job->format, .codec = run->codec, .folder = run->folder, .tmp = tmp, .times_us = times,
                                  .first_time_us = job->times_us[0], .frames = job->frames, .segment_frames = job->group,
                                  .diag = run->diag};
    isobath_status st = tmp ? ib_segments_join(&joining, &run->slots[0], result)
                            : ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    free(tmp);
    return st;
}

isobath_status ib_video_encode(const ib_video_job *job, ib_diag *diag, ib_video_result *result)
{
    *result = (ib_video_result){0};
    ib_av_quiet();
    encode_run run = {.job = job, .diag = diag, .codec = ib_av_find_encoder(&job->format)};
    atomic_init(&run.status, ISOBATH_OK);
    if (!run.codec && !job->format.hardware) return ib_av_no_encoder(&job->format, diag);
    char *folder = ib_segment_folder(job->format.path);
    int64_t *times = tidy_times(job);
    ib_pool *pool = NULL;
    run.folder = folder;
    run.slots = calloc((size_t)job->threads, sizeof *run.slots);
    isobath_status st = ISOBATH_OK;
    if (!folder || !times || !run.slots) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    for (int t = 0; st == ISOBATH_OK && t < job->threads; t++) st = ib_segment_create(job->group, diag, &run.slots[t]);
    if (st == ISOBATH_OK && !job->format.resumable) st = ib_remove_part(folder, diag);
    if (st == ISOBATH_OK) st = ib_make_folder(folder, diag);
    if (st == ISOBATH_OK) st = ib_pool_create(job->threads, diag, &pool);
    if (st == ISOBATH_OK) st = encode_all(&run, pool, times, result);
    ib_pool_destroy(pool);
    for (int t = 0; run.slots && t < job->threads; t++) ib_segment_destroy(&run.slots[t]);
    if (folder && !job->format.resumable) ib_remove_part(folder, NULL);
    free(run.slots);
    free(times);
    free(folder);
    return st;
}

void ib_video_parts(const char *path, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *folder = ib_segment_folder(path);
    if (folder) add(ctx, folder);
    free(folder);
}
