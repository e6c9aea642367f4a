/* A worker process's device: what it opens, the network that it loads, and the places for results that it makes known to the device; see
 * remote_internal.h. */
#include "pipeline/fleet/remote_internal.h"

#include "base/thread_name.h"
#include "op/transfer.h"
#include "pipeline/fleet/affinity.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REDO_GRACE_S 600 /* opening the network in fp32 says nothing for a while */

#define TOUCH_BYTES ((uint64_t)1 << 20)

enum { PLACE_NEW, PLACE_BUSY, PLACE_KNOWN };

void ib_remote_drop_network(ib_remote *r)
{
    ib_vda_destroy(r->vda);
    ib_backend_close(r->backend);
    r->vda = NULL;
    r->backend = NULL;
    *r->held = 0;
}

void ib_remote_close_feeds(ib_remote *r)
{
    for (int i = 0; i < IB_REMOTE_FEEDS; i++) {
        ib_feed_close(r->feed[i]);
        r->feed[i] = NULL;
    }
}

/* The input, opened beside the device. */
typedef struct opening {
    ib_remote *r;
    const ib_msg_open *o;
    ib_msg_opened answer; /* what is said of it */
} opening;

/* Its own opening of the input, where that can be had: the run decides by the answer. */
static void *open_feed(void *arg)
{
    opening *x = arg;
    ib_remote *r = x->r;
    const ib_msg_open *o = x->o;
    ib_msg_opened *answer = &x->answer;
    int64_t start = ib_now_us();
    ib_diag diag = IB_DIAG_INIT;
    ib_remote_close_feeds(r);
    r->open = *o;
    if (r->sabotage.nvdec > 0 && o->device == IB_DEVICE_NULL) {
        r->open.media.decoder = IB_DECODER_AUTO;
        r->open.media.cuda_device = (int)getpid() % r->sabotage.nvdec;
    }
    r->feeds = ib_sabotage_is_card(o->device) ? IB_REMOTE_FEEDS : 1;
    if (r->sabotage.decoders > 0 && r->sabotage.decoders <= IB_REMOTE_FEEDS) r->feeds = r->sabotage.decoders;
    r->turn = r->feeds - 1; /* the first segment is the first one's, which is open by then */
    if (ib_feed_open(&r->open, o->device != IB_DEVICE_CPU, &diag, &r->feed[0]) == ISOBATH_OK) {
        const ib_media_info *info = ib_feed_info(r->feed[0]);
        answer->decodes = 1;
        answer->width = info->width;
        answer->height = info->height;
        snprintf(answer->decoder, sizeof answer->decoder, "%s", info->decoder);
        snprintf(answer->colour, sizeof answer->colour, "%s", info->colour);
    } else snprintf(answer->why, sizeof answer->why, "%.250s", diag.text);
    ib_diag_destroy(&diag);
    ib_trace_span(r->trace, "open a decoder", start, -1);
    return NULL;
}

