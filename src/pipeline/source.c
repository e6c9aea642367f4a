/* Source frames and the decoding thread; see source.h. */
#include "pipeline/source.h"

#include "base/clock.h"
#include "base/thread_name.h"
#include "pipeline/shots.h"
#include <stdlib.h>
#include <string.h>

#define JUMP_FRAMES 64 /* fewer are decoded sooner than a key frame before them is found */

struct ib_source {
    ib_media *media;
    ib_diag *diag;
    ib_channel *raw;     /* decoded, not looked at yet */
    ib_channel *channel; /* for the consumer */
    pthread_t thread, looker;
    ib_media_viewer *viewer;
    atomic_int_fast64_t decoded, likely_cuts;
    ib_busy busy;
    ib_source_cuts cuts;
    ib_frame_pool pool;
    int64_t next_cut; /* in cuts.list */
    int64_t frames_read;
    ib_repeats repeats; /* the decoding thread's */
    int64_t sure; /* frames before this one are known to be no cut, and the detector has not seen enough before them */
    ib_cut_detector detector;
    ib_source_frame *waiting[IB_CUT_LOOKAHEAD + 1]; /* decoded, not decided */
    int waiting_count;
};

static void release_heap(ib_source_frame *frame)
{
    ib_media_picture_free(frame->picture);
    free(frame);
}

ib_source_frame *ib_source_frame_create(int width, int height)
{
    ib_source_frame *f = malloc(sizeof *f + (size_t)width * (size_t)height * 3);
    if (!f) return NULL;
    *f = (ib_source_frame){.width = width, .height = height, .rgb = (uint8_t *)(f + 1), .release = release_heap};
    atomic_init(&f->refs, 1);
    return f;
}

static ib_source_frame *take_heap(void *ctx, int width, int height)
{
    (void)ctx;
    return ib_source_frame_create(width, height);
}

/* Without room for RGB. */
static ib_source_frame *take_reference(void *ctx, int width, int height)
{
    (void)ctx;
    ib_source_frame *f = malloc(sizeof *f);
    if (!f) return NULL;
    *f = (ib_source_frame){.width = width, .height = height, .release = release_heap};
    atomic_init(&f->refs, 1);
    return f;
}

const ib_frame_pool ib_frame_pool_by_reference = {.take = take_reference};

ib_source_frame *ib_source_frame_ref(ib_source_frame *frame)
{
    if (frame) atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    return frame;
}

void ib_source_frame_unref(ib_source_frame *frame)
{
    if (frame && atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) == 1) frame->release(frame);
}

/* Bytes that a frame keeps busy. */
static size_t frame_bytes(const ib_source_frame *f)
{
    if (!f->planes) return (size_t)f->width * (size_t)f->height * 3;
    size_t bytes = 0;
    for (int i = 0; i < f->planes->planes; i++) bytes += (size_t)f->planes->stride[i] * (size_t)f->planes->rows[i];
    return bytes;
}

/* Passes over frames that nobody wants. 0: the end, an error or a stop. */
static int skip_frames(ib_source *s)
{
    for (;;) {
        int64_t next = s->frames_read, to = next < s->cuts.first ? s->cuts.first : next > s->cuts.first && next < s->cuts.skip_end ? s->cuts.skip_end : next;
        ib_media_frame meta;
        int got = 0;
        if (to == next) return 1;
        if (ib_channel_stopped(s->channel)) return 0;
        if (s->cuts.times_us && to - next >= JUMP_FRAMES) {
            if (ib_media_jump(s->media, to, s->cuts.times_us[to]) != ISOBATH_OK) return 0;
            s->frames_read = to;
            continue;
        }
        if (ib_media_read(s->media, NULL, &meta, &got) != ISOBATH_OK || !got || ib_repeats_add(&s->repeats, &meta, s->diag) != ISOBATH_OK) return 0;
        s->frames_read++;
    }
}

/* One decoded frame, or NULL at the end and after an error. */
static ib_source_frame *decode_frame(ib_source *s, const ib_media_info *info)
{
    if (!skip_frames(s)) return NULL;
    s->frames_read++;
    ib_source_frame *f = s->pool.take(s->pool.ctx, info->width, info->height);
    if (!f) {
        if (!ib_channel_stopped(s->channel))
            ib_fail(s->diag, ISOBATH_ERR_MEMORY, "out of memory for a source frame of %d x %d", info->width, info->height);
        return NULL;
    }
    ib_media_frame meta;
    int got = 0;
    isobath_status st = f->rgb ? ib_media_read(s->media, f->rgb, &meta, &got)
                               : ib_media_read_picture(s->media, &f->picture, &meta, &got);
    if (st == ISOBATH_OK && got) st = ib_repeats_add(&s->repeats, &meta, s->diag);
    if (st != ISOBATH_OK || !got) {
        ib_source_frame_unref(f);
        return NULL;
    }
    if (f->picture) {
        f->planes = ib_media_picture_planes(f->picture);
        f->rgb = ib_media_picture_rgb(f->picture);
    }
    f->index = meta.index;
    f->pts_us = meta.pts_us;
    f->repeated = meta.repeated;
    return f;
}

/* Decides about the oldest waiting frame and hands it on. 0: the channel was stopped. */
static int release_frame(ib_source *s)
{
    ib_source_frame *f = s->waiting[0];
    int cut = f->index >= s->sure && ib_cut_detector_is_cut(&s->detector, f->index);
    atomic_fetch_add_explicit(&s->likely_cuts, cut, memory_order_relaxed);
    if (s->cuts.detect) f->starts_shot = cut;
    while (s->next_cut < s->cuts.count && s->cuts.list[s->next_cut] < f->index) s->next_cut++;
    if (s->next_cut < s->cuts.count && s->cuts.list[s->next_cut] == f->index) f->starts_shot = 1;
    memmove(s->waiting, s->waiting + 1, (size_t)--s->waiting_count * sizeof *s->waiting);
    if (ib_channel_push(s->channel, f, frame_bytes(f))) return 1;
    ib_source_frame_unref(f);
    return 0;
}

