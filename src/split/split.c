/* isobath_split_run: counts and hashes frames, cuts, proves the cuts by decoding them; see isobath/split.h. */
#include "base/hash.h"
#include "media/cut.h"
#include "sink/file.h"
#include "sink/lock.h"
#include "split/plan.h"
#include <isobath/split.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPORT_EVERY 16 /* frames */

typedef struct split_run {
    const isobath_split_options *o;
    isobath_split_summary *summary;
    ib_diag *diag;
    ib_media_options media;
    ib_cut_codec wish;
    int copies; /* may be tried */
    ib_split_plan plan;
    char *name;
    ib_lock *lock;
    /* of the input's frames */
    ib_picture_hash *hashes;
    int64_t *pts, *times_us, capacity; /* pts: in the stream's units */
    int has_pts, pix_fmt;
    int32_t matrix[9];
    int has_matrix;
    int64_t *keys, key_count;
    char **parts; /* by chunk: where it is written until it is proved; NULL: not yet */
} split_run;

void isobath_split_options_init(isobath_split_options *options) { *options = (isobath_split_options){.overlap = 32}; }

static isobath_status memory(const split_run *r)
{
    return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", r->o->input);
}

static isobath_status report(const split_run *r, const char *stage, int64_t done, int64_t total)
{
    if (r->o->progress && r->o->progress(r->o->progress_ctx, stage, done, total))
        return ib_fail(r->diag, ISOBATH_ERR_INTERRUPTED, "interrupted");
    return ISOBATH_OK;
}

static isobath_status check_options(split_run *r)
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

static isobath_status set_name(split_run *r)
{
    const char *base = strrchr(r->o->input, '/');
    base = base && base[1] ? base + 1 : r->o->input;
    size_t n = strcspn(base, "/");
    r->plan.input = strndup(base, n);
    const char *dot = memrchr(base, '.', n);
    if (dot && dot > base) n = (size_t)(dot - base);
    r->name = r->o->name ? strdup(r->o->name) : strndup(base, n);
    return r->name && r->plan.input ? ISOBATH_OK : memory(r);
}

static isobath_status add_frame(split_run *r, const ib_cut_frame *d)
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
        if (!hashes || !pts || !times) return memory(r);
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
static isobath_status count_frames(split_run *r)
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
        if (st == ISOBATH_OK && r->plan.frames % REPORT_EVERY == 0)
            st = report(r, "count", r->plan.frames, ib_cut_reader_frames_hint(reader));
    }
    ib_cut_reader_close(reader);
    if (st == ISOBATH_OK && r->plan.frames == 0) st = ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: no frames", r->o->input);
    if (st != ISOBATH_OK) return st;
    r->plan.times_us = r->times_us;
    r->times_us = NULL;
    return ib_split_plan_make(&r->plan, r->o->chunks, r->o->chunk_frames, r->diag);
}

static char *final_path(const split_run *r, int64_t k)
{
    return ib_text("%s/%s", r->o->output, r->plan.chunks[k].path);
}

/* Names of chunk k with this ending. */
static isobath_status name_chunk(split_run *r, int64_t k, const char *ending)
{
    ib_split_chunk *c = &r->plan.chunks[k];
    free(c->path);
    free(r->parts[k]);
    c->path = ib_text("%s_chunk_%03" PRId64 "%s", r->name, k, ending);
    r->parts[k] = ib_text("%s/.%s_chunk_%03" PRId64 ".part%s", r->o->output, r->name, k, ending);
    return c->path && r->parts[k] ? ISOBATH_OK : memory(r);
}

/* Does the file of chunk k hold exactly its frames? *same 0 also when it cannot be decoded; `error` says how it
 * differs. */
