/* Windows from several devices: the one thread that starts worker processes, talks to them and survives them; see fleet.h. */
#include "base/clock.h"
#include "base/thread_name.h"
#include "pipeline/engine.h"
#include "pipeline/fleet/fleet_internal.h"
#include "pipeline/fleet/sabotage.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 100              /* how often clocks and `cancelled` are looked at when nothing happens */
#define FAILURES_MOST 2          /* processes of a device that may fail before it is left out */
#define OPEN_LIMIT_US 120000000  /* until a new process says what it is */
#define LOAD_LIMIT_US 120000000  /* until the network is loaded: this, and */
#define LOAD_BYTES_PER_S 10e6    /* its file from a slow disk */
#define CARD_LIMIT_US 90000000   /* of a card whose speed is not known: a driver that compiles the kernels as they are used, and */
#define CARD_FLOPS 1e12          /* its windows on the slowest one */
#define CPU_FLOPS 2e9            /* of one thread of the slowest processor */
#define QUIET_LEAST_US 10000000  /* and of a device whose speed is known: this, or */
#define QUIET_WINDOWS 8          /* the time of so many windows */
#define QUIET_TIMES 4            /* or of what a processor does at most without a word */

/* A line for the log and for people. */
static void tell(ib_fleet *f, const ib_fleet_device *d, const char *event, const char *text)
{
    const isobath_run_options *o = &f->o.setup->options;
    ib_log_event(f->o.log, event, json_pack("{s:s, s:o}", "device", d->name, "text", json_string_nocheck(text)));
    if (o->note) o->note(o->note_ctx, text);
}

/* Takes everything from a device and kills its process; places that it may still write to are kept until it is dead. `why` may be
 * followed by its own words. */
static void fail_device(ib_fleet *f, ib_fleet_device *d, isobath_status st, const char *why)
{
    if (d->state == IB_FLEET_DYING || d->state == IB_FLEET_OUT) return;
    f->lost += ib_schedule_leave(&f->schedule, (int)(d - f->device));
    d->fault_status = st;
    snprintf(d->fault, sizeof d->fault, "%s", why);
    d->state = IB_FLEET_DYING;
    ib_child_kill(d->child);
}

static void add_waits(ib_msg_waits *sum, const ib_msg_waits *more)
{
    sum->window_s += more->window_s;
    sum->jump_s += more->jump_s;
    sum->frames_s += more->frames_s;
}

/* A dead process: its places are free again; the device is started once more or left out. */
static void bury(ib_fleet *f, ib_fleet_device *d, const char *how)
{
    char line[IB_DIAG_TEXT + 512];
    for (int i = 0; i < d->flights; i++) {
        ib_fleet_drop_frames(d->flight[i].frames);
        ib_shared_give_raw(f->shared, d->flight[i].raw);
    }
    d->flights = 0;
    ib_child_listen(d->child);
    if (!*d->fault) snprintf(d->fault, sizeof d->fault, "its worker process %s", how);
    if (*d->child->last_words && strlen(d->fault) + strlen(d->child->last_words) + 16 < sizeof d->fault)
        snprintf(d->fault + strlen(d->fault), sizeof d->fault - strlen(d->fault), " (its last words: %.250s)", d->child->last_words);
    ib_child_close(d->child);
    d->child = NULL;
    d->busy_before += d->busy_s;
    d->flops_before += d->flops;
    d->decode_before += d->decode_s;
    add_waits(&d->waits_before, &d->waits);
    d->waits = (ib_msg_waits){0};
    d->busy_s = d->flops = d->decode_s = 0;
    d->failures++;
    d->state = d->failures < FAILURES_MOST ? IB_FLEET_START : IB_FLEET_OUT;
    snprintf(line, sizeof line, "%s: %s; %s", d->name, d->fault,
             d->state == IB_FLEET_START ? "its windows go to others, and it is started again" : "it is left out");
    tell(f, d, d->state == IB_FLEET_START ? "worker_lost" : "worker_left_out", line);
}

static void load(ib_fleet *f, ib_fleet_device *d)
{
    const ib_setup *s = f->o.setup;
    ib_message m = {.type = IB_MSG_LOAD};
    ib_msg_load *l = &m.u.load;
    snprintf(l->model_path, sizeof l->model_path, "%s", s->model_path);
    l->config = s->config;
    l->shape = s->shape;
    l->shape.budget = NULL;
    l->budget_bytes = s->budget.limit;
    ib_setup_batches(&s->config, ib_sabotage_is_card(d->device), s->act, &l->shape);
    l->shared = *ib_shared_get_layout(f->shared);
    l->decodes = s->decodes;
    int frames, raws;
    ib_setup_shared_places(s, &frames, &raws);
    l->share = (int32_t)(d - f->device);
    l->shares = f->schedule.device_count;
    l->places = raws;
    d->state = IB_FLEET_LOADING;
    d->quiet_us = 0;
    int error = ib_wire_send(&d->child->wire, &m, ib_shared_fd(f->shared), 0);
    if (error) fail_device(f, d, ISOBATH_ERR_DEVICE, "");
}

