/* Where a run's windows come from; and from where else they go on when that ends early: worker processes whose decoders do not agree, or a
 * device of this process that failed. See run.h. */
#include "pipeline/run.h"

#include "pipeline/engine.h"
#include "pipeline/exec/exec.h"
#include "pipeline/fleet/fleet.h"
#include "pipeline/journal/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static isobath_status open_redo(void *ctx, ib_diag *diag, ib_backend **backend, ib_vda **vda)
{
    ib_run *r = ctx;
    ib_log_event(r->log, "redo_opened", json_pack("{s:s}", "precision", "fp32"));
    if (r->setup->options.note)
        r->setup->options.note(r->setup->options.note_ctx,
                               "values that are not finite: the window is redone in fp32 (see the log and the manifest)");
    return ib_setup_open_network(r->setup, IB_F32, r->compute_pool, diag, backend, vda, NULL);
}

static isobath_status reload_network(void *ctx, ib_vda *vda, int smaller)
{
    ib_run *r = ctx;
    if (smaller) ib_run_tell(r, "smaller_plan", "memory is short on the device: smaller batches from here on, the same result");
    else ib_log_event(r->log, "reloaded", json_pack("{s:s}", "why", "the fp32 network did not fit beside the fast one"));
    return ib_setup_reload_network(r->setup, vda, r->diag);
}

/* Windows from this process, or from a user's program. */
static isobath_status start_worker(ib_run *r, const ib_source_cuts *cuts, const ib_range *range)
{
    const ib_setup *s = r->setup;
    const ib_frame_pool *pool = s->device != IB_DEVICE_CPU && !r->wants_rgb ? &ib_frame_pool_by_reference : NULL;
    IB_TRY(ib_source_start(s->media, s->source_queue_bytes, cuts, pool, r->diag, &r->source));
    IB_TRY(ib_run_await_network(r)); /* frames are decoded meanwhile */
    ib_worker_options w = {.source = r->source, .vda = r->vda, .backend = r->device, .shape = &s->shape, .memory = &s->memory,
                           .redo = {s->act == IB_F32 ? NULL : open_redo, reload_network, r}, .range = *range, .wants_rgb = r->wants_rgb,
                           .held = ib_renderer_held(s->render_threads, s->render_windows), .cancelled = r->cancelled, .diag = &r->device_diag, .source_diag = r->diag};
    return s->exec ? ib_exec_start(s->exec, r->source, range, r->wants_rgb, r->cancelled, r->diag, &r->stream) : ib_worker_start(&w, &r->stream);
}

/* Windows from worker processes, one a device. */
static isobath_status start_fleet(ib_run *r, const ib_source_cuts *cuts, const ib_range *range)
{
    ib_setup *s = r->setup;
    ib_fleet *fleet;
    ib_fleet_options o = {.setup = s, .range = *range, .cuts = r->cuts, .cut_count = r->cut_count, .wants_rgb = r->wants_rgb, .cancelled = r->cancelled, .log = r->log,
                          .diag = r->diag};
    IB_TRY(ib_fleet_create(&o, &fleet));
    r->stream = ib_fleet_stream(fleet);
    if (s->decodes) return ib_fleet_start(fleet, NULL);
    ib_frame_pool pool = ib_fleet_pool(fleet);
    IB_TRY(ib_source_start(s->media, s->source_queue_bytes, cuts, &pool, r->diag, &r->source));
    return ib_fleet_start(fleet, r->source);
}

isobath_status ib_run_open_windows(ib_run *r, const ib_range *range)
{
    ib_setup *s = r->setup;
    ib_source_cuts cuts = {.detect = s->cuts_auto, .list = r->cuts, .count = r->cut_count, .first = range->shot_first,
                           .skip_end = range->k > 0 ? range->shot_first + IB_PLAN_STEP * range->k - IB_PLAN_OVERLAP : 0};
    if (r->past.frame_count && !s->options.on_error_repeat && !r->former_count) { /* known times: long gaps are jumped over */
        cuts.times_us = r->past_times_us = malloc((size_t)r->past.frame_count * sizeof *r->past_times_us);
        if (!cuts.times_us) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the times of earlier frames");
        for (int64_t i = 0; i < r->past.frame_count; i++) r->past_times_us[i] = r->frames[i].pts_us;
    }
    IB_TRY(s->fleet ? start_fleet(r, &cuts, range) : start_worker(r, &cuts, range));
    atomic_store(&r->counters->source, r->source);
    atomic_store(&r->counters->windows, r->stream);
    return ISOBATH_OK;
}

