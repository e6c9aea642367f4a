/* The reading thread of a stream; see live.h. */
#include "pipeline/stream/live.h"

#include "base/clock.h"
#include <pthread.h>
#include <stdlib.h>

#define POLL_US 50000       /* how often waits look at `ended` */
#define REOPEN_US 500000    /* between attempts */

struct ib_live {
    ib_media **media;
    ib_live_options options;
    ib_diag *diag;
    ib_diag again; /* of a source that was opened again, while it may still come back */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    ib_source_frame *waiting; /* at most one */
    int64_t waiting_ready_us;
    int closed;               /* the source is at its end */
    int64_t frames;           /* read so far */
    int64_t base_us;          /* added to the source's times after a reconnection */
    int64_t last_pts_us;
    int64_t start_us;         /* when frame 0 was ready */
    atomic_int stopped;
    atomic_int_fast64_t dropped, reconnects;
};

static int must_end(const ib_live *l)
{
    return atomic_load(&l->stopped) || (l->options.ended && atomic_load(l->options.ended));
}

/* Waits on `change` for a moment; the lock is held. */
static void wait_a_moment(ib_live *l)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += POLL_US * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&l->change, &l->lock, &t);
}

static void sleep_until(const ib_live *l, int64_t when_us)
{
    for (int64_t left; !must_end(l) && (left = when_us - ib_now_us()) > 0;) {
        if (left > POLL_US) left = POLL_US;
        nanosleep(&(struct timespec){.tv_nsec = (long)left * 1000}, NULL);
    }
}

/* The next frame of the source as it is now; NULL at its end and after an error. */
static ib_source_frame *read_frame(ib_live *l)
{
    const ib_media_info *info = ib_media_get_info(*l->media);
    ib_source_frame *f = ib_source_frame_create(info->width, info->height);
    if (!f) {
        ib_fail(l->diag, ISOBATH_ERR_MEMORY, "out of memory for a source frame of %d x %d", info->width, info->height);
        return NULL;
    }
    ib_media_frame meta;
    int got = 0;
    if (ib_media_read(*l->media, f->rgb, &meta, &got) != ISOBATH_OK || !got) {
        ib_source_frame_unref(f);
        return NULL;
    }
    f->index = l->frames++;
    f->pts_us = l->base_us + meta.pts_us;
    f->repeated = meta.repeated;
    l->last_pts_us = f->pts_us;
    return f;
}

/* Opens the source again; 1 when frames may come. Its times go on where the clock says. */
static int reconnect(ib_live *l)
{
    int64_t lost_us = ib_now_us();
    ib_media_info old = *ib_media_get_info(*l->media);
    ib_media_options o = l->options.media;
    if (l->options.reconnect_s <= 0 || l->frames == 0) return 0;
    if (o.max_frames && (o.max_frames -= l->frames) <= 0) return 0;
    isobath_status st = ib_diag_status(l->diag);
    if (st != ISOBATH_OK && st != ISOBATH_ERR_INPUT) return 0; /* not the source's fault */
    ib_fail(l->diag, ib_diag_status(&l->again), "%s", l->again.text);
    ib_media_hang_up(*l->media); /* a camera comes back under its old name, a server has room for one */
    for (int64_t end = lost_us + (int64_t)(l->options.reconnect_s * 1e6); !must_end(l) && ib_now_us() < end;
         sleep_until(l, ib_now_us() + REOPEN_US)) {
        ib_media *fresh;
        ib_diag_reset(&l->again);
        if (ib_media_open(l->options.input, &o, &l->again, &fresh) != ISOBATH_OK) continue;
        const ib_media_info *info = ib_media_get_info(fresh);
        if (info->width != old.width || info->height != old.height) {
            ib_fail(l->diag, ISOBATH_ERR_INPUT, "%s: came back with frames of %d x %d, expected %d x %d", l->options.input,
                    info->width, info->height, old.width, old.height);
            ib_media_close(fresh);
            return 0;
        }
        pthread_mutex_lock(&l->lock); /* after the end, the consumer may look at *media */
        if (!must_end(l)) {
            ib_diag_reset(l->diag); /* the break is mended */
            ib_media *broken = *l->media;
            *l->media = fresh;
            fresh = broken;
        }
        pthread_mutex_unlock(&l->lock);
        ib_media_close(fresh);
        int64_t gap = ib_now_us() - lost_us, frame = old.fps > 0 ? (int64_t)(1e6 / old.fps) : 1;
        l->base_us = l->last_pts_us + (gap > frame ? gap : frame);
        atomic_fetch_add(&l->reconnects, 1);
        return !must_end(l);
    }
    return 0;
}

