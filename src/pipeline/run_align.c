/* A window on its way through a run: the chain of alignments in order, what is noted of it and of its frames; see run.h. */
#include "pipeline/run.h"

#include "base/json.h"
#include "pipeline/journal/resume.h"

#include <stdlib.h>
#include <string.h>

/* Appends to a growing array of `size`-byte items. */
static isobath_status append(ib_run *r, void **list, int64_t *count, int64_t *cap, const void *item, size_t size)
{
    if (*count == *cap) {
        int64_t next = *cap ? 2 * *cap : 256;
        void *p = realloc(*list, (size_t)next * size);
        if (!p) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the manifest");
        *list = p;
        *cap = next;
    }
    memcpy((char *)*list + (size_t)(*count)++ * size, item, size);
    return ISOBATH_OK;
}

isobath_status ib_run_push(ib_run *r, ib_depth_frame *f, float scale, float shift)
{
    int64_t start = ib_now_us();
    for (int s = 0; s < r->setup->format_count; s++) IB_TRY(r->setup->formats[s]->push(r->sinks[s], f));
    ib_busy_add(&r->counters->write, start);
    ib_frame_record record = {f->pts_us, f->min, f->max, scale, shift};
    IB_TRY(append(r, (void **)&r->frames, &r->frame_count, &r->frame_cap, &record, sizeof record));
    if (r->commit) IB_TRY(ib_commit_frame(r->commit, &record));
    atomic_fetch_add(&r->counters->frames_done, 1);
    return ISOBATH_OK;
}

/* Notes what the window gave; of a window that an earlier run has noted the same must come out. */
static isobath_status note_window(ib_run *r, const ib_window_record *w)
{
    if (r->window_at < r->window_count) {
        const ib_window_record *was = &r->windows[r->window_at++];
        if (was->shot == w->shot && was->k == w->k && was->alignment.scale == w->alignment.scale && was->alignment.shift == w->alignment.shift)
            return ISOBATH_OK;
        return ib_fail(r->diag, ISOBATH_ERR_INTERNAL, "window %lld of shot %lld came out with scale %.9g and shift %.9g, before the run was "
                       "stopped with %.9g and %.9g: this machine does not compute the same (--overwrite begins again)", (long long)w->k,
                       (long long)w->shot, (double)w->alignment.scale, (double)w->alignment.shift, (double)was->alignment.scale,
                       (double)was->alignment.shift);
    }
    ib_log_event(r->log, "window", json_pack("{s:I, s:I, s:f, s:f, s:b, s:b, s:I}", "shot", (json_int_t)w->shot, "k", (json_int_t)w->k, "scale",
                                             (double)w->alignment.scale, "shift", (double)w->alignment.shift, "guarded",
                                             w->alignment.guarded, "redone", w->redone, "nonfinite", (json_int_t)w->nonfinite));
    IB_TRY(append(r, (void **)&r->windows, &r->window_count, &r->window_cap, w, sizeof *w));
    r->window_at = r->window_count;
    return ib_journal_window(r->journal, w);
}

/* How frame i of the shot is aligned; 0 in *renders: an earlier run has rendered it. */
static ib_alignment align_frame(ib_run *r, const ib_window *w, const ib_alignment *of_window, int64_t i, int *renders)
{
    ib_stabilizer *z = &r->stabilizer;
    int64_t slot = i - IB_PLAN_STEP * w->k, index = w->shot_first + i, start = ib_now_us();
    *renders = index >= r->past.frame_count;
    if (!*renders) { /* nobody adds to `frames` before the first one that is rendered */
        const ib_frame_record *f = &r->frames[index];
        if (z->previous && index == r->past.frame_count - 1) ib_stabilizer_set(z, w->raw + slot * z->count, f->scale, f->shift, f->pts_us);
        return *of_window;
    }
    if (!z->previous) return *of_window;
    ib_alignment al = ib_stabilize(z, w->raw + slot * z->count, w->pts_us[slot]);
    ib_busy_add(&r->counters->align, start);
    atomic_fetch_add(&r->counters->guards, al.guarded);
    return al;
}

/* The window's alignment and that of the frames that it finishes. */
static isobath_status align_window(ib_run *r, ib_renderer_window *out)
{
    ib_window *w = out->window;
    ib_window_record record = {.shot = w->shot, .shot_first = w->shot_first, .k = w->k, .frames_total = w->frames_total,
                               .redone = w->redone, .nonfinite = w->nonfinite};
    int64_t start = ib_now_us(), first, end;
    int temporal = r->setup->config.temporal; /* else every frame is final by itself: no chain, no cross-fade */
    if (w->k == 0) {
        ib_align_chain_restart(&r->chain);
        ib_stabilizer_restart(&r->stabilizer);
    }
    if (temporal) IB_TRY(ib_align_chain_window(&r->chain, w->raw, &record.alignment));
    else record.alignment = (ib_alignment){.scale = 1, .fit_scale = 1};
    ib_busy_add(&r->counters->align, start);
    if (w->k == 0) ib_resume_keep_first(r, w->shot);
    atomic_fetch_add(&r->counters->guards, record.alignment.guarded + record.redone);
    IB_TRY(note_window(r, &record));
    if (temporal) ib_plan_final_frames(w->k, w->frames_total, &first, &end);
    else ib_plan_new_frames(w->k, w->frames_total, &first, &end);
    out->alignment = record.alignment;
    out->first = out->end = end;
    for (int64_t i = first; i < end && *r->cancelled < 2; i++) {
        int renders;
        ib_alignment al = align_frame(r, w, &record.alignment, i, &renders);
        if (!renders) continue;
        if (out->first == end) out->first = i;
        out->frame[i - out->first] = al;
        out->end = i + 1;
    }
    if (out->first == end) atomic_fetch_add(&r->counters->windows_done, 1);
    return ISOBATH_OK;
}

isobath_status ib_run_take(ib_run *r, ib_window *w)
{
    ib_renderer_window out = {.window = w};
    isobath_status st = r->prime ? ib_resume_prime(r, w, &out.alignment) : align_window(r, &out);
    r->prime = 0;
    if (st != ISOBATH_OK) {
        ib_window_free(w);
        return st;
    }
    IB_TRY(ib_renderer_add(r->render, &out));
    return ib_diag_status(r->diag);
}