/* A process for the device; one that was opened with the set-up knows already what it is. */
static void start_device(ib_fleet *f, ib_fleet_device *d)
{
    d->grace_s = 0;
    *d->fault = 0;
    if (d->child) {
        load(f, d);
        return;
    }
    ib_diag diag = IB_DIAG_INIT;
    ib_msg_open open = ib_setup_child_open(f->o.setup, d->device);
    if (ib_child_start(f->o.setup->program, &diag, &d->child) != ISOBATH_OK) {
        d->failures++;
        d->state = IB_FLEET_OUT;
        d->fault_status = ISOBATH_ERR_DEVICE;
        snprintf(d->fault, sizeof d->fault, "%s", diag.text);
        tell(f, d, "worker_left_out", diag.text);
        return;
    }
    d->state = IB_FLEET_OPENING;
    d->quiet_us = 0;
    if (ib_child_open(d->child, &open) != 0) fail_device(f, d, ISOBATH_ERR_DEVICE, "");
}

/* Gives the device as many windows as it may have. */
static void feed(ib_fleet *f, ib_fleet_device *d)
{
    int i = (int)(d - f->device);
    for (int64_t order; d->state == IB_FLEET_WORKING &&
                        (order = ib_schedule_next(&f->schedule, i, ib_shared_free_raws(f->shared), ib_now_us())) >= 0;) {
        const ib_fleet_job *j = &f->jobs[order % f->schedule.capacity];
        ib_fleet_flight *l = &d->flight[d->flights++];
        ib_message m = {.type = IB_MSG_WINDOW, .u.window = {.order = order, .shot = j->window.shot, .k = j->window.k}};
        *l = (ib_fleet_flight){.order = order, .raw = ib_shared_take_raw(f->shared, i)};
        m.u.window.raw = l->raw;
        for (int s = 0; s < IB_PLAN_WINDOW; s++) {
            l->frames[s] = ib_source_frame_ref(j->frames[s]);
            m.u.window.index[s] = j->frames[s]->index;
            m.u.window.frame[s] = j->frames[s]->place;
            m.u.window.pts_us[s] = j->frames[s]->pts_us;
            if (s < 2 && !f->source) m.u.window.point[s] = (ib_msg_point){ib_fleet_entry(j->frames[s])->key_us, ib_fleet_entry(j->frames[s])->lead};
        }
        m.u.window.first = j->first;
        m.u.window.end = j->end;
        m.u.window.video_frames = j->video_frames;
        if (d->flights == 1) d->quiet_us = 0;
        if (ib_wire_send(&d->child->wire, &m, -1, 0) != 0) fail_device(f, d, ISOBATH_ERR_DEVICE, "");
    }
}

/* The maps of a window, looked at side by side: one thread reads 61 MB more slowly than two cards write them. */
typedef struct finite_check {
    const float *maps;
    size_t pixels; /* of a map */
    atomic_int bad;
} finite_check;

/* Are all values of a map finite? An exponent of all ones is not. */
static void check_map(void *ctx, int64_t map, int thread)
{
    finite_check *c = ctx;
    const float *x = c->maps + (size_t)map * c->pixels;
    uint32_t worst[16] = {0}, u[16];
    size_t i = 0;
    (void)thread;
    for (; i + 16 <= c->pixels; i += 16) { /* of a fixed length: vector code */
        memcpy(u, x + i, sizeof u);
        for (int j = 0; j < 16; j++) {
            uint32_t e = u[j] & 0x7f800000u;
            worst[j] = e > worst[j] ? e : worst[j];
        }
    }
    for (; i < c->pixels; i++) {
        memcpy(u, x + i, sizeof *u);
        worst[0] = (*u & 0x7f800000u) > worst[0] ? *u & 0x7f800000u : worst[0];
    }
    for (int j = 0; j < 16; j++)
        if (worst[j] == 0x7f800000u) atomic_store(&c->bad, 1);
}

static int are_finite(ib_fleet *f, const float *maps, int64_t count, size_t pixels)
{
    finite_check c = {.maps = maps, .pixels = pixels};
    ib_pool_run(f->checkers, count, check_map, &c);
    return !atomic_load(&c.bad);
}

