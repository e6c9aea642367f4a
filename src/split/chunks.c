/* Writes the chunks of a plan: copied packets where that gives exactly their frames, else encoded without loss, and proved by decoding them; see
 * split_run.h. */
#include "split/split_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names of chunk k with this ending. */
static isobath_status name_chunk(ib_split_run *r, int64_t k, const char *ending)
{
    ib_split_chunk *c = &r->plan.chunks[k];
    free(c->path);
    free(r->parts[k]);
    c->path = ib_text("%s_chunk_%03" PRId64 "%s", r->name, k, ending);
    r->parts[k] = ib_text("%s/.%s_chunk_%03" PRId64 ".part%s", r->o->output, r->name, k, ending);
    return c->path && r->parts[k] ? ISOBATH_OK : ib_split_memory(r);
}

/* Does the file of chunk k hold exactly its frames? *same 0 also when it cannot be decoded; `error` says how it
 * differs. */
static isobath_status verify(ib_split_run *r, int64_t k, int *same, char *error, size_t size)
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
        if (n % IB_SPLIT_REPORT_EVERY == 0) told = ib_split_report(r, "verify", c->first + n, r->plan.frames);
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
    return st == ISOBATH_ERR_MEMORY ? ib_split_memory(r) : told;
}

static int compare_int64(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

static int is_key(const ib_split_run *r, int64_t frame)
{
    return r->key_count &&
           bsearch(&r->pts[frame], r->keys, (size_t)r->key_count, sizeof *r->keys, compare_int64) != NULL;
}

/* Copies chunk k when that gives exactly its frames. */
static isobath_status try_copy(ib_split_run *r, int64_t k)
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

static isobath_status open_chunk(ib_split_run *r, int64_t k, const struct AVFrame *first, ib_cut **cut)
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
static isobath_status encode_chunks(ib_split_run *r, ib_cut_reader *reader, ib_cut *cuts[2])
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
        if (i % IB_SPLIT_REPORT_EVERY == 0) IB_TRY(ib_split_report(r, "encode", i, r->plan.frames));
    }
}

isobath_status ib_split_write_chunks(ib_split_run *r)
{
    r->parts = calloc((size_t)r->plan.count, sizeof *r->parts);
    if (!r->parts) return ib_split_memory(r);
    if (r->copies && r->has_pts) IB_TRY(ib_cut_key_frames(r->o->input, &r->media, r->diag, &r->keys, &r->key_count));
    for (int64_t k = 0; k < r->plan.count && r->copies; k++) {
        IB_TRY(ib_split_report(r, "copy", k, r->plan.count));
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
