/* Depth programs as a stream of windows; see exec.h, and exec_internal.h for how it works. */
#include "pipeline/exec/exec_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ib_exec_must_stop(const ib_exec *e)
{
    return atomic_load(&e->stopped) || (e->cancelled && atomic_load(e->cancelled));
}

void ib_exec_wait_changed(ib_exec *e)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += IB_EXEC_TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&e->changed, &e->lock, &until);
}

void ib_exec_stop_all(ib_exec *e)
{
    pthread_mutex_lock(&e->lock);
    atomic_store(&e->stopped, 1);
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (e->source) ib_source_stop(e->source);
}

static ib_window *next(ib_window_stream *stream)
{
    ib_exec *e = (ib_exec *)stream;
    ib_exec_window *w = NULL;
    pthread_mutex_lock(&e->lock);
    while (!ib_exec_must_stop(e) && !(e->ended && !e->open_count)) {
        if (e->open_count && e->open[0]->closed && !e->open[0]->waiting) {
            w = e->open[0];
            memmove(e->open, e->open + 1, (size_t)--e->open_count * sizeof(ib_exec_window *));
            pthread_cond_broadcast(&e->changed);
            break;
        }
        ib_exec_wait_changed(e);
    }
    pthread_mutex_unlock(&e->lock);
    return w ? &w->base : NULL;
}

static void stop(ib_window_stream *stream) { ib_exec_stop_all((ib_exec *)stream); }

static void stats(ib_window_stream *stream, ib_window_stats *out)
{
    ib_exec *e = (ib_exec *)stream;
    memset(out, 0, sizeof *out);
    out->device_count = e->o.processes;
    for (int i = 0; i < e->o.processes; i++) {
        ib_exec_runner *r = &e->runners[i];
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
    ib_exec_stop_all(e);
    if (e->feeding) pthread_join(e->feeder, NULL);
    e->feeding = 0;
    for (int i = 0; i < e->o.processes; i++) {
        ib_exec_runner *r = &e->runners[i];
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
    isobath_status st = whole ? ib_exec_introduce(e, 0, &inner, &e->runners[0].process, &e->hello)
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

isobath_status ib_exec_start(ib_exec *e, ib_source *source, const ib_range *range, int wants_rgb,
                             const atomic_int *cancelled, ib_diag *diag, ib_window_stream **out)
{
    *out = NULL;
    e->source = source;
    e->range = *range;
    e->wants_rgb = wants_rgb;
    e->cancelled = cancelled;
    e->diag = diag;
    e->alive = e->o.processes;
    for (int i = 0; i < e->o.processes; i++) {
        if (pthread_create(&e->runners[i].thread, NULL, ib_exec_runner_main, &e->runners[i]) != 0)
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start a thread for the depth program");
        e->runners[i].running = 1;
    }
    if (pthread_create(&e->feeder, NULL, ib_exec_feeder_main, e) != 0) {
        ib_exec_stop_all(e);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start a thread for the depth program");
    }
    e->feeding = 1;
    *out = &e->stream;
    return ISOBATH_OK;
}
