/* One network on one device; see compute.h. */
#include "pipeline/compute.h"

#include "base/clock.h"
#include "op/transfer.h"
#include <stdlib.h>
#include <string.h>

#define MAX_FLIGHT 2

typedef struct flight {
    ib_source_frame *frames[IB_PLAN_WINDOW]; /* kept for the fp32 redo */
    float *raw;
    int64_t k;
    int slot; /* of the network's windows in flight */
    int done; /* 1: `raw` and `nonfinite` are there */
    int64_t nonfinite;
} flight;

struct ib_compute {
    ib_compute_options o;
    ib_vda_shape shape;
    ib_vda_memory memory;
    ib_vda *redo_vda;
    ib_backend *redo_backend;
    int crowded;     /* both networks together do not fit */
    int starved;     /* ib_compute_starve: tries that are still to fail */
    int64_t shot, k; /* the window that the network's slots hold; k -1: none */
    flight flights[MAX_FLIGHT]; /* oldest first */
    int flight_count;
    int turn;                   /* slot of the next one */
    atomic_int_fast64_t mflops; /* millions */
    ib_busy busy;
};

isobath_status ib_compute_create(const ib_compute_options *options, ib_compute **out)
{
    ib_compute *c = calloc(1, sizeof *c);
    *out = c;
    if (!c) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for a worker");
    c->o = *options;
    c->shape = *options->shape;
    c->memory = *options->memory;
    c->k = -1;
    return ISOBATH_OK;
}

static void close_redo(ib_compute *c);

static void drop_flight(flight *f)
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        ib_source_frame_unref(f->frames[i]);
        f->frames[i] = NULL;
    }
}

void ib_compute_destroy(ib_compute *c)
{
    if (!c) return;
    if (c->flight_count) ib_bind_thread(c->o.backend);
    for (int i = 0; i < c->flight_count; i++) { /* the device may be writing still */
        int64_t nonfinite;
        if (!c->flights[i].done) ib_vda_depth_end(c->o.vda, c->flights[i].slot, &nonfinite);
        drop_flight(&c->flights[i]);
    }
    close_redo(c);
    free(c);
}

static int must_stop(const ib_compute *c) { return c->o.tick && c->o.tick(c->o.tick_ctx); }

static void count_flops(ib_compute *c, double flops)
{
    atomic_fetch_add_explicit(&c->mflops, (int_fast64_t)(flops * 1e-6), memory_order_relaxed);
}

/* Encodes frames[first, 32) into the slots of the same numbers, batch by batch, so that progress moves and a stop is quick. A
 * frame that repeats the one before is copied. */
static isobath_status encode_slots(ib_compute *c, ib_vda *vda, ib_source_frame *const *frames, int first)
{
    for (int slot = first; slot < IB_PLAN_WINDOW;) {
        if (slot > 0 && frames[slot]->index == frames[slot - 1]->index) {
            IB_TRY(ib_vda_copy_slot(vda, slot - 1, slot));
            slot++;
            continue;
        }
        if (must_stop(c)) return ISOBATH_ERR_INTERRUPTED;
        ib_vda_frame input[IB_PLAN_WINDOW];
        int count = 0;
        do {
            const ib_source_frame *f = frames[slot + count];
            input[count++] = (ib_vda_frame){f->rgb, f->planes, f->height, f->width};
        } while (count < c->shape.encode_batch && slot + count < IB_PLAN_WINDOW &&
                 frames[slot + count]->index != frames[slot + count - 1]->index);
        int64_t start = ib_now_us();
        IB_TRY(ib_vda_encode_frames(vda, input, count, slot));
        count_flops(c, c->memory.encode_flops * count);
        ib_busy_add(&c->busy, start);
        slot += count;
    }
    return ISOBATH_OK;
}

static isobath_status wait_flight(ib_compute *c, flight *f)
{
    if (f->done) return ISOBATH_OK;
    f->done = 1;
    return ib_vda_depth_end(c->o.vda, f->slot, &f->nonfinite);
}