/* Block: nothing is read before the frame that waits is taken, so that no frame grows old in a queue. */
static void wait_for_room(ib_live *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->waiting && !must_end(l)) wait_a_moment(l);
    pthread_mutex_unlock(&l->lock);
}

/* Puts the frame where the consumer finds it. */
static void offer(ib_live *l, ib_source_frame *f, int64_t ready_us)
{
    pthread_mutex_lock(&l->lock);
    if (l->waiting) {
        ib_source_frame_unref(l->waiting);
        atomic_fetch_add(&l->dropped, 1);
    }
    l->waiting = f;
    l->waiting_ready_us = ready_us;
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
}

static void *live_main(void *arg)
{
    ib_live *l = arg;
    while (!must_end(l)) {
        if (!l->options.drop) wait_for_room(l);
        ib_source_frame *f = read_frame(l);
        if (!f) {
            if (reconnect(l)) continue;
            break;
        }
        if (f->index == 0) l->start_us = ib_now_us() - f->pts_us;
        if (l->options.drop && l->options.paced) sleep_until(l, l->start_us + f->pts_us);
        offer(l, f, ib_now_us());
    }
    pthread_mutex_lock(&l->lock);
    l->closed = 1;
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

isobath_status ib_live_start(ib_media **media, const ib_live_options *options, ib_diag *diag, ib_live **out)
{
    *out = NULL;
    ib_live *l = calloc(1, sizeof *l);
    if (!l) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the reading thread");
    l->media = media;
    l->options = *options;
    l->diag = diag;
    ib_diag_init(&l->again);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->change, NULL);
    if (pthread_create(&l->thread, NULL, live_main, l) != 0) {
        ib_diag_destroy(&l->again);
        free(l);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start the reading thread");
    }
    *out = l;
    return ISOBATH_OK;
}

ib_source_frame *ib_live_next(ib_live *l, int64_t *ready_us)
{
    int64_t begun = ib_now_us(), told = begun;
    pthread_mutex_lock(&l->lock);
    while (!l->waiting && !l->closed && !must_end(l)) {
        wait_a_moment(l);
        int64_t now = ib_now_us();
        if (!l->options.idle || l->waiting || now - told < 1000000) continue;
        pthread_mutex_unlock(&l->lock);
        l->options.idle(l->options.idle_ctx, (double)(now - begun) * 1e-6);
        pthread_mutex_lock(&l->lock);
        told = now;
    }
    ib_source_frame *f = must_end(l) ? NULL : l->waiting;
    if (f) {
        l->waiting = NULL;
        *ready_us = l->waiting_ready_us;
        pthread_cond_broadcast(&l->change);
    }
    pthread_mutex_unlock(&l->lock);
    return f;
}

void ib_live_destroy(ib_live *l)
{
    if (!l) return;
    atomic_store(&l->stopped, 1);
    pthread_join(l->thread, NULL);
    ib_source_frame_unref(l->waiting);
    pthread_cond_destroy(&l->change);
    pthread_mutex_destroy(&l->lock);
    ib_diag_destroy(&l->again);
    free(l);
}

int64_t ib_live_dropped(const ib_live *l) { return atomic_load(&((ib_live *)l)->dropped); }
int64_t ib_live_reconnects(const ib_live *l) { return atomic_load(&((ib_live *)l)->reconnects); }
