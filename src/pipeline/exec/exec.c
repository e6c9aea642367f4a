/* Depth programs as a stream of windows; see exec.h. A feeder thread gives every source frame its place in a window; one thread per
 * process sends frames and puts depth into those places; at most two windows are open, which bounds the memory. */
#include "pipeline/exec/exec.h"

#include "base/clock.h"
#include "pipeline/exec/exec_process.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_WINDOWS 2
#define IN_FLIGHT 2   /* frames that a process has been given */
#define TRIES 3       /* of one frame */
#define TICK_MS 100

typedef struct exec_window {
    ib_window base;
    int waiting; /* frames whose depth has not come */
    int closed;  /* no more frames will be added */
} exec_window;

typedef struct job {
    ib_source_frame *frame;
    exec_window *window;
    int slot, tries;
} job;

typedef struct runner {
    ib_exec *exec;
    pthread_t thread;
    int index, running;
    atomic_int restarts;
    ib_exec_process *process;
    job given[IN_FLIGHT]; /* oldest first */
    int given_count;
    unsigned char head[IB_EXEC_FRAME_HEAD];
    int64_t since_us; /* when the oldest frame's wait began */
    atomic_int_fast64_t frames;
    ib_busy busy;
} runner;

struct ib_exec {
    ib_window_stream stream;
    ib_exec_options o;
    char *command, *visible[IB_MAX_DEVICES];
    ib_exec_hello hello;
    ib_source *source;
    ib_range range;
    int wants_rgb;
    const atomic_int *cancelled;
    ib_diag *diag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    exec_window *open[OPEN_WINDOWS]; /* oldest first */
    int open_count;
    job queue[2 * IB_MAX_DEVICES + IN_FLIGHT * IB_MAX_DEVICES]; /* frames that wait for a process, next first */
    int queued, alive, ended; /* ended: the source has no more */
    atomic_int stopped;
    pthread_t feeder;
    int feeding;
    runner runners[IB_MAX_DEVICES];
};

static int must_stop(const ib_exec *e) { return atomic_load(&e->stopped) || (e->cancelled && atomic_load(e->cancelled)); }

/* With the lock held; returns at least every TICK_MS, for a cancel signals nobody. */
static void wait_changed(ib_exec *e)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&e->changed, &e->lock, &until);
}

static void stop_all(ib_exec *e)
{
    pthread_mutex_lock(&e->lock);
    atomic_store(&e->stopped, 1);
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (e->source) ib_source_stop(e->source);
}

/* ---- one process ---- */

/* A new process up to its hello. */
static isobath_status introduce(ib_exec *e, int index, ib_diag *diag, ib_exec_process **out, ib_exec_hello *hello)
{
    ib_exec_process *p;
    ib_exec_header header;
    const unsigned char *message = NULL;
    char text[256];
    int n = snprintf(text, sizeof text, "{\"protocol\": 1, \"width\": %d, \"height\": %d, \"fps\": %.6g, \"process\": %d}", e->o.width,
                     e->o.height, e->o.fps, index);
    *out = NULL;
    IB_TRY(ib_exec_process_start(e->command, e->visible[index], diag, &p));
    ib_exec_process_send(p, IB_EXEC_HELLO, NULL, 0, text, (size_t)n);
    int64_t end = ib_now_us() + (int64_t)(e->o.start_timeout_s * 1e6);
    isobath_status st = ISOBATH_OK;
    while (st == ISOBATH_OK && !message) {
        if (must_stop(e)) st = ib_fail(diag, ISOBATH_ERR_INTERRUPTED, "stopped");
        else if (ib_now_us() > end)
            st = ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program said nothing for %.0f s after its start (expected a hello)", e->o.start_timeout_s);
        else st = ib_exec_process_poll(p, TICK_MS, NULL, diag, &header, &message);
    }
    if (st == ISOBATH_OK && header.type == IB_EXEC_ERROR)
        st = ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program says: %.*s", (int)(header.size < 400 ? header.size : 400), (const char *)message);
    if (st == ISOBATH_OK) st = ib_exec_read_hello((const char *)message, (size_t)header.size, diag, hello);
    if (st != ISOBATH_OK) ib_exec_process_destroy(p);
    else *out = p;
    return st;
}

