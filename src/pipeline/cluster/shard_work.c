/* One segment of a plan: its windows, from the input to the spool; see shard.h. */
#include "pipeline/exec/exec.h"
#include "pipeline/fleet/fleet.h"
#include "pipeline/cluster/shard_task.h"
#include "pipeline/worker.h"
#include "sink/file.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct work {
    isobath_task *task;
    char *path;
    int64_t first, end; /* windows */
    int sequential;     /* 1: the input is read from the start; 0: jumps */
    ib_pool *pool;
    ib_backend *backend;
    ib_vda *vda;
    ib_source *source;
    ib_window_stream *stream;
    int64_t *cuts;
    ib_spool_writer *spool;
} work;

static isobath_status open_redo(void *ctx, ib_diag *diag, ib_backend **backend, ib_vda **vda)
{
    work *w = ctx;
    isobath_task *t = w->task;
    if (t->options.note) t->options.note(t->options.note_ctx, "values that are not finite: the window is redone in fp32 (see the manifest)");
    return ib_setup_open_network(&t->setup, IB_F32, w->pool, diag, backend, vda, NULL);
}

static isobath_status reload_network(void *ctx, ib_vda *vda, int smaller)
{
    isobath_task *t = ((work *)ctx)->task;
    if (smaller && t->options.note) t->options.note(t->options.note_ctx, "memory is short on the device: smaller batches from here on, the same result");
    return ib_setup_reload_network(&t->setup, vda, &t->diag);
}

/* 1: the segment is there, of this plan, and every block of it is sound. What is there and is not gets a line. */
static int is_done(work *w)
{
    isobath_task *t = w->task;
    ib_diag diag = IB_DIAG_INIT;
    ib_spool *spool;
    if (access(w->path, F_OK) != 0) return 0;
    isobath_status st = ib_spool_open(w->path, &diag, &spool);
    if (st == ISOBATH_OK) {
        const ib_spool_head *h = ib_spool_get_head(spool);
        if (strcmp(h->plan, t->shard.id) || h->segment != t->options.part || h->first != w->first || h->count != w->end - w->first ||
            h->width != t->shard.network_width || h->height != t->shard.network_height)
            st = ib_fail(&diag, ISOBATH_ERR_INPUT, "%s: is of another plan", w->path);
        else st = ib_spool_verify(spool);
    }
    ib_spool_close(spool);
    if (st != ISOBATH_OK && t->options.note) {
        char line[IB_DIAG_TEXT + 32];
        snprintf(line, sizeof line, "%s: it is done again", diag.text);
        t->options.note(t->options.note_ctx, line);
    }
    ib_diag_destroy(&diag);
    return st == ISOBATH_OK;
}

/* Frames from the shot's first one on, without those between it and the first window's that no window needs. */
static isobath_status start_source(work *w, const ib_frame_pool *pool, const ib_range *range)
{
    isobath_task *t = w->task;
    const ib_shard *p = &t->shard;
    w->cuts = malloc((size_t)p->shot_count * sizeof *w->cuts);
    if (!w->cuts) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a segment");
    for (int64_t i = 1; i < p->shot_count; i++) w->cuts[i - 1] = p->shots[i].first;
    ib_source_cuts cuts = {.list = w->cuts, .count = p->shot_count - 1, .first = range->shot_first,
                           .skip_end = range->k > 0 ? range->shot_first + IB_PLAN_STEP * range->k - IB_PLAN_OVERLAP : 0,
                           .times_us = w->sequential ? NULL : p->pts_us};
    return ib_source_start(t->setup.media, t->setup.source_queue_bytes, &cuts, pool, &t->diag, &w->source);
}

