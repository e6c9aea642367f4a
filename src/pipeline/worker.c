/* The worker of this process; see worker.h. */
#include "pipeline/worker.h"

#include "base/clock.h"
#include "op/transfer.h"
#include <stdlib.h>
#include <string.h>

#define IB_RAW_FREE 8

typedef struct worker {
    ib_window_stream stream;
    ib_worker_options o;
    ib_vda_shape shape;
    ib_compute *compute;
    ib_channel *channel;
    pthread_t thread;
    atomic_int stopped;
    atomic_int_fast64_t windows;
    ib_source_frame *pending; /* the first frame of the next shot, read already */
    struct worker_window *in_flight[2]; /* oldest first */
    int in_flight_count;
    pthread_mutex_t raw_lock;
    float *raw_free[IB_RAW_FREE]; /* result buffers given back */
    int raw_free_count;
    ib_source_frame *slots[IB_PLAN_WINDOW]; /* what the window's slots hold */
} worker;

typedef struct worker_window {
    ib_window base;
    worker *worker;
} worker_window;

static void release_window(ib_window *window)
{
    worker_window *w = (worker_window *)window;
    worker *owner = w->worker;
    pthread_mutex_lock(&owner->raw_lock);
    int keep = owner->raw_free_count < IB_RAW_FREE;
    if (keep) owner->raw_free[owner->raw_free_count++] = window->raw;
    pthread_mutex_unlock(&owner->raw_lock);
    if (!keep) ib_host_free(owner->o.backend, window->raw);
    free(w);
}

/* Bytes of a result buffer: f32 (32,height,width). */
static size_t raw_bytes(const worker *w)
{
    return (size_t)IB_PLAN_WINDOW * (size_t)w->shape.height * (size_t)w->shape.width * sizeof(float);
}

