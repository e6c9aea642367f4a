/* Blends the chunks, frame by frame, into the same sinks as a run's; see join.h. */
#include "join/join.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/lock.h"
#include "sink/manifest.h"

#include <dirent.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SINKS = 8, CUT, LINEAR, COSINE };

typedef struct join_output {
    ib_join *j;
    const ib_sink_format *formats[MAX_SINKS];
    ib_sink *sinks[MAX_SINKS];
    int count, blend;
    char *name;
    ib_sink_config config;
    double min, max;
    isobath_status status; /* of looking for existing results */
} join_output;

static isobath_status choose_formats(join_output *w)
{
    const char *p = w->j->o->formats ? w->j->o->formats : "png16,preview";
    for (;; p++) {
        char name[32];
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), p);
        const ib_sink_format *f = ib_sink_format_find(name);
        if (!f || f->wants_rgb)
            return ib_fail(w->j->diag, ISOBATH_ERR_USAGE, "--format %s: %s; expected of png16, preview, npz, exr, ffv1",
                           name, f ? "needs the pictures of the video, which join does not have" : "unknown format");
        int at = 0, seen = 0;
        for (int i = 0; i < w->count; i++) seen |= w->formats[i] == f;
        if (!seen) {
            for (at = w->count++; at > 0 && w->formats[at - 1]->first_pass_order > f->first_pass_order; at--)
                w->formats[at] = w->formats[at - 1];
            w->formats[at] = f;
        }
        p += n;
        if (!*p) return ISOBATH_OK;
    }
}

static isobath_status set_config(join_output *w)
{
    const ib_join *j = w->j;
    const isobath_join_options *o = j->o;
    const char *base = j->plan.input && *j->plan.input ? j->plan.input
                       : strrchr(o->plan, '/')         ? strrchr(o->plan, '/') + 1
                                                       : o->plan;
    const char *dot = strrchr(base, '.'), *blend = o->blend ? o->blend : "linear";
    w->blend = strcmp(blend, "linear") == 0   ? LINEAR
               : strcmp(blend, "cosine") == 0 ? COSINE
               : strcmp(blend, "cut") == 0    ? CUT
                                              : 0;
    if (!w->blend) return ib_fail(j->diag, ISOBATH_ERR_USAGE, "--blend %s: expected linear, cosine or cut", blend);
    w->name = o->name ? strdup(o->name) : strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
    if (!w->name) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "out of memory");
    int64_t n = j->plan.frames, span = n > 1 ? j->times_us[n - 1] - j->times_us[0] : 0;
    w->config = (ib_sink_config){.folder = o->output,
                                 .name = w->name,
                                 .width = j->width,
                                 .height = j->height,
                                 .fps = span > 0 ? (double)(n - 1) * 1e6 / (double)span : 30,
                                 .frames_hint = n,
                                 .kind = j->kind,
                                 .start_number = o->start_number,
                                 .range_min = o->range_min,
                                 .range_max = o->range_max,
                                 .png_level = o->png_max ? 9 : 0,
                                 .npz_half = o->npz_half,
                                 .npz_level = -1,
                                 .grayscale = o->grayscale,
                                 .colormap = o->colormap,
                                 .exr_compression = o->exr_compression,
                                 .exr_half = o->exr_half,
                                 .exr_z_only = o->exr_z_only,
                                 .threads = o->threads};
    for (int i = 0; i < w->count; i++) w->config.png16_present |= strcmp(w->formats[i]->name, "png16") == 0;
    return ISOBATH_OK;
}

static void check_path(void *ctx, const char *path)
{
    join_output *w = ctx;
    if (w->status == ISOBATH_OK && !w->j->o->overwrite && access(path, F_OK) == 0)
        w->status = ib_fail(w->j->diag, ISOBATH_ERR_EXISTS,
                            "%s exists already: use --overwrite, or another -o or --name", path);
}

