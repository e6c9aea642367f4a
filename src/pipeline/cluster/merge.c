/* Chain, rendering and end of a cut run, as tasks; see include/isobath/task.h and merge.h. */
#include "pipeline/cluster/merge.h"

#include "pipeline/cluster/shard_task.h"
#include "sink/file.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What writes frames: sinks (of the setup's formats; NULL where a format is not written here) and source pictures where they are wanted. */
typedef struct output {
    isobath_task *task;
    ib_chain *chain;
    ib_frames *frames;
    ib_sink *sinks[IB_MAX_SINKS];
    int wants_rgb;
    ib_source *source;
    ib_frame_record *records; /* of all frames that were pushed; the caller's room */
    int64_t first;
} output;

static isobath_status interrupted(isobath_task *t)
{
    return ib_fail(&t->diag, ISOBATH_ERR_INTERRUPTED, "stopped; this task is to be done again");
}

static int format_wants_rgb(const ib_setup *s, int i)
{
    return s->formats[i]->wants_rgb || (s->options.side_by_side && strcmp(s->formats[i]->name, "preview") == 0);
}

static void close_output(output *o)
{
    ib_source_destroy(o->source);
    ib_frames_destroy(o->frames);
    for (int i = 0; i < o->task->setup.format_count; i++)
        if (o->sinks[i]) o->task->setup.formats[i]->close(o->sinks[i]);
}

/* The picture of a frame: read in order, as the run would. */
static isobath_status add_picture(void *ctx, ib_depth_frame *f)
{
    output *o = ctx;
    isobath_task *t = o->task;
    ib_source_frame *src = NULL;
    do {
        ib_source_frame_unref(src);
        src = ib_source_next(o->source);
    } while (src && src->index < f->index);
    if (!src) {
        IB_TRY(ib_diag_status(&t->diag));
        return ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: ends before frame %lld: it is not what was planned with", t->setup.options.input,
                       (long long)f->index);
    }
    int same = src->index == f->index && src->pts_us == f->pts_us;
    if (same) memcpy(f->rgb, src->rgb, (size_t)src->width * (size_t)src->height * 3);
    ib_source_frame_unref(src);
    return same ? ISOBATH_OK
                : ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: frame %lld is not the one that was planned with: the input has changed",
                          t->setup.options.input, (long long)f->index);
}

static isobath_status push(void *ctx, ib_depth_frame *f)
{
    output *o = ctx;
    isobath_task *t = o->task;
    for (int i = 0; i < t->setup.format_count; i++)
        if (o->sinks[i]) IB_TRY(t->setup.formats[i]->push(o->sinks[i], f));
    o->records[f->index - o->first] = (ib_frame_record){f->pts_us, f->min, f->max};
    atomic_fetch_add(&t->done, 1);
    return ISOBATH_OK;
}

/* Frames [first, end) to every open sink; their records to o->records. */
static isobath_status write_frames(output *o, int64_t first, int64_t end)
{
    isobath_task *t = o->task;
    const ib_setup *s = &t->setup;
    int packs = s->guided ? -1 : ib_sink_packs(&s->sink, s->formats, o->sinks, s->format_count, s->threads);
    IB_TRY(ib_frames_create(&t->shard, o->chain, s, packs < 0 ? NULL : s->formats[packs], packs < 0 ? NULL : o->sinks[packs], &t->diag, &o->frames));
    o->first = first;
    o->wants_rgb |= t->setup.guided;
    if (o->wants_rgb) {
        ib_source_cuts none = {.first = first};
        IB_TRY(ib_source_start(t->setup.media, t->setup.source_queue_bytes, &none, NULL, &t->diag, &o->source));
    }
    ib_frames_way way = {.picture = o->wants_rgb ? add_picture : NULL, .push = push, .ctx = o, .cancelled = &t->cancelled};
    isobath_status st = ib_frames_run(o->frames, first, end, &way);
    return st == ISOBATH_ERR_INTERRUPTED ? interrupted(t) : st;
}