/* Becomes the device that the run asks for, as far as that needs no network. */
isobath_status ib_remote_open_device(ib_remote *r)
{
    ib_message m;
    IB_TRY(ib_remote_expect(r, IB_MSG_OPEN, &m, NULL));
    const ib_msg_open *o = &m.u.open;
    int64_t start = ib_now_us();
    if (strcmp(o->version, IB_WIRE_VERSION) != 0)
        return ib_fail(&r->diag, ISOBATH_ERR_UNSUPPORTED, "the worker program is %s, the run is %s: take both from one installation",
                       IB_WIRE_VERSION, o->version);
    ib_setup *s = &r->setup;
    if (r->pool && (s->device != o->device || s->act != (ib_dtype)o->act || s->threads != o->threads || strcmp(r->isa, o->isa) != 0)) {
        ib_remote_drop_network(r);
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
    char name[16];
    ib_device_name(s->device, name);
    r->trace = ib_trace_open(name, 0);
    opening feed = {.r = r, .o = o};
    pthread_t opener;
    int beside = o->decodes && pthread_create(&opener, NULL, open_feed, &feed) == 0;
    ib_backend *probe;
    isobath_status st = ib_setup_open_backend(s, s->act, r->pool, &r->diag, &probe);
    ib_trace_span(r->trace, "open the device", start, -1);
    if (beside) pthread_join(opener, NULL);
    IB_TRY(st);
    if (o->decodes && !beside) open_feed(&feed);
    ib_message answer = {.type = IB_MSG_OPENED, .u.opened = feed.answer};
    snprintf(answer.u.opened.kind, sizeof answer.u.opened.kind, "%s", probe->kind);
    ib_backend_close(probe);
    ib_remote_tell(r, &answer);
    return ISOBATH_OK;
}

static isobath_status open_redo(void *ctx, ib_diag *diag, ib_backend **backend, ib_vda **vda)
{
    ib_remote *r = ctx;
    ib_remote_tell_tick(r, REDO_GRACE_S);
    return ib_setup_open_network(&r->setup, IB_F32, r->pool, diag, backend, vda, NULL);
}

static isobath_status reload_network(void *ctx, ib_vda *vda, int smaller)
{
    ib_remote *r = ctx;
    (void)smaller;
    ib_remote_tell_tick(r, REDO_GRACE_S);
    return ib_setup_reload_network(&r->setup, vda, &r->diag);
}

/* The network, loaded or, when it rested, with other sizes. */
static isobath_status take_network(ib_remote *r)
{
    ib_setup *s = &r->setup;
    char held[sizeof r->held];
    struct stat sb = {0};
    if (stat(s->model_path, &sb) != 0) sb.st_size = -1;
    snprintf(held, sizeof held, "%lld %lld.%09ld %zu %s", (long long)sb.st_size, (long long)sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec, s->budget.limit,
             s->model_path);
    if (r->vda && strcmp(held, r->held) == 0) {
        ib_remote_tell_tick(r, REDO_GRACE_S);
        if (ib_vda_reshape(r->vda, &s->shape) == ISOBATH_OK) return ISOBATH_OK;
        ib_diag_reset(&r->diag); /* with all of the device's memory, then */
    }
    ib_remote_drop_network(r);
    atomic_store(&s->budget.used, 0);
    IB_TRY(ib_setup_open_network(s, s->act, r->pool, &r->diag, &r->backend, &r->vda, NULL));
    snprintf(r->held, sizeof r->held, "%s", held);
    return ISOBATH_OK;
}

static uint8_t *raw_address(const ib_remote *r, int place) { return r->base + r->layout.raw_offset + r->layout.raw_stride * (uint64_t)place; }

/* Brings a place's pages into this process, little by little: registering would do so, too, but other threads' calls of the driver wait for that. */
static void touch_place(const ib_remote *r, int place)
{
#ifdef MADV_POPULATE_WRITE
    uint8_t *at = raw_address(r, place);
    for (uint64_t done = 0; done < r->layout.raw_stride; done += TOUCH_BYTES) {
        uint64_t left = r->layout.raw_stride - done;
        if (madvise(at + done, left < TOUCH_BYTES ? left : TOUCH_BYTES, MADV_POPULATE_WRITE) != 0) return; /* an old kernel, or no memory */
    }
#endif
}

/* Makes a place known to the device; when somebody else is at it, waits. */
static void register_place(ib_remote *r, ib_backend *backend, int place)
{
    int state = PLACE_NEW;
    if (atomic_load(&r->registered[place]) == PLACE_KNOWN) return;
    if (atomic_compare_exchange_strong(&r->registered[place], &state, PLACE_BUSY)) {
        int64_t start = ib_now_us();
        if (r->setup.device >= 0) touch_place(r, place);
        else if (r->sabotage.card_us) ib_sabotage_fill((float *)(void *)raw_address(r, place), r->layout.raw_stride / sizeof(float));
        ib_host_register(backend, raw_address(r, place), r->layout.raw_stride);
        atomic_store(&r->registered[place], PLACE_KNOWN);
        ib_trace_span(r->trace, "register a place", start, -1);
    }
    while (atomic_load(&r->registered[place]) != PLACE_KNOWN) usleep(200);
}

/* Beside the loading of the network: the places that this worker is going to use, tens of milliseconds each. */
static void *register_main(void *arg)
{
    ib_remote *r = arg;
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

isobath_status ib_remote_load_network(ib_remote *r)
{
    ib_message m;
    int fd = -1;
    ib_setup *s = &r->setup;
    int64_t asked_us = ib_now_us();
    IB_TRY(ib_remote_expect(r, IB_MSG_LOAD, &m, &fd));
    ib_trace_span(r->trace, "wait for the run", asked_us, -1);
    isobath_status st = ib_shared_map(fd, &m.u.load.shared, &r->diag, &r->base);
    if (fd >= 0) close(fd);
    IB_TRY(st);
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
    else ib_remote_close_feeds(r);
    if (m.u.load.decodes && !r->feed[0]) return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "a worker process was told to read an input that it has not opened");
    if (raw_bytes > r->layout.raw_stride || s->shape.depth_slots < 1 || s->shape.depth_slots > 2)
        return ib_fail(&r->diag, ISOBATH_ERR_INTERNAL, "a worker process was told sizes that do not fit each other");
    IB_TRY(ib_vda_plan(&s->config, &s->shape, s->act, &r->diag, &r->memory));
    atomic_store(&r->enough, 0);
    r->registering = ib_sabotage_is_card(s->device) && pthread_create(&r->registrar, NULL, register_main, r) == 0; /* else when they are used */
    if (r->feed[0]) IB_TRY(ib_remote_start_feed(r)); /* the second decoder is opened meanwhile */
    int64_t start = ib_now_us();
    IB_TRY(take_network(r));
    ib_trace_span(r->trace, "load the network", start, -1);
    ib_compute_options c = {.vda = r->vda, .backend = r->backend, .shape = &s->shape, .memory = &r->memory,
                            .redo = {s->act == IB_F32 ? NULL : open_redo, reload_network, r}, .tick = ib_remote_tick, .tick_ctx = r, .diag = &r->diag};
    IB_TRY(ib_compute_create(&c, &r->compute));
    ib_message answer = {.type = IB_MSG_LOADED};
    ib_remote_tell(r, &answer);
    return ISOBATH_OK;
}

float *ib_remote_raw_place(ib_remote *r, int place)
{
    register_place(r, r->backend, place);
    return (float *)(void *)raw_address(r, place);
}

void ib_remote_end_places(ib_remote *r)
{
    atomic_store(&r->enough, 1);
    if (r->registering) pthread_join(r->registrar, NULL);
    r->registering = 0;
    for (int i = 0; r->registered && i < r->layout.raws; i++)
        if (atomic_load(&r->registered[i])) ib_host_unregister(r->backend, raw_address(r, i));
    free(r->registered);
    r->registered = NULL;
    if (r->base) munmap(r->base, r->layout.bytes);
    r->base = NULL;
}