static isobath_status open_sinks(join_output *w)
{
    const ib_join *j = w->j;
    char *manifest = j->summary->manifest;
    if (snprintf(manifest, sizeof j->summary->manifest, "%s/%s_isobath.json", j->o->output, w->name) >=
        (int)sizeof j->summary->manifest)
        return ib_fail(j->diag, ISOBATH_ERR_USAGE, "output path is longer than %zu bytes",
                       sizeof j->summary->manifest - 1);
    for (int i = 0; i < w->count; i++) w->formats[i]->outputs(&w->config, check_path, w);
    check_path(w, manifest);
    IB_TRY(w->status);
    for (int i = 0; i < w->count; i++) /* what is wrong with options is told before an earlier result goes */
        if (w->formats[i]->check) IB_TRY(w->formats[i]->check(&w->config, j->diag));
    for (int i = 0; i < w->count; i++) IB_TRY(w->formats[i]->open(&w->config, j->diag, &w->sinks[i]));
    return ISOBATH_OK;
}

/* Weight of the later chunk in frame i of an overlap of n, of which the middle `length` frames are blended. */
static double weight(int blend, int64_t length, int64_t i, int64_t n)
{
    if (blend == CUT) return 2 * i >= n;
    if (length <= 0 || length > n) length = n;
    int64_t k = i - (n - length) / 2;
    double t = k < 0 ? 0 : k >= length ? 1 : (double)(k + 1) / (double)(length + 1);
    return blend == LINEAR ? t : 0.5 - 0.5 * cos(acos(-1) * t);
}

/* What only one of the two has is taken whole. */
static void mix(const ib_join *j, double w, float *out)
{
    int64_t n = (int64_t)j->width * j->height;
    for (int64_t p = 0; p < n; p++) {
        int a = j->valid[0][p], b = j->valid[1][p];
        out[p] = a && b ? (float)((1 - w) * j->depth[0][p] + w * j->depth[1][p])
                 : a    ? j->depth[0][p]
                 : b    ? j->depth[1][p]
                        : 0;
    }
}

static isobath_status push(join_output *w, int64_t f, const float *depth)
{
    ib_join *j = w->j;
    ib_depth_frame *frame;
    int64_t n = (int64_t)j->width * j->height;
    IB_TRY(ib_depth_frame_create(j->width, j->height, 0, 0, 0, j->diag, &frame));
    frame->index = f;
    frame->pts_us = j->times_us[f];
    frame->min = INFINITY, frame->max = 0;
    for (int64_t p = 0; p < n; p++) {
        frame->depth[p] = depth[p];
        if (depth[p] < frame->min) frame->min = depth[p];
        if (depth[p] > frame->max) frame->max = depth[p];
    }
    if (f == 0 || frame->min < w->min) w->min = frame->min;
    if (f == 0 || frame->max > w->max) w->max = frame->max;
    isobath_status st = ISOBATH_OK;
    for (int i = 0; i < w->count && st == ISOBATH_OK; i++) st = w->formats[i]->push(w->sinks[i], frame);
    ib_depth_frame_unref(frame);
    return st;
}

/* Every frame of the video: of chunk k alone, or of k and the one after it. */
static isobath_status blend_all(join_output *w)
{
    ib_join *j = w->j;
    float *mixed = malloc((size_t)j->width * (size_t)j->height * sizeof *mixed);
    if (!mixed) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "out of memory");
    isobath_status st = ISOBATH_OK;
    for (int64_t f = 0, k = 0; f < j->plan.frames && st == ISOBATH_OK; f++) {
        if (f >= j->sources[k].first + j->sources[k].frames) k++;
        const ib_join_source *s = &j->sources[k], *next = k + 1 < j->plan.count ? &j->sources[k + 1] : NULL;
        int64_t overlap = next ? s->first + s->frames - next->first : 0;
        double t = overlap > 0 && f >= next->first ? weight(w->blend, j->o->blend_frames, f - next->first, overlap) : 0;
        if (t < 1) st = ib_join_read(j, k, f - s->first, 0, &j->summary->clamped);
        if (st == ISOBATH_OK && t > 0) st = ib_join_read(j, k + 1, f - next->first, 1, &j->summary->clamped);
        if (st == ISOBATH_OK && t > 0 && t < 1) mix(j, t, mixed);
        if (st == ISOBATH_OK) st = push(w, f, t == 0 ? j->depth[0] : t == 1 ? j->depth[1] : mixed);
        if (st == ISOBATH_OK && f % 16 == 0) st = ib_join_report(j, "join", f, j->plan.frames);
    }
    free(mixed);
    return st;
}