/* Gives the process its next frame when it has room for one. Blocks for one only when it has none. */
static void give(runner *r)
{
    ib_exec *e = r->exec;
    if (r->given_count == IN_FLIGHT || ib_exec_process_sending(r->process)) return;
    pthread_mutex_lock(&e->lock);
    while (!e->queued && !r->given_count && !must_stop(e) && !(e->ended && !e->open_count)) wait_changed(e);
    int some = e->queued > 0 && !must_stop(e);
    if (some) {
        r->given[r->given_count] = e->queue[0];
        memmove(e->queue, e->queue + 1, (size_t)--e->queued * sizeof *e->queue);
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (!some) return;
    const ib_source_frame *f = r->given[r->given_count].frame;
    if (!r->given_count++) r->since_us = ib_now_us();
    ib_exec_write_frame_head(r->head, f->index, f->pts_us);
    ib_exec_process_send(r->process, IB_EXEC_FRAME, r->head, sizeof r->head, f->rgb, (size_t)f->width * (size_t)f->height * 3);
}

/* The oldest given frame's depth. */
static isobath_status take(runner *r, const unsigned char *payload, ib_diag *diag)
{
    ib_exec *e = r->exec;
    size_t map = (size_t)e->hello.width * (size_t)e->hello.height;
    int64_t index = ib_exec_read_index(payload);
    if (!r->given_count || index != r->given[0].frame->index)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program answered with frame %lld, expected %lld (frames are answered in order)",
                       (long long)index, r->given_count ? (long long)r->given[0].frame->index : -1LL);
    job *j = &r->given[0];
    float *depth = j->window->base.raw + (size_t)j->slot * map;
    memcpy(depth, payload + 8, map * sizeof *depth);
    int64_t bad = 0;
    for (size_t i = 0; i < map; i++) {
        bad += !isfinite(depth[i]);
        if (depth[i] < 0) depth[i] = 0;
    }
    if (bad)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "frame %lld: %lld values of the depth program are not finite", (long long)index, (long long)bad);
    ib_busy_add(&r->busy, r->since_us);
    r->since_us = ib_now_us();
    atomic_fetch_add(&r->frames, 1);
    ib_source_frame_unref(j->frame);
    pthread_mutex_lock(&e->lock);
    j->window->waiting--;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    r->given[0] = r->given[1];
    r->given_count--;
    return ISOBATH_OK;
}

/* One process until the end, or until it fails. */
static isobath_status serve(runner *r, ib_diag *diag)
{
    ib_exec *e = r->exec;
    while (!must_stop(e)) {
        ib_exec_header header;
        const unsigned char *message;
        give(r);
        if (!r->given_count && !ib_exec_process_sending(r->process)) return ISOBATH_OK; /* nothing will come any more */
        IB_TRY(ib_exec_process_poll(r->process, TICK_MS, &e->hello, diag, &header, &message));
        if (message && header.type == IB_EXEC_ERROR)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program says: %.*s", (int)(header.size < 400 ? header.size : 400),
                           (const char *)message);
        if (message) IB_TRY(take(r, message, diag));
        if (r->given_count && ib_now_us() - r->since_us > (int64_t)(e->o.frame_timeout_s * 1e6))
            return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program did not answer frame %lld for %.0f s",
                           (long long)r->given[0].frame->index, e->o.frame_timeout_s);
    }
    return ISOBATH_OK;
}

/* Frames of a process that failed go to the front of the queue, in order. 0 when one of them has failed too often. */
static int give_back(runner *r)
{
    ib_exec *e = r->exec;
    int good = 1;
    pthread_mutex_lock(&e->lock);
    memmove(e->queue + r->given_count, e->queue, (size_t)e->queued * sizeof *e->queue);
    for (int i = 0; i < r->given_count; i++) {
        e->queue[i] = r->given[i];
        if (i == 0) good = ++e->queue[i].tries < TRIES; /* the oldest is the one it failed at */
    }
    e->queued += r->given_count;
    r->given_count = 0;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return good;
}

static void tell(ib_exec *e, int index, const char *what, const char *why)
{
    char line[1024];
    snprintf(line, sizeof line, "process %d of the depth program %s: %s", index, what, why);
    if (e->o.note) e->o.note(e->o.note_ctx, line);
}

static isobath_status start_again(runner *r, ib_diag *diag)
{
    ib_exec_hello hello;
    IB_TRY(introduce(r->exec, r->index, diag, &r->process, &hello));
    const ib_exec_hello *first = &r->exec->hello;
    if (hello.width != first->width || hello.height != first->height || hello.metric != first->metric)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program says %d x %d, but %d x %d before", hello.width, hello.height,
                       first->width, first->height);
    return ISOBATH_OK;
}

