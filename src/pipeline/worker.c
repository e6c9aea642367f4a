/* The worker of this process; see worker.h. */
#include "pipeline/worker.h"

#include "base/pool.h"
#include "base/thread_name.h"

#include "op/transfer.h"
#include "pipeline/fleet/sabotage.h"
#include "pipeline/reader.h"
#include <stdlib.h>
#include <string.h>

#define IB_RAW_FREE 10

typedef struct worker {
    ib_window_stream stream;
    ib_worker_options o;
    ib_vda_shape shape;
    ib_compute *compute;
    ib_channel *channel;
    pthread_t thread;
    int joined;
    atomic_int stopped;
    atomic_int_fast64_t windows;
    int64_t begun;
    ib_sabotage sabotage;
    ib_reader reader;
    struct worker_window *in_flight[2]; /* oldest first */
    int in_flight_count;
    pthread_mutex_t raw_lock;
    float *raw_free[IB_RAW_FREE]; /* result buffers given back */
    int raw_free_count;
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
    return atomic_load(&w->stopped) || (w->o.cancelled && atomic_load(w->o.cancelled) > 1);
}

/* No window begins any more; those in flight are finished. */
static int must_end(const worker *w) { return must_stop(w) || (w->o.cancelled && atomic_load(w->o.cancelled)); }

static int tick(void *ctx) { return must_stop(ctx); }

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

static isobath_status begin_window(worker *w, const ib_window_frames *f)
{
    worker_window *win;
    IB_TRY(new_window(w, &win));
    win->base.shot = f->shot;
    win->base.shot_first = f->shot_first;
    win->base.k = f->k;
    win->base.frames_total = f->frames_total;
    for (int i = f->first; i < f->end; i++) {
        win->base.pts_us[i] = f->slot[i]->pts_us;
        if (w->o.wants_rgb) win->base.source[i] = ib_source_frame_ref(f->slot[i]);
    }
    ib_compute_starve(w->compute, ib_sabotage_starves(&w->sabotage, w->begun));
    isobath_status st = ib_sabotage_breaks(&w->sabotage, w->begun++, w->o.backend, w->o.diag);
    if (st == ISOBATH_OK) st = ib_compute_begin(w->compute, f->shot, f->k, f->slot, win->base.raw);
    if (st != ISOBATH_OK) {
        ib_window_free(&win->base);
        return st;
    }
    w->in_flight[w->in_flight_count++] = win;
    return w->in_flight_count == w->shape.depth_slots ? finish_window(w) : ISOBATH_OK; /* the one before, while this one runs */
}

static isobath_status run_range(worker *w)
{
    for (const ib_window_frames *f; !must_end(w);) {
        IB_TRY(ib_reader_next(&w->reader, &f));
        if (!f) break;
        IB_TRY(begin_window(w, f));
    }
    while (w->in_flight_count) IB_TRY(finish_window(w));
    return ISOBATH_OK;
}

#define TOUCH_BYTES ((size_t)1 << 20)

typedef struct touching {
    char *at;
    size_t bytes;
} touching;

static void touch_piece(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const touching *t = ctx;
    size_t from = (size_t)i * TOUCH_BYTES, left = t->bytes - from;
    memset(t->at + from, 0, left < TOUCH_BYTES ? left : TOUCH_BYTES);
}

/* Takes and touches every result buffer that can be in flight (computed, queued, read), so
 * that memory is what was printed from the first window on and nothing is allocated later. */
static isobath_status take_buffers(worker *w)
{
    touching t = {.bytes = raw_bytes(w)};
    for (int i = 0; i < w->shape.depth_slots + 1 + (w->o.held ? w->o.held : 1) && i < IB_RAW_FREE; i++) {
        void *raw;
        IB_TRY(ib_host_alloc(w->o.backend, t.bytes, &raw));
        t.at = raw;
        ib_pool_run(w->o.backend->pool, (int64_t)((t.bytes + TOUCH_BYTES - 1) / TOUCH_BYTES), touch_piece, &t);
        w->raw_free[w->raw_free_count++] = raw;
    }
    return ISOBATH_OK;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    ib_thread_name("network");
    isobath_status st = ib_bind_thread(w->o.backend);
    if (st == ISOBATH_OK) st = take_buffers(w);
    if (st == ISOBATH_OK) st = run_range(w);
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

static void worker_end(ib_window_stream *s)
{
    worker *w = (worker *)s;
    if (!w->joined) pthread_join(w->thread, NULL);
    w->joined = 1;
    ib_reader_free(&w->reader);
}

static void worker_destroy(ib_window_stream *s)
{
    worker *w = (worker *)s;
    worker_stop(s);
    worker_end(s);
    ib_channel_destroy(w->channel, drop_window);
    ib_compute_destroy(w->compute); /* before the buffers that it may write to */
    while (w->in_flight_count) ib_window_free(&w->in_flight[--w->in_flight_count]->base);
    while (w->raw_free_count) ib_host_free(w->o.backend, w->raw_free[--w->raw_free_count]);
    pthread_mutex_destroy(&w->raw_lock);
    free(w);
}

static const ib_window_stream_ops worker_ops = {worker_next, worker_stop, worker_stats, worker_destroy, worker_end};

isobath_status ib_worker_start(const ib_worker_options *options, ib_window_stream **out)
{
    *out = NULL;
    worker *w = calloc(1, sizeof *w);
    if (!w) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for a worker");
    w->stream.ops = &worker_ops;
    w->o = *options;
    w->shape = *options->shape;
    ib_sabotage_init(&w->sabotage);
    w->reader = (ib_reader){.source = w->o.source, .range = w->o.range, .stopped = tick, .ctx = w,
                            .diag = w->o.source_diag ? w->o.source_diag : w->o.diag};
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