/* Waits for what the device computes still, and gives back all that the fast network holds there. */
static isobath_status unload(ib_compute *c)
{
    for (int i = 0; i < c->flight_count; i++) IB_TRY(wait_flight(c, &c->flights[i]));
    ib_vda_unload(c->o.vda);
    c->k = -1;
    return ISOBATH_OK;
}

/* Takes it again: as it was, or the next smaller plan that there is room for now. Errors go to `attempt`. */
static isobath_status load(ib_compute *c, int smaller, ib_diag *attempt)
{
    isobath_status st;
    while ((st = c->o.redo.reload(c->o.redo.ctx, c->o.vda, smaller)) == ISOBATH_ERR_MEMORY && ib_vda_shrink(c->o.vda)) {
        ib_diag_reset(attempt);
        smaller = 1;
    }
    return st;
}

/* Where errors of the fast network go. */
static void set_diag(ib_compute *c, ib_diag *diag)
{
    c->o.backend->diag = diag;
    ib_vda_set_diag(c->o.vda, diag);
}

/* Ends a piece of work whose errors went to `attempt`, the last of which counts. */
static isobath_status conclude(ib_compute *c, isobath_status st, const char *what, ib_diag *attempt)
{
    set_diag(c, c->o.diag);
    if (c->redo_vda) {
        c->redo_backend->diag = c->o.diag;
        ib_vda_set_diag(c->redo_vda, c->o.diag);
    }
    if (st != ISOBATH_OK && st != ISOBATH_ERR_INTERRUPTED)
        ib_fail(c->o.diag, st, "%s%s", what, *attempt->text ? attempt->text : isobath_status_name(st));
    ib_diag_destroy(attempt);
    return st;
}

static isobath_status try_begin(ib_compute *c, int64_t shot, int64_t k, ib_source_frame *const frames[IB_PLAN_WINDOW], float *raw)
{
    int first = 0;
    if (c->starved) {
        c->starved--;
        return ib_fail(c->o.backend->diag, ISOBATH_ERR_MEMORY, "out of memory on purpose");
    }
    if (c->k >= 0 && shot == c->shot && k == c->k + 1) { /* slot 0 stays, 12 -> 1, 24..31 -> 2..9 */
        IB_TRY(ib_vda_advance(c->o.vda));
        first = IB_PLAN_OVERLAP;
    }
    c->k = -1;
    IB_TRY(encode_slots(c, c->o.vda, frames, first));
    if (must_stop(c)) return ISOBATH_ERR_INTERRUPTED;
    int slots = ib_vda_depth_slots(c->o.vda), slot = c->turn % slots;
    for (int i = 0; i < c->flight_count; i++) /* fewer than there were, when the plan has shrunk */
        if (c->flights[i].slot == slot) IB_TRY(wait_flight(c, &c->flights[i]));
    int64_t start = ib_now_us();
    IB_TRY(ib_vda_depth_begin(c->o.vda, slot, raw));
    c->shot = shot;
    c->k = k;
    c->turn = (slot + 1) % slots;
    flight *f = &c->flights[c->flight_count++];
    *f = (flight){.raw = raw, .k = k, .slot = slot};
    for (int i = 0; i < IB_PLAN_WINDOW; i++) f->frames[i] = ib_source_frame_ref(frames[i]);
    ib_busy_add(&c->busy, start);
    return ISOBATH_OK;
}

/* After ISOBATH_ERR_MEMORY in mid-run: the fp32 network goes, if there is one, and the fast one becomes smaller. */
static isobath_status shrink(ib_compute *c, ib_diag *attempt)
{
    int gained = c->redo_vda != NULL;
    close_redo(c);
    if (!c->o.redo.reload || !(ib_vda_shrink(c->o.vda) || gained)) return ISOBATH_ERR_MEMORY;
    ib_diag_reset(attempt);
    IB_TRY(unload(c));
    return load(c, 1, attempt);
}