/* The device answers for its oldest window. */
static void take_result(ib_fleet *f, ib_fleet_device *d, const ib_msg_result *o)
{
    ib_fleet_flight *l = &d->flight[0];
    if (!d->flights || o->order != l->order || o->raw != l->raw || o->nonfinite < 0 || (o->nonfinite && !o->redone)) {
        fail_device(f, d, ISOBATH_ERR_DEVICE, "its worker process answers for another window than it was given");
        return;
    }
    const isobath_plan *p = &f->o.setup->plan;
    size_t map = (size_t)p->network_width * (size_t)p->network_height;
    int skip = f->o.setup->config.temporal || l->order == 0 ? 0 : IB_PLAN_OVERLAP; /* slots that nobody wrote */
    pthread_mutex_unlock(&f->lock); /* the place is this thread's until it is handed on */
    int64_t start = ib_now_us();
    int finite = are_finite(f, ib_shared_raw(f->shared, l->raw) + (size_t)skip * map, IB_PLAN_WINDOW - skip, map);
    ib_trace_span(f->trace, "check a result", start, l->order);
    pthread_mutex_lock(&f->lock);
    if (!finite) {
        fail_device(f, d, ISOBATH_ERR_DEVICE, "its worker process returns values that are not finite and says that they are");
        return;
    }
    if (o->redone && !f->redo_told) tell(f, d, "redo_opened", "values that are not finite: the window is redone in fp32 (see the log and the manifest)");
    f->redo_told |= o->redone;
    d->windows++;
    d->flops = o->flops;
    d->busy_s = o->busy_s;
    d->decode_s = o->decode_s;
    d->waits = o->waits;
    ib_fleet_job *j = &f->jobs[l->order % f->schedule.capacity];
    if (ib_schedule_done(&f->schedule, (int)(d - f->device), ib_now_us())) {
        j->raw = l->raw;
        j->window.redone = o->redone;
        j->window.nonfinite = o->nonfinite;
        memcpy(j->before, o->before, sizeof j->before);
        memcpy(j->after, o->after, sizeof j->after);
        ib_fleet_drop_frames(j->frames);
        pthread_cond_broadcast(&f->changed);
    } else ib_shared_give_raw(f->shared, l->raw);
    ib_fleet_drop_frames(l->frames);
    memmove(d->flight, d->flight + 1, (size_t)--d->flights * sizeof *d->flight);
}

/* A worker says what is wrong. What is the model's or the run's fault would be so on every device. */
static void take_failure(ib_fleet *f, ib_fleet_device *d, const ib_msg_failed *o)
{
    isobath_status st = (isobath_status)o->status;
    if (st == ISOBATH_ERR_MODEL || st == ISOBATH_ERR_USAGE || st == ISOBATH_ERR_INPUT) ib_fail(f->o.diag, st, "%s", o->text);
    fail_device(f, d, st, o->text);
}

static void take_message(ib_fleet *f, ib_fleet_device *d, const ib_message *m)
{
    d->quiet_us = 0;
    d->grace_s = 0;
    if (m->type == IB_MSG_FAILED) take_failure(f, d, &m->u.failed);
    else if (m->type == IB_MSG_OPENED && d->state == IB_FLEET_OPENING) {
        if (f->o.setup->decodes && !m->u.opened.decodes) fail_device(f, d, ISOBATH_ERR_DEVICE, "it cannot open the input any more");
        else if (strstr(f->o.setup->plan.device, m->u.opened.kind)) load(f, d);
        else fail_device(f, d, ISOBATH_ERR_DEVICE, "it comes back as another kind of device");
    } else if (m->type == IB_MSG_LOADED && d->state == IB_FLEET_LOADING) {
        d->state = IB_FLEET_WORKING;
        ib_schedule_join(&f->schedule, (int)(d - f->device), ib_now_us());
    } else if (m->type == IB_MSG_MISFIT && d->state == IB_FLEET_WORKING && f->o.setup->decodes) {
        ib_fleet_set_misfit(f, m->u.misfit.text);
        fail_device(f, d, ISOBATH_ERR_INPUT, m->u.misfit.text);
    } else if (m->type == IB_MSG_RESULT && d->state == IB_FLEET_WORKING) take_result(f, d, &m->u.result);
    else if (m->type == IB_MSG_TICK) {
        d->flops = m->u.tick.flops;
        d->busy_s = m->u.tick.busy_s;
        d->grace_s = m->u.tick.grace_s;
    } else fail_device(f, d, ISOBATH_ERR_DEVICE, "its worker process says something unexpected");
}

