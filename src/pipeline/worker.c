/* The worker; see worker.h. */
#include "pipeline/worker.h"

#include "base/clock.h"
#include "op/transfer.h"
#include <stdlib.h>
#include <string.h>

#define IB_RAW_FREE 8

struct ib_worker {
    ib_source *source;
    ib_vda *vda, *redo_vda;
    ib_backend *redo_backend;
    ib_vda_shape shape;
    ib_vda_memory memory;
    ib_backend *backend;
    ib_worker_redo redo;
    ib_diag *diag;
    ib_channel *channel;
    pthread_t thread;
    atomic_int stopped;
    const atomic_int *cancelled;
    atomic_int_fast64_t mflops; /* millions */
    ib_busy busy;
    ib_source_frame *pending; /* the first frame of the next shot, read already */
    ib_window *in_flight; /* its depth is being computed or copied; slot k % depth_slots */
    pthread_mutex_t raw_lock;
    float *raw_free[IB_RAW_FREE]; /* result buffers given back */
    int raw_free_count;
    ib_source_frame *slots[IB_PLAN_WINDOW]; /* what the window's slots hold: kept for the fp32 redo */
};

void ib_window_free(ib_window *w)
{
    if (!w) return;
    ib_worker *worker = w->worker;
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        ib_source_frame_unref(w->source[i]);
        ib_source_frame_unref(w->input[i]);
    }
    pthread_mutex_lock(&worker->raw_lock);
    int keep = worker->raw_free_count < IB_RAW_FREE;
    if (keep) worker->raw_free[worker->raw_free_count++] = w->raw;
    pthread_mutex_unlock(&worker->raw_lock);
    if (!keep) ib_host_free(worker->backend, w->raw);
    free(w);
}

/* Bytes of a result buffer: f32 (32,height,width). */
static size_t raw_bytes(const ib_worker *w)
{
    return (size_t)IB_PLAN_WINDOW * (size_t)w->shape.height * (size_t)w->shape.width * sizeof(float);
}