/* The thumbnail of a frame; 0 after an error. */
static int look_at(ib_source *s, const ib_source_frame *f, ib_thumb *thumb)
{
    ib_yuv_planes planes;
    if (!f->planes) {
        ib_thumb_make(f->rgb, f->width, f->height, thumb);
        return 1;
    }
    if (ib_media_look(&s->viewer, f->picture, s->diag, &planes) != ISOBATH_OK) return 0;
    ib_thumb_make_planes(&planes, thumb);
    return 1;
}

static void *decode_main(void *arg)
{
    ib_source *s = arg;
    ib_thread_name("decode");
    const ib_media_info *info = ib_media_get_info(s->media);
    for (;;) {
        int64_t start = ib_now_us();
        ib_source_frame *f = decode_frame(s, info);
        ib_busy_add(&s->busy, start);
        if (!f) break;
        if (!ib_channel_push(s->raw, f, frame_bytes(f))) {
            ib_source_frame_unref(f);
            break;
        }
    }
    ib_channel_close(s->raw);
    return NULL;
}

/* Beside the decoder: looks for cuts and hands frames on. */
static void *look_main(void *arg)
{
    ib_source *s = arg;
    ib_thread_name("look");
    int open = 1;
    for (ib_source_frame *f; open && (f = ib_channel_pop(s->raw));) {
        ib_thumb thumb;
        if (!look_at(s, f, &thumb) || (s->pool.store && s->pool.store(s->pool.ctx, f, s->diag) != ISOBATH_OK)) {
            ib_source_frame_unref(f);
            ib_channel_stop(s->raw);
            break;
        }
        s->detector.count = f->index; /* it may not have seen all frames */
        ib_cut_detector_push(&s->detector, &thumb);
        atomic_fetch_add_explicit(&s->decoded, 1, memory_order_relaxed);
        s->waiting[s->waiting_count++] = f;
        if (s->waiting_count > IB_CUT_LOOKAHEAD) open = release_frame(s);
    }
    while (open && s->waiting_count) open = release_frame(s);
    while (s->waiting_count) ib_source_frame_unref(s->waiting[--s->waiting_count]);
    ib_channel_close(s->channel);
    return NULL;
}

static void drop_frame(void *item) { ib_source_frame_unref(item); }

isobath_status ib_source_start(ib_media *media, size_t bytes, const ib_source_cuts *cuts, const ib_frame_pool *pool, ib_diag *diag,
                               ib_source **out)
{
    *out = NULL;
    ib_source *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the decoding thread");
    s->media = media;
    s->diag = diag;
    s->cuts = *cuts;
    s->pool = pool ? *pool : (ib_frame_pool){.take = take_heap};
    if (s->pool.take == take_reference && !ib_media_has_planes(media)) s->pool.take = take_heap;
    ib_cut_detector_init(&s->detector);
    if (cuts->first > 0) s->detector.last_cut = cuts->first;
    if (cuts->first > 0) s->sure = cuts->first + 1;
    if (cuts->skip_end > cuts->first) s->sure = cuts->skip_end + IB_CUT_LOOKAHEAD;
    int few = s->pool.take != take_reference; /* RGB frames are large: one between the threads will do */
    isobath_status st = ib_channel_create(bytes, diag, &s->channel);
    if (st == ISOBATH_OK) st = ib_channel_create(few ? 1 : (size_t)12 << 20, diag, &s->raw);
    if (st == ISOBATH_OK && pthread_create(&s->looker, NULL, look_main, s) != 0)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start the thread that looks for cuts");
    else if (st == ISOBATH_OK && pthread_create(&s->thread, NULL, decode_main, s) != 0) {
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start the decoding thread");
        ib_channel_stop(s->raw);
        pthread_join(s->looker, NULL);
    }
    if (st != ISOBATH_OK) {
        ib_channel_destroy(s->raw, NULL);
        ib_channel_destroy(s->channel, NULL);
        free(s);
        return st;
    }
    *out = s;
    return ISOBATH_OK;
}

ib_source_frame *ib_source_next(ib_source *source) { return ib_channel_pop(source->channel); }

void ib_source_stop(ib_source *source)
{
    if (!source->raw) return;
    ib_channel_stop(source->channel);
    ib_channel_stop(source->raw);
}

void ib_source_end(ib_source *source)
{
    if (!source->raw) return;
    ib_source_stop(source);
    pthread_join(source->thread, NULL);
    pthread_join(source->looker, NULL);
    ib_channel_destroy(source->raw, drop_frame);
    ib_channel_destroy(source->channel, drop_frame);
    ib_media_viewer_free(source->viewer);
    source->raw = source->channel = NULL;
    source->viewer = NULL;
}

void ib_source_destroy(ib_source *source)
{
    if (!source) return;
    ib_source_end(source);
    ib_repeats_free(&source->repeats);
    free(source);
}

int64_t ib_source_decoded(const ib_source *source)
{
    return atomic_load_explicit(&((ib_source *)source)->decoded, memory_order_relaxed);
}

double ib_source_busy_s(const ib_source *source)
{
    return (double)atomic_load_explicit(&((ib_source *)source)->busy, memory_order_relaxed) * 1e-6;
}

int64_t ib_source_likely_cuts(const ib_source *source)
{
    return atomic_load_explicit(&((ib_source *)source)->likely_cuts, memory_order_relaxed);
}

const ib_repeats *ib_source_repeats(const ib_source *source) { return &source->repeats; }