/* A window with a result buffer, reused when one is free. */
static isobath_status new_window(worker *w, worker_window **out)
{
    *out = NULL;
    worker_window *win = calloc(1, sizeof *win);
    if (!win) return ib_fail(w->o.diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
    pthread_mutex_lock(&w->raw_lock);
    void *raw = w->raw_free_count ? w->raw_free[--w->raw_free_count] : NULL;
    pthread_mutex_unlock(&w->raw_lock);
    isobath_status st = raw ? ISOBATH_OK : ib_host_alloc(w->o.backend, raw_bytes(w), &raw);
    if (st != ISOBATH_OK) {
        free(win);
        return st;
    }
    win->worker = w;
    win->base.raw = raw;
    win->base.release = release_window;
    *out = win;
    return ISOBATH_OK;
}

static int must_stop(const worker *w)
{
    return atomic_load(&w->stopped) || (w->o.cancelled && atomic_load(w->o.cancelled));
}

static int tick(void *ctx) { return must_stop(ctx); }

static void set_slot(worker *w, int slot, ib_source_frame *frame)
{
    ib_source_frame_unref(w->slots[slot]);
    w->slots[slot] = frame;
}

/* Next frame of the shot; NULL at its end. A frame that starts the next shot waits in `pending`. */
static ib_source_frame *next_frame(worker *w, int first_of_shot)
{
    ib_source_frame *f = w->pending ? w->pending : ib_source_next(w->o.source);
    w->pending = NULL;
    if (f && f->starts_shot && !first_of_shot) {
        w->pending = f;
        f = NULL;
    }
    return f;
}

/* Reads on to window k of a shot, where a range begins, and fills slots 0..9; frames that it does not need are dropped. *n becomes
 * the shot's frame count when it ends before. */
static isobath_status skip_to(worker *w, int64_t shot_first, int64_t k, int64_t *n)
{
    int64_t need = k == 0 ? 1 : IB_PLAN_STEP * k + IB_PLAN_OVERLAP, at = -1; /* frames of the shot to read; the last one's number */
    ib_source_frame *last = NULL;
    while (at + 1 < need) {
        ib_source_frame *f = at < 0 ? ib_source_next(w->o.source) : next_frame(w, 0);
        if (!f) {
            *n = at >= 0 ? at + 1 : -1;
            break;
        }
        ib_source_frame_unref(last);
        last = f;
        at = f->index - shot_first;
        if (at == 0) set_slot(w, 0, ib_source_frame_ref(f));
        if (k > 0 && at == IB_PLAN_STEP * k - 10) set_slot(w, 1, ib_source_frame_ref(f));
        if (k > 0 && at >= IB_PLAN_STEP * k + 2) set_slot(w, (int)(at - IB_PLAN_STEP * k), ib_source_frame_ref(f));
    }
    int found = w->slots[0] && (k == 0 || (w->slots[1] && at >= IB_PLAN_STEP * k));
    for (int slot = 2; k > 0 && slot < IB_PLAN_OVERLAP && found; slot++)
        if (!w->slots[slot]) set_slot(w, slot, ib_source_frame_ref(last));
    int64_t end = last ? last->index + 1 : 0;
    ib_source_frame_unref(last);
    if (found || must_stop(w) || ib_diag_status(w->o.diag) != ISOBATH_OK) return ISOBATH_OK;
    return ib_fail(w->o.diag, ISOBATH_ERR_INPUT, "the video ends after %lld frames, but window %lld from frame %lld on was asked for: it "
                   "is not the video that was planned", (long long)end, (long long)k, (long long)shot_first);
}

/* Fills slots [first, 32) of window k from the source; past the shot's end the last frame again. *n becomes the shot's frame count
 * when it ends. Returns the slot after the last real frame. */
static int fill_slots(worker *w, int64_t k, int first, int64_t *n)
{
    int slot = first;
    while (slot < IB_PLAN_WINDOW && *n < 0) {
        ib_source_frame *f = next_frame(w, k == 0 && slot == 0);
        if (f) set_slot(w, slot++, f);
        else *n = IB_PLAN_STEP * k + slot;
    }
    for (int i = slot; i < IB_PLAN_WINDOW && slot > 0; i++) set_slot(w, i, ib_source_frame_ref(w->slots[slot - 1]));
    return slot;
}

/* Waits for the oldest window in flight and hands it on. */
static isobath_status finish_window(worker *w)
{
    if (!w->in_flight_count) return ISOBATH_OK;
    worker_window *win = w->in_flight[0];
    w->in_flight[0] = w->in_flight[1];
    w->in_flight_count--;
    isobath_status st = ib_compute_finish(w->compute, &win->base.redone, &win->base.nonfinite);
    atomic_fetch_add_explicit(&w->windows, 1, memory_order_relaxed);
    if (st != ISOBATH_OK || must_stop(w) || !ib_channel_push(w->channel, win, 1)) ib_window_free(&win->base);
    return st;
}

/* Starts window k, whose slots are filled; slots [first, end) are new. */
static isobath_status begin_window(worker *w, const ib_window *head, int first, int end)
{
    worker_window *win;
    IB_TRY(new_window(w, &win));
    win->base.shot = head->shot;
    win->base.shot_first = head->shot_first;
    win->base.k = head->k;
    win->base.frames_total = head->frames_total;
    for (int i = first; i < end; i++) {
        win->base.pts_us[i] = w->slots[i]->pts_us;
        if (w->o.wants_rgb) win->base.source[i] = ib_source_frame_ref(w->slots[i]);
    }
    isobath_status st = ib_compute_begin(w->compute, head->shot, head->k, w->slots, win->base.raw);
    if (st != ISOBATH_OK) {
        ib_window_free(&win->base);
        return st;
    }
    w->in_flight[w->in_flight_count++] = win;
    return w->in_flight_count == w->shape.depth_slots ? finish_window(w) : ISOBATH_OK; /* the one before, while this one runs */
}

/* Windows from `head` on to the shot's end or k_end; head->frames_total becomes its length, 0 when the source is at its end. */
static isobath_status run_shot(worker *w, ib_window *head, int64_t k_end, int seek)
{
    int64_t n = -1, k0 = head->k;
    if (seek) IB_TRY(skip_to(w, head->shot_first, k0, &n));
    for (; !must_stop(w) && (k_end < 0 || head->k < k_end); head->k++) {
        int first = head->k == 0 ? seek : IB_PLAN_OVERLAP;
        if (head->k > k0) {
            set_slot(w, 1, ib_source_frame_ref(w->slots[12]));
            for (int i = 0; i < 8; i++) set_slot(w, 2 + i, ib_source_frame_ref(w->slots[24 + i]));
        }
        int end = fill_slots(w, head->k, first, &n);
        if (must_stop(w) || ib_diag_status(w->o.diag) != ISOBATH_OK || n == 0) break;
        head->frames_total = n;
        IB_TRY(begin_window(w, head, head->k == 0 ? 0 : first, end));
        if (n >= 0 && head->k + 1 >= ib_plan_windows(n)) break;
    }
    head->frames_total = n;
    while (w->in_flight_count) IB_TRY(finish_window(w));
    return ISOBATH_OK;
}

static isobath_status run_shots(worker *w)
{
    const ib_range *r = &w->o.range;
    ib_window head = {.shot = r->shot, .shot_first = r->shot_first, .k = r->k};
    for (int seek = r->k > 0 || r->shot_first > 0; !must_stop(w); seek = 0) {
        IB_TRY(run_shot(w, &head, r->k_end, seek));
        if (head.frames_total <= 0 || r->k_end >= 0) break;
        head.shot++;
        head.shot_first += head.frames_total;
        head.k = 0;
    }
    return ISOBATH_OK;
}

/* Takes and touches every result buffer that can be in flight (computed, queued, rendered; one more where two are computed), so
 * that memory is what was printed from the first window on and nothing is allocated later. */
static isobath_status take_buffers(worker *w)
{
    for (int i = 0; i < w->shape.depth_slots + 2; i++) {
        void *raw;
        IB_TRY(ib_host_alloc(w->o.backend, raw_bytes(w), &raw));
        memset(raw, 0, raw_bytes(w));
        w->raw_free[w->raw_free_count++] = raw;
    }
    return ISOBATH_OK;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    isobath_status st = ib_bind_thread(w->o.backend);
    if (st == ISOBATH_OK) st = take_buffers(w);
    if (st == ISOBATH_OK) st = run_shots(w);
    if (st != ISOBATH_OK && !(st == ISOBATH_ERR_INTERRUPTED && must_stop(w)))
        ib_fail(w->o.diag, st, "the network failed: %s", isobath_status_name(st));
    ib_channel_close(w->channel);
    return NULL;
}

static ib_window *worker_next(ib_window_stream *s) { return ib_channel_pop(((worker *)s)->channel); }

static void worker_stop(ib_window_stream *s)
{
    worker *w = (worker *)s;
    atomic_store(&w->stopped, 1);
    ib_channel_stop(w->channel);
    ib_source_stop(w->o.source);
}

static void worker_stats(ib_window_stream *s, ib_window_stats *out)
{
    worker *w = (worker *)s;
    out->flops = ib_compute_flops(w->compute);
    out->busy_s = ib_compute_busy_s(w->compute);
    out->device_count = 1;
    out->device[0] = (ib_device_stats){.state = IB_DEVICE_BUSY, .busy_s = out->busy_s,
                                       .windows = atomic_load_explicit(&w->windows, memory_order_relaxed)};
    memcpy(out->device[0].name, w->o.backend->kind, strcspn(w->o.backend->kind, " "));
}

static void drop_window(void *item) { ib_window_free(item); }

static void worker_destroy(ib_window_stream *s)
{
    worker *w = (worker *)s;
    worker_stop(s);
    pthread_join(w->thread, NULL);
    ib_channel_destroy(w->channel, drop_window);
    for (int i = 0; i < IB_PLAN_WINDOW; i++) ib_source_frame_unref(w->slots[i]);
    ib_source_frame_unref(w->pending);
    ib_compute_destroy(w->compute); /* before the buffers that it may write to */
    while (w->in_flight_count) ib_window_free(&w->in_flight[--w->in_flight_count]->base);
    while (w->raw_free_count) ib_host_free(w->o.backend, w->raw_free[--w->raw_free_count]);
    pthread_mutex_destroy(&w->raw_lock);
    free(w);
}

static const ib_window_stream_ops worker_ops = {worker_next, worker_stop, worker_stats, worker_destroy};

isobath_status ib_worker_start(const ib_worker_options *options, ib_window_stream **out)
{
    *out = NULL;
    worker *w = calloc(1, sizeof *w);
    if (!w) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for a worker");
    w->stream.ops = &worker_ops;
    w->o = *options;
    w->shape = *options->shape;
    pthread_mutex_init(&w->raw_lock, NULL);
    ib_compute_options c = {.vda = w->o.vda, .backend = w->o.backend, .shape = w->o.shape, .memory = w->o.memory, .redo = w->o.redo,
                            .tick = tick, .tick_ctx = w, .diag = w->o.diag};
    isobath_status st = ib_compute_create(&c, &w->compute);
    if (st == ISOBATH_OK) st = ib_channel_create(1, w->o.diag, &w->channel);
    if (st == ISOBATH_OK && pthread_create(&w->thread, NULL, worker_main, w) != 0)
        st = ib_fail(w->o.diag, ISOBATH_ERR_MEMORY, "could not start the worker thread");
    if (st != ISOBATH_OK) {
        ib_channel_destroy(w->channel, NULL);
        ib_compute_destroy(w->compute);
        pthread_mutex_destroy(&w->raw_lock);
        free(w);
        return st;
    }
    *out = &w->stream;
    return ISOBATH_OK;
}