/* A window with a result buffer, reused when one is free. */
static isobath_status new_window(ib_worker *w, ib_window **out)
{
    *out = NULL;
    ib_window *win = calloc(1, sizeof *win);
    if (!win) return ib_fail(w->diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
    pthread_mutex_lock(&w->raw_lock);
    void *raw = w->raw_free_count ? w->raw_free[--w->raw_free_count] : NULL;
    pthread_mutex_unlock(&w->raw_lock);
    isobath_status st = raw ? ISOBATH_OK : ib_host_alloc(w->backend, raw_bytes(w), &raw);
    if (st != ISOBATH_OK) {
        free(win);
        return st;
    }
    win->raw = raw;
    win->worker = w;
    *out = win;
    return ISOBATH_OK;
}

static int must_stop(const ib_worker *w)
{
    return atomic_load(&w->stopped) || (w->cancelled && atomic_load(w->cancelled));
}

static void set_slot(ib_worker *w, int slot, ib_source_frame *frame)
{
    ib_source_frame_unref(w->slots[slot]);
    w->slots[slot] = frame;
}

static void count_flops(ib_worker *w, double flops)
{
    atomic_fetch_add_explicit(&w->mflops, (int_fast64_t)(flops * 1e-6), memory_order_relaxed);
}

/* Encodes `frames` [first, end) into the slots of the same numbers, batch by batch, so that progress moves and a stop is
 * quick. */
static isobath_status encode_slots(ib_worker *w, ib_vda *vda, ib_source_frame *const *frames, int first, int end)
{
    for (int slot = first; slot < end && !must_stop(w);) {
        int count = end - slot < w->shape.encode_batch ? end - slot : w->shape.encode_batch;
        const uint8_t *rgb[IB_PLAN_WINDOW];
        for (int i = 0; i < count; i++) rgb[i] = frames[slot + i]->rgb;
        int64_t start = ib_now_us();
        IB_TRY(ib_vda_encode_rgb(vda, rgb, frames[slot]->height, frames[slot]->width, count, slot));
        count_flops(w, w->memory.encode_flops * count);
        ib_busy_add(&w->busy, start);
        slot += count;
    }
    return ISOBATH_OK;
}

/* The whole window again in fp32, from its source frames. */
static isobath_status redo_window(ib_worker *w, ib_window *win)
{
    if (!w->redo.open)
        return ib_fail(w->diag, ISOBATH_ERR_MODEL,
                       "window %lld: %lld values are not finite although it was computed in fp32: the checkpoint is damaged "
                       "(try: isobath doctor)", (long long)win->k, (long long)win->nonfinite);
    if (!w->redo_vda) IB_TRY(w->redo.open(w->redo.ctx, &w->redo_backend, &w->redo_vda));
    IB_TRY(encode_slots(w, w->redo_vda, win->input, 0, IB_PLAN_WINDOW));
    int64_t left = 0;
    IB_TRY(ib_vda_depth(w->redo_vda, win->raw, &left));
    win->redone = 1;
    if (left)
        return ib_fail(w->diag, ISOBATH_ERR_MODEL,
                       "window %lld: %lld values are not finite, and %lld in fp32: the checkpoint is damaged (try: isobath "
                       "doctor)", (long long)win->k, (long long)win->nonfinite, (long long)left);
    return ISOBATH_OK;
}

/* Next frame of the shot; NULL at its end. A frame that starts the next shot waits in `pending`. */
static ib_source_frame *next_frame(ib_worker *w, int first_of_shot)
{
    ib_source_frame *f = w->pending ? w->pending : ib_source_next(w->source);
    w->pending = NULL;
    if (f && f->starts_shot && !first_of_shot) {
        w->pending = f;
        f = NULL;
    }
    return f;
}

/* Fills the new slots of window k from the source. *n becomes the shot's frame count when it ends. Returns the slot after
 * the last real frame. */
static int fill_slots(ib_worker *w, int64_t k, int first, int64_t *n)
{
    int slot = first;
    while (slot < IB_PLAN_WINDOW && *n < 0) {
        ib_source_frame *f = next_frame(w, k == 0 && slot == 0);
        if (f) set_slot(w, slot++, f);
        else *n = IB_PLAN_STEP * k + slot;
    }
    return slot;
}

/* Encodes what is new and starts the depth of the window. */
static isobath_status begin_window(ib_worker *w, ib_window *win, int first, int end)
{
    IB_TRY(encode_slots(w, w->vda, w->slots, first, end));
    int64_t start = ib_now_us();
    for (int slot = end; slot < IB_PLAN_WINDOW; slot++) { /* past the end: the last frame again */
        IB_TRY(ib_vda_copy_slot(w->vda, end - 1, slot));
        set_slot(w, slot, ib_source_frame_ref(w->slots[end - 1]));
    }
    for (int i = 0; i < IB_PLAN_WINDOW; i++) win->input[i] = ib_source_frame_ref(w->slots[i]);
    isobath_status st = ib_vda_depth_begin(w->vda, (int)(win->k % w->shape.depth_slots), win->raw);
    ib_busy_add(&w->busy, start);
    return st;
}

/* Waits for the window in flight, checks it, redoes it if it must be, and hands it on. */
static isobath_status finish_window(ib_worker *w)
{
    ib_window *win = w->in_flight;
    w->in_flight = NULL;
    if (!win) return ISOBATH_OK;
    int64_t start = ib_now_us();
    isobath_status st = ib_vda_depth_end(w->vda, (int)(win->k % w->shape.depth_slots), &win->nonfinite);
    count_flops(w, w->memory.depth_flops * IB_PLAN_WINDOW);
    ib_busy_add(&w->busy, start);
    if (st == ISOBATH_OK && win->nonfinite) st = redo_window(w, win);
    for (int i = 0; i < IB_PLAN_WINDOW; i++) { /* the guard has passed: source frames that nobody renders may go */
        ib_source_frame_unref(win->input[i]);
        win->input[i] = NULL;
    }
    if (st != ISOBATH_OK || must_stop(w) || !ib_channel_push(w->channel, win, 1)) ib_window_free(win);
    return st;
}

/* All windows of one shot; *frames is its length, 0 when the source is at its end. */
static isobath_status run_shot(ib_worker *w, int64_t shot, int64_t shot_first, int64_t *frames)
{
    int64_t n = -1;
    *frames = 0;
    for (int64_t k = 0; !must_stop(w); k++) {
        int first = k == 0 ? 0 : IB_PLAN_OVERLAP;
        if (k > 0) { /* slot 0 stays, 12 -> 1, 24..31 -> 2..9 */
            IB_TRY(ib_vda_advance(w->vda));
            set_slot(w, 1, ib_source_frame_ref(w->slots[12]));
            for (int i = 0; i < 8; i++) set_slot(w, 2 + i, ib_source_frame_ref(w->slots[24 + i]));
        }
        int end = fill_slots(w, k, first, &n);
        if (must_stop(w) || ib_diag_status(w->diag) != ISOBATH_OK) break;
        if (n == 0) break;
        ib_window *win;
        IB_TRY(new_window(w, &win));
        win->shot = shot;
        win->shot_first = shot_first;
        win->k = k;
        win->frames_total = n;
        for (int i = first; i < end; i++) win->source[i] = ib_source_frame_ref(w->slots[i]);
        isobath_status st = begin_window(w, win, first, end);
        if (st == ISOBATH_OK && w->shape.depth_slots > 1) st = finish_window(w); /* the one before, while this one runs */
        if (st != ISOBATH_OK) {
            ib_window_free(win);
            return st;
        }
        w->in_flight = win;
        if (w->shape.depth_slots == 1) IB_TRY(finish_window(w));
        if (n >= 0 && k + 1 >= ib_plan_windows(n)) break;
    }
    if (!must_stop(w) && n > 0) *frames = n;
    return finish_window(w);
}

static isobath_status run_shots(ib_worker *w)
{
    int64_t first = 0, frames = 1;
    for (int64_t shot = 0; frames > 0; shot++, first += frames) IB_TRY(run_shot(w, shot, first, &frames));
    return ISOBATH_OK;
}

/* Takes and touches every result buffer that can be in flight (computed, queued, rendered; one more where two are computed), so
 * that memory is what was printed from the first window on and nothing is allocated later. */
static isobath_status take_buffers(ib_worker *w)
{
    for (int i = 0; i < w->shape.depth_slots + 2; i++) {
        void *raw;
        IB_TRY(ib_host_alloc(w->backend, raw_bytes(w), &raw));
        memset(raw, 0, raw_bytes(w));
        w->raw_free[w->raw_free_count++] = raw;
    }
    return ISOBATH_OK;
}

static void *worker_main(void *arg)
{
    ib_worker *w = arg;
    isobath_status st = ib_bind_thread(w->backend);
    if (st == ISOBATH_OK) st = take_buffers(w);
    if (st == ISOBATH_OK) st = run_shots(w);
    if (st != ISOBATH_OK) ib_fail(w->diag, st, "the network failed: %s", isobath_status_name(st));
    ib_channel_close(w->channel);
    return NULL;
}

isobath_status ib_worker_start(ib_source *source, ib_vda *vda, const ib_vda_shape *shape, const ib_vda_memory *memory,
                               ib_backend *backend, ib_worker_redo redo, const atomic_int *cancelled, ib_diag *diag,
                               ib_worker **out)
{
    *out = NULL;
    ib_worker *w = calloc(1, sizeof *w);
    if (!w) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a worker");
    w->source = source;
    w->vda = vda;
    w->shape = *shape;
    w->memory = *memory;
    w->backend = backend;
    w->redo = redo;
    pthread_mutex_init(&w->raw_lock, NULL);
    w->cancelled = cancelled;
    w->diag = diag;
    isobath_status st = ib_channel_create(1, diag, &w->channel);
    if (st == ISOBATH_OK && pthread_create(&w->thread, NULL, worker_main, w) != 0)
        st = ib_fail(diag, ISOBATH_ERR_INTERNAL, "could not start the worker thread");
    if (st != ISOBATH_OK) {
        ib_channel_destroy(w->channel, NULL);
        pthread_mutex_destroy(&w->raw_lock);
        free(w);
        return st;
    }
    *out = w;
    return ISOBATH_OK;
}

ib_window *ib_worker_next(ib_worker *worker) { return ib_channel_pop(worker->channel); }

void ib_worker_stop(ib_worker *worker)
{
    atomic_store(&worker->stopped, 1);
    ib_channel_stop(worker->channel);
    ib_source_stop(worker->source);
}

static void drop_window(void *item) { ib_window_free(item); }

void ib_worker_destroy(ib_worker *w)
{
    if (!w) return;
    ib_worker_stop(w);
    pthread_join(w->thread, NULL);
    ib_channel_destroy(w->channel, drop_window);
    for (int i = 0; i < IB_PLAN_WINDOW; i++) ib_source_frame_unref(w->slots[i]);
    ib_source_frame_unref(w->pending);
    ib_window_free(w->in_flight);
    while (w->raw_free_count) ib_host_free(w->backend, w->raw_free[--w->raw_free_count]);
    pthread_mutex_destroy(&w->raw_lock);
    ib_vda_destroy(w->redo_vda);
    ib_backend_close(w->redo_backend);
    free(w);
}

double ib_worker_flops(const ib_worker *w)
{
    return (double)atomic_load_explicit(&((ib_worker *)w)->mflops, memory_order_relaxed) * 1e6;
}

double ib_worker_busy_s(const ib_worker *w)
{
    return (double)atomic_load_explicit(&((ib_worker *)w)->busy, memory_order_relaxed) * 1e-6;
}
