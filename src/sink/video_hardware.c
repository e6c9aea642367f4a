/* See video_hardware.h. While the encoder works on one batch of frames the pool draws the next. The first frame of each segment is a key
 * frame, so segments are closed as those of other encoders are; only rate control knows of the frames before. */
#include "sink/video_hardware.h"

#include "sink/file.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { BATCH = 32 };
#define BATCH_BYTES ((int64_t)96 << 20)

typedef struct serial_run {
    const ib_video_job *job;
    ib_diag *diag;
    const char *folder;
    AVCodecContext *encoder;
    ib_segment *segment;         /* being filled */
    int64_t sent, received;      /* frames of the video, from 0 */
    AVFrame **frames[2];         /* two batches */
    int batch;
    int64_t first[2], count[2];  /* frames in them */
    int drawing, encoding;       /* which batch */
    atomic_int status;           /* of drawing */
    isobath_status encode_status;
} serial_run;

static isobath_status end_segment(serial_run *run)
{
    const ib_video_job *job = run->job;
    ib_segment *s = run->segment;
    int64_t first = run->received - s->count;
    if (!(s->packets[0]->flags & AV_PKT_FLAG_KEY))
        return ib_fail(run->diag, ISOBATH_ERR_INTERNAL, "%s: the encoder made no key frame of frame %lld", job->format.path, (long long)first);
    if (run->encoder->extradata_size > 0) {
        s->extradata = av_memdup(run->encoder->extradata, (size_t)run->encoder->extradata_size);
        if (!s->extradata) return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
        s->extradata_size = run->encoder->extradata_size;
    }
    ib_segment_key key = ib_segment_key_of(&job->format, run->encoder->codec, first, s->count);
    IB_TRY(ib_segment_write(run->folder, first / job->group, &key, s, run->diag));
    ib_segment_clear(s);
    return ISOBATH_OK;
}

/* Takes what the encoder has ready. */
static isobath_status receive(serial_run *run)
{
    const ib_video_job *job = run->job;
    for (;;) {
        int code = avcodec_receive_packet(run->encoder, run->segment->packets[run->segment->count]);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return ISOBATH_OK;
        if (code < 0) return ib_av_fail(run->diag, ISOBATH_ERR_INTERNAL, job->format.path, "encoding failed", code);
        run->segment->count++;
        run->received++;
        if (run->segment->count == job->group || run->received == job->frames) IB_TRY(end_segment(run));
    }
}

static isobath_status encode_batch(serial_run *run, int which)
{
    const ib_video_job *job = run->job;
    for (int64_t i = 0; i < run->count[which]; i++) {
        AVFrame *frame = run->frames[which][i];
        int64_t number = run->first[which] + i;
        if (job->cancelled && job->cancelled(job->cancel_ctx))
            return ib_fail(run->diag, ISOBATH_ERR_INTERRUPTED, "%s: stopped before it was complete", job->format.path);
        frame->pts = number;
        frame->pict_type = number % job->group == 0 ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
        int code = avcodec_send_frame(run->encoder, frame);
        if (code < 0) return ib_av_fail(run->diag, ISOBATH_ERR_INTERNAL, job->format.path, "encoding failed", code);
        IB_TRY(receive(run));
    }
    return ISOBATH_OK;
}

static void *encode_main(void *arg)
{
    serial_run *run = arg;
    run->encode_status = encode_batch(run, run->encoding);
    return NULL;
}

static void draw_one(void *ctx, int64_t i, int thread)
{
    serial_run *run = ctx;
    const ib_video_job *job = run->job;
    AVFrame *frame = run->frames[run->drawing][i];
    if (atomic_load(&run->status) != ISOBATH_OK) return;
    int none = ISOBATH_OK, st = ISOBATH_ERR_MEMORY;
    if (av_frame_make_writable(frame) >= 0) /* the encoder may still hold it */
        st = job->draw(job->ctx, run->first[run->drawing] + i, thread, frame->data, frame->linesize);
    else ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", job->format.path);
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&run->status, &none, st);
}

