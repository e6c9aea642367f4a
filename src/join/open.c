/* Opens what is joined, and reads it in one scale; see join.h. */
#include "join/join.h"
#include "sink/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES ((size_t)1 << 18)

static isobath_status memory(const ib_join *j)
{
    return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", j->o->plan);
}

isobath_status ib_join_report(const ib_join *j, const char *stage, int64_t done, int64_t total)
{
    if (j->o->progress && j->o->progress(j->o->progress_ctx, stage, done, total))
        return ib_fail(j->diag, ISOBATH_ERR_INTERRUPTED, "interrupted");
    return ISOBATH_OK;
}

/* Where the depth of chunk k is: the command line, or what the plan says, relative to the plan's folder. */
static isobath_status find_depth(ib_join *j, int64_t k)
{
    const char *plan = j->o->plan, *slash = strrchr(plan, '/'), *depth = j->plan.chunks[k].depth;
    char *path = NULL;
    if (j->o->depth_count)
        path = strdup(j->o->depths[k]);
    else if (depth && (depth[0] == '/' || !slash))
        path = strdup(depth);
    else if (depth)
        path = ib_text("%.*s/%s", (int)(slash - plan), plan, depth);
    else
        return ib_fail(j->diag, ISOBATH_ERR_USAGE,
                       "%s: does not say where the depth of chunk %" PRId64 " is: name the %" PRId64
                       " depth files or folders after the plan",
                       plan, k, j->plan.count);
    j->sources[k].path = path;
    return path ? ISOBATH_OK : memory(j);
}

static isobath_status open_chunk(ib_join *j, int64_t k)
{
    ib_join_source *s = &j->sources[k];
    ib_split_chunk *c = &j->plan.chunks[k];
    IB_TRY(find_depth(j, k));
    IB_TRY(ib_depth_reader_open_as(s->path, j->o->input_scale, j->diag, &s->reader));
    const ib_depth_reader_info *info = ib_depth_reader_get_info(s->reader),
                               *had = ib_depth_reader_get_info(j->sources[0].reader);
    if (c->frames < 0) c->frames = info->frames;
    if (info->frames != c->frames)
        return ib_fail(j->diag, ISOBATH_ERR_INPUT, "%s: %" PRId64 " frames; chunk %" PRId64 " of the plan has %" PRId64,
                       s->path, info->frames, k, c->frames);
    if (info->width != had->width || info->height != had->height)
        return ib_fail(j->diag, ISOBATH_ERR_INPUT, "%s: %dx%d, but %s is %dx%d", s->path, info->width, info->height,
                       j->sources[0].path, had->width, had->height);
    if (j->o->metric < 0 && info->kind != had->kind)
        return ib_fail(j->diag, ISOBATH_ERR_INPUT, "%s: %s, but %s holds %s", s->path,
                       info->kind == IB_DEPTH_METRIC ? "metres" : "disparity", j->sources[0].path,
                       had->kind == IB_DEPTH_METRIC ? "metres" : "disparity");
    s->first = c->first;
    s->frames = c->frames;
    s->line = (ib_line){1, 0};
    return ISOBATH_OK;
}

static isobath_status set_how(ib_join *j)
{
    const isobath_join_options *o = j->o;
    const char *fit = o->fit ? o->fit : "auto", *space = o->space ? o->space : "auto";
    int metric = o->metric >= 0 ? o->metric : ib_depth_reader_get_info(j->sources[0].reader)->kind == IB_DEPTH_METRIC;
    j->kind = metric ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
    if (strcmp(fit, "auto") == 0) fit = metric ? "none" : "scale+shift";
    if (strcmp(space, "auto") == 0) space = metric ? "depth" : "disparity";
    if (strcmp(fit, "scale+shift") == 0)
        j->model = IB_FIT_BOTH, fit = "scale+shift";
    else if (strcmp(fit, "scale") == 0)
        j->model = IB_FIT_SCALE, fit = "scale";
    else if (strcmp(fit, "none") == 0)
        j->model = IB_FIT_NONE, fit = "none";
    else
        return ib_fail(j->diag, ISOBATH_ERR_USAGE, "--fit %s: expected auto, scale+shift, scale or none", fit);
    int in_depth = strcmp(space, "depth") == 0;
    if (!in_depth && strcmp(space, "disparity") != 0)
        return ib_fail(j->diag, ISOBATH_ERR_USAGE, "--space %s: expected auto, disparity or depth", space);
    j->reciprocal = in_depth != metric;
    j->summary->unit_assumed = o->metric < 0 && !ib_depth_reader_get_info(j->sources[0].reader)->kind_known;
    j->summary->unit = metric ? "metre" : "relative";
    j->summary->fit = j->model == IB_FIT_BOTH ? "scale+shift" : j->model == IB_FIT_SCALE ? "scale" : "none";
    j->summary->space = in_depth ? "depth" : "disparity";
    return ISOBATH_OK;
}

