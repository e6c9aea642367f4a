/* A worker process: one device of a run; see include/isobath/worker.h and wire.h. One thread listens to the run, the main one computes; where
 * it decodes for itself, a third one reads frames ahead and a fourth one looks at them (feed.h).
 * When the run goes away, so does this process, at once. */
#include <isobath/worker.h>

#include "base/clock.h"
#include "base/thread_name.h"
#include "op/transfer.h"
#include "pipeline/fleet/affinity.h"
#include "pipeline/compute.h"
#include "pipeline/setup.h"
#include "pipeline/fleet/feed.h"
#include "pipeline/fleet/sabotage.h"
#include "pipeline/fleet/schedule.h"
#include "pipeline/fleet/trace.h"
#include "pipeline/fleet/wire.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_US 200000
#define HOLD 0.9             /* of a window's time on the device: so long the one after it is waited for */
#define REDO_GRACE_S 600 /* opening the network in fp32 says nothing for a while */
#define QUEUE 16         /* windows that may wait; the run sends fewer */
#define FEEDS 2          /* decoders of a card: while one is at the end of a segment, the other one jumps to the next */
#define FEED_LIMIT_US 120000000 /* a decoder that gives no frame for so long hangs */

_Static_assert(QUEUE > IB_SCHEDULE_DEEP, "windows in work");

/* A window to compute. */
typedef struct task {
    struct task *next;     /* of a worker that decodes, from here on */
    int feed;              /* who reads it */
    int jump;              /* it does not follow the one before it */
    int taken, read;       /* its reading has begun; has ended */
    ib_msg_window window;
    ib_feed_frames frames;
    isobath_status status; /* of reading them */
    char why[IB_DIAG_TEXT];
} task;

enum { PLACE_NEW, PLACE_BUSY, PLACE_KNOWN };

/* A window in work. */
typedef struct flight {
    ib_msg_window window;
    uint32_t before[IB_PLAN_OVERLAP], after[IB_PLAN_OVERLAP]; /* of ib_msg_result */
    int64_t begun_us, due_us; /* due_us: of ib_sabotage_due */
} flight;

typedef struct remote {
    ib_wire wire;
    ib_diag diag;
    char isa[16];
    ib_setup setup; /* only what ib_setup_open_network needs */
    ib_pool *pool;
    ib_backend *backend;
    ib_vda *vda;
    ib_compute *compute;
    ib_vda_memory memory;
    ib_shared_layout layout;
    uint8_t *base;
    atomic_int *registered; /* per raw place: whether the device knows it: PLACE_... */
    pthread_t registrar;
    int registering, share, shares, places;
    atomic_int enough; /* the registrar is to end */
    int64_t last_tick_us;
    ib_sabotage sabotage;
    /* windows to do: written by the listener */
    pthread_mutex_t lock;
    pthread_cond_t came;
    ib_msg_window queue[QUEUE];
    int queued, bye, rest;
    ib_msg_open open;
    ib_feed *feed[FEEDS]; /* the first one NULL: frames are in shared memory */
    int feeds, turn;      /* of the segment that windows come of */
    ib_msg_window newest;
    task *head, **tail;   /* windows in the order in which they came, until they have been looked at */
    ib_feed_look look;
    task *ready[QUEUE];   /* afterwards */
    int ready_count, starved; /* starved: no more come */
    const task *looking;      /* the one that is looked at now */
    pthread_cond_t fed;
    pthread_t feeder[FEEDS], looker;
    char held[4200]; /* what device and network are of, while they rest; "": nothing is held */
    flight flight[2]; /* oldest first */
    int flights;
    int64_t finished_us; /* when the last one was there */
    double window_us;    /* smoothed time that the device takes for one; 0: not known */
    ib_msg_waits waits;
    ib_trace *trace;
    int64_t begun_us; /* this run */
} remote;

static void tell(remote *r, ib_message *m)
{
    if (ib_wire_send(&r->wire, m, -1, 1) != 0) _exit(0); /* the run is gone */
}

static int tell_failure(remote *r, isobath_status st)
{
    ib_message m = {.type = IB_MSG_FAILED, .u.failed.status = (int32_t)st};
    snprintf(m.u.failed.text, sizeof m.u.failed.text, "%s", *r->diag.text ? r->diag.text : isobath_status_name(st));
    tell(r, &m);
    return 1;
}