isobath_status ib_merge_chain(isobath_task *t)
{
    ib_chain chain;
    if (!t->options.again && ib_chain_read(&t->shard, NULL, &chain) == ISOBATH_OK) {
        ib_chain_free(&chain);
        t->result.skipped = 1;
        return ISOBATH_OK;
    }
    IB_TRY(ib_shard_setup(t, NULL));
    IB_TRY(ib_shard_report(t, "chain", "chain", t->shard.windows));
    IB_TRY(ib_chain_make(&t->shard, &t->setup, &t->done, &t->cancelled, &t->diag, &chain));
    isobath_status st = ib_chain_write(&t->shard, &chain, &t->diag);
    ib_chain_free(&chain);
    return st;
}

/* Frames of one part in the formats that are one file a frame. */
static isobath_status render_part(isobath_task *t, output *o, ib_part *part)
{
    ib_setup *s = &t->setup;
    ib_sink_resume from = {.count = part->first};
    s->sink.resume = &from;
    s->sink.resumable = 1;
    s->sink.largest = o->chain->max;
    IB_TRY(ib_make_folder(s->options.output, &t->diag));
    for (int i = 0; i < s->format_count; i++) {
        if (!ib_part_format(s->formats[i])) continue;
        o->wants_rgb |= format_wants_rgb(s, i);
        IB_TRY(s->formats[i]->open(&s->sink, &t->diag, &o->sinks[i]));
    }
    IB_TRY(write_frames(o, part->first, part->first + part->count));
    for (int i = 0; i < s->format_count; i++) {
        if (!o->sinks[i]) continue;
        int64_t complete = part->first + part->count;
        IB_TRY(s->formats[i]->drain(o->sinks[i]));
        IB_TRY(s->formats[i]->flush(o->sinks[i], &complete));
        if (complete != part->first + part->count)
            return ib_fail(&t->diag, ISOBATH_ERR_INTERNAL, "%s: frames are missing after the last one", s->formats[i]->name);
        part->state[i] = malloc((size_t)part->count * (size_t)s->formats[i]->state_bytes(&s->sink) + 1);
        if (!part->state[i]) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a part");
        s->formats[i]->save(o->sinks[i], part->first, part->first + part->count, part->state[i]);
    }
    return ib_part_write(&t->shard, s, part, &t->diag);
}

isobath_status ib_merge_render(isobath_task *t)
{
    ib_chain chain;
    ib_part part = {.part = t->options.part, .parts = t->options.parts};
    output o = {.task = t, .chain = &chain};
    char file[64], what[64];
    if (part.parts < 1 || part.part < 0 || part.part >= part.parts || part.parts > INT32_MAX)
        return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "--render %lld/%lld: expected a part from 0 to below the number of parts", (long long)part.part,
                       (long long)part.parts);
    IB_TRY(ib_shard_lock(t, 1));
    IB_TRY(ib_shard_setup(t, NULL));
    if (!t->options.again && ib_part_read(&t->shard, &t->setup, part.part, part.parts, NULL, &part) == ISOBATH_OK) {
        ib_part_free(&part);
        t->result.skipped = 1;
        return ISOBATH_OK;
    }
    part = (ib_part){.part = t->options.part, .parts = t->options.parts};
    int64_t end;
    ib_part_range(&t->shard, part.part, part.parts, &part.first, &end);
    part.count = end - part.first;
    snprintf(file, sizeof file, "render_%05lld", (long long)part.part);
    snprintf(what, sizeof what, "rendering %lld of %lld", (long long)part.part, (long long)part.parts);
    IB_TRY(ib_chain_read(&t->shard, &t->diag, &chain));
    part.frames = o.records = calloc((size_t)part.count + 1, sizeof *part.frames);
    isobath_status st = part.frames ? ib_shard_report(t, file, what, part.count) : ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a part");
    if (st == ISOBATH_OK) st = render_part(t, &o, &part);
    close_output(&o);
    ib_part_free(&part);
    ib_chain_free(&chain);
    return st;
}

/* Into how many parts the rendering was cut: of the ways that have begun (it may have been begun anew) the one that is furthest;
 * 0: none has. */