static void *runner_main(void *arg)
{
    runner *r = arg;
    ib_exec *e = r->exec;
    for (;;) {
        ib_diag diag = IB_DIAG_INIT;
        isobath_status st = r->process ? ISOBATH_OK : start_again(r, &diag);
        if (st == ISOBATH_OK) st = serve(r, &diag);
        int good = st == ISOBATH_OK || give_back(r), done = st == ISOBATH_OK || must_stop(e);
        if (st == ISOBATH_OK && r->process && !must_stop(e)) {
            const unsigned char *message;
            ib_exec_header header;
            ib_exec_process_send(r->process, IB_EXEC_END, NULL, 0, NULL, 0);
            ib_exec_process_poll(r->process, TICK_MS, &e->hello, NULL, &header, &message);
        }
        if (!done || st == ISOBATH_OK) { /* a cancelled one is killed below all the same */
            ib_exec_process_destroy(r->process);
            r->process = NULL;
        }
        if (done) return NULL;
        if (!good) {
            ib_fail(e->diag, st, "%s%s: %s (tried %d times)", IB_EXEC_PREFIX, e->command, diag.text, TRIES);
            stop_all(e);
            return NULL;
        }
        if (atomic_fetch_add(&r->restarts, 1)) {
            tell(e, r->index, "is left out", diag.text);
            pthread_mutex_lock(&e->lock);
            int left = --e->alive;
            pthread_mutex_unlock(&e->lock);
            if (!left) {
                ib_fail(e->diag, st, "%s%s: %s (no process is left)", IB_EXEC_PREFIX, e->command, diag.text);
                stop_all(e);
            }
            return NULL;
        }
        tell(e, r->index, "is started anew", diag.text);
    }
}

/* ---- frames into windows ---- */

static void release_window(ib_window *window)
{
    free(window->raw);
    free(window);
}