static void tell_tick(remote *r, int grace_s)
{
    ib_message m = {.type = IB_MSG_TICK};
    m.u.tick.flops = r->compute ? ib_compute_flops(r->compute) : 0;
    m.u.tick.busy_s = r->compute ? ib_compute_busy_s(r->compute) : 0;
    m.u.tick.grace_s = grace_s;
    tell(r, &m);
    r->last_tick_us = ib_now_us();
}

static int tick(void *ctx)
{
    remote *r = ctx;
    if (ib_now_us() - r->last_tick_us > TICK_US) tell_tick(r, 0);
    return 0;
}

/* The next message, which must be of this type; dies quietly when the run is gone. */
static isobath_status expect(remote *r, ib_message_type type, ib_message *m, int *passed)
{
    const char *why = NULL;
    ib_wire_got got = ib_wire_receive(&r->wire, m, passed, 1, &why);
    if (got == IB_WIRE_CLOSED || (got == IB_WIRE_MESSAGE && m->type == IB_MSG_BYE)) _exit(0);
    if (got == IB_WIRE_MESSAGE && m->type == type) return ISOBATH_OK;
    return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "a worker process got %s", why ? why : "a message that it did not expect");
}

static void drop_network(remote *r)
{
    ib_vda_destroy(r->vda);
    ib_backend_close(r->backend);
    r->vda = NULL;
    r->backend = NULL;
    *r->held = 0;
}

static void close_feeds(remote *r)
{
    for (int i = 0; i < FEEDS; i++) {
        ib_feed_close(r->feed[i]);
        r->feed[i] = NULL;
    }
}

/* Its own opening of the input, where that can be had: the run decides by the answer. */
static void open_feed(remote *r, const ib_msg_open *o, ib_msg_opened *answer)
{
    ib_diag diag = IB_DIAG_INIT;
    close_feeds(r);
    r->open = *o;
    r->feeds = ib_sabotage_is_card(o->device) ? FEEDS : 1;
    if (r->sabotage.decoders > 0 && r->sabotage.decoders <= FEEDS) r->feeds = r->sabotage.decoders;
    if (ib_feed_open(o, o->device != IB_DEVICE_CPU, &diag, &r->feed[0]) == ISOBATH_OK) {
        const ib_media_info *info = ib_feed_info(r->feed[0]);
        answer->decodes = 1;
        answer->width = info->width;
        answer->height = info->height;
        snprintf(answer->decoder, sizeof answer->decoder, "%s", info->decoder);
        snprintf(answer->colour, sizeof answer->colour, "%s", info->colour);
    } else snprintf(answer->why, sizeof answer->why, "%.250s", diag.text);
    ib_diag_destroy(&diag);
}

/* Becomes the device that the run asks for, as far as that needs no network. */
static isobath_status open_device(remote *r)
{
    ib_message m;
    IB_TRY(expect(r, IB_MSG_OPEN, &m, NULL));
    const ib_msg_open *o = &m.u.open;
    if (strcmp(o->version, IB_WIRE_VERSION) != 0)
        return ib_fail(&r->diag, ISOBATH_ERR_UNSUPPORTED, "the worker program is %s, the run is %s: take both from one installation",
                       IB_WIRE_VERSION, o->version);
    ib_setup *s = &r->setup;
    if (r->pool && (s->device != o->device || s->act != (ib_dtype)o->act || s->threads != o->threads || strcmp(r->isa, o->isa) != 0)) {
        drop_network(r);
        ib_pool_destroy(r->pool);
        r->pool = NULL;
    }
    s->device = o->device;
    s->act = (ib_dtype)o->act;
    s->threads = o->threads;
    snprintf(r->isa, sizeof r->isa, "%s", o->isa);
    s->options.cpu_isa = *r->isa ? r->isa : NULL;
    if (s->device >= 0) ib_affinity_near_cuda(s->device);
    if (!r->pool) IB_TRY(ib_pool_create(s->threads, &r->diag, &r->pool));
    ib_backend *probe;
    IB_TRY(ib_setup_open_backend(s, s->act, r->pool, &r->diag, &probe));
    ib_message answer = {.type = IB_MSG_OPENED};
    snprintf(answer.u.opened.kind, sizeof answer.u.opened.kind, "%s", probe->kind);
    ib_backend_close(probe);
    if (o->decodes) open_feed(r, o, &answer.u.opened);
    tell(r, &answer);
    return ISOBATH_OK;
}

