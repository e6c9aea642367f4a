/* Windows from several devices: the stream's side, and the thread that assembles windows; see fleet.h. */
#include "pipeline/fleet/fleet_internal.h"

#include "base/thread_name.h"
#include "pipeline/fleet/sabotage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHECKERS 4     /* threads that look at results: a quarter of what the run may use, up to so many */
#define LOOK_AHEAD 128 /* windows that are known from the packets, where no frames are held for them */

typedef struct fleet_window {
    ib_window base;
    ib_fleet *fleet;
    int raw;
} fleet_window;

void ib_fleet_wake(ib_fleet *f)
{
    uint64_t one = 1;
    while (write(f->wake_fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

void ib_fleet_drop_frames(ib_source_frame *frames[IB_PLAN_WINDOW])
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        ib_source_frame_unref(frames[i]);
        frames[i] = NULL;
    }
}

/* Of the assembler. */
static int is_stopped(void *ctx)
{
    ib_fleet *f = ctx;
    return f->index.failed || atomic_load(&f->stopping) || atomic_load(&f->misfits) || (f->o.cancelled && atomic_load(f->o.cancelled));
}

/* One more window for the schedule; waits for room. 0: stopped. */
static int append(ib_fleet *f, const ib_window_frames *w)
{
    int32_t lead = -1;
    if (!f->source) lead = (int32_t)(ib_fleet_entry(w->slot[w->k > 0])->lead < 1 << 20 ? ib_fleet_entry(w->slot[w->k > 0])->lead : 1 << 20);
    pthread_mutex_lock(&f->lock);
    while (!f->over && !is_stopped(f) && !ib_schedule_append(&f->schedule, lead)) pthread_cond_wait(&f->changed, &f->lock);
    int open = !f->over && !is_stopped(f);
    if (open) {
        ib_fleet_job *j = &f->jobs[(f->schedule.appended - 1) % f->schedule.capacity];
        *j = (ib_fleet_job){.window = {.shot = w->shot, .shot_first = w->shot_first, .k = w->k, .frames_total = w->frames_total}, .raw = -1,
                            .first = w->first, .end = w->end, .video_frames = f->index.video_frames};
        for (int i = 0; i < IB_PLAN_WINDOW; i++) j->frames[i] = ib_source_frame_ref(w->slot[i]);
        for (int i = w->first; i < w->end; i++) {
            j->window.pts_us[i] = w->slot[i]->pts_us;
            if (f->o.wants_rgb) j->window.source[i] = ib_source_frame_ref(w->slot[i]);
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (open) ib_fleet_wake(f);
    return open;
}

static void *assemble_main(void *arg)
{
    ib_fleet *f = arg;
    ib_thread_name("assemble");
    const ib_window_frames *w = NULL;
    isobath_status st = ISOBATH_OK;
    if (!is_stopped(f))
        do st = ib_reader_next(&f->reader, &w);
        while (st == ISOBATH_OK && w && append(f, w));
    pthread_mutex_lock(&f->lock);
    f->cut_short = f->index.failed;
    if (st == ISOBATH_OK && ib_diag_status(f->o.diag) == ISOBATH_OK && !is_stopped(f)) f->schedule.ended = 1;
    else if (!is_stopped(f)) f->over = 1;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    ib_fleet_wake(f);
    return NULL;
}

static void release_window(ib_window *window)
{
    fleet_window *w = (fleet_window *)window;
    ib_shared_give_raw(w->fleet->shared, w->raw);
    ib_trace_count(w->fleet->trace, "places free", ib_shared_free_raws(w->fleet->shared));
    ib_fleet_wake(w->fleet);
    free(w);
}

/* Does the next window rest on the same pictures as the one before it? The lock is held. */
static int follows(ib_fleet *f, const ib_fleet_job *j)
{
    char line[128];
    int next = !f->source && f->after_k >= 0 && j->window.shot == f->after_shot && j->window.k == f->after_k + 1;
    if (!next || memcmp(f->after, j->before, sizeof f->after) == 0) return 1;
    snprintf(line, sizeof line, "worker processes read different pictures where windows %lld and %lld meet", (long long)f->after_k, (long long)j->window.k);
    ib_fleet_set_misfit(f, line);
    return 0;
}

/* What is kept of a window of decoding workers that is handed on. */
static void note_decoded(ib_fleet *f, const ib_fleet_job *j)
{
    if (f->source) return;
    const isobath_plan *p = &f->o.setup->plan;
    size_t maps = (size_t)IB_PLAN_WINDOW * (size_t)p->network_width * (size_t)p->network_height;
    ib_fleet_look_at(f, j->window.shot_first + IB_PLAN_STEP * j->window.k, j->first, j->end, (const ib_thumb *)(const void *)(ib_shared_raw(f->shared, j->raw) + maps));
    memcpy(f->after, j->after, sizeof f->after);
    f->after_shot = j->window.shot;
    f->after_k = j->window.k;
    f->decoded += j->end - j->first;
}

static ib_window *fleet_next(ib_window_stream *s)
{
    ib_fleet *f = (ib_fleet *)s;
    fleet_window *w = calloc(1, sizeof *w);
    if (!w) {
        ib_fail(f->o.diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
        return NULL;
    }
    int64_t start = ib_now_us();
    if (f->taken_us) ib_trace_span(f->trace, "align, hand over", f->taken_us, -1);
    pthread_mutex_lock(&f->lock);
    ib_schedule *q = &f->schedule;
    while (!ib_schedule_ready(q) && !f->over && !((q->ended || f->cut_short) && q->out == q->appended) && !atomic_load(&f->stopping))
        pthread_cond_wait(&f->changed, &f->lock);
    if (f->cut_short && q->out == q->appended && !atomic_load(&f->stopping)) ib_fleet_set_misfit(f, f->index.diag.text);
    int ready = ib_schedule_ready(q) && !atomic_load(&f->stopping) && follows(f, &f->jobs[q->out % q->capacity]);
    if (!ready && !f->source && q->ended && q->out == q->appended) ib_fleet_look_at(f, 0, -1, -1, NULL);
    if (ready) {
        ib_fleet_job *j = &f->jobs[ib_schedule_pop(q) % q->capacity];
        note_decoded(f, j);
        w->base = j->window;
        w->base.raw = ib_shared_raw(f->shared, j->raw);
        w->base.release = release_window;
        w->fleet = f;
        w->raw = j->raw;
        *j = (ib_fleet_job){.raw = -1};
        pthread_cond_broadcast(&f->changed);
    }
    int64_t order = q->out - ready;
    pthread_mutex_unlock(&f->lock);
    ib_trace_span(f->trace, "wait for the next window", start, order);
    f->taken_us = ib_now_us();
    if (ready) return &w->base;
    free(w);
    return NULL;
}

static void fleet_stop(ib_window_stream *s)
{
    ib_fleet *f = (ib_fleet *)s;
    pthread_mutex_lock(&f->lock);
    atomic_store(&f->stopping, 1);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->source) ib_source_stop(f->source);
    if (f->shared) ib_shared_stop(f->shared);
    ib_fleet_wake(f);
}

static void fleet_stats(ib_window_stream *s, ib_window_stats *out)
{
    ib_fleet *f = (ib_fleet *)s;
    pthread_mutex_lock(&f->lock);
    out->lost = f->lost;
    out->late = f->schedule.late;
    out->device_count = f->schedule.device_count;
    for (int i = 0; i < out->device_count; i++) {
        const ib_fleet_device *d = &f->device[i];
        ib_device_stats *o = &out->device[i];
        memcpy(o->name, d->name, sizeof o->name);
        o->state = d->state == IB_FLEET_OUT ? IB_DEVICE_LEFT_OUT : d->state != IB_FLEET_WORKING ? IB_DEVICE_STARTING
                   : d->flights ? IB_DEVICE_BUSY : IB_DEVICE_IDLE;
        o->windows = d->windows;
        o->busy_s = d->busy_before + d->busy_s;
        o->restarts = d->failures;
        out->busy_s += o->busy_s;
        out->flops += d->flops_before + d->flops;
        out->decode_s += d->decode_before + d->decode_s;
    }
    out->decoded = f->decoded;
    out->likely_cuts = atomic_load(&f->likely_cuts);
    pthread_mutex_unlock(&f->lock);
}

/* Threads, processes and memory; what is left is for stats. */
static void fleet_end(ib_window_stream *s)
{
    ib_fleet *f = (ib_fleet *)s;
    if (f->assembling) pthread_join(f->assembler, NULL);
    if (f->dispatching) pthread_join(f->dispatcher, NULL);
    f->assembling = f->dispatching = 0;
    int64_t start = ib_now_us();
    for (int i = 0; i < f->schedule.device_count; i++) {
        ib_fleet_device *d = &f->device[i];
        ib_child_close(d->child);
        d->child = NULL;
        for (int j = 0; j < d->flights; j++) ib_fleet_drop_frames(d->flight[j].frames);
        pthread_mutex_lock(&f->lock); /* stats are still asked for */
        d->flights = 0;
        pthread_mutex_unlock(&f->lock);
    }
    ib_trace_span(f->trace, "end worker processes", start, -1);
    for (int64_t i = 0; f->jobs && i < f->schedule.capacity; i++) {
        ib_fleet_drop_frames(f->jobs[i].frames);
        ib_fleet_drop_frames(f->jobs[i].window.source);
    }
    ib_reader_free(&f->reader);
    ib_fleet_close_index(f);
    ib_shared_unref(f->shared);
    f->shared = NULL;
}

static void fleet_destroy(ib_window_stream *s)
{
    ib_fleet *f = (ib_fleet *)s;
    fleet_stop(s);
    fleet_end(s);
    ib_diag_destroy(&f->index.diag);
    ib_schedule_free(&f->schedule);
    ib_pool_destroy(f->checkers);
    free(f->jobs);
    ib_trace_close(f->trace);
    if (f->wake_fd >= 0) close(f->wake_fd);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static const ib_window_stream_ops fleet_ops = {fleet_next, fleet_stop, fleet_stats, fleet_destroy, fleet_end};

static isobath_status prepare(ib_fleet *f)
{
    ib_setup *s = f->o.setup;
    int64_t windows = s->plan.frames_hint > 0 && f->o.range.k_end < 0 ? ib_plan_windows(s->plan.frames_hint) : -1;
    if (windows >= 0) windows -= (f->o.range.shot_first + IB_PLAN_STEP - 1) / IB_PLAN_STEP + f->o.range.k;
    if (f->o.range.k_end >= 0) windows = f->o.range.k_end - f->o.range.k;
    if (f->o.range.limit > 0 && (windows < 0 || windows > f->o.range.limit)) windows = f->o.range.limit;
    f->trace = ib_trace_open(NULL, 0);
    if ((f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return ib_fail(f->o.diag, ISOBATH_ERR_INTERNAL, "no event descriptor: %s", strerror(errno));
    int frames, raws, checkers = s->threads / 4 < CHECKERS ? s->threads / 4 : CHECKERS;
    IB_TRY(ib_pool_create(checkers > 1 ? checkers : 1, f->o.diag, &f->checkers));
    ib_setup_shared_places(s, &frames, &raws);
    int64_t start = ib_now_us();
    IB_TRY(ib_shared_create(&s->shared, frames, raws, f->o.diag, &f->shared));
    ib_trace_span(f->trace, "take shared memory", start, -1);
    ib_shared_deal(f->shared, s->devices.count);
    IB_TRY(ib_schedule_init(&f->schedule, s->devices.count, s->segment, windows, s->decodes ? LOOK_AHEAD : s->shared.frames + 8, f->o.diag));
    f->jobs = calloc((size_t)f->schedule.capacity, sizeof *f->jobs);
    if (!f->jobs) return ib_fail(f->o.diag, ISOBATH_ERR_MEMORY, "out of memory for the look-ahead");
    for (int i = 0; i < s->devices.count; i++) {
        ib_fleet_device *d = &f->device[i];
        d->device = s->devices.device[i];
        ib_device_name(d->device, d->name);
        d->child = s->child[i];
        s->child[i] = NULL;
        d->state = IB_FLEET_START;
        f->schedule.device[i].depth = !ib_sabotage_is_card(d->device) ? 2 : s->decodes ? IB_SCHEDULE_DEEP : IB_SCHEDULE_DEPTH; /* a GPU has two in work */
    }
    return ISOBATH_OK;
}

isobath_status ib_fleet_create(const ib_fleet_options *options, ib_fleet **out)
{
    *out = NULL;
    ib_fleet *f = calloc(1, sizeof *f);
    if (!f) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for worker processes");
    f->stream.ops = &fleet_ops;
    f->o = *options;
    f->wake_fd = -1;
    f->after_k = f->look.seen = -1;
    ib_diag_init(&f->index.diag);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    isobath_status st = prepare(f);
    if (st == ISOBATH_OK) *out = f;
    else fleet_destroy(&f->stream);
    return st;
}

ib_frame_pool ib_fleet_pool(ib_fleet *f) { return ib_shared_pool(f->shared); }
ib_window_stream *ib_fleet_stream(ib_fleet *f) { return &f->stream; }

isobath_status ib_fleet_start(ib_fleet *f, ib_source *source)
{
    f->source = source;
    if (!source && ib_fleet_open_index(f) != ISOBATH_OK) ib_fleet_set_misfit(f, f->index.diag.text); /* no thread is there yet */
    f->reader = (ib_reader){.source = source, .next = ib_fleet_next_frame, .range = f->o.range, .stopped = is_stopped, .ctx = f, .diag = f->o.diag};
    f->dispatching = pthread_create(&f->dispatcher, NULL, ib_fleet_devices_main, f) == 0;
    f->assembling = f->dispatching && pthread_create(&f->assembler, NULL, assemble_main, f) == 0;
    return f->assembling ? ISOBATH_OK : ib_fail(f->o.diag, ISOBATH_ERR_MEMORY, "could not start the threads of worker processes");
}

const char *ib_fleet_misfit(ib_window_stream *stream)
{
    ib_fleet *f = (ib_fleet *)stream;
    pthread_mutex_lock(&f->lock); /* it does not change any more: no thread of the fleet is after it */
    const char *text = f->misfit;
    pthread_mutex_unlock(&f->lock);
    return text;
}
