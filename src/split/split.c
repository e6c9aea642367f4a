/* isobath_split_run: counts and hashes frames, plans, has the chunks written (chunks.c), names them; see isobath/split.h. */
#include "split/split_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void isobath_split_options_init(isobath_split_options *options) { *options = (isobath_split_options){.overlap = 32}; }

isobath_status ib_split_memory(const ib_split_run *r)
{
    return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", r->o->input);
}

isobath_status ib_split_report(const ib_split_run *r, const char *stage, int64_t done, int64_t total)
{
    if (r->o->progress && r->o->progress(r->o->progress_ctx, stage, done, total))
        return ib_fail(r->diag, ISOBATH_ERR_INTERRUPTED, "interrupted");
    return ISOBATH_OK;
}

static isobath_status check_options(ib_split_run *r)
{
    const isobath_split_options *o = r->o;
    static const struct {
        const char *name;
        ib_cut_codec wish;
        int copies;
    } codecs[] = {
        {"auto", IB_CUT_COPY, 1}, {"copy", IB_CUT_COPY, 1}, {"h264", IB_CUT_H264, 0}, {"ffv1", IB_CUT_FFV1, 0}};
    if (!o->input || !o->output) return ib_fail(r->diag, ISOBATH_ERR_USAGE, "expected INPUT and an output folder (-o)");
    if (ib_media_comes_once(o->input))
        return ib_fail(r->diag, ISOBATH_ERR_USAGE, "%s: a pipe or live source cannot be split: it is read twice; save it as a file first", o->input);
    if ((o->chunks > 0) == (o->chunk_frames > 0) || o->chunks < 0 || o->chunk_frames < 0 || o->overlap < 0)
        return ib_fail(r->diag, ISOBATH_ERR_USAGE,
                       "expected --chunks or --chunk-frames, and an --overlap of 0 or more");
    const char *codec = o->codec ? o->codec : "auto";
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (strcmp(codecs[i].name, codec) == 0) {
            r->wish = codecs[i].wish;
            r->copies = codecs[i].copies;
            return ISOBATH_OK;
        }
    return ib_fail(r->diag, ISOBATH_ERR_USAGE, "--codec %s: expected auto, copy, h264 or ffv1", codec);
}

static isobath_status set_name(ib_split_run *r)
{
    const char *base = strrchr(r->o->input, '/');
    base = base && base[1] ? base + 1 : r->o->input;
    size_t n = strcspn(base, "/");
    r->plan.input = strndup(base, n);
    const char *dot = memrchr(base, '.', n);
    if (dot && dot > base) n = (size_t)(dot - base);
    r->name = r->o->name ? strdup(r->o->name) : strndup(base, n);
    return r->name && r->plan.input ? ISOBATH_OK : ib_split_memory(r);
}

static isobath_status add_frame(ib_split_run *r, const ib_cut_frame *d)
{
    int64_t n = r->plan.frames;
    if (n == r->capacity) {
        int64_t capacity = n ? 2 * n : 1024;
        void *hashes = realloc(r->hashes, (size_t)capacity * sizeof *r->hashes);
        if (hashes) r->hashes = hashes;
        void *pts = realloc(r->pts, (size_t)capacity * sizeof *r->pts);
        if (pts) r->pts = pts;
        void *times = realloc(r->times_us, (size_t)capacity * sizeof *r->times_us);
        if (times) r->times_us = times;
        if (!hashes || !pts || !times) return ib_split_memory(r);
        r->capacity = capacity;
    }
    if (n == 0) {
        r->plan.width = d->width;
        r->plan.height = d->height;
        r->pix_fmt = d->pix_fmt;
        r->has_pts = 1;
    }
    r->hashes[n] = d->hash;
    r->pts[n] = d->stream_pts;
    r->has_pts &= r->pts[n] != INT64_MIN && !d->is_image && (n == 0 || r->pts[n] > r->pts[n - 1]);
    r->times_us[n] = d->pts_us;
    r->plan.frames++;
    return ISOBATH_OK;
}