static isobath_status open_redo(void *ctx, ib_diag *diag, ib_backend **backend, ib_vda **vda)
{
    remote *r = ctx;
    tell_tick(r, REDO_GRACE_S);
    return ib_setup_open_network(&r->setup, IB_F32, r->pool, diag, backend, vda, NULL);
}

static isobath_status reload_network(void *ctx, ib_vda *vda, int smaller)
{
    remote *r = ctx;
    (void)smaller;
    tell_tick(r, REDO_GRACE_S);
    return ib_setup_reload_network(&r->setup, vda, &r->diag);
}

/* The network, loaded or, when it rested, with other sizes. */
static isobath_status take_network(remote *r)
{
    ib_setup *s = &r->setup;
    char held[sizeof r->held];
    struct stat sb = {0};
    if (stat(s->model_path, &sb) != 0) sb.st_size = -1;
    snprintf(held, sizeof held, "%lld %lld.%09ld %zu %s", (long long)sb.st_size, (long long)sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec, s->budget.limit,
             s->model_path);
    if (r->vda && strcmp(held, r->held) == 0) {
        tell_tick(r, REDO_GRACE_S);
        if (ib_vda_reshape(r->vda, &s->shape) == ISOBATH_OK) return ISOBATH_OK;
        ib_diag_reset(&r->diag); /* with all of the device's memory, then */
    }
    drop_network(r);
    atomic_store(&s->budget.used, 0);
    IB_TRY(ib_setup_open_network(s, s->act, r->pool, &r->diag, &r->backend, &r->vda, NULL));
    snprintf(r->held, sizeof r->held, "%s", held);
    return ISOBATH_OK;
}

static uint8_t *raw_address(const remote *r, int place) { return r->base + r->layout.raw_offset + r->layout.raw_stride * (uint64_t)place; }

/* Makes a place known to the device; when somebody else is at it, waits. */
static void register_place(remote *r, ib_backend *backend, int place)
{
    int state = PLACE_NEW;
    if (atomic_load(&r->registered[place]) == PLACE_KNOWN) return;
    if (atomic_compare_exchange_strong(&r->registered[place], &state, PLACE_BUSY)) {
        int64_t start = ib_now_us();
        ib_host_register(backend, raw_address(r, place), r->layout.raw_stride);
        atomic_store(&r->registered[place], PLACE_KNOWN);
        ib_trace_span(r->trace, "register a place", start, -1);
    }
    while (atomic_load(&r->registered[place]) != PLACE_KNOWN) usleep(200);
}

/* Beside the loading of the network: the places that this worker is going to use, tens of milliseconds each. */
static void *register_main(void *arg)
{
    remote *r = arg;
    ib_backend *backend;
    ib_diag diag = IB_DIAG_INIT;
    ib_thread_name("register");
    if (ib_setup_open_backend(&r->setup, r->setup.act, r->pool, &diag, &backend) == ISOBATH_OK) {
        for (int i = r->share; i >= 0 && i < r->places && !atomic_load(&r->enough); i += r->shares) register_place(r, backend, i);
        ib_backend_close(backend);
    }
    ib_diag_destroy(&diag);
    return NULL;
}