static exec_window *new_window(ib_exec *e, int64_t shot, int64_t shot_first, int64_t k)
{
    exec_window *w = calloc(1, sizeof *w);
    if (w) w->base.raw = calloc((size_t)IB_PLAN_WINDOW * (size_t)e->hello.width * (size_t)e->hello.height, sizeof(float));
    if (!w || !w->base.raw) {
        free(w);
        ib_fail(e->diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
        return NULL;
    }
    w->base.shot = shot;
    w->base.shot_first = shot_first;
    w->base.k = k;
    w->base.frames_total = -1;
    w->base.release = release_window;
    return w;
}

/* Waits for room, then makes the window one of the open ones. */
static int add_window(ib_exec *e, exec_window *w)
{
    pthread_mutex_lock(&e->lock);
    while (e->open_count == OPEN_WINDOWS && !must_stop(e)) wait_changed(e);
    int good = !must_stop(e);
    if (good) e->open[e->open_count++] = w;
    pthread_mutex_unlock(&e->lock);
    if (!good) release_window(&w->base);
    return good;
}

static int add_job(ib_exec *e, exec_window *w, int slot, ib_source_frame *f)
{
    pthread_mutex_lock(&e->lock);
    while (e->queued >= e->o.processes && !must_stop(e)) wait_changed(e);
    int good = !must_stop(e);
    if (good) {
        w->base.pts_us[slot] = f->pts_us;
        if (e->wants_rgb) w->base.source[slot] = ib_source_frame_ref(f);
        w->waiting++;
        e->queue[e->queued++] = (job){f, w, slot, 0};
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (!good) ib_source_frame_unref(f);
    return good;
}

static void close_window(ib_exec *e, exec_window *w, int64_t frames_total)
{
    if (!w) return;
    pthread_mutex_lock(&e->lock);
    w->base.frames_total = frames_total;
    w->closed = 1;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static void *feeder_main(void *arg)
{
    ib_exec *e = arg;
    exec_window *w = NULL;
    int64_t shot = e->range.shot, shot_first = e->range.shot_first, k = e->range.k, n, first, end; /* n: frames of the shot so far */
    ib_plan_new_frames(k, -1, &n, &end);
    int64_t begin = shot_first + n;
    for (ib_source_frame *f; (f = ib_source_next(e->source));) {
        if (f->index < begin) {
            ib_source_frame_unref(f);
            continue;
        }
        if (f->starts_shot && n) {
            close_window(e, w, n);
            w = NULL;
            shot++;
            shot_first += n;
            n = k = 0;
        }
        ib_plan_new_frames(k, -1, &first, &end);
        if (!w && (!(w = new_window(e, shot, shot_first, k)) || !add_window(e, w))) {
            ib_source_frame_unref(f);
            w = NULL;
            break;
        }
        if (!add_job(e, w, (int)(n - IB_PLAN_STEP * k), f)) break;
        if (++n == end) {
            close_window(e, w, -1);
            w = NULL;
            k++;
        }
    }
    close_window(e, w, n);
    pthread_mutex_lock(&e->lock);
    e->ended = 1;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (ib_diag_status(e->diag) != ISOBATH_OK) stop_all(e);
    return NULL;
}

/* ---- the stream ---- */

static ib_window *next(ib_window_stream *stream)
{
    ib_exec *e = (ib_exec *)stream;
    exec_window *w = NULL;
    pthread_mutex_lock(&e->lock);
    while (!must_stop(e) && !(e->ended && !e->open_count)) {
        if (e->open_count && e->open[0]->closed && !e->open[0]->waiting) {
            w = e->open[0];
            memmove(e->open, e->open + 1, (size_t)--e->open_count * sizeof(exec_window *));
            pthread_cond_broadcast(&e->changed);
            break;
        }
        wait_changed(e);
    }
    pthread_mutex_unlock(&e->lock);
    return w ? &w->base : NULL;
}

static void stop(ib_window_stream *stream) { stop_all((ib_exec *)stream); }

static void stats(ib_window_stream *stream, ib_window_stats *out)
{
    ib_exec *e = (ib_exec *)stream;
    memset(out, 0, sizeof *out);
    out->device_count = e->o.processes;
    for (int i = 0; i < e->o.processes; i++) {
        runner *r = &e->runners[i];
        ib_device_stats *d = &out->device[i];
        snprintf(d->name, sizeof d->name, "exec:%d", i);
        d->windows = atomic_load(&r->frames) / IB_PLAN_STEP;
        d->busy_s = (double)atomic_load(&r->busy) * 1e-6;
        d->restarts = atomic_load(&r->restarts);
        d->state = d->restarts > 1 ? IB_DEVICE_LEFT_OUT : IB_DEVICE_BUSY;
        out->busy_s += d->busy_s;
    }
}

/* Joins everything; the object stays. */
static void destroy(ib_window_stream *stream)
{
    ib_exec *e = (ib_exec *)stream;
    stop_all(e);
    if (e->feeding) pthread_join(e->feeder, NULL);
    e->feeding = 0;
    for (int i = 0; i < e->o.processes; i++) {
        runner *r = &e->runners[i];
        if (r->running) pthread_join(r->thread, NULL);
        r->running = 0;
        ib_exec_process_destroy(r->process);
        r->process = NULL;
        for (int j = 0; j < r->given_count; j++) ib_source_frame_unref(r->given[j].frame);
        r->given_count = 0;
    }
    for (int i = 0; i < e->queued; i++) ib_source_frame_unref(e->queue[i].frame);
    e->queued = 0;
    for (int i = 0; i < e->open_count; i++) ib_window_free(&e->open[i]->base);
    e->open_count = 0;
    e->source = NULL;
}

static const ib_window_stream_ops ops = {next, stop, stats, destroy};

isobath_status ib_exec_open(const ib_exec_options *options, ib_diag *diag, ib_exec **out)
{
    *out = NULL;
    ib_exec *e = calloc(1, sizeof *e);
    if (!e) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a depth program");
    e->stream.ops = &ops;
    e->o = *options;
    if (e->o.start_timeout_s <= 0) e->o.start_timeout_s = 300;
    if (e->o.frame_timeout_s <= 0) e->o.frame_timeout_s = 60;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    e->command = strdup(options->command);
    int whole = e->command != NULL;
    for (int i = 0; i < e->o.processes; i++) {
        e->runners[i].exec = e;
        e->runners[i].index = i;
        if (options->visible[i]) whole &= (e->visible[i] = strdup(options->visible[i])) != NULL;
    }
    ib_diag inner = IB_DIAG_INIT;
    isobath_status st = whole ? introduce(e, 0, &inner, &e->runners[0].process, &e->hello)
                              : ib_fail(&inner, ISOBATH_ERR_MEMORY, "out of memory for a depth program");
    if (st != ISOBATH_OK) {
        ib_fail(diag, st, "%s%s: %s", IB_EXEC_PREFIX, options->command, inner.text);
        ib_exec_close(e);
        return st;
    }
    *out = e;
    return ISOBATH_OK;
}

void ib_exec_close(ib_exec *e)
{
    if (!e) return;
    destroy(&e->stream);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    for (int i = 0; i < e->o.processes; i++) free(e->visible[i]);
    free(e->command);
    free(e);
}

const ib_exec_hello *ib_exec_info(const ib_exec *exec) { return &exec->hello; }

isobath_status ib_exec_start(ib_exec *e, ib_source *source, const ib_range *range, int wants_rgb, const atomic_int *cancelled, ib_diag *diag,
                             ib_window_stream **out)
{
    *out = NULL;
    e->source = source;
    e->range = *range;
    e->wants_rgb = wants_rgb;
    e->cancelled = cancelled;
    e->diag = diag;
    e->alive = e->o.processes;
    for (int i = 0; i < e->o.processes; i++) {
        if (pthread_create(&e->runners[i].thread, NULL, runner_main, &e->runners[i]) != 0)
            return ib_fail(diag, ISOBATH_ERR_INTERNAL, "could not start a thread for the depth program");
        e->runners[i].running = 1;
    }
    if (pthread_create(&e->feeder, NULL, feeder_main, e) != 0) {
        stop_all(e);
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "could not start a thread for the depth program");
    }
    e->feeding = 1;
    *out = &e->stream;
    return ISOBATH_OK;
}
