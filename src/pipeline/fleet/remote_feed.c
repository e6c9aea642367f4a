/* The windows that a worker process has to do, and reading their frames ahead; see remote_internal.h. */
#include "pipeline/fleet/remote_internal.h"

#include "base/thread_name.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLD 0.9                /* of a window's time on the device: so long the one after it is waited for */
#define FEED_LIMIT_US 120000000 /* a decoder that gives no frame for so long hangs */

/* A window for the decoders: where it does not follow the one before it, the other one's turn comes. The lock is held. */
void ib_remote_add_task(ib_remote *r, const ib_msg_window *w)
{
    ib_remote_task *t = calloc(1, sizeof *t);
    int jump = w->shot != r->newest.shot || w->k != r->newest.k + 1;
    if (jump) r->turn = (r->turn + 1) % r->feeds;
    r->newest = *w;
    r->starved |= !t; /* without memory for it */
    if (!t) return;
    t->window = *w;
    t->feed = r->turn;
    t->jump = jump;
    *r->tail = t;
    r->tail = &t->next;
}

/* The oldest message in the queue. The lock is held. */
static ib_msg_window take_message(ib_remote *r)
{
    ib_msg_window w = r->queue[0];
    memmove(r->queue, r->queue + 1, (size_t)--r->queued * sizeof *r->queue);
    return w;
}

static ib_thumb *thumbs_of(const ib_remote *r, int place)
{
    size_t maps = (size_t)IB_PLAN_WINDOW * (size_t)r->setup.shape.height * (size_t)r->setup.shape.width * sizeof(float);
    return (ib_thumb *)(void *)(r->base + r->layout.raw_offset + r->layout.raw_stride * (uint64_t)place + maps);
}

/* One of the decoders. */
typedef struct feeder {
    ib_remote *r;
    int feed;
} feeder;

/* The next window for a decoder; NULL: none comes any more. The lock is held. */
static ib_remote_task *next_to_read(ib_remote *r, int feed)
{
    for (;;) {
        ib_remote_task *t = r->head;
        while (t && (t->taken || t->feed != feed)) t = t->next;
        if (t || r->bye || r->rest) return r->bye ? NULL : t;
        pthread_cond_wait(&r->came, &r->lock);
    }
}

/* Those behind the first one are opened beside the loading of the network. What is wrong is the first task's misfit: as if it were damaged. */
static isobath_status open_feed(ib_remote *r, int feed, char why[IB_DIAG_TEXT])
{
    ib_feed *opened;
    ib_diag diag = IB_DIAG_INIT;
    *why = 0;
    if (r->feed[feed]) return ISOBATH_OK;
    int64_t start = ib_now_us();
    isobath_status st = ib_feed_open(&r->open, r->open.device != IB_DEVICE_CPU, &diag, &opened);
    snprintf(why, IB_DIAG_TEXT, "%s", diag.text);
    ib_diag_destroy(&diag);
    pthread_mutex_lock(&r->lock);
    if (st == ISOBATH_OK) r->feed[feed] = opened;
    pthread_mutex_unlock(&r->lock);
    ib_trace_span(r->trace, "open a decoder", start, -1);
    return st == ISOBATH_OK || st == ISOBATH_ERR_MEMORY ? st : ISOBATH_ERR_INPUT;
}

static isobath_status read_task(ib_remote *r, int feed, ib_remote_task *t)
{
    if (!ib_remote_is_place(r, t->window.raw)) return ISOBATH_ERR_INTERNAL;
    int64_t decoded = ib_feed_decoded(r->feed[feed]), start = ib_now_us();
    isobath_status st = ib_feed_window(r->feed[feed], &t->window, &t->frames, t->why);
    int64_t frames = ib_feed_decoded(r->feed[feed]) - decoded + (t->jump ? t->window.point[1].lead : 0);
    ib_sabotage_wait(r->sabotage.decode_us ? start + frames * r->sabotage.decode_us : 0);
    return st;
}