static isobath_status load_network(remote *r)
{
    ib_message m;
    int fd = -1;
    ib_setup *s = &r->setup;
    IB_TRY(expect(r, IB_MSG_LOAD, &m, &fd));
    isobath_status st = ib_shared_map(fd, &m.u.load.shared, &r->diag, &r->base);
    if (fd >= 0) close(fd);
    IB_TRY(st);
    char name[16];
    ib_device_name(s->device, name);
    r->trace = ib_trace_open(name, 0);
    ib_trace_span(r->trace, "open, wait for the run", r->begun_us, -1);
    r->layout = m.u.load.shared;
    r->registered = calloc((size_t)r->layout.raws, sizeof *r->registered);
    if (!r->registered) return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "out of memory for a worker process");
    r->share = m.u.load.share;
    r->shares = m.u.load.shares > 0 ? m.u.load.shares : 1;
    r->places = m.u.load.places < r->layout.raws ? m.u.load.places : r->layout.raws;
    snprintf(s->model_path, sizeof s->model_path, "%s", m.u.load.model_path);
    s->config = m.u.load.config;
    s->shape = m.u.load.shape;
    s->budget.limit = m.u.load.budget_bytes;
    s->shape.budget = &s->budget;
    size_t raw_bytes = (size_t)IB_PLAN_WINDOW * (size_t)s->shape.height * (size_t)s->shape.width * sizeof(float);
    if (m.u.load.decodes) raw_bytes += IB_PLAN_WINDOW * sizeof(ib_thumb);
    else close_feeds(r);
    if (m.u.load.decodes && !r->feed[0]) return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "a worker process was told to read an input that it has not opened");
    if (raw_bytes > r->layout.raw_stride || s->shape.depth_slots < 1 || s->shape.depth_slots > 2)
        return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "a worker process was told sizes that do not fit each other");
    IB_TRY(ib_vda_plan(&s->config, &s->shape, s->act, &r->diag, &r->memory));
    atomic_store(&r->enough, 0);
    r->registering = s->device >= 0 && pthread_create(&r->registrar, NULL, register_main, r) == 0; /* else when they are used */
    int64_t start = ib_now_us();
    IB_TRY(take_network(r));
    ib_trace_span(r->trace, "load the network", start, -1);
    ib_compute_options c = {.vda = r->vda, .backend = r->backend, .shape = &s->shape, .memory = &r->memory,
                            .redo = {s->act == IB_F32 ? NULL : open_redo, reload_network, r}, .tick = tick, .tick_ctx = r, .diag = &r->diag};
    IB_TRY(ib_compute_create(&c, &r->compute));
    ib_message answer = {.type = IB_MSG_LOADED};
    tell(r, &answer);
    return ISOBATH_OK;
}