isobath_status ib_compute_begin(ib_compute *c, int64_t shot, int64_t k, ib_source_frame *const frames[IB_PLAN_WINDOW], float *raw)
{
    ib_diag attempt = IB_DIAG_INIT;
    set_diag(c, &attempt);
    isobath_status st;
    while ((st = try_begin(c, shot, k, frames, raw)) == ISOBATH_ERR_MEMORY)
        if ((st = shrink(c, &attempt)) != ISOBATH_OK) break;
    return conclude(c, st, "", &attempt);
}

static void close_redo(ib_compute *c)
{
    ib_vda_destroy(c->redo_vda);
    ib_backend_close(c->redo_backend);
    c->redo_vda = NULL;
    c->redo_backend = NULL;
}

/* The whole window again in fp32, from its source frames. */
static isobath_status try_redo(ib_compute *c, const flight *f, ib_diag *attempt, int64_t *nonfinite)
{
    if (!c->redo_vda) IB_TRY(c->o.redo.open(c->o.redo.ctx, attempt, &c->redo_backend, &c->redo_vda));
    c->redo_backend->diag = attempt;
    ib_vda_set_diag(c->redo_vda, attempt);
    IB_TRY(encode_slots(c, c->redo_vda, f->frames, 0));
    return ib_vda_depth(c->redo_vda, f->raw, nonfinite);
}

/* Without the memory for both networks the fp32 one takes the place of the fast one, which comes back afterwards. */
static isobath_status redo_window(ib_compute *c, const flight *f)
{
    int64_t left = 0;
    int swapped = 0;
    if (!c->o.redo.open)
        return ib_fail(c->o.diag, ISOBATH_ERR_MODEL,
                       "window %lld: %lld values are not finite although it was computed in fp32: the checkpoint is damaged "
                       "(try: isobath doctor)", (long long)f->k, (long long)f->nonfinite);
    ib_diag attempt = IB_DIAG_INIT;
    set_diag(c, &attempt);
    isobath_status st = c->crowded ? ISOBATH_ERR_MEMORY : try_redo(c, f, &attempt, &left);
    if (st == ISOBATH_ERR_MEMORY && c->o.redo.reload) {
        ib_diag_reset(&attempt);
        close_redo(c);
        st = unload(c);
        c->crowded = swapped = 1;
        if (st == ISOBATH_OK) st = try_redo(c, f, &attempt, &left);
    }
    if (st == ISOBATH_OK && left)
        st = ib_fail(&attempt, ISOBATH_ERR_MODEL,
                     "window %lld: %lld values are not finite, and %lld in fp32: the checkpoint is damaged (try: isobath "
                     "doctor)", (long long)f->k, (long long)f->nonfinite, (long long)left);
    if (st == ISOBATH_OK && swapped) {
        close_redo(c);
        st = load(c, 0, &attempt);
    }
    return conclude(c, st, st == ISOBATH_ERR_MEMORY ? "a window must be redone in fp32: " : "", &attempt);
}

isobath_status ib_compute_finish(ib_compute *c, int *redone, int64_t *nonfinite)
{
    flight f = c->flights[0];
    memmove(c->flights, c->flights + 1, (size_t)--c->flight_count * sizeof *c->flights);
    int64_t start = ib_now_us();
    isobath_status st = wait_flight(c, &f);
    count_flops(c, c->memory.depth_flops * IB_PLAN_WINDOW);
    ib_busy_add(&c->busy, start);
    *redone = 0;
    *nonfinite = f.nonfinite;
    if (st == ISOBATH_OK && f.nonfinite) {
        st = redo_window(c, &f);
        *redone = 1;
    }
    drop_flight(&f);
    return st;
}

void ib_compute_starve(ib_compute *c, int plans) { c->starved = plans; }

int ib_compute_in_flight(const ib_compute *c) { return c->flight_count; }

double ib_compute_flops(const ib_compute *c)
{
    return (double)atomic_load_explicit(&((ib_compute *)c)->mflops, memory_order_relaxed) * 1e6;
}

double ib_compute_busy_s(const ib_compute *c)
{
    return (double)atomic_load_explicit(&((ib_compute *)c)->busy, memory_order_relaxed) * 1e-6;
}
