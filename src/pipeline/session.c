/* The public session: see include/isobath/session.h. */
#include "pipeline/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct isobath_session {
    ib_diag diag;
    ib_setup setup;
    ib_run run;
    ib_run_counters counters;
    atomic_int cancelled;
    atomic_int_fast64_t end_us;
};

static int is_cancelled(void *ctx) { return atomic_load(&((isobath_session *)ctx)->cancelled); }

static void report_progress(void *ctx, isobath_progress *out) { isobath_session_progress(ctx, out); }
static int report_device(void *ctx, int i, isobath_device_progress *out) { return isobath_session_device(ctx, i, out); }

isobath_status isobath_session_create(const isobath_run_options *options, isobath_session **out)
{
    isobath_session *s = calloc(1, sizeof *s);
    *out = s;
    if (!s) return ISOBATH_ERR_MEMORY;
    ib_diag_init(&s->diag);
    s->run = (ib_run){.setup = &s->setup, .diag = &s->diag, .counters = &s->counters, .cancelled = &s->cancelled,
                      .report = {report_progress, report_device, s}};
    ib_diag_init(&s->run.device_diag);
    isobath_status st = ib_setup_init(&s->setup, options, &s->diag);
    if (st != ISOBATH_OK) return ib_fail(&s->diag, st, "%s", isobath_status_name(st));
    s->setup.sink.cancelled = is_cancelled;
    s->setup.sink.cancel_ctx = s;
    return ISOBATH_OK;
}

const isobath_plan *isobath_session_plan(const isobath_session *session) { return &session->setup.plan; }

isobath_status isobath_session_run(isobath_session *s)
{
    isobath_status st = ib_run_all(&s->run);
    atomic_store(&s->end_us, ib_now_us());
    return st;
}

/* Only counts: the run's own thread notices between windows, then between frames; a worker between windows, then batches. */
void isobath_session_cancel(isobath_session *s) { atomic_fetch_add(&s->cancelled, 1); }

int isobath_session_can_resume(const isobath_session *s)
{
    return s->run.journal && !s->run.empty && !ib_media_is_live(s->setup.options.input);
}

static void fill_shares(isobath_progress *p)
{
    const double share[4] = {p->decode_share, p->network_share, p->align_share, p->write_share};
    static const char *const names[4] = {"decode", "network", "align", "write"};
    int best = 1;
    for (int i = 0; i < 4; i++)
        if (share[i] > share[best]) best = i;
    p->slowest = names[best];
}

void isobath_session_progress(isobath_session *s, isobath_progress *p)
{
    ib_run_counters *c = &s->counters;
    const isobath_plan *plan = &s->setup.plan;
    *p = (isobath_progress){.frames_hint = plan->frames_hint, .fraction = -1, .left_s = -1};
    int64_t start = atomic_load(&c->start_us), end = atomic_load(&s->end_us);
    p->frames_done = atomic_load(&c->frames_done);
    p->windows_done = atomic_load(&c->windows_done);
    p->guards = atomic_load(&c->guards);
    if (start) p->elapsed_s = (double)((end ? end : ib_now_us()) - start) * 1e-6;
    double t = p->elapsed_s > 0 ? p->elapsed_s : 1;
    ib_source *source = atomic_load(&c->source);
    ib_window_stream *stream = atomic_load(&c->windows);
    double flops = 0;
    if (source) {
        p->frames_decoded = ib_source_decoded(source);
        p->decode_share = ib_source_busy_s(source) / t;
    }
    if (stream) {
        ib_window_stats stats;
        ib_windows_stats(stream, &stats);
        p->network_share = stats.busy_s / t / stats.device_count;
        if (!source) {
            p->frames_decoded = stats.decoded;
            p->decode_share = stats.decode_s / t / stats.device_count;
        }
        flops = stats.flops;
    }
    int64_t align = atomic_load(&c->align), render = atomic_load(&c->render); /* beside each other */
    p->align_share = (double)(align > render ? align : render) * 1e-6 / t;
    p->write_share = (double)atomic_load(&c->write) * 1e-6 / t;
    fill_shares(p);
    int64_t before = atomic_load(&c->frames_before);
    p->frames_per_s = (double)(p->frames_done - before) / t;
    if (plan->frames_hint > 0) {
        int64_t n = plan->frames_hint, windows = ib_plan_windows(n);
        double total = (double)n * s->setup.memory.encode_flops + (double)(windows * IB_PLAN_WINDOW) * s->setup.memory.depth_flops;
        double done = before < n ? (double)before / (double)n : 1, now = flops / total;
        if (now > 1 - done) now = 1 - done;
        p->fraction = done + now;
        if (end && s->run.frame_count == p->frames_done && p->frames_done > 0) p->fraction = 1;
        if (now > 0) p->left_s = p->elapsed_s * (1 - p->fraction) / now;
    }
}

int isobath_session_device(isobath_session *s, int i, isobath_device_progress *d)
{
    ib_window_stream *stream = atomic_load(&s->counters.windows);
    ib_source *source = atomic_load(&s->counters.source);
    ib_window_stats stats;
    if (!stream) return 0;
    ib_windows_stats(stream, &stats);
    if (i < 0 || i >= stats.device_count) return 0;
    isobath_progress p;
    isobath_session_progress(s, &p);
    const ib_device_stats *of = &stats.device[i];
    *d = (isobath_device_progress){.frames = of->windows * IB_PLAN_STEP, .busy = p.elapsed_s > 0 ? of->busy_s / p.elapsed_s : 0};
    if (source && d->frames > ib_source_decoded(source)) d->frames = ib_source_decoded(source); /* the last window repeats frames */
    int alike = 0, number = 1; /* of several of one name: cpu#1, cpu#2 */
    for (int k = 0; k < stats.device_count; k++) {
        alike += strcmp(stats.device[k].name, of->name) == 0;
        number += k < i && strcmp(stats.device[k].name, of->name) == 0;
    }
    snprintf(d->name, sizeof d->name, alike > 1 ? "%s#%d" : "%s", of->name, number);
    snprintf(d->kind, sizeof d->kind, "%s", s->setup.plan.device);
    return 1;
}

const char *isobath_session_output(const isobath_session *s, int i)
{
    int max = (int)(sizeof s->run.outputs / sizeof *s->run.outputs);
    return i >= 0 && i < max ? s->run.outputs[i] : NULL;
}

const char *isobath_session_error(const isobath_session *s) { return s->diag.text; }

void isobath_session_destroy(isobath_session *s)
{
    if (!s) return;
    ib_run_free(&s->run);
    ib_setup_free(&s->setup);
    ib_diag_destroy(&s->diag);
    free(s);
}