static int64_t find_parts(isobath_task *t)
{
    enum { WAYS = 16 };
    long long n, of;
    int64_t parts[WAYS] = {0}, done[WAYS] = {0}, best = 0;
    char *folder = ib_shard_path(&t->shard, "%s", "");
    DIR *d = folder ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        int end = 0, i = 0;
        if (sscanf(e->d_name, "render_%lld_of_%lld.bin%n", &n, &of, &end) != 2 || end != (int)strlen(e->d_name) || of < 1) continue;
        while (i < WAYS - 1 && parts[i] && parts[i] != of) i++;
        parts[i] = of;
        done[i]++;
    }
    if (d) closedir(d);
    free(folder);
    for (int i = 1; i < WAYS && parts[i]; i++)
        if ((double)done[i] / (double)parts[i] > (double)done[best] / (double)parts[best]) best = i;
    return parts[best];
}

/* Everything that the rendering tasks left, in the order of frames. */
typedef struct collected {
    ib_frame_record *frames;
    uint8_t *state[IB_MAX_SINKS];
} collected;

static void free_collected(collected *c)
{
    free(c->frames);
    for (int i = 0; i < IB_MAX_SINKS; i++) free(c->state[i]);
}

static isobath_status collect(isobath_task *t, int64_t parts, collected *c)
{
    const ib_setup *s = &t->setup;
    for (int i = 0; i < s->format_count; i++) {
        if (!ib_part_format(s->formats[i])) continue;
        c->state[i] = malloc((size_t)t->shard.frames * (size_t)s->formats[i]->state_bytes(&s->sink) + 1);
        if (!c->state[i]) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for the parts");
    }
    for (int64_t n = 0; n < parts; n++) {
        ib_part part;
        ib_diag diag = IB_DIAG_INIT;
        isobath_status st = ib_part_read(&t->shard, s, n, parts, &diag, &part);
        if (st != ISOBATH_OK)
            st = ib_fail(&t->diag, st, "%s: to be done again: isobath merge %s --name %s --render %lld/%lld --again", diag.text,
                         t->shard.options.output, t->shard.name, (long long)n, (long long)parts);
        ib_diag_destroy(&diag);
        IB_TRY(st);
        memcpy(c->frames + part.first, part.frames, (size_t)part.count * sizeof *part.frames);
        for (int i = 0; i < s->format_count; i++) {
            size_t bytes = part.state[i] ? (size_t)s->formats[i]->state_bytes(&s->sink) : 0;
            if (bytes) memcpy(c->state[i] + (size_t)part.first * bytes, part.state[i], (size_t)part.count * bytes);
        }
        ib_part_free(&part);
    }
    return ISOBATH_OK;
}

/* Whether a format only needs to know of the frames: the preview, where png16 keeps them. */
static int needs_no_frames(const ib_setup *s, int i, int rendered)
{
    if (!rendered) return 0;
    return ib_part_format(s->formats[i]) || (strcmp(s->formats[i]->name, "preview") == 0 && s->sink.png16_present && !s->options.side_by_side);
}

/* What the manifest says, into the run that writes it. */
static isobath_status fill_run(isobath_task *t, const ib_chain *chain, const ib_frame_record *frames)
{
    ib_run *r = &t->run;
    const ib_shard *p = &t->shard;
    r->window_count = p->windows;
    r->windows = calloc((size_t)p->windows, sizeof *r->windows);
    r->frame_count = p->frames;
    r->frames = malloc((size_t)p->frames * sizeof *r->frames);
    if (!r->windows || !r->frames) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for the manifest");
    for (int64_t w = 0, k; w < p->windows; w++) {
        int64_t shot = ib_shard_window(p, w, &k);
        r->windows[w] = (ib_window_record){.alignment = chain->alignments[w], .shot = shot, .shot_first = p->shots[shot].first, .k = k,
                                           .redone = chain->windows[w].redone, .nonfinite = chain->windows[w].nonfinite};
    }
    memcpy(r->frames, frames, (size_t)p->frames * sizeof *r->frames);
    IB_TRY(ib_repeats_copy(&r->repeats, &p->repeats, &t->diag));
    r->kind = chain->kind;
    r->decoder = chain->decoder;
    memcpy(r->input_sha256, p->input_sha256, sizeof r->input_sha256);
    memcpy(r->model_sha256, p->model_sha256, sizeof r->model_sha256);
    return ISOBATH_OK;
}

