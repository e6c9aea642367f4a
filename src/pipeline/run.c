/* One run; see run.h. The thread that calls ib_run_all aligns windows in order and hands them to the render stage (render.h); decoding, the
 * network, rendering and every sink have threads of their own, with bounded queues between them. */
#include "pipeline/run.h"

#include "base/json.h"
#include "pipeline/engine.h"
#include "pipeline/journal/resume.h"
#include "pipeline/shots.h"
#include "sink/describe.h"

#include <stdlib.h>

static isobath_status read_cuts(ib_run *r)
{
    const ib_setup *s = r->setup;
    return s->options.cuts && !s->cuts_auto ? ib_cuts_read(s->options.cuts, r->diag, &r->cuts, &r->cut_count) : ISOBATH_OK;
}

/* The window that comes after this one. */
static void note_next(ib_run *r, const ib_window *w)
{
    r->next = (ib_range){.shot = w->shot, .shot_first = w->shot_first, .k = w->k + 1, .k_end = -1};
    if (w->frames_total >= 0 && w->k + 1 >= ib_plan_windows(w->frames_total))
        r->next = (ib_range){.shot = w->shot + 1, .shot_first = w->shot_first + w->frames_total, .k_end = -1};
}

static isobath_status take_windows(ib_run *r)
{
    while (*r->cancelled < 2) {
        ib_window *w = ib_windows_next(r->stream);
        if (w) {
            note_next(r, w);
            IB_TRY(ib_run_take(r, w));
            continue;
        }
        IB_TRY(ib_renderer_drain(r->render)); /* then it is known how far the run is */
        if (!ib_run_switch(r)) break;
    }
    return ISOBATH_OK;
}

static isobath_status render_all(ib_run *r)
{
    isobath_status st = take_windows(r), rendered = ib_renderer_drain(r->render);
    ib_renderer_destroy(r->render); /* it may hold windows */
    r->render = NULL;
    IB_TRY(ib_diag_status(r->diag));
    if (*r->cancelled)
        return ib_fail(r->diag, ISOBATH_ERR_INTERRUPTED, "stopped after %lld frames; what is in %s is complete", (long long)r->frame_count,
                       r->setup->options.output);
    IB_TRY(st);
    IB_TRY(rendered);
    if (!r->frame_count) {
        const isobath_run_options *o = &r->setup->options;
        int part = o->start_s > 0 || o->end_s > 0 || o->start_frame > 0 || o->end_frame > 0;
        r->empty = 1;
        return part ? ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: no frames between --start and --end", o->input)
                    : ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: no frames", o->input);
    }
    if (r->source) IB_TRY(ib_repeats_copy(&r->repeats, ib_source_repeats(r->source), r->diag));
    ib_run_report_repeats(r);
    ib_run_report_end(r);
    ib_run_report_cuts(r);
    return ISOBATH_OK;
}

/* However the rendering ended: what is done is kept. */
static isobath_status settle(ib_run *r, isobath_status st)
{
    if (!r->commit) return st;
    for (int i = 0; i < r->setup->format_count && *r->cancelled < 2; i++) {
        isobath_status drained = r->setup->formats[i]->drain(r->sinks[i]);
        if (st == ISOBATH_OK) st = drained;
    }
    if (st == ISOBATH_OK && r->repeats.count) st = ib_journal_repeats(r->journal, &r->repeats);
    isobath_status kept = ib_commit_finish(r->commit, st == ISOBATH_OK);
    return st == ISOBATH_OK ? kept : st;
}

static isobath_status process(ib_run *r)
{
    IB_TRY(read_cuts(r)); /* before anything is removed */
    IB_TRY(ib_run_start_loading(r));
    IB_TRY(ib_resume_prepare(r));
    if (r->complete) {
        IB_TRY(ib_resume_verify(r));
        ib_run_list_outputs(r);
        return ib_resume_clean(r);
    }
    atomic_store(&r->counters->frames_done, r->past.frame_count);
    atomic_store(&r->counters->frames_before, r->past.frame_count);
    isobath_status st = ib_run_open(r);
    if (st == ISOBATH_OK && !r->past.ended) st = render_all(r);
    IB_TRY(settle(r, st));
    return ib_run_finish(r);
}

isobath_status ib_run_all(ib_run *r)
{
    atomic_store(&r->counters->start_us, ib_now_us());
    isobath_status st = process(r);
    if (r->source) ib_source_stop(r->source);
    if (r->stream) ib_windows_end(r->stream); /* its threads write to the log */
    if (st != ISOBATH_OK) st = ib_fail(r->diag, st, "the run failed: %s", isobath_status_name(st));
    ib_log_event(r->log, st == ISOBATH_OK ? "done" : "failed",
                 json_pack("{s:I, s:f, s:o}", "frames", (json_int_t)r->frame_count, "seconds",
                           (double)(ib_now_us() - atomic_load(&r->counters->start_us)) * 1e-6, "error",
                           ib_json_string(r->diag->text)));
    ib_log_close(r->log);
    r->log = NULL;
    ib_status_stop(r->status, st, r->diag->text);
    r->status = NULL;
    return st;
}

void ib_run_free(ib_run *r)
{
    ib_run_await_network(r);
    if (r->source) ib_source_stop(r->source);
    ib_renderer_destroy(r->render);
    ib_windows_destroy(r->stream);
    ib_source_destroy(r->source);
    for (int i = 0; i < r->former_count; i++) ib_windows_destroy(r->former_stream[i]);
    ib_source_destroy(r->former_source);
    ib_commit_destroy(r->commit);
    if (r->hashing) pthread_join(r->hash_thread, NULL);
    for (int s = 0; s < r->setup->format_count; s++)
        if (r->sinks[s]) r->setup->formats[s]->close(r->sinks[s]);
    ib_align_chain_free(&r->chain);
    ib_stabilizer_free(&r->stabilizer);
    if (r->engine) {
        ib_engine_give(r->engine);
        r->vda = NULL;
        r->device = NULL;
        r->compute_pool = NULL;
    }
    ib_vda_destroy(r->vda);
    ib_backend_close(r->device);
    ib_backend_close(r->host);
    ib_pool_destroy(r->compute_pool);
    ib_pool_destroy(r->host_pool);
    free(r->cuts);
    free(r->windows);
    free(r->frames);
    free(r->past_times_us);
    ib_repeats_free(&r->repeats);
    for (int i = 0; i < IB_MAX_SINKS; i++) json_decref(r->described[i]);
    ib_journal_state_free(&r->past);
    ib_journal_close(r->journal);
    ib_lock_release(r->lock);
    ib_diag_destroy(&r->device_diag);
    json_decref(r->extra);
    for (size_t i = 0; i < sizeof r->outputs / sizeof *r->outputs; i++) free(r->outputs[i]);
}