static isobath_status verify(split_run *r, int64_t k, int *same, char *error, size_t size)
{
    const ib_split_chunk *c = &r->plan.chunks[k];
    ib_diag diag = IB_DIAG_INIT;
    ib_cut_reader *reader;
    ib_cut_frame d;
    int64_t n = 0;
    int got = 0;
    *same = 0;
    isobath_status st = ib_cut_reader_open(r->parts[k], &r->media, &diag, &reader), told = ISOBATH_OK;
    if (st == ISOBATH_OK) *same = (ib_cut_reader_matrix(reader) != NULL) == r->has_matrix;
    if (st == ISOBATH_OK && !*same) snprintf(error, size, "its rotation is lost");
    while (st == ISOBATH_OK && *same && told == ISOBATH_OK) {
        st = ib_cut_reader_next(reader, &d, &got);
        if (st != ISOBATH_OK || !got) break;
        *same = n < c->frames && memcmp(&d.hash, &r->hashes[c->first + n], sizeof d.hash) == 0;
        if (!*same)
            snprintf(error, size, "its frame %" PRId64 " is not frame %" PRId64 " of the input", n, c->first + n);
        n++;
        if (n % REPORT_EVERY == 0) told = report(r, "verify", c->first + n, r->plan.frames);
    }
    ib_cut_reader_close(reader);
    if (st != ISOBATH_OK) {
        *same = 0;
        snprintf(error, size, "%.500s", diag.text);
    } else if (*same && n != c->frames && told == ISOBATH_OK) {
        *same = 0;
        snprintf(error, size, "it holds %" PRId64 " frames; expected %" PRId64, n, c->frames);
    }
    ib_diag_destroy(&diag);
    return st == ISOBATH_ERR_MEMORY ? memory(r) : told;
}

