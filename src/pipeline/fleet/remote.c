/* A worker process: one device of a run; see include/isobath/worker.h, wire.h and remote_internal.h. When the run goes away, so does this
 * process, at once. */
#include <isobath/worker.h>

#include "pipeline/fleet/remote_internal.h"

#include "base/thread_name.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void ib_remote_tell(ib_remote *r, ib_message *m)
{
    if (ib_wire_send(&r->wire, m, -1, 1) != 0) _exit(0); /* the run is gone */
}

static int tell_failure(ib_remote *r, isobath_status st)
{
    ib_message m = {.type = IB_MSG_FAILED, .u.failed.status = (int32_t)st};
    snprintf(m.u.failed.text, sizeof m.u.failed.text, "%s", *r->diag.text ? r->diag.text : isobath_status_name(st));
    ib_remote_tell(r, &m);
    return 1;
}

void ib_remote_tell_tick(ib_remote *r, int grace_s)
{
    ib_message m = {.type = IB_MSG_TICK};
    m.u.tick.flops = r->compute ? ib_compute_flops(r->compute) : 0;
    m.u.tick.busy_s = r->compute ? ib_compute_busy_s(r->compute) : 0;
    m.u.tick.grace_s = grace_s;
    ib_remote_tell(r, &m);
    r->last_tick_us = ib_now_us();
}

int ib_remote_tick(void *ctx)
{
    ib_remote *r = ctx;
    if (ib_now_us() - r->last_tick_us > IB_REMOTE_TICK_US) ib_remote_tell_tick(r, 0);
    return 0;
}

/* The next message, which must be of this type; dies quietly when the run is gone. */
isobath_status ib_remote_expect(ib_remote *r, ib_message_type type, ib_message *m, int *passed)
{
    const char *why = NULL;
    ib_wire_got got = ib_wire_receive(&r->wire, m, passed, 1, &why);
    if (got == IB_WIRE_CLOSED || (got == IB_WIRE_MESSAGE && m->type == IB_MSG_BYE)) _exit(0);
    if (got == IB_WIRE_MESSAGE && m->type == type) return ISOBATH_OK;
    return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "a worker process got %s", why ? why : "a message that it did not expect");
}