int64_t ib_run_likely_cuts(const ib_run *r)
{
    int64_t count = (r->source ? ib_source_likely_cuts(r->source) : 0) + (r->former_source ? ib_source_likely_cuts(r->former_source) : 0);
    for (int i = -1; i < r->former_count; i++) {
        ib_window_stats stats;
        ib_windows_stats(i < 0 ? r->stream : r->former_stream[i], &stats);
        count += stats.likely_cuts;
    }
    return count;
}

/* The input again, for one decoder of this process that has nothing to do with a card. */
static isobath_status reopen_input(ib_run *r)
{
    ib_setup *s = r->setup;
    s->media_options.decoder = IB_DECODER_SOFTWARE;
    ib_media *media;
    IB_TRY(ib_media_open(s->options.input, &s->media_options, r->diag, &media));
    ib_media_close(s->media);
    s->media = media;
    return ISOBATH_OK;
}

/* The device of this process failed and may have taken its context with it: a worker process computes on it from here on. */
static isobath_status hire_worker(ib_run *r)
{
    ib_setup *s = r->setup;
    char kinds[sizeof s->plan.device] = "", decoder[sizeof s->decoder], colour[sizeof s->colour], line[IB_DIAG_TEXT + 128];
    memcpy(decoder, s->decoder, sizeof decoder);
    memcpy(colour, s->colour, sizeof colour);
    snprintf(line, sizeof line, "%s; a worker process goes on from frame %lld", r->device_diag.text, (long long)r->frame_count);
    ib_run_tell(r, "device_failed", line);
    s->fleet = 1;
    s->decodes = ib_setup_may_decode_apart(s);
    ib_setup_plan_fleet(s);
    ib_diag attempt = IB_DIAG_INIT;
    isobath_status st = ib_setup_open_children(s, kinds, &attempt);
    int same = strcmp(kinds, s->plan.device) == 0;
    memcpy(s->decoder, decoder, sizeof decoder); /* as the run began and its journal says */
    memcpy(s->colour, colour, sizeof colour);
    if (st == ISOBATH_OK && !same) st = ib_fail(&attempt, ISOBATH_ERR_DEVICE, "it is another kind of device now");
    if (st != ISOBATH_OK) ib_fail(r->diag, ISOBATH_ERR_DEVICE, "%.500s; nor does a worker process go on: %.200s", r->device_diag.text, attempt.text);
    ib_diag_destroy(&attempt);
    IB_TRY(st);
    ib_diag_reset(&r->device_diag); /* done with */
    return s->decodes ? ISOBATH_OK : reopen_input(r);
}

/* What was in use until now, without what it held. */
static void retire(ib_run *r)
{
    if (r->source) ib_source_stop(r->source);
    ib_windows_end(r->stream);
    r->former_stream[r->former_count++] = r->stream;
    if (!r->source) return;
    ib_source_end(r->source);
    r->former_source = r->source;
    r->source = NULL;
}

/* Before what is in use now is touched. */
static int can_hire(const ib_run *r)
{
    const ib_setup *s = r->setup;
    return !s->fleet && !s->exec && strcmp(s->options.input, "-") != 0 && !s->options.raw_format && !r->former_source;
}

int ib_run_switch(ib_run *r)
{
    ib_setup *s = r->setup;
    isobath_status here = ib_diag_status(&r->device_diag), st = ISOBATH_OK;
    const char *why = s->fleet && s->decodes ? ib_fleet_misfit(r->stream) : "";
    int hire = here == ISOBATH_ERR_DEVICE && can_hire(r);
    if (*r->cancelled || ib_diag_status(r->diag) != ISOBATH_OK || !(hire || *why)) {
        if (here != ISOBATH_OK) ib_fail(r->diag, here, "%s", r->device_diag.text);
        return 0;
    }
    if (*why) {
        char line[IB_DIAG_TEXT + 128];
        snprintf(line, sizeof line, "%s: one decoder for all devices from frame %lld on", why, (long long)r->frame_count);
        ib_run_tell(r, "one_decoder", line);
    }
    st = ib_renderer_detach(r->render); /* no window may be held */
    if (st != ISOBATH_OK) return 0;
    retire(r);
    if (hire) st = hire_worker(r);
    else {
        s->decodes = 0;
        ib_setup_plan_fleet(s);
    }
    ib_range range = r->next.k_end < 0 ? r->next : ib_resume_range(r);
    if (st == ISOBATH_OK) st = ib_run_open_windows(r, &range);
    if (st != ISOBATH_OK) ib_fail(r->diag, st, "the run cannot go on: %s", isobath_status_name(st));
    return st == ISOBATH_OK;
}