/* The plan's times, else the files' (each begins at its own 0, or all are of the whole video), else a rate. */
static isobath_status set_times(ib_join *j)
{
    int64_t n = j->plan.frames;
    j->times_us = malloc((size_t)n * sizeof *j->times_us);
    if (!j->times_us) return memory(j);
    int from_files = !j->plan.times_us && j->o->fps == 0;
    for (int64_t k = 0; k < j->plan.count && from_files; k++)
        from_files = ib_depth_reader_get_info(j->sources[k].reader)->has_times;
    for (int64_t k = 0; k < j->plan.count && from_files; k++) {
        const ib_join_source *s = &j->sources[k];
        int64_t overlap = k ? j->sources[k - 1].first + j->sources[k - 1].frames - s->first : 0;
        int64_t base = overlap > 0 ? j->times_us[s->first] - ib_depth_reader_time_us(s->reader, 0) : 0;
        for (int64_t i = overlap; i < s->frames && from_files; i++) {
            int64_t f = s->first + i;
            j->times_us[f] = ib_depth_reader_time_us(s->reader, i) + base;
            from_files = f == 0 || j->times_us[f] > j->times_us[f - 1];
        }
    }
    double fps = j->o->fps > 0 ? j->o->fps : j->plan.fps > 0 ? j->plan.fps : 30;
    j->times_from = j->plan.times_us && j->o->fps == 0 ? "plan" : from_files ? "files" : "fps";
    if (strcmp(j->times_from, "plan") == 0) memcpy(j->times_us, j->plan.times_us, (size_t)n * sizeof *j->times_us);
    if (strcmp(j->times_from, "fps") == 0)
        for (int64_t i = 0; i < n; i++) j->times_us[i] = llrint((double)i * 1e6 / fps);
    return ISOBATH_OK;
}

isobath_status ib_join_open(ib_join *j)
{
    if (!j->o->plan || !j->o->output)
        return ib_fail(j->diag, ISOBATH_ERR_USAGE, "expected PLAN and an output folder (-o)");
    IB_TRY(ib_split_plan_read(j->o->plan, j->diag, &j->plan));
    if (j->o->depth_count && (int64_t)j->o->depth_count != j->plan.count)
        return ib_fail(j->diag, ISOBATH_ERR_USAGE,
                       "%s: a plan of %" PRId64 " chunks, but %zu depth files or folders were named", j->o->plan,
                       j->plan.count, j->o->depth_count);
    j->sources = calloc((size_t)j->plan.count, sizeof *j->sources);
    if (!j->sources) return memory(j);
    for (int64_t k = 0; k < j->plan.count; k++) IB_TRY(open_chunk(j, k));
    IB_TRY(ib_split_plan_check(&j->plan, j->o->plan, j->diag));
    const ib_depth_reader_info *info = ib_depth_reader_get_info(j->sources[0].reader);
    j->width = info->width;
    j->height = info->height;
    size_t n = (size_t)j->width * (size_t)j->height;
    j->sample_capacity = SAMPLES;
    j->x = malloc(SAMPLES * sizeof *j->x);
    j->y = malloc(SAMPLES * sizeof *j->y);
    j->scratch = malloc(SAMPLES * sizeof *j->scratch);
    int ok = j->x && j->y && j->scratch;
    for (int i = 0; i < 2; i++) ok = (j->depth[i] = malloc(n * sizeof(float))) && (j->valid[i] = malloc(n)) && ok;
    if (!ok) return memory(j);
    IB_TRY(set_how(j));
    return set_times(j);
}

void ib_join_free(ib_join *j)
{
    for (int64_t k = 0; j->sources && k < j->plan.count; k++) {
        ib_depth_reader_close(j->sources[k].reader);
        free(j->sources[k].path);
        free(j->sources[k].lines);
    }
    free(j->sources);
    for (int i = 0; i < 2; i++) {
        free(j->depth[i]);
        free(j->valid[i]);
    }
    free(j->x);
    free(j->y);
    free(j->scratch);
    free(j->times_us);
    ib_split_plan_free(&j->plan);
}

/* Applies a line of the fit's space to what is in a slot. */
int64_t ib_join_apply(ib_join *j, ib_line line, int slot)
{
    float *depth = j->depth[slot];
    uint8_t *valid = j->valid[slot];
    int64_t n = (int64_t)j->width * j->height, clamped = 0;
    int metric = j->kind == IB_DEPTH_METRIC;
    if (line.scale == 1 && line.shift == 0) return 0;
    for (int64_t p = 0; p < n; p++) {
        if (!valid[p] || (j->reciprocal && depth[p] == 0))
            continue; /* a disparity of 0 is infinitely far in any scale */
        double v = j->reciprocal ? line.scale / depth[p] + line.shift : line.scale * depth[p] + line.shift;
        if (j->reciprocal) v = v > 0 ? 1 / v : metric ? 0 : INFINITY;
        if (!(v >= 0) || v > 3e38) {
            clamped++;
            v = 0;
        }
        depth[p] = (float)v;
        if (metric && v == 0) valid[p] = 0;
    }
    return clamped;
}

isobath_status ib_join_read(ib_join *j, int64_t k, int64_t i, int slot, int64_t *clamped)
{
    const ib_join_source *s = &j->sources[k];
    IB_TRY(ib_depth_reader_read_valid(s->reader, i, j->depth[slot], j->valid[slot], NULL));
    int64_t n = (int64_t)j->width * j->height, count;
    for (int64_t p = 0; p < n && j->kind == IB_DEPTH_METRIC; p++)
        if (!(j->depth[slot][p] > 0)) j->valid[slot][p] = 0; /* --metric, whatever the files say */
    ib_line f = s->lines ? s->lines[i] : (ib_line){1, 0};
    count = ib_join_apply(j, (ib_line){s->line.scale * f.scale, s->line.scale * f.shift + s->line.shift}, slot);
    if (clamped) *clamped += count;
    return ISOBATH_OK;
}
