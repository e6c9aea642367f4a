/* Windows from several devices: the one thread that starts worker processes, watches over them and survives them; what it says to them is in
 * fleet_talk.c. See fleet.h. */
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

void ib_fleet_tell(ib_fleet *f, const ib_fleet_device *d, const char *event, const char *text)
{
    const isobath_run_options *o = &f->o.setup->options;
    ib_log_event(f->o.log, event, json_pack("{s:s, s:o}", "device", d->name, "text", json_string_nocheck(text)));
    if (o->note) o->note(o->note_ctx, text);
}

void ib_fleet_fail_device(ib_fleet *f, ib_fleet_device *d, isobath_status st, const char *why)
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
    ib_fleet_tell(f, d, d->state == IB_FLEET_START ? "worker_lost" : "worker_left_out", line);
}

/* A process for the device; one that was opened with the set-up knows already what it is. */
static void start_device(ib_fleet *f, ib_fleet_device *d)
{
    d->grace_s = 0;
    *d->fault = 0;
    if (d->child) {
        ib_fleet_load(f, d);
        return;
    }
    ib_diag diag = IB_DIAG_INIT;
    ib_msg_open open = ib_setup_child_open(f->o.setup, d->device);
    if (ib_child_start(f->o.setup->program, &diag, &d->child) != ISOBATH_OK) {
        d->failures++;
        d->state = IB_FLEET_OUT;
        d->fault_status = ISOBATH_ERR_DEVICE;
        snprintf(d->fault, sizeof d->fault, "%s", diag.text);
        ib_fleet_tell(f, d, "worker_left_out", diag.text);
        return;
    }
    d->state = IB_FLEET_OPENING;
    d->quiet_us = 0;
    if (ib_child_open(d->child, &open) != 0) ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "");
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
    ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, line);
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
        if (d->child) ib_fleet_hear(f, d);
        watch(f, d, passed_us);
        if (d->no_place) d->no_place_us += passed_us;
        if (d->state == IB_FLEET_WORKING && !cancelled) ib_fleet_feed(f, d);
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