/* A window for the decoders: where it does not follow the one before it, the other one's turn comes. The lock is held. */
static void add_task(remote *r, const ib_msg_window *w)
{
    task *t = calloc(1, sizeof *t);
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

/* The listener: windows into the queue; the end of the run is the end of this process. */
static void *listen_main(void *arg)
{
    remote *r = arg;
    ib_thread_name("listen");
    for (int over = 0; !over;) {
        ib_message m;
        const char *why;
        ib_wire_got got = ib_wire_receive(&r->wire, &m, NULL, 1, &why);
        if (got != IB_WIRE_MESSAGE) _exit(0);
        pthread_mutex_lock(&r->lock);
        over = m.type == IB_MSG_BYE || m.type == IB_MSG_REST;
        if (m.type == IB_MSG_WINDOW && r->feed[0]) add_task(r, &m.u.window);
        else if (m.type == IB_MSG_WINDOW && r->queued < QUEUE) r->queue[r->queued++] = m.u.window;
        r->bye |= m.type == IB_MSG_BYE;
        r->rest |= m.type == IB_MSG_REST;
        pthread_cond_broadcast(&r->came);
        pthread_cond_broadcast(&r->fed);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

/* The oldest message in the queue. The lock is held. */
static ib_msg_window take_message(remote *r)
{
    ib_msg_window w = r->queue[0];
    memmove(r->queue, r->queue + 1, (size_t)--r->queued * sizeof *r->queue);
    return w;
}

static ib_thumb *thumbs_of(const remote *r, int place)
{
    size_t maps = (size_t)IB_PLAN_WINDOW * (size_t)r->setup.shape.height * (size_t)r->setup.shape.width * sizeof(float);
    return (ib_thumb *)(void *)(r->base + r->layout.raw_offset + r->layout.raw_stride * (uint64_t)place + maps);
}

static int is_place(const remote *r, int raw) { return raw >= 0 && raw < r->layout.raws; }

/* One of the decoders. */
typedef struct feeder {
    remote *r;
    int feed;
} feeder;

/* The next window for a decoder; NULL: none comes any more. The lock is held. */
static task *next_to_read(remote *r, int feed)
{
    for (;;) {
        task *t = r->head;
        while (t && (t->taken || t->feed != feed)) t = t->next;
        if (t || r->bye || r->rest) return r->bye ? NULL : t;
        pthread_cond_wait(&r->came, &r->lock);
    }
}

static isobath_status read_task(remote *r, int feed, task *t)
{
    if (!is_place(r, t->window.raw)) return ISOBATH_ERR_INTERNAL;
    ib_feed *opened;
    if (r->feed[feed]) {
        int64_t decoded = ib_feed_decoded(r->feed[feed]), start = ib_now_us();
        isobath_status st = ib_feed_window(r->feed[feed], &t->window, &t->frames, t->why);
        int64_t frames = ib_feed_decoded(r->feed[feed]) - decoded + (t->jump ? t->window.point[1].lead : 0);
        ib_sabotage_wait(r->sabotage.decode_us ? start + frames * r->sabotage.decode_us : 0);
        return st;
    }
    ib_diag diag = IB_DIAG_INIT; /* could not be opened: as if it were damaged */
    isobath_status st = ib_feed_open(&r->open, r->open.device != IB_DEVICE_CPU, &diag, &opened);
    snprintf(t->why, sizeof t->why, "%s", diag.text);
    ib_diag_destroy(&diag);
    pthread_mutex_lock(&r->lock);
    if (st == ISOBATH_OK) r->feed[feed] = opened;
    pthread_mutex_unlock(&r->lock);
    if (st == ISOBATH_OK) return ib_feed_window(r->feed[feed], &t->window, &t->frames, t->why);
    return st == ISOBATH_ERR_MEMORY ? st : ISOBATH_ERR_INPUT;
}

/* Reads the frames of its windows in the order in which they came, until one cannot be read or the run says that it is over. */
static void *feed_main(void *arg)
{
    feeder *f = arg;
    remote *r = f->r;
    int feed = f->feed;
    free(f);
    ib_thread_name("decode");
    pthread_mutex_lock(&r->lock);
    isobath_status st = ISOBATH_OK;
    for (task *t; st == ISOBATH_OK && (t = next_to_read(r, feed));) {
        t->taken = 1;
        pthread_mutex_unlock(&r->lock);
        int64_t start = ib_now_us();
        st = t->status = read_task(r, feed, t);
        ib_trace_span(r->trace, t->jump ? "jump and decode" : "decode", start, t->window.order);
        pthread_mutex_lock(&r->lock);
        t->read = 1;
        pthread_cond_broadcast(&r->came);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* The oldest window, when it has been read; NULL: none comes any more. The lock is held. */
static task *next_to_look_at(remote *r)
{
    while (!r->bye && !(r->head ? r->head->read : r->rest)) pthread_cond_wait(&r->came, &r->lock);
    task *t = r->bye ? NULL : r->head;
    if (t && !(r->head = t->next)) r->tail = &r->head;
    return t;
}

/* Looks at what was read, in the order in which the windows came. */
static void *look_main(void *arg)
{
    remote *r = arg;
    ib_thread_name("look");
    pthread_mutex_lock(&r->lock);
    isobath_status st = ISOBATH_OK;
    for (task *t; st == ISOBATH_OK && (t = next_to_look_at(r));) {
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

static isobath_status start_feeder(remote *r, int feed)
{
    feeder *f = malloc(sizeof *f);
    if (!f) return ib_fail(&r->diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    *f = (feeder){r, feed};
    if (pthread_create(&r->feeder[feed], NULL, feed_main, f) == 0) return ISOBATH_OK;
    free(f);
    return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "could not start a thread of a worker process");
}

static isobath_status start_feed(remote *r)
{
    for (int i = 0; i < r->feeds; i++) IB_TRY(start_feeder(r, i));
    if (pthread_create(&r->looker, NULL, look_main, r) != 0)
        return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "could not start a thread of a worker process");
    return ISOBATH_OK;
}

/* The lock is held. */
static int64_t frames_decoded(const remote *r)
{
    int64_t sum = 0;
    for (int i = 0; i < FEEDS; i++) sum += r->feed[i] ? ib_feed_decoded(r->feed[i]) : 0;
    return sum;
}

static double decode_busy_s(remote *r)
{
    double sum = 0;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < FEEDS; i++) sum += r->feed[i] ? ib_feed_busy_s(r->feed[i]) : 0;
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
static int what_lacks(const remote *r)
{
    const task *t = r->looking ? r->looking : r->head;
    return !t ? NEEDS_WINDOW : t->jump ? NEEDS_JUMP : NEEDS_FRAMES;
}

/* With nothing in work: since `start`, in which it lacked this. */
static void count_wait(remote *r, int lacked, int64_t start)
{
    static const char *const name[] = {"wait for a window", "wait after a jump", "wait for frames"};
    double *sum[] = {&r->waits.window_s, &r->waits.jump_s, &r->waits.frames_s};
    *sum[lacked] += (double)(ib_now_us() - start) * 1e-6;
    ib_trace_span(r->trace, name[lacked], start, -1);
}

/* With a window in work: until shortly before the device has it, as far as is known, the next one may as well be waited for. Begun later it
 * would find the device idle. */
static int64_t hold_until_us(const remote *r)
{
    int64_t begun = r->flight[0].begun_us > r->finished_us ? r->flight[0].begun_us : r->finished_us;
    return begun + (int64_t)(HOLD * r->window_us);
}

/* The same where the frames of the next window are on their way, and no longer than that. The lock is held. */
static void hold_for_feed(remote *r)
{
    int64_t start = ib_now_us(), left;
    while (!r->ready_count && !r->starved && !r->bye && (r->head || r->looking) && (left = hold_until_us(r) - ib_now_us()) > 0) {
        struct timespec until;
        after_us(&until, left < TICK_US ? (long)left : TICK_US);
        pthread_cond_timedwait(&r->fed, &r->lock, &until);
    }
    if (ib_now_us() - start > 100) ib_trace_span(r->trace, "hold", start, -1);
}

/* Waits for a window whose frames have been read, and says meanwhile that it is alive, as long as frames come. The lock is held. */
static void wait_for_feed(remote *r)
{
    int64_t decoded = frames_decoded(r), since = ib_now_us();
    while (!r->ready_count && !r->starved && !r->bye) {
        struct timespec until;
        int64_t start = ib_now_us();
        int lacks = what_lacks(r);
        after_us(&until, TICK_US);
        int woken = pthread_cond_timedwait(&r->fed, &r->lock, &until) == 0;
        count_wait(r, lacks, start);
        if (woken || !(r->head || r->looking)) continue;
        int64_t now = frames_decoded(r);
        if (now != decoded) since = ib_now_us();
        decoded = now;
        if (ib_now_us() - since > FEED_LIMIT_US) continue;
        pthread_mutex_unlock(&r->lock);
        tick(r);
        pthread_mutex_lock(&r->lock);
    }
}

/* 1: *out is the next window; 0: none is there while another one is in work, or the run says good-bye. */
static int next_task(remote *r, task *out)
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
        if (got) *out = (task){.window = take_message(r)};
    }
    pthread_mutex_unlock(&r->lock);
    return got;
}

static float *raw_place(remote *r, int place)
{
    register_place(r, r->backend, place);
    return (float *)(void *)raw_address(r, place);
}

/* A frame with its planes' description behind it. */
typedef struct remote_frame {
    ib_source_frame base;
    ib_yuv_planes planes;
} remote_frame;

static void release_frame(ib_source_frame *f) { free(f); }

static isobath_status find_frame(remote *r, int place, int64_t index, ib_source_frame **out)
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
static isobath_status tell_misfit(remote *r, const task *t)
{
    ib_message m = {.type = IB_MSG_MISFIT, .u.misfit.order = t->window.order};
    snprintf(m.u.misfit.text, sizeof m.u.misfit.text, "%s", t->why);
    tell(r, &m);
    return ISOBATH_OK;
}

static isobath_status begin_window(remote *r, task *t)
{
    const ib_msg_window *w = &t->window;
    isobath_status st = ISOBATH_OK;
    if (!is_place(r, w->raw)) return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "no such place for a result: %d", (int)w->raw);
    for (int i = 0; i < IB_PLAN_WINDOW && st == ISOBATH_OK && !r->feed[0]; i++) st = find_frame(r, w->frame[i], w->index[i], &t->frames.frame[i]);
    ib_sabotage_before(&r->sabotage, w->order);
    ib_compute_starve(r->compute, ib_sabotage_starves(&r->sabotage, w->order));
    if (st == ISOBATH_OK) st = ib_sabotage_fails(&r->sabotage, w->order, &r->diag);
    if (st == ISOBATH_OK) st = ib_sabotage_breaks(&r->sabotage, w->order, r->backend, &r->diag);
    float *raw = raw_place(r, w->raw);
    int64_t start = ib_now_us();
    if (st == ISOBATH_OK) st = ib_compute_begin(r->compute, w->shot, w->k, t->frames.frame, raw);
    ib_trace_span(r->trace, "begin", start, w->order);
    if (st == ISOBATH_OK) {
        flight *f = &r->flight[r->flights++];
        *f = (flight){.window = *w, .begun_us = ib_now_us(), .due_us = ib_sabotage_due(&r->sabotage)};
        for (int i = 0; i < IB_PLAN_OVERLAP; i++) {
            f->before[i] = t->frames.hash[i];
            f->after[i] = t->frames.hash[ib_feed_slot_before(i)];
        }
    }
    ib_feed_drop(&t->frames);
    return st;
}

/* The device has a window that was waited for since `start`. */
static void note_finished(remote *r, const flight *f, int64_t start)
{
    int64_t now = ib_now_us(), from = f->begun_us > r->finished_us ? f->begun_us : r->finished_us;
    double took = (double)(now - from);
    r->window_us = r->window_us > 0 ? 0.8 * r->window_us + 0.2 * took : took;
    r->finished_us = now;
    ib_trace_span(r->trace, "card", start, f->window.order);
}

static isobath_status finish_window(remote *r)
{
    flight f = r->flight[0];
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
    o->decode_s = decode_busy_s(r);
    o->waits = r->waits;
    ib_sabotage_result(&r->sabotage, r->wire.fd, o, raw_place(r, w.raw));
    tell(r, &m);
    r->last_tick_us = ib_now_us();
    return ISOBATH_OK;
}

/* Windows until the run says good-bye: where the device takes two, one more is begun before the oldest is waited for. */
static isobath_status serve(remote *r)
{
    for (task t;;) {
        if (next_task(r, &t)) {
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
static void end_run(remote *r)
{
    ib_compute_destroy(r->compute);
    r->compute = NULL;
    atomic_store(&r->enough, 1);
    if (r->registering) pthread_join(r->registrar, NULL);
    r->registering = 0;
    for (int i = 0; r->registered && i < r->layout.raws; i++)
        if (atomic_load(&r->registered[i])) ib_host_unregister(r->backend, raw_address(r, i));
    free(r->registered);
    r->registered = NULL;
    if (r->base) munmap(r->base, r->layout.bytes);
    r->base = NULL;
    ib_trace_close(r->trace);
    r->trace = NULL;
    while (r->ready_count) {
        ib_feed_drop(&r->ready[--r->ready_count]->frames);
        free(r->ready[r->ready_count]);
    }
    for (task *t; (t = r->head);) { /* of a run that says good-bye */
        r->head = t->next;
        ib_feed_drop(&t->frames);
        free(t);
    }
    r->tail = &r->head;
    ib_feed_look_free(&r->look);
    close_feeds(r);
    r->queued = r->rest = r->starved = r->turn = 0;
    r->waits = (ib_msg_waits){0};
    r->window_us = 0;
}

static void close_all(remote *r)
{
    drop_network(r);
    ib_pool_destroy(r->pool);
    pthread_cond_destroy(&r->came);
    pthread_cond_destroy(&r->fed);
    pthread_mutex_destroy(&r->lock);
    ib_diag_destroy(&r->diag);
}

/* One run, from OPEN to REST or BYE. */
static isobath_status serve_run(remote *r)
{
    pthread_t listener;
    r->begun_us = ib_now_us();
    IB_TRY(open_device(r));
    IB_TRY(load_network(r));
    int decodes = r->feed[0] != NULL;
    r->newest = (ib_msg_window){.shot = -1};
    if (pthread_create(&listener, NULL, listen_main, r) != 0)
        return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "could not start a thread of a worker process");
    if (r->feed[0]) IB_TRY(start_feed(r));
    IB_TRY(serve(r)); /* else the run ends this process, and its threads with it */
    pthread_join(listener, NULL);
    for (int i = 0; decodes && i < r->feeds; i++) pthread_join(r->feeder[i], NULL);
    if (decodes) pthread_join(r->looker, NULL);
    end_run(r);
    return ISOBATH_OK;
}

int isobath_worker_run(int fd, long parent)
{
    remote r = {.wire.fd = fd};
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