/* The pass that everything else is measured by. */
static isobath_status count_frames(ib_split_run *r)
{
    ib_cut_reader *reader;
    ib_cut_frame d;
    int got = 1;
    IB_TRY(ib_cut_reader_open(r->o->input, &r->media, r->diag, &reader));
    isobath_status st = ISOBATH_OK;
    const int32_t *matrix = ib_cut_reader_matrix(reader);
    if (matrix) memcpy(r->matrix, matrix, sizeof r->matrix);
    r->has_matrix = matrix != NULL;
    r->plan.fps = ib_cut_reader_fps(reader);
    r->plan.overlap = r->o->overlap;
    while (st == ISOBATH_OK) {
        st = ib_cut_reader_next(reader, &d, &got);
        if (st != ISOBATH_OK || !got) break;
        if (d.is_image && !r->o->plan_only)
            st = ib_fail(r->diag, ISOBATH_ERR_USAGE,
                         "%s: images are files of their own already: --plan-only says which belong to which chunk",
                         r->o->input);
        if (st == ISOBATH_OK) st = add_frame(r, &d);
        if (st == ISOBATH_OK && r->plan.frames % IB_SPLIT_REPORT_EVERY == 0)
            st = ib_split_report(r, "count", r->plan.frames, ib_cut_reader_frames_hint(reader));
    }
    ib_cut_reader_close(reader);
    if (st == ISOBATH_OK && r->plan.frames == 0) st = ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: no frames", r->o->input);
    if (st != ISOBATH_OK) return st;
    r->plan.times_us = r->times_us;
    r->times_us = NULL;
    return ib_split_plan_make(&r->plan, r->o->chunks, r->o->chunk_frames, r->diag);
}

static char *final_path(const ib_split_run *r, int64_t k)
{
    return ib_text("%s/%s", r->o->output, r->plan.chunks[k].path);
}

static isobath_status check_exists(const ib_split_run *r, char *plan_path)
{
    if (r->o->overwrite || access(plan_path, F_OK) != 0) return ISOBATH_OK;
    return ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s exists already (--overwrite replaces it)", plan_path);
}

/* Everything is proved: it gets its names, the plan last. */
static isobath_status publish(ib_split_run *r, const char *plan_path)
{
    isobath_status st = ISOBATH_OK;
    int64_t done = 0;
    for (int64_t k = 0; r->parts && k < r->plan.count && st == ISOBATH_OK && !r->o->overwrite; k++) {
        char *path = final_path(r, k);
        if (path && access(path, F_OK) == 0)
            st = ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s exists already (--overwrite replaces it)", path);
        free(path);
    }
    for (; r->parts && done < r->plan.count && st == ISOBATH_OK; done++) {
        char *path = final_path(r, done);
        st = path ? ib_commit_path(r->parts[done], path, r->diag) : ib_split_memory(r);
        free(path);
    }
    if (st == ISOBATH_OK) st = ib_split_plan_write(&r->plan, plan_path, r->diag);
    for (int64_t k = 0; st != ISOBATH_OK && k < done; k++) {
        char *path = final_path(r, k);
        if (path) unlink(path);
        free(path);
    }
    return st;
}

/* Two splits of one name never write at once; a run of this name may. */
static isobath_status take_lock(ib_split_run *r)
{
    char *name = ib_text("%s_split", r->name);
    isobath_status st = name ? ib_lock_result(r->o->output, name, 0, r->diag, &r->lock) : ib_split_memory(r);
    free(name);
    return st;
}

static isobath_status run(ib_split_run *r)
{
    IB_TRY(check_options(r));
    IB_TRY(set_name(r));
    char *path = r->summary->plan;
    if (snprintf(path, sizeof r->summary->plan, "%s/%s_split.json", r->o->output, r->name) >=
        (int)sizeof r->summary->plan)
        return ib_fail(r->diag, ISOBATH_ERR_USAGE, "output path is longer than %zu bytes", sizeof r->summary->plan - 1);
    IB_TRY(check_exists(r, path));
    IB_TRY(count_frames(r));
    IB_TRY(ib_make_folder(r->o->output, r->diag));
    IB_TRY(take_lock(r));
    IB_TRY(check_exists(r, path)); /* another may have made it meanwhile */
    IB_TRY(ib_media_hash(r->o->input, r->diag, r->plan.sha256));
    if (!r->o->plan_only) IB_TRY(ib_split_write_chunks(r));
    IB_TRY(publish(r, path));
    r->summary->frames = r->plan.frames;
    r->summary->chunks = r->plan.count;
    for (int64_t k = 0; k < r->plan.count; k++) r->summary->frames_in_chunks += r->plan.chunks[k].frames;
    return ISOBATH_OK;
}

isobath_status isobath_split_run(const isobath_split_options *options, isobath_split_summary *summary, char *error,
                                 size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(summary, 0, sizeof *summary);
    ib_split_run r = {.o = options, .summary = summary, .diag = &diag, .media = {.threads = options->threads}};
    isobath_status st = run(&r);
    if (st != ISOBATH_OK && error && error_size) snprintf(error, error_size, "%s", diag.text);
    for (int64_t k = 0; r.parts && k < r.plan.count; k++) {
        if (st != ISOBATH_OK && r.parts[k]) unlink(r.parts[k]);
        free(r.parts[k]);
    }
    ib_lock_release(r.lock);
    free(r.parts);
    free(r.keys);
    free(r.hashes);
    free(r.pts);
    free(r.times_us);
    free(r.name);
    ib_split_plan_free(&r.plan);
    ib_diag_destroy(&diag);
    return st;
}