/* Everything that the device has said. */
static void hear(ib_fleet *f, ib_fleet_device *d)
{
    ib_message m;
    const char *why;
    char line[128];
    ib_child_listen(d->child);
    while (d->child && d->state != IB_FLEET_DYING && d->state != IB_FLEET_OUT) {
        switch (ib_wire_receive(&d->child->wire, &m, NULL, 0, &why)) {
        case IB_WIRE_MESSAGE: take_message(f, d, &m); break;
        case IB_WIRE_NOTHING: return;
        case IB_WIRE_CLOSED: fail_device(f, d, ISOBATH_ERR_DEVICE, ""); return;
        case IB_WIRE_GARBAGE:
            snprintf(line, sizeof line, "its worker process sends %s", why);
            fail_device(f, d, ISOBATH_ERR_DEVICE, line);
            return;
        }
    }
}

/* The same of a device that has not given a window yet: from what it has to compute. Cards say nothing while they do; processors speak after
 * every frame that they encode, and how long that took tells how long the rest takes. */
static int64_t first_limit(const ib_setup *s, const ib_fleet_device *d)
{
    double encode = s->memory.encode_flops, depth = s->memory.depth_flops * IB_PLAN_WINDOW;
    if (d->device >= 0) return CARD_LIMIT_US + (int64_t)(2 * (encode * IB_PLAN_WINDOW + depth) / CARD_FLOPS * 1e6);
    if (d->flops > 0 && d->busy_s > 0) return QUIET_LEAST_US + (int64_t)(QUIET_TIMES * fmax(encode, depth) * d->busy_s / d->flops * 1e6);
    return QUIET_LEAST_US + (int64_t)(encode / (CPU_FLOPS * ib_setup_threads_of(s, d->device)) * 1e6);
}

/* How long the device may be silent now. */
static int64_t quiet_limit(const ib_fleet *f, const ib_fleet_device *d)
{
    double window = f->schedule.device[d - f->device].window_us;
    if (d->state == IB_FLEET_OPENING) return OPEN_LIMIT_US;
    if (d->state == IB_FLEET_LOADING) return LOAD_LIMIT_US + (int64_t)((double)f->o.setup->model_bytes / LOAD_BYTES_PER_S * 1e6);
    if (d->grace_s > 0) return (int64_t)d->grace_s * 1000000;
    if (window <= 0) return first_limit(f->o.setup, d);
    if (window < (double)ib_schedule_median_us(&f->schedule)) window = (double)ib_schedule_median_us(&f->schedule);
    int64_t limit = (int64_t)(QUIET_WINDOWS * window);
    return limit > QUIET_LEAST_US ? limit : QUIET_LEAST_US;
}

/* `passed_us` have gone by in which this process was awake: a stopped or sleeping run is no reason to kill anybody. */
static void watch(ib_fleet *f, ib_fleet_device *d, int64_t passed_us)
{
    char line[128], how[96];
    if (d->state == IB_FLEET_DYING) {
        if (ib_child_ended(d->child, how, sizeof how)) bury(f, d, how);
        return;
    }
    int waits = d->state == IB_FLEET_OPENING || d->state == IB_FLEET_LOADING || (d->state == IB_FLEET_WORKING && d->flights);
    d->quiet_us = waits ? d->quiet_us + passed_us : 0;
    if (!waits || d->quiet_us < quiet_limit(f, d)) return;
    snprintf(line, sizeof line, "nothing was heard of its worker process for %.0f s", (double)d->quiet_us * 1e-6);
    fail_device(f, d, ISOBATH_ERR_DEVICE, line);
}

/* Nobody is left to compute what is missing. */
static void give_up(ib_fleet *f)
{
    char line[IB_DIAG_TEXT];
    size_t n = (size_t)snprintf(line, sizeof line, "no device is left");
    for (int i = 0; i < f->schedule.device_count && n < sizeof line - 1; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "; %s: %.300s", f->device[i].name, f->device[i].fault);
    ib_fail(f->o.diag, f->device[f->schedule.device_count - 1].fault_status, "%s", line);
}

static void note_flights(ib_fleet *f, ib_fleet_device *d)
{
    d->no_place = d->state == IB_FLEET_WORKING && d->flights < 2 && d->flights < f->schedule.device[d - f->device].depth &&
                  ib_shared_free_raws(f->shared) <= IB_SCHEDULE_RESERVE;
    if (d->flights != d->flights_noted) ib_trace_count(f->trace, d->name, d->flights);
    d->flights_noted = d->flights;
}

