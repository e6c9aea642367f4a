/* Source frames and the decoding thread; see source.h. */
#include "pipeline/source.h"

#include "base/clock.h"
#include <stdlib.h>

struct ib_source {
    ib_media *media;
    ib_diag *diag;
    ib_channel *channel;
    pthread_t thread;
    atomic_int_fast64_t decoded;
    ib_busy busy;
};

ib_source_frame *ib_source_frame_ref(ib_source_frame *frame)
{
    if (frame) atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    return frame;
}

void ib_source_frame_unref(ib_source_frame *frame)
{
    if (frame && atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) == 1) free(frame);
}

static void *decode_main(void *arg)
{
    ib_source *s = arg;
    const ib_media_info *info = ib_media_get_info(s->media);
    size_t bytes = (size_t)info->width * (size_t)info->height * 3;
    for (;;) {
        int64_t start = ib_now_us();
        ib_source_frame *f = malloc(sizeof *f + bytes);
        if (!f) {
            ib_fail(s->diag, ISOBATH_ERR_MEMORY, "out of memory for a source frame of %d x %d", info->width, info->height);
            break;
        }
        atomic_init(&f->refs, 1);
        f->width = info->width;
        f->height = info->height;
        ib_media_frame meta;
        int got = 0;
        if (ib_media_read(s->media, f->rgb, &meta, &got) != ISOBATH_OK || !got) {
            free(f);
            break;
        }
        f->index = meta.index;
        f->pts_us = meta.pts_us;
        ib_busy_add(&s->busy, start);
        atomic_fetch_add_explicit(&s->decoded, 1, memory_order_relaxed);
        if (!ib_channel_push(s->channel, f, bytes)) {
            ib_source_frame_unref(f);
            break;
        }
    }
    ib_channel_close(s->channel);
    return NULL;
}

isobath_status ib_source_start(ib_media *media, size_t bytes, ib_diag *diag, ib_source **out)
{
    *out = NULL;
    ib_source *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the decoding thread");
    s->media = media;
    s->diag = diag;
    isobath_status st = ib_channel_create(bytes, diag, &s->channel);
    if (st == ISOBATH_OK && pthread_create(&s->thread, NULL, decode_main, s) != 0)
        st = ib_fail(diag, ISOBATH_ERR_INTERNAL, "could not start the decoding thread");
    if (st != ISOBATH_OK) {
        ib_channel_destroy(s->channel, NULL);
        free(s);
        return st;
    }
    *out = s;
    return ISOBATH_OK;
}

ib_source_frame *ib_source_next(ib_source *source) { return ib_channel_pop(source->channel); }

void ib_source_stop(ib_source *source) { ib_channel_stop(source->channel); }

static void drop_frame(void *item) { ib_source_frame_unref(item); }

void ib_source_destroy(ib_source *source)
{
    if (!source) return;
    ib_channel_stop(source->channel);
    pthread_join(source->thread, NULL);
    ib_channel_destroy(source->channel, drop_frame);
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