/* The listener: windows into the queue; the end of the run is the end of this process. */
static void *listen_main(void *arg)
{
    ib_remote *r = arg;
    ib_thread_name("listen");
    for (int over = 0; !over;) {
        ib_message m;
        const char *why;
        ib_wire_got got = ib_wire_receive(&r->wire, &m, NULL, 1, &why);
        if (got != IB_WIRE_MESSAGE) _exit(0);
        pthread_mutex_lock(&r->lock);
        over = m.type == IB_MSG_BYE || m.type == IB_MSG_REST;
        if (m.type == IB_MSG_WINDOW && r->feed[0]) ib_remote_add_task(r, &m.u.window);
        else if (m.type == IB_MSG_WINDOW && r->queued < IB_REMOTE_QUEUE) r->queue[r->queued++] = m.u.window;
        r->bye |= m.type == IB_MSG_BYE;
        r->rest |= m.type == IB_MSG_REST;
        pthread_cond_broadcast(&r->came);
        pthread_cond_broadcast(&r->fed);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

/* A frame with its planes' description behind it. */
typedef struct remote_frame {
    ib_source_frame base;
    ib_yuv_planes planes;
} remote_frame;

static void release_frame(ib_source_frame *f) { free(f); }

static isobath_status find_frame(ib_remote *r, int place, int64_t index, ib_source_frame **out)
{
    int has_planes;
    remote_frame *f = calloc(1, sizeof *f);
    *out = &f->base;
    if (!f) return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
    f->base = (ib_source_frame){.index = index, .width = r->layout.width, .height = r->layout.height, .place = place, .release = release_frame};
    atomic_init(&f->base.refs, 1);
    const uint8_t *at = place < 0 || place >= r->layout.frames ? NULL : ib_shared_frame(r->base, &r->layout, place, &f->planes, &has_planes);
    if (!at) return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "no such frame: %d", place);
    if (has_planes) f->base.planes = &f->planes;
    else f->base.rgb = (uint8_t *)(uintptr_t)at;
    return ISOBATH_OK;
}

/* The run's frames do not come out of the input here: said once, then nothing more is done. */
static isobath_status tell_misfit(ib_remote *r, const ib_remote_task *t)
{
    ib_message m = {.type = IB_MSG_MISFIT, .u.misfit.order = t->window.order};
    snprintf(m.u.misfit.text, sizeof m.u.misfit.text, "%s", t->why);
    ib_remote_tell(r, &m);
    return ISOBATH_OK;
}

static isobath_status begin_window(ib_remote *r, ib_remote_task *t)
{
    const ib_msg_window *w = &t->window;
    isobath_status st = ISOBATH_OK;
    if (!ib_remote_is_place(r, w->raw)) return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "no such place for a result: %d", (int)w->raw);
    for (int i = 0; i < IB_PLAN_WINDOW && st == ISOBATH_OK && !r->feed[0]; i++) st = find_frame(r, w->frame[i], w->index[i], &t->frames.frame[i]);
    ib_sabotage_before(&r->sabotage, w->order);
    ib_compute_starve(r->compute, ib_sabotage_starves(&r->sabotage, w->order));
    if (st == ISOBATH_OK) st = ib_sabotage_fails(&r->sabotage, w->order, &r->diag);
    if (st == ISOBATH_OK) st = ib_sabotage_breaks(&r->sabotage, w->order, r->backend, &r->diag);
    float *raw = ib_remote_raw_place(r, w->raw);
    int64_t start = ib_now_us();
    if (st == ISOBATH_OK) st = ib_compute_begin(r->compute, w->shot, w->k, t->frames.frame, raw);
    ib_trace_span(r->trace, "begin", start, w->order);
    if (st == ISOBATH_OK) {
        ib_remote_flight *f = &r->flight[r->flights++];
        *f = (ib_remote_flight){.window = *w, .begun_us = ib_now_us(), .due_us = ib_sabotage_due(&r->sabotage)};
        for (int i = 0; i < IB_PLAN_OVERLAP; i++) {
            f->before[i] = t->frames.hash[i];
            f->after[i] = t->frames.hash[ib_feed_slot_before(i)];
        }
    }
    ib_feed_drop(&t->frames);
    return st;
}

/* The device has a window that was waited for since `start`. */
static void note_finished(ib_remote *r, const ib_remote_flight *f, int64_t start)
{
    int64_t now = ib_now_us(), from = f->begun_us > r->finished_us ? f->begun_us : r->finished_us;
    double took = (double)(now - from);
    r->window_us = r->window_us > 0 ? 0.8 * r->window_us + 0.2 * took : took;
    r->finished_us = now;
    ib_trace_span(r->trace, "card", start, f->window.order);
}

static isobath_status finish_window(ib_remote *r)
{
    ib_remote_flight f = r->flight[0];
    ib_msg_window w = f.window;
    r->flight[0] = r->flight[1];
    r->flights--;
    ib_message m = {.type = IB_MSG_RESULT};
    ib_msg_result *o = &m.u.result;
    int redone;
    int64_t start = ib_now_us();
    IB_TRY(ib_compute_finish(r->compute, &redone, &o->nonfinite));
    ib_sabotage_wait(f.due_us);
    note_finished(r, &f, start);
    o->order = w.order;
    o->raw = w.raw;
    o->redone = redone;
    o->flops = ib_compute_flops(r->compute);
    o->busy_s = ib_compute_busy_s(r->compute);
    memcpy(o->before, f.before, sizeof o->before);
    memcpy(o->after, f.after, sizeof o->after);
    o->decode_s = ib_remote_decode_busy_s(r);
    o->waits = r->waits;
    float *raw = ib_remote_raw_place(r, w.raw);
    ib_sabotage_stamp(&r->sabotage, &w, r->setup.shape.height, r->setup.shape.width, raw);
    ib_sabotage_result(&r->sabotage, r->wire.fd, o, raw);
    ib_remote_tell(r, &m);
    r->last_tick_us = ib_now_us();
    return ISOBATH_OK;
}