static isobath_status write_manifest(join_output *w)
{
    const ib_join *j = w->j;
    static const char *const blends[] = {[CUT] = "cut", [LINEAR] = "linear", [COSINE] = "cosine"};
    json_t *times = json_array(), *outputs = json_array(), *chunks = json_array();
    for (int64_t i = 0; i < j->plan.frames; i++) json_array_append_new(times, json_integer(j->times_us[i]));
    for (int i = 0; i < w->count; i++) json_array_append_new(outputs, w->formats[i]->describe(w->sinks[i]));
    for (size_t k = 0; k < j->summary->count; k++) {
        const isobath_join_chunk *c = &j->summary->chunks[k];
        const char *slash = strrchr(j->sources[k].path, '/');
        json_array_append_new(chunks,
                              json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "first", (json_int_t)c->first,
                                        "frames", (json_int_t)c->frames, "overlap", (json_int_t)c->overlap, "scale",
                                        c->scale, "shift", c->shift, "residual", c->residual, "agreement", c->agreement,
                                        "name", ib_json_string(slash && slash[1] ? slash + 1 : j->sources[k].path)));
    }
    json_t *m = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:{s:o, s:s}, s:{s:s, s:s, s:s, s:I, s:b, s:s}, s:I, s:o, s:o, s:o}",
        "format", "isobath-manifest-1", "isobath", ISOBATH_VERSION, "mode", "join", "unit",
        j->kind == IB_DEPTH_METRIC ? "metre" : "relative disparity", "frames", (json_int_t)j->plan.frames, "depth_min",
        w->min, "depth_max", w->max, "input", "name", ib_json_string(j->plan.input ? j->plan.input : ""), "sha256",
        j->plan.sha256, "options", "fit", j->summary->fit, "space", j->summary->space, "blend", blends[w->blend],
        "blend_frames", (json_int_t)j->o->blend_frames, "repaired", j->summary->repaired, "times", j->times_from,
        "clamped_by_alignment", (json_int_t)j->summary->clamped, "chunks", chunks, "times_us", times, "outputs",
        outputs);
    if (!m) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "out of memory for the manifest");
    isobath_status st = ib_manifest_write(j->summary->manifest, m, j->diag);
    json_decref(m);
    return st;
}

/* What a failed join has made: a file, or a folder of numbered files. */
static void remove_path(void *ctx, const char *path)
{
    (void)ctx;
    if (unlink(path) == 0) return;
    DIR *d = opendir(path);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));)
        if (fnmatch("frame_*", e->d_name, 0) == 0 || strcmp(e->d_name, "depth.json") == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

isobath_status ib_join_write(ib_join *j)
{
    join_output w = {.j = j};
    ib_lock *lock = NULL;
    isobath_status st = choose_formats(&w);
    if (st == ISOBATH_OK) st = set_config(&w);
    if (st == ISOBATH_OK) st = ib_make_folder(j->o->output, j->diag);
    if (st == ISOBATH_OK) st = ib_lock_result(j->o->output, w.name, 0, j->diag, &lock);
    if (st == ISOBATH_OK) st = open_sinks(&w);
    if (st == ISOBATH_OK) st = blend_all(&w);
    for (int i = 0; i < w.count && st == ISOBATH_OK; i++) st = w.formats[i]->finish(w.sinks[i]);
    if (st == ISOBATH_OK) st = write_manifest(&w);
    for (int i = 0; i < w.count; i++) {
        if (!w.sinks[i]) continue;
        w.formats[i]->close(w.sinks[i]);
        if (st != ISOBATH_OK) w.formats[i]->outputs(&w.config, remove_path, &w);
    }
    ib_lock_release(lock);
    free(w.name);
    return st;
}