/* The network in this process, or a program; their frames carry pictures on the CPU, where they can be checked. */
static isobath_status start_worker(work *w, const ib_range *range, char digest[65])
{
    isobath_task *t = w->task;
    ib_setup *s = &t->setup;
    int check = s->device < 0;
    if (s->exec) {
        IB_TRY(start_source(w, NULL, range));
        return ib_exec_start(s->exec, w->source, range, 1, &t->cancelled, &t->diag, &w->stream);
    }
    IB_TRY(ib_pool_create(s->threads, &t->diag, &w->pool));
    IB_TRY(ib_setup_open_network(s, s->act, w->pool, &t->diag, &w->backend, &w->vda, digest));
    IB_TRY(start_source(w, check ? NULL : &ib_frame_pool_by_reference, range));
    ib_worker_options o = {.source = w->source, .vda = w->vda, .backend = w->backend, .shape = &s->shape, .memory = &s->memory,
                           .redo = {s->act == IB_F32 ? NULL : open_redo, reload_network, w}, .range = *range, .wants_rgb = check,
                           .cancelled = &t->cancelled, .diag = &t->diag};
    return ib_worker_start(&o, &w->stream);
}

/* Several devices of this machine on one segment. */
static isobath_status start_fleet(work *w, const ib_range *range, char digest[65])
{
    isobath_task *t = w->task;
    ib_fleet *fleet;
    ib_fleet_options o = {.setup = &t->setup, .range = *range, .cancelled = &t->cancelled, .diag = &t->diag};
    IB_TRY(ib_fleet_create(&o, &fleet));
    w->stream = ib_fleet_stream(fleet);
    ib_frame_pool pool = ib_fleet_pool(fleet);
    IB_TRY(start_source(w, &pool, range));
    IB_TRY(ib_fleet_start(fleet, w->source));
    return ib_setup_hash_model(&t->setup, &t->diag, digest);
}

/* Windows from the segment's first one on, and the file that takes them. */
static isobath_status open_all(work *w)
{
    isobath_task *t = w->task;
    ib_setup *s = &t->setup;
    const ib_shard *p = &t->shard;
    char digest[65] = "";
    int64_t k, shot = ib_shard_window(p, w->first, &k);
    ib_range range = {.shot = shot, .shot_first = p->shots[shot].first, .k = k, .k_end = -1, .limit = w->end - w->first};
    IB_TRY(s->fleet ? start_fleet(w, &range, digest) : start_worker(w, &range, digest));
    if (strcmp(digest, p->model_sha256) != 0)
        return ib_fail(&t->diag, ISOBATH_ERR_MODEL, "%s: not the checkpoint that was planned with", s->model_path);
    ib_spool_head head = {.segment = t->options.part, .first = w->first, .count = w->end - w->first, .width = p->network_width,
                          .height = p->network_height};
    memcpy(head.plan, p->id, sizeof head.plan);
    snprintf(head.kind, sizeof head.kind, "%s", ib_setup_kind(s));
    snprintf(head.decoder, sizeof head.decoder, "%s", s->decoder);
    return ib_spool_create(w->path, &head, &t->diag, &w->spool);
}

/* The frames that came with a window are those that were planned with: their times, and where there are pictures, these. */
static isobath_status check_frames(const work *w, const ib_window *win)
{
    isobath_task *t = w->task;
    const ib_shard *p = &t->shard;
    int64_t k, first, end, shot = ib_shard_window(p, w->first + atomic_load(&t->done), &k);
    if (win->shot != shot || win->k != k || win->shot_first != p->shots[shot].first)
        return ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: other shots than were planned with: the input has changed", t->setup.options.input);
    ib_plan_new_frames(k, p->shots[shot].count, &first, &end);
    if (k == ib_plan_windows(p->shots[shot].count) - 1 && win->frames_total != p->shots[shot].count)
        return ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: has other frames than were planned with%s", t->setup.options.input,
                       p->counted ? ": plan it without --count packets" : ": the input has changed");
    for (int64_t i = first; i < end; i++) {
        int slot = (int)(i - IB_PLAN_STEP * k);
        int64_t index = win->shot_first + i;
        const ib_source_frame *f = win->source[slot];
        int same = win->pts_us[slot] == p->pts_us[index];
        if (same && !p->counted && f && f->rgb && index % IB_SHARD_CHECK_EVERY == 0)
            same = libdeflate_crc32(0, f->rgb, (size_t)f->width * (size_t)f->height * 3) == p->checks[index / IB_SHARD_CHECK_EVERY];
        if (!same)
            return ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: frame %lld is not the one that was planned with: %s", t->setup.options.input,
                           (long long)index, p->counted ? "plan it without --count packets" : "the input has changed, or its decoder is another one");
    }
    return ISOBATH_OK;
}