/* What devices waited for, for the log. The lock is held. */
static void report_waits(ib_fleet *f)
{
    for (int i = 0; i < f->schedule.device_count; i++) {
        ib_fleet_device *d = &f->device[i];
        ib_msg_waits w = d->waits_before;
        add_waits(&w, &d->waits);
        ib_log_event(f->o.log, "device_waits", json_pack("{s:s, s:I, s:f, s:f, s:f, s:f}", "device", d->name, "windows", (json_int_t)d->windows,
                                                         "no_window_s", w.window_s, "jump_s", w.jump_s, "no_frames_s", w.frames_s, "no_place_s",
                                                         (double)d->no_place_us * 1e-6));
    }
}

/* One look at everything; the lock is held. 0: there is nothing more to do. */
static int step(ib_fleet *f, int64_t passed_us)
{
    if (ib_shared_check(f->shared, f->o.diag) != ISOBATH_OK) return 0;
    int alive = 0, busy = 0, cancelled = f->o.cancelled ? atomic_load(f->o.cancelled) : 0;
    const ib_schedule *q = &f->schedule;
    int complete = q->ended;
    for (int64_t i = q->out; complete && i < q->appended; i++) complete = q->done[i % q->capacity];
    if (complete || cancelled > 1 || atomic_load(&f->stopping) || *f->misfit || ib_diag_status(f->o.diag) != ISOBATH_OK) return 0;
    for (int i = 0; i < q->device_count; i++) {
        ib_fleet_device *d = &f->device[i];
        if (d->state == IB_FLEET_START) start_device(f, d);
        if (d->child) hear(f, d);
        watch(f, d, passed_us);
        if (d->no_place) d->no_place_us += passed_us;
        if (d->state == IB_FLEET_WORKING && !cancelled) feed(f, d);
        note_flights(f, d);
        alive += d->state != IB_FLEET_OUT;
        busy += d->flights;
    }
    if (!alive) give_up(f);
    return alive && !(cancelled && !busy);
}

static void wait_for_news(ib_fleet *f)
{
    struct pollfd p[2 * IB_MAX_DEVICES + 1] = {{f->wake_fd, POLLIN, 0}};
    nfds_t n = 1;
    int wait_ms = LOOK_MS;
    for (int i = 0; i < f->schedule.device_count; i++) {
        const ib_fleet_device *d = &f->device[i];
        if (d->state == IB_FLEET_DYING) wait_ms = 2; /* for its end */
        if (!d->child || d->state == IB_FLEET_DYING) continue;
        p[n++] = (struct pollfd){d->child->wire.fd, POLLIN, 0};
    }
    poll(p, n, wait_ms);
    uint64_t count;
    while (read(f->wake_fd, &count, sizeof count) < 0 && errno == EINTR) continue;
}

void *ib_fleet_devices_main(void *arg)
{
    int keep[IB_MAX_DEVICES] = {0};
    ib_fleet *f = arg;
    ib_thread_name("devices");
    int64_t last = ib_now_us();
    for (int more = 1; more;) {
        int64_t now = ib_now_us(), passed = now - last < 5 * LOOK_MS * 1000 ? now - last : 0; /* longer: it did not run itself */
        last = now;
        pthread_mutex_lock(&f->lock);
        more = step(f, passed);
        pthread_mutex_unlock(&f->lock);
        if (more) wait_for_news(f);
    }
    pthread_mutex_lock(&f->lock);
    report_waits(f);
    f->over = 1; /* what is there can still be taken */
    pthread_cond_broadcast(&f->changed);
    for (int i = 0; i < f->schedule.device_count; i++) { /* devices are free for others while the last frames are written */
        ib_fleet_device *d = &f->device[i];
        ib_message bye = {.type = IB_MSG_BYE}, rest = {.type = IB_MSG_REST};
        /* one that was started anew dies with this thread: it cannot be kept */
        keep[i] = d->child && f->o.setup->options.engine && !d->failures && d->state == IB_FLEET_WORKING && !d->flights &&
                  ib_wire_send(&d->child->wire, &rest, -1, 0) == 0;
        if (keep[i]) continue;
        if (d->child && !d->flights) ib_wire_send(&d->child->wire, &bye, -1, 0);
        else if (d->child) ib_child_kill(d->child);
    }
    while (!atomic_load(&f->stopping)) pthread_cond_wait(&f->changed, &f->lock); /* worker processes die with this thread */
    for (int i = 0; i < f->schedule.device_count; i++) {
        if (keep[i]) ib_engine_keep_child(f->o.setup->options.engine, f->device[i].device, f->device[i].child);
        else ib_child_close(f->device[i].child);
        f->device[i].child = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}