/* Frames from `next` on, to the end. */
static isobath_status encode_from(serial_run *run, ib_pool *pool, int64_t next)
{
    const ib_video_job *job = run->job;
    int busy = 0;
    pthread_t thread;
    isobath_status st = ISOBATH_OK;
    run->received = next;
    for (int which = 0; st == ISOBATH_OK && next < job->frames; which ^= 1) {
        int64_t left = job->frames - next;
        run->first[which] = next;
        run->count[which] = left < run->batch ? left : run->batch;
        next += run->count[which];
        run->drawing = which;
        ib_pool_run(pool, run->count[which], draw_one, run);
        if (busy) {
            pthread_join(thread, NULL);
            st = run->encode_status;
        }
        busy = 0;
        if (st == ISOBATH_OK) st = (isobath_status)atomic_load(&run->status);
        if (st != ISOBATH_OK) break;
        run->encoding = which;
        busy = pthread_create(&thread, NULL, encode_main, run) == 0;
        if (!busy) st = encode_batch(run, which);
    }
    if (busy) {
        pthread_join(thread, NULL);
        if (st == ISOBATH_OK) st = run->encode_status;
    }
    if (st != ISOBATH_OK) return st;
    avcodec_send_frame(run->encoder, NULL);
    IB_TRY(receive(run));
    if (run->received != job->frames)
        return ib_fail(run->diag, ISOBATH_ERR_INTERNAL, "%s: the encoder made %lld packets of %lld frames", job->format.path,
                       (long long)run->received, (long long)job->frames);
    return ISOBATH_OK;
}

static isobath_status make_batches(serial_run *run)
{
    const ib_video_format *f = &run->job->format;
    int64_t most = BATCH_BYTES / ((int64_t)f->width * f->height * 3 / 2 + 1);
    run->batch = most < 1 ? 1 : most < BATCH ? (int)most : BATCH;
    int ok = 1;
    for (int b = 0; b < 2; b++) {
        run->frames[b] = calloc((size_t)run->batch, sizeof *run->frames[b]);
        ok = ok && run->frames[b];
        for (int i = 0; ok && i < run->batch; i++) ok = (run->frames[b][i] = ib_av_frame(f)) != NULL;
    }
    return ok ? ISOBATH_OK : ib_fail(run->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", f->path);
}

/* Segments that an interrupted call left at the beginning. */
static int64_t leading_frames(const serial_run *run, const AVCodec *codec)
{
    const ib_video_job *job = run->job;
    int64_t done = 0;
    while (done < job->frames) {
        int64_t left = job->frames - done;
        int n = left < job->group ? (int)left : job->group;
        ib_segment_key key = ib_segment_key_of(&job->format, codec, done, n);
        if (ib_segment_read(run->folder, done / job->group, &key, NULL) <= 0) break;
        done += n;
    }
    return done;
}

isobath_status ib_video_encode_hardware(const ib_video_job *job, const char *folder, ib_pool *pool, ib_segment *segment, ib_diag *diag,
                                        const AVCodec **codec)
{
    serial_run run = {.job = job, .diag = diag, .folder = folder, .segment = segment};
    *codec = avcodec_find_encoder_by_name(job->format.hardware);
    if (!*codec) return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "this build of FFmpeg has no %s", job->format.hardware);
    int64_t next = leading_frames(&run, *codec);
    if (next == job->frames) return ISOBATH_OK;
    ib_segment_clear(segment);
    isobath_status st = ib_av_open_encoder(*codec, &job->format, job->group, 1, diag, &run.encoder);
    if (st == ISOBATH_OK) st = make_batches(&run);
    if (st == ISOBATH_OK) st = encode_from(&run, pool, next);
    for (int b = 0; b < 2; b++) {
        for (int i = 0; run.frames[b] && i < run.batch; i++) av_frame_free(&run.frames[b][i]);
        free(run.frames[b]);
    }
    avcodec_free_context(&run.encoder);
    ib_segment_clear(segment);
    return st;
}