/* Opens every format: those that rendering tasks have written at the end of the video, the others at its beginning; renders for these;
 * finishes all, and writes the manifest. */
static isobath_status finish(isobath_task *t, output *o, collected *c, int64_t parts)
{
    ib_setup *s = &t->setup;
    ib_run *r = &t->run;
    int64_t frames = t->shard.frames;
    int missing = 0;
    if (parts) IB_TRY(collect(t, parts, c));
    s->sink.resumable = 1;
    s->sink.largest = o->chain->max;
    for (int i = 0; i < s->format_count; i++) {
        ib_sink_resume all = {frames, c->frames, c->state[i]};
        int ready = needs_no_frames(s, i, parts > 0);
        s->sink.resume = ready ? &all : NULL;
        missing |= !ready;
        if (!ready) o->wants_rgb |= format_wants_rgb(s, i);
        IB_TRY(s->formats[i]->open(&s->sink, &t->diag, &r->sinks[i]));
        if (!ready) o->sinks[i] = r->sinks[i];
    }
    s->sink.resume = NULL;
    if (missing) IB_TRY(write_frames(o, 0, frames));
    else atomic_store(&t->done, frames); /* by the rendering tasks */
    IB_TRY(fill_run(t, o->chain, c->frames));
    return ib_run_finish(r);
}

static void remove_path(void *ctx, const char *path)
{
    (void)ctx;
    ib_remove_part(path, NULL);
}

/* The result is complete: hidden parts and the tasks' files go. */
static isobath_status clean(isobath_task *t)
{
    const ib_setup *s = &t->setup;
    for (int i = 0; i < s->format_count; i++)
        if (s->formats[i]->parts) s->formats[i]->parts(&s->sink, remove_path, NULL);
    if (t->options.keep) return ISOBATH_OK;
    char *folder = ib_shard_path(&t->shard, "%s", "");
    isobath_status st = folder ? ib_remove_part(folder, &t->diag) : ISOBATH_OK;
    free(folder);
    return st;
}

static isobath_status finish_all(isobath_task *t, ib_chain *chain, int64_t parts)
{
    output o = {.task = t, .chain = chain};
    collected c = {.frames = calloc((size_t)t->shard.frames, sizeof *c.frames)};
    o.records = c.frames;
    isobath_status st = c.frames ? ISOBATH_OK : ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for the end");
    if (st == ISOBATH_OK) st = finish(t, &o, &c, parts);
    memset(o.sinks, 0, sizeof o.sinks); /* the run closes them */
    close_output(&o);
    free_collected(&c);
    if (st == ISOBATH_OK) st = clean(t);
    return st;
}

isobath_status ib_merge_finish(isobath_task *t)
{
    ib_chain chain;
    int series = 0;
    IB_TRY(ib_shard_lock(t, 0));
    IB_TRY(ib_shard_setup(t, NULL));
    IB_TRY(ib_chain_read(&t->shard, &t->diag, &chain));
    int64_t parts = find_parts(t);
    isobath_status st = ISOBATH_OK;
    for (int i = 0; i < t->setup.format_count; i++) series |= ib_part_format(t->setup.formats[i]);
    if (st == ISOBATH_OK && series && !parts)
        st = ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: nothing is rendered yet (isobath merge %s --render 0/N)", t->shard.options.output, t->shard.options.output);
    if (st == ISOBATH_OK) st = ib_shard_report(t, NULL, "end", t->shard.frames);
    if (st == ISOBATH_OK) st = finish_all(t, &chain, series ? parts : 0);
    ib_chain_free(&chain);
    return st;
}

isobath_status ib_merge_all(isobath_task *t)
{
    ib_chain chain;
    IB_TRY(ib_shard_lock(t, 0));
    IB_TRY(ib_shard_setup(t, NULL));
    IB_TRY(ib_shard_report(t, NULL, "merge", t->shard.frames));
    if (ib_chain_read(&t->shard, NULL, &chain) != ISOBATH_OK) {
        IB_TRY(ib_chain_make(&t->shard, &t->setup, &t->done, &t->cancelled, &t->diag, &chain));
        atomic_store(&t->done, 0);
    }
    isobath_status st = finish_all(t, &chain, 0);
    ib_chain_free(&chain);
    return st;
}