/* Reads the frames of its windows in the order in which they came, until one cannot be read or the run says that it is over. */
static void *feed_main(void *arg)
{
    feeder *f = arg;
    ib_remote *r = f->r;
    int feed = f->feed;
    free(f);
    ib_thread_name("decode");
    char why[IB_DIAG_TEXT];
    isobath_status opened = open_feed(r, feed, why), st = ISOBATH_OK;
    pthread_mutex_lock(&r->lock);
    for (ib_remote_task *t; st == ISOBATH_OK && (t = next_to_read(r, feed));) {
        t->taken = 1;
        pthread_mutex_unlock(&r->lock);
        int64_t start = ib_now_us();
        if (opened != ISOBATH_OK) snprintf(t->why, sizeof t->why, "%s", why);
        st = t->status = opened == ISOBATH_OK ? read_task(r, feed, t) : opened;
        ib_trace_span(r->trace, t->jump ? "jump and decode" : "decode", start, t->window.order);
        pthread_mutex_lock(&r->lock);
        t->read = 1;
        pthread_cond_broadcast(&r->came);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* The oldest window, when it has been read; NULL: none comes any more. The lock is held. */
static ib_remote_task *next_to_look_at(ib_remote *r)
{
    while (!r->bye && !(r->head ? r->head->read : r->rest)) pthread_cond_wait(&r->came, &r->lock);
    ib_remote_task *t = r->bye ? NULL : r->head;
    if (t && !(r->head = t->next)) r->tail = &r->head;
    return t;
}

/* Looks at what was read, in the order in which the windows came. */
static void *look_main(void *arg)
{
    ib_remote *r = arg;
    ib_thread_name("look");
    pthread_mutex_lock(&r->lock);
    isobath_status st = ISOBATH_OK;
    for (ib_remote_task *t; st == ISOBATH_OK && (t = next_to_look_at(r));) {
        r->looking = t;
        pthread_mutex_unlock(&r->lock);
        int64_t start = ib_now_us();
        if (t->status == ISOBATH_OK) t->status = ib_feed_look_at(&r->look, &t->window, thumbs_of(r, t->window.raw), &t->frames, t->why);
        st = t->status;
        ib_trace_span(r->trace, "look", start, t->window.order);
        pthread_mutex_lock(&r->lock);
        r->looking = NULL;
        r->ready[r->ready_count++] = t;
        pthread_cond_signal(&r->fed);
    }
    r->starved = 1;
    pthread_cond_signal(&r->fed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static isobath_status start_feeder(ib_remote *r, int feed)
{
    feeder *f = malloc(sizeof *f);
    if (!f) return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    *f = (feeder){r, feed};
    if (pthread_create(&r->feeder[feed], NULL, feed_main, f) == 0) return ISOBATH_OK;
    free(f);
    return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "could not start a thread of a worker process");
}

isobath_status ib_remote_start_feed(ib_remote *r)
{
    for (int i = 0; i < r->feeds; i++) IB_TRY(start_feeder(r, i));
    if (pthread_create(&r->looker, NULL, look_main, r) != 0)
        return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "could not start a thread of a worker process");
    return ISOBATH_OK;
}

/* The lock is held. */
static int64_t frames_decoded(const ib_remote *r)
{
    int64_t sum = 0;
    for (int i = 0; i < IB_REMOTE_FEEDS; i++) sum += r->feed[i] ? ib_feed_decoded(r->feed[i]) : 0;
    return sum;
}

double ib_remote_decode_busy_s(ib_remote *r)
{
    double sum = 0;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < IB_REMOTE_FEEDS; i++) sum += r->feed[i] ? ib_feed_busy_s(r->feed[i]) : 0;
    pthread_mutex_unlock(&r->lock);
    return sum;
}

static void after_us(struct timespec *t, long us)
{
    clock_gettime(CLOCK_REALTIME, t);
    t->tv_nsec += us * 1000;
    t->tv_sec += t->tv_nsec / 1000000000;
    t->tv_nsec %= 1000000000;
}

enum { NEEDS_WINDOW, NEEDS_JUMP, NEEDS_FRAMES };

/* What the next window lacks, of a worker that decodes. The lock is held. */
static int what_lacks(const ib_remote *r)
{
    const ib_remote_task *t = r->looking ? r->looking : r->head;
    return !t ? NEEDS_WINDOW : t->jump ? NEEDS_JUMP : NEEDS_FRAMES;
}

/* With nothing in work: since `start`, in which it lacked this. */
static void count_wait(ib_remote *r, int lacked, int64_t start)
{
    static const char *const name[] = {"wait for a window", "wait after a jump", "wait for frames"};
    double *sum[] = {&r->waits.window_s, &r->waits.jump_s, &r->waits.frames_s};
    *sum[lacked] += (double)(ib_now_us() - start) * 1e-6;
    ib_trace_span(r->trace, name[lacked], start, -1);
}

/* With a window in work: until shortly before the device has it, as far as is known, the next one may as well be waited for. Begun later it
 * would find the device idle. */
static int64_t hold_until_us(const ib_remote *r)
{
    int64_t begun = r->flight[0].begun_us > r->finished_us ? r->flight[0].begun_us : r->finished_us;
    return begun + (int64_t)(HOLD * r->window_us);
}

/* The same where the frames of the next window are on their way, and no longer than that. The lock is held. */
static void hold_for_feed(ib_remote *r)
{
    int64_t start = ib_now_us(), left;
    while (!r->ready_count && !r->starved && !r->bye && (r->head || r->looking) && (left = hold_until_us(r) - ib_now_us()) > 0) {
        struct timespec until;
        after_us(&until, left < IB_REMOTE_TICK_US ? (long)left : IB_REMOTE_TICK_US);
        pthread_cond_timedwait(&r->fed, &r->lock, &until);
    }
    if (ib_now_us() - start > 100) ib_trace_span(r->trace, "hold", start, -1);
}

/* Waits for a window whose frames have been read, and says meanwhile that it is alive, as long as frames come. The lock is held. */
static void wait_for_feed(ib_remote *r)
{
    int64_t decoded = frames_decoded(r), since = ib_now_us();
    while (!r->ready_count && !r->starved && !r->bye) {
        struct timespec until;
        int64_t start = ib_now_us();
        int lacks = what_lacks(r);
        after_us(&until, IB_REMOTE_TICK_US);
        int woken = pthread_cond_timedwait(&r->fed, &r->lock, &until) == 0;
        count_wait(r, lacks, start);
        if (woken || !(r->head || r->looking)) continue;
        int64_t now = frames_decoded(r);
        if (now != decoded) since = ib_now_us();
        decoded = now;
        if (ib_now_us() - since > FEED_LIMIT_US) continue;
        pthread_mutex_unlock(&r->lock);
        ib_remote_tick(r);
        pthread_mutex_lock(&r->lock);
    }
}

/* 1: *out is the next window; 0: none is there while another one is in work, or the run says good-bye. */
int ib_remote_next_task(ib_remote *r, ib_remote_task *out)
{
    pthread_mutex_lock(&r->lock);
    int got = 0;
    if (r->feed[0]) {
        if (r->flights) hold_for_feed(r);
        else wait_for_feed(r);
        got = r->ready_count > 0 && !r->bye;
        if (got) {
            *out = *r->ready[0];
            free(r->ready[0]);
            memmove(r->ready, r->ready + 1, (size_t)--r->ready_count * sizeof *r->ready);
        }
    } else {
        int64_t start = ib_now_us();
        int empty = !r->queued && !r->flights;
        while (!r->flights && !r->queued && !r->bye && !r->rest) pthread_cond_wait(&r->came, &r->lock);
        if (empty) count_wait(r, NEEDS_WINDOW, start);
        got = r->queued > 0 && !r->bye;
        if (got) *out = (ib_remote_task){.window = take_message(r)};
    }
    pthread_mutex_unlock(&r->lock);
    return got;
}

void ib_remote_end_feed(ib_remote *r)
{
    while (r->ready_count) {
        ib_feed_drop(&r->ready[--r->ready_count]->frames);
        free(r->ready[r->ready_count]);
    }
    for (ib_remote_task *t; (t = r->head);) { /* of a run that says good-bye */
        r->head = t->next;
        ib_feed_drop(&t->frames);
        free(t);
    }
    r->tail = &r->head;
    ib_feed_look_free(&r->look);
    ib_remote_close_feeds(r);
}