static isobath_status compute(work *w)
{
    isobath_task *t = w->task;
    IB_TRY(open_all(w));
    for (int64_t i = w->first; i < w->end; i++) {
        ib_window *win = t->cancelled ? NULL : ib_windows_next(w->stream);
        if (!win) break;
        isobath_status st = check_frames(w, win);
        ib_spool_window about = {win->redone, win->nonfinite};
        if (st == ISOBATH_OK) st = ib_spool_write(w->spool, &about, ib_shard_slots(&t->shard, i), win->raw);
        ib_window_free(win);
        IB_TRY(st);
        atomic_fetch_add(&t->done, 1);
    }
    IB_TRY(ib_diag_status(&t->diag));
    if (t->cancelled) return ib_fail(&t->diag, ISOBATH_ERR_INTERRUPTED, "stopped; segment %lld is to be done again", (long long)t->options.part);
    if (atomic_load(&t->done) != w->end - w->first)
        return ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: ends before segment %lld does: %s", t->setup.options.input, (long long)t->options.part,
                       t->shard.counted ? "plan it without --count packets" : "it is not what was planned with");
    ib_spool_writer *spool = w->spool;
    w->spool = NULL;
    return ib_spool_commit(spool, &t->result.bytes);
}

static void close_all(work *w)
{
    if (w->source) ib_source_stop(w->source);
    ib_windows_destroy(w->stream);
    ib_source_destroy(w->source);
    ib_spool_abort(w->spool);
    ib_vda_destroy(w->vda);
    ib_backend_close(w->backend);
    ib_pool_destroy(w->pool);
    free(w->cuts);
    *w = (work){.task = w->task, .path = w->path, .first = w->first, .end = w->end, .sequential = 1};
}

/* Computes it, jumping to where it begins; where frames then are not those that were planned with, from the start. */
static isobath_status compute_somehow(work *w)
{
    isobath_task *t = w->task;
    const char *devices = t->options.devices ? t->options.devices : "auto";
    IB_TRY(ib_shard_setup(t, devices));
    isobath_status st = compute(w);
    close_all(w);
    if (st != ISOBATH_ERR_INPUT || w->first == 0) return st;
    if (t->options.note) t->options.note(t->options.note_ctx, t->diag.text);
    if (t->options.note) t->options.note(t->options.note_ctx, "reading the input from its start instead of jumping");
    ib_diag_reset(&t->diag);
    ib_setup_free(&t->setup);
    atomic_store(&t->done, 0);
    IB_TRY(ib_shard_setup(t, devices));
    st = compute(w);
    close_all(w);
    return st;
}

isobath_status ib_shard_work(isobath_task *t)
{
    work w = {.task = t};
    char file[64], what[64];
    int64_t part = t->options.part;
    if (part < 0 || part >= t->shard.segments)
        return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "--segment %lld: the plan has segments 0 to %lld", (long long)part, (long long)t->shard.segments - 1);
    ib_shard_segment(&t->shard, part, &w.first, &w.end);
    w.path = ib_shard_path(&t->shard, "segment_%05lld.raw", (long long)part);
    if (!w.path) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a segment");
    isobath_status st = ISOBATH_OK;
    t->result.skipped = !t->options.again && is_done(&w);
    if (t->result.skipped) atomic_store(&t->done, w.end - w.first);
    else {
        snprintf(file, sizeof file, "segment_%05lld", (long long)part);
        snprintf(what, sizeof what, "segment %lld", (long long)part);
        st = ib_shard_report(t, file, what, w.end - w.first);
        if (st == ISOBATH_OK) st = compute_somehow(&w);
    }
    free(w.path);
    return st;
}