static int compare_int64(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

static int is_key(const split_run *r, int64_t frame)
{
    return r->key_count &&
           bsearch(&r->pts[frame], r->keys, (size_t)r->key_count, sizeof *r->keys, compare_int64) != NULL;
}

/* Copies chunk k when that gives exactly its frames. */
static isobath_status try_copy(split_run *r, int64_t k)
{
    ib_split_chunk *c = &r->plan.chunks[k];
    static const struct {
        const char *container, *ending;
    } ways[] = {{"mp4", ".mp4"}, {"matroska", ".mkv"}};
    int64_t end = c->first + c->frames;
    char why[512] = "it does not begin at a key frame";
    for (int w = 0; w < 2 && is_key(r, c->first); w++) {
        int fits = 0;
        IB_TRY(name_chunk(r, k, ways[w].ending));
        IB_TRY(ib_cut_copy(r->o->input, &r->media, r->pts[c->first], end < r->plan.frames ? r->pts[end] : INT64_MAX,
                           r->parts[k], ways[w].container, r->diag, &fits));
        if (!fits) continue;
        IB_TRY(verify(r, k, &fits, why, sizeof why));
        if (fits) {
            c->method = "copy";
            r->summary->copied++;
            return ISOBATH_OK;
        }
        unlink(r->parts[k]);
    }
    if (r->o->codec && strcmp(r->o->codec, "copy") == 0)
        return ib_fail(r->diag, ISOBATH_ERR_UNSUPPORTED,
                       "%s: chunk %" PRId64 " cannot be copied exactly: %s (--codec auto encodes it without loss)",
                       r->o->input, k, why);
    return ISOBATH_OK;
}

static isobath_status open_chunk(split_run *r, int64_t k, const struct AVFrame *first, ib_cut **cut)
{
    ib_cut_codec codec = ib_cut_lossless(r->pix_fmt, r->wish);
    if (codec == IB_CUT_COPY || (r->wish != IB_CUT_COPY && codec != r->wish))
        return ib_fail(r->diag, ISOBATH_ERR_UNSUPPORTED,
                       "%s: %s cannot store its pictures without loss: --plan-only gives the frame ranges", r->o->input,
                       r->wish == IB_CUT_H264   ? "H.264"
                       : r->wish == IB_CUT_FFV1 ? "FFV1"
                                                : "no encoder here");
    IB_TRY(name_chunk(r, k,
                      codec == IB_CUT_H264 ? ".mp4"
                      : r->has_matrix      ? ".mov"
                                           : ".mkv")); /* Matroska has no rotation */
    r->plan.chunks[k].method = codec == IB_CUT_H264 ? "h264" : "ffv1";
    ib_cut_format format = {
        .path = r->parts[k], .codec = codec, .fps = r->plan.fps, .matrix = r->has_matrix ? r->matrix : NULL};
    return ib_cut_open(&format, first, r->diag, cut);
}

/* One more pass over the input for the chunks that are not copies. A frame is in two of them at most. */
static isobath_status encode_chunks(split_run *r, ib_cut_reader *reader, ib_cut *cuts[2])
{
    for (int64_t next = 0, i = 0;; i++) {
        ib_cut_frame d;
        int got;
        IB_TRY(ib_cut_reader_next(reader, &d, &got));
        if (!got) return ISOBATH_OK;
        while (next < r->plan.count && r->plan.chunks[next].first <= i) {
            if (!r->plan.chunks[next].method) IB_TRY(open_chunk(r, next, d.picture, &cuts[next % 2]));
            next++;
        }
        for (int64_t k = next > 1 ? next - 2 : 0; k < next; k++) {
            const ib_split_chunk *c = &r->plan.chunks[k];
            ib_cut *cut = cuts[k % 2];
            if (!cut || i < c->first || i >= c->first + c->frames) continue;
            IB_TRY(ib_cut_write(cut, d.picture, r->plan.times_us[i] - r->plan.times_us[c->first]));
            if (i + 1 < c->first + c->frames) continue;
            IB_TRY(ib_cut_finish(cut));
            ib_cut_close(cut);
            cuts[k % 2] = NULL;
            r->summary->encoded++;
        }
        if (i % REPORT_EVERY == 0) IB_TRY(report(r, "encode", i, r->plan.frames));
    }
}

static isobath_status write_chunks(split_run *r)
{
    r->parts = calloc((size_t)r->plan.count, sizeof *r->parts);
    if (!r->parts) return memory(r);
    if (r->copies && r->has_pts) IB_TRY(ib_cut_key_frames(r->o->input, &r->media, r->diag, &r->keys, &r->key_count));
    for (int64_t k = 0; k < r->plan.count && r->copies; k++) {
        IB_TRY(report(r, "copy", k, r->plan.count));
        IB_TRY(try_copy(r, k));
    }
    if (r->summary->copied < r->plan.count) {
        ib_cut_reader *reader;
        ib_cut *cuts[2] = {0};
        IB_TRY(ib_cut_reader_open(r->o->input, &r->media, r->diag, &reader));
        isobath_status st = encode_chunks(r, reader, cuts);
        for (int i = 0; i < 2; i++) ib_cut_close(cuts[i]);
        ib_cut_reader_close(reader);
        IB_TRY(st);
    }
    for (int64_t k = 0; k < r->plan.count; k++) {
        char why[512] = "";
        int same = 1;
        if (!r->plan.chunks[k].method || strcmp(r->plan.chunks[k].method, "copy") != 0)
            IB_TRY(verify(r, k, &same, why, sizeof why));
        if (!same)
            return ib_fail(r->diag, ISOBATH_ERR_UNSUPPORTED, "%s: chunk %" PRId64 " did not come back as it was: %s",
                           r->o->input, k, why);
        IB_TRY(ib_sha256_file(r->parts[k], r->diag, r->plan.chunks[k].sha256));
    }
    return ISOBATH_OK;
}

static isobath_status check_exists(const split_run *r, char *plan_path)
{
    if (r->o->overwrite || access(plan_path, F_OK) != 0) return ISOBATH_OK;
    return ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s exists already (--overwrite replaces it)", plan_path);
}

/* Everything is proved: it gets its names, the plan last. */
static isobath_status publish(split_run *r, const char *plan_path)
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
        st = path ? ib_commit_path(r->parts[done], path, r->diag) : memory(r);
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
static isobath_status take_lock(split_run *r)
{
    char *name = ib_text("%s_split", r->name);
    isobath_status st = name ? ib_lock_result(r->o->output, name, 0, r->diag, &r->lock) : memory(r);
    free(name);
    return st;
}

static isobath_status run(split_run *r)
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
    if (!r->o->plan_only) IB_TRY(write_chunks(r));
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
    split_run r = {.o = options, .summary = summary, .diag = &diag, .media = {.threads = options->threads}};
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