/* Windows until the run says good-bye: where the device takes two, one more is begun before the oldest is waited for. */
static isobath_status serve(ib_remote *r)
{
    for (ib_remote_task t;;) {
        if (ib_remote_next_task(r, &t)) {
            if (t.status == ISOBATH_ERR_INPUT) {
                while (r->flights) IB_TRY(finish_window(r));
                return tell_misfit(r, &t);
            }
            if (t.status != ISOBATH_OK) return ib_fail(&r->diag, t.status, "frames of a window cannot be read: %s", isobath_status_name(t.status));
            IB_TRY(begin_window(r, &t));
            if (r->flights < r->setup.shape.depth_slots) continue;
        } else if (r->flights == 0) {
            int over = !r->feed[0] || r->bye || r->rest;
            return over ? ISOBATH_OK : ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
        }
        IB_TRY(finish_window(r));
    }
}

/* What belongs to one run. */
static void end_run(ib_remote *r)
{
    ib_compute_destroy(r->compute);
    r->compute = NULL;
    int64_t start = ib_now_us();
    ib_remote_end_places(r);
    ib_trace_span(r->trace, "give places back", start, -1);
    ib_remote_end_feed(r);
    ib_trace_close(r->trace);
    r->trace = NULL;
    r->queued = r->rest = r->starved = 0;
    r->waits = (ib_msg_waits){0};
    r->window_us = 0;
}

static void close_all(ib_remote *r)
{
    ib_remote_drop_network(r);
    ib_pool_destroy(r->pool);
    pthread_cond_destroy(&r->came);
    pthread_cond_destroy(&r->fed);
    pthread_mutex_destroy(&r->lock);
    ib_diag_destroy(&r->diag);
}

/* One run, from OPEN to REST or BYE. */
static isobath_status serve_run(ib_remote *r)
{
    pthread_t listener;
    IB_TRY(ib_remote_open_device(r));
    IB_TRY(ib_remote_load_network(r));
    int decodes = r->feed[0] != NULL;
    r->newest = (ib_msg_window){.shot = -1};
    if (pthread_create(&listener, NULL, listen_main, r) != 0)
        return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "could not start a thread of a worker process");
    IB_TRY(serve(r)); /* else the run ends this process, and its threads with it */
    pthread_join(listener, NULL);
    for (int i = 0; decodes && i < r->feeds; i++) pthread_join(r->feeder[i], NULL);
    if (decodes) pthread_join(r->looker, NULL);
    if (r->bye && ib_sabotage_is_card(r->setup.device)) { /* the kernel takes a card's memory back sooner than the driver gives it, piece by piece */
        ib_trace_close(r->trace);
        _exit(0);
    }
    end_run(r);
    return ISOBATH_OK;
}

int isobath_worker_run(int fd, long parent)
{
    ib_remote r = {.wire.fd = fd};
    r.tail = &r.head;
    ib_thread_name("isobath worker"); /* else it is called exe */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (parent > 0 && getppid() != parent) return 0;
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    ib_diag_init(&r.diag);
    ib_sabotage_init(&r.sabotage);
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.came, NULL);
    pthread_cond_init(&r.fed, NULL);
    isobath_status st = ISOBATH_OK;
    while (st == ISOBATH_OK && !r.bye) st = serve_run(&r);
    if (st != ISOBATH_OK) return tell_failure(&r, st);
    close_all(&r);
    return 0;
}
