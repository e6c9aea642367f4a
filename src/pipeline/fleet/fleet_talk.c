/* Windows from several devices: what a worker process is told, and what it says; see fleet.h. Only the devices' thread (fleet_devices.c) is here. */
#include "pipeline/fleet/fleet_internal.h"
#include "pipeline/fleet/sabotage.h"

#include <stdio.h>
#include <string.h>

void ib_fleet_load(ib_fleet *f, ib_fleet_device *d)
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
    if (error) ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "");
}

void ib_fleet_feed(ib_fleet *f, ib_fleet_device *d)
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
        if (ib_wire_send(&d->child->wire, &m, -1, 0) != 0) ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "");
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
        ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "its worker process answers for another window than it was given");
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
        ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "its worker process returns values that are not finite and says that they are");
        return;
    }
    if (o->redone && !f->redo_told) ib_fleet_tell(f, d, "redo_opened", "values that are not finite: the window is redone in fp32 (see the log and the manifest)");
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
    ib_fleet_fail_device(f, d, st, o->text);
}

static void take_message(ib_fleet *f, ib_fleet_device *d, const ib_message *m)
{
    d->quiet_us = 0;
    d->grace_s = 0;
    if (m->type == IB_MSG_FAILED) take_failure(f, d, &m->u.failed);
    else if (m->type == IB_MSG_OPENED && d->state == IB_FLEET_OPENING) {
        if (f->o.setup->decodes && !m->u.opened.decodes) ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "it cannot open the input any more");
        else if (strstr(f->o.setup->plan.device, m->u.opened.kind)) ib_fleet_load(f, d);
        else ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "it comes back as another kind of device");
    } else if (m->type == IB_MSG_LOADED && d->state == IB_FLEET_LOADING) {
        d->state = IB_FLEET_WORKING;
        ib_schedule_join(&f->schedule, (int)(d - f->device), ib_now_us());
    } else if (m->type == IB_MSG_MISFIT && d->state == IB_FLEET_WORKING && f->o.setup->decodes) {
        ib_fleet_set_misfit(f, m->u.misfit.text);
        ib_fleet_fail_device(f, d, ISOBATH_ERR_INPUT, m->u.misfit.text);
    } else if (m->type == IB_MSG_RESULT && d->state == IB_FLEET_WORKING) take_result(f, d, &m->u.result);
    else if (m->type == IB_MSG_TICK) {
        d->flops = m->u.tick.flops;
        d->busy_s = m->u.tick.busy_s;
        d->grace_s = m->u.tick.grace_s;
    } else ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, "its worker process says something unexpected");
}

void ib_fleet_hear(ib_fleet *f, ib_fleet_device *d)
{
    ib_message m;
    const char *why;
    char line[128];
    ib_child_listen(d->child);
    while (d->child && d->state != IB_FLEET_DYING && d->state != IB_FLEET_OUT) {
        switch (ib_wire_receive(&d->child->wire, &m, NULL, 0, &why)) {
        case IB_WIRE_MESSAGE: take_message(f, d, &m); break;
        case IB_WIRE_NOTHING: return;
        case IB_WIRE_CLOSED: ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, ""); return;
        case IB_WIRE_GARBAGE:
            snprintf(line, sizeof line, "its worker process sends %s", why);
            ib_fleet_fail_device(f, d, ISOBATH_ERR_DEVICE, line);
            return;
        }
    }
}
