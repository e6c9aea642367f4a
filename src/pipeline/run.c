/* One run; see run.h. The thread that calls ib_run_all aligns and renders in order; decoding, the network and every sink
 * have threads of their own, with bounded queues between them. */
#include "pipeline/run.h"

#include "base/json.h"
#include "base/thread_name.h"
#include "pipeline/engine.h"
#include "pipeline/journal/resume.h"
#include "pipeline/shots.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *hash_main(void *arg)
{
    ib_run *r = arg;
    ib_thread_name("hash");
    const char *input = r->setup->options.input, *before = r->past.input_sha256;
    if (ib_media_hash(input, r->diag, r->input_sha256) != ISOBATH_OK || !r->journal || !*r->input_sha256) return NULL;
    if (!*before) ib_journal_input(r->journal, r->input_sha256);
    else if (strcmp(before, r->input_sha256))
        ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: its content changed since the run was begun (--overwrite begins again)", input);
    return NULL;
}

isobath_status ib_run_open_log(ib_run *r)
{
    const ib_setup *s = r->setup;
    const isobath_plan *p = &s->plan;
    char path[8192];
    snprintf(path, sizeof path, "%s/%s_isobath.log.jsonl", s->options.output, s->name);
    IB_TRY(ib_log_open(path, r->past.frame_count > 0, r->diag, &r->log));
    if (r->past.frame_count) ib_log_event(r->log, "resume", json_pack("{s:I}", "frames", (json_int_t)r->past.frame_count));
    ib_log_event(r->log, "start", json_pack("{s:s, s:o, s:o, s:s, s:[i,i], s:[i,i], s:[i,i], s:I, s:I, s:I, s:i, s:s}", "isobath",
                                            ISOBATH_VERSION, "input", ib_json_string(s->options.input), "model",
                                            ib_json_string(s->model_path), "device",
                                            p->device, "source_size", p->source_width, p->source_height, "network_size",
                                            p->network_width, p->network_height, "output_size", p->output_width,
                                            p->output_height, "frames_hint", (json_int_t)p->frames_hint, "host_bytes",
                                            (json_int_t)p->host_bytes, "device_bytes", (json_int_t)p->device_bytes, "threads",
                                            s->threads, "decoders", s->decodes ? "each" : "one"));
    const ib_precision_verdict *v = &s->precision;
    if (*s->model_sha256) /* it was tested */
        ib_log_event(r->log, "precision", json_pack("{s:s, s:b, s:b, s:I, s:f, s:f}", "chosen", p->precision, "sound", v->sound, "cached",
                                                    v->cached, "nonfinite", (json_int_t)v->nonfinite, "median", v->median, "p9999",
                                                    v->p9999));
    return ISOBATH_OK;
}

isobath_status ib_run_open_sinks(ib_run *r)
{
    ib_setup *s = r->setup;
    r->wants_rgb = ib_setup_wants_rgb(s);
    ib_sink_resume resume = {.count = r->past.frame_count, .frames = r->frames};
    ib_sink_config config = s->sink;
    config.resumable = r->journal != NULL;
    if (resume.count) config.resume = &resume;
    for (int i = 0; i < s->format_count; i++) {
        resume.state = r->past.sink_state[i];
        const char *finished = r->past.finished[i];
        if (finished) IB_TRY(ib_json_parse(finished, strlen(finished), "journal", r->diag, &r->described[i]));
        else IB_TRY(s->formats[i]->open(&config, r->diag, &r->sinks[i]));
        free(r->past.sink_state[i]);
        r->past.sink_state[i] = NULL;
    }
    return ISOBATH_OK;
}

isobath_status ib_run_start_hash(ib_run *r)
{
    if (strcmp(r->setup->options.input, "-") == 0 || *r->input_sha256) return ISOBATH_OK;
    r->hashing = pthread_create(&r->hash_thread, NULL, hash_main, r) == 0;
    return r->hashing ? ISOBATH_OK : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "could not start the hashing thread");
}

static isobath_status open_status(ib_run *r)
{
    char path[8192];
    if (!r->report.progress) return ISOBATH_OK;
    snprintf(path, sizeof path, "%s/%s_isobath.status.json", r->setup->options.output, r->setup->name);
    return ib_status_start(path, r->setup->name, NULL, &r->report, r->diag, &r->status);
}

/* Single-threaded backends, one per thread, where whole frames are rendered side by side. */
static isobath_status open_renderers(ib_run *r)
{
    int count = r->setup->render_batch;
    ib_backend_options o = {.act = IB_F32, .isa = r->setup->options.cpu_isa, .diag = r->diag};
    if (count < 2) return ISOBATH_OK;
    r->renderers = calloc((size_t)ib_pool_threads(r->host_pool), sizeof(ib_backend *));
    if (!r->renderers) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the rendering");
    while (r->renderer_count < ib_pool_threads(r->host_pool)) {
        IB_TRY(ib_cpu_open(&o, &r->renderers[r->renderer_count]));
        r->renderer_count++;
    }
    return ISOBATH_OK;
}

static isobath_status open_guided(ib_run *r)
{
    const isobath_plan *p = &r->setup->plan;
    int count = ib_pool_threads(r->host_pool);
    if (!r->setup->guided) return ISOBATH_OK;
    r->guided = calloc((size_t)count, sizeof *r->guided);
    if (!r->guided) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the rendering");
    for (int i = 0; i < count; i++)
        IB_TRY(ib_guided_create(p->network_height, p->network_width, p->source_height, p->source_width, p->output_height,
                                p->output_width, r->diag, &r->guided[i]));
    return ISOBATH_OK;
}

static isobath_status open_alignment(ib_run *r)
{
    const isobath_plan *p = &r->setup->plan;
    ib_backend_options host = {.act = IB_F32, .isa = r->setup->options.cpu_isa, .pool = r->host_pool, .diag = r->diag};
    IB_TRY(ib_cpu_open(&host, &r->host));
    IB_TRY(open_renderers(r));
    IB_TRY(open_guided(r));
    IB_TRY(ib_depth_frame_pool_create(r->diag, &r->depth_frames));
    IB_TRY(ib_align_chain_init(&r->chain, r->host, p->metric, r->setup->options.guard, p->output_height, p->output_width,
                               p->network_height, p->network_width, r->diag));
    r->tail = malloc(8 * (size_t)p->network_height * (size_t)p->network_width * sizeof *r->tail);
    if (!r->tail) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the alignment");
    double stabilize_s = r->setup->options.stabilize_s;
    if (!(stabilize_s > 0)) return ISOBATH_OK;
    return ib_stabilizer_init(&r->stabilizer, (int64_t)p->network_height * p->network_width, p->metric, stabilize_s, r->diag);
}

static isobath_status open_commit(ib_run *r)
{
    ib_commit_options c = {.journal = r->journal, .config = &r->setup->sink, .formats = r->setup->formats, .sinks = r->sinks,
                           .count = r->setup->format_count, .first = r->past.frame_count, .diag = r->diag};
    return ib_commit_start(&c, &r->commit);
}

/* Of this process: its own, or what the engine keeps. */
static isobath_status open_network(ib_run *r)
{
    ib_setup *s = r->setup;
    int here = !s->exec && !s->fleet;
    if (here && s->options.engine && !s->options.device_memory) { /* a limit of memory is this session's */
        IB_TRY(ib_engine_take(s->options.engine, s, r->diag, &r->compute_pool, &r->device, &r->vda));
        r->engine = s->options.engine;
    } else {
        IB_TRY(ib_pool_create(s->threads, r->diag, &r->compute_pool));
        if (!here) return ISOBATH_OK;
        IB_TRY(ib_setup_open_network(s, s->act, r->compute_pool, r->diag, &r->device, &r->vda, NULL));
    }
    r->device->diag = &r->device_diag; /* from now on what fails there need not be the run's end */
    ib_vda_set_diag(r->vda, &r->device_diag);
    return ISOBATH_OK;
}

static void *load_main(void *arg)
{
    ib_run *r = arg;
    ib_thread_name("load");
    r->loaded = open_network(r);
    return NULL;
}

/* A processor's network is loaded while the model's file is hashed, sinks open and the first frames are decoded. Cards have one thread that
 * they are bound to; a run that goes on may turn out to be complete. */
static isobath_status start_loading(ib_run *r)
{
    const ib_setup *s = r->setup;
    if (s->device != IB_DEVICE_CPU || s->fleet || s->exec || s->options.resume) return ISOBATH_OK;
    r->loading = pthread_create(&r->load_thread, NULL, load_main, r) == 0;
    return r->loading ? ISOBATH_OK : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "could not start the thread that loads the network");
}

isobath_status ib_run_await_network(ib_run *r)
{
    if (!r->loading) return ISOBATH_OK;
    pthread_join(r->load_thread, NULL);
    r->loading = 0;
    return r->loaded;
}

static isobath_status read_cuts(ib_run *r)
{
    const ib_setup *s = r->setup;
    return s->options.cuts && !s->cuts_auto ? ib_cuts_read(s->options.cuts, r->diag, &r->cuts, &r->cut_count) : ISOBATH_OK;
}

#define PACK_DEVICES 2

/* Which sink packs frames where they are rendered; -1: none. The runner waits for a window's frames, with packing some 3 ms more of it where each has a
 * thread: more than two quick cards would wait for that, and there the sinks' threads compress beside it. */
static int find_packer(const ib_run *r)
{
    const ib_setup *s = r->setup;
    int threads = ib_pool_threads(r->host_pool), many = s->devices.count > PACK_DEVICES && threads >= IB_PLAN_STEP;
    return r->renderers && !s->guided && !many ? ib_sink_packs(&s->sink, s->formats, r->sinks, s->format_count, threads) : -1;
}

static isobath_status open_all(ib_run *r)
{
    ib_setup *s = r->setup;
    IB_TRY(ib_run_open_log(r));
    IB_TRY(open_status(r));
    if (r->past.ended) { /* only finishing is left */
        IB_TRY(ib_run_open_sinks(r));
        return ib_run_start_hash(r);
    }
    IB_TRY(ib_pool_create(s->threads, r->diag, &r->host_pool));
    if (!r->loading) IB_TRY(open_network(r));
    IB_TRY(open_alignment(r));
    IB_TRY(ib_run_open_sinks(r));
    r->packs = find_packer(r);
    IB_TRY(open_commit(r));
    IB_TRY(ib_run_start_hash(r));
    ib_range range = ib_resume_range(r);
    return ib_run_open_windows(r, &range);
}

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

static isobath_status push(ib_run *r, ib_depth_frame *f, float scale, float shift)
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

isobath_status ib_run_push(ib_run *r, ib_depth_frame *f) { return push(r, f, 1, 0); }

/* A frame that is to be rendered: frame i of the shot, which the group's window finishes. */
typedef struct group_item {
    int64_t i;
    ib_alignment alignment;
    ib_depth_frame *frame;
    isobath_status status;
} group_item;

/* Frames of one window that are rendered side by side and handed on in order. */
typedef struct group {
    ib_run *run;
    const ib_window *window;
    int count;
    group_item item[IB_PLAN_WINDOW];
} group;

static isobath_status render_frame(const ib_run *r, const ib_window *w, ib_backend *backend, int thread, group_item *g)
{
    const isobath_plan *p = &r->setup->plan;
    size_t map = (size_t)p->network_height * (size_t)p->network_width;
    int slot = (int)(g->i - IB_PLAN_STEP * w->k);
    int carried = w->k > 0 && slot < IB_PLAN_OVERLAP;
    /* The end of the video only cuts; w->k finishes i, so any n beyond i in the same window gives the same answer. */
    ib_plan_render how = {.window = w->k, .slot = slot, .fade = carried, .fade_slot = slot + IB_PLAN_STEP,
                          .weight = carried ? ib_plan_frame(g->i, g->i + 1 + IB_PLAN_STEP).weight : 0};
    ib_source_frame *src = carried ? r->tail_source[slot - 2] : w->source[slot];
    IB_TRY(ib_depth_frame_take(r->depth_frames, p->output_width, p->output_height, r->packs < 0, r->wants_rgb, p->source_width, p->source_height,
                               r->diag, &g->frame));
    ib_depth_frame *f = g->frame;
    f->index = w->shot_first + g->i;
    f->pts_us = carried ? r->tail_pts_us[slot - 2] : w->pts_us[slot];
    if (r->wants_rgb) memcpy(f->rgb, src->rgb, (size_t)p->source_width * (size_t)p->source_height * 3);
    float *raw = w->raw + (size_t)slot * map, *fade = carried ? r->tail + (size_t)(slot - 2) * map : NULL;
    if (r->packs >= 0)
        return ib_align_pack(backend, &how, raw, &g->alignment, fade, &r->tail_alignment, p->network_height, p->network_width,
                             r->setup->formats[r->packs], r->sinks[r->packs], thread, f);
    return ib_guided_render(r->guided ? r->guided[thread] : NULL, backend, &how, raw, &g->alignment, fade, &r->tail_alignment, p->network_height,
                            p->network_width, f);
}

static void render_item(void *ctx, int64_t i, int thread)
{
    group *g = ctx;
    g->item[i].status = render_frame(g->run, g->window, g->run->renderers[thread], thread, &g->item[i]);
}

/* Renders what is gathered and hands it to every sink. */
static isobath_status flush(group *g)
{
    ib_run *r = g->run;
    int64_t start = ib_now_us();
    isobath_status st = ISOBATH_OK;
    if (r->renderers) ib_pool_run(r->host_pool, g->count, render_item, g);
    for (int i = 0; i < g->count && !r->renderers; i++) g->item[i].status = render_frame(r, g->window, r->host, 0, &g->item[i]);
    ib_busy_add(&r->counters->align, start);
    for (int i = 0; i < g->count; i++) {
        if (st == ISOBATH_OK) st = g->item[i].status;
        if (st == ISOBATH_OK) st = push(r, g->item[i].frame, g->item[i].alignment.scale, g->item[i].alignment.shift);
        ib_depth_frame_unref(g->item[i].frame);
    }
    g->count = 0;
    return st;
}

static isobath_status gather(group *g, const ib_alignment *al, int64_t i)
{
    g->item[g->count++] = (group_item){.i = i, .alignment = *al};
    return g->count >= (g->run->renderers ? g->run->setup->render_batch : 1) ? flush(g) : ISOBATH_OK;
}

/* The maps that the next window fades with: 15 MB at 924 x 518, which one thread copies in a third of the time that two cards need for a window. */
typedef struct tail_copy {
    float *to;
    const float *from;
    size_t map;
} tail_copy;

static void keep_map(void *ctx, int64_t i, int thread)
{
    const tail_copy *c = ctx;
    (void)thread;
    memcpy(c->to + (size_t)i * c->map, c->from + (size_t)i * c->map, c->map * sizeof *c->to);
}

void ib_run_keep_tail(ib_run *r, const ib_window *w, const ib_alignment *al)
{
    size_t map = (size_t)r->setup->plan.network_height * (size_t)r->setup->plan.network_width;
    ib_pool_run(r->host_pool, 8, keep_map, &(tail_copy){r->tail, w->raw + 24 * map, map});
    r->tail_alignment = *al;
    for (int i = 0; i < 8; i++) {
        r->tail_pts_us[i] = w->pts_us[24 + i];
        ib_source_frame_unref(r->tail_source[i]);
        r->tail_source[i] = ib_source_frame_ref(w->source[24 + i]);
    }
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

/* Frame i of the shot, unless an earlier run has rendered it. */
static isobath_status take_frame(group *g, const ib_alignment *of_window, int64_t i)
{
    ib_run *r = g->run;
    const ib_window *w = g->window;
    ib_stabilizer *z = &r->stabilizer;
    int64_t slot = i - IB_PLAN_STEP * w->k, index = w->shot_first + i, start = ib_now_us();
    if (index < r->frame_count) {
        const ib_frame_record *f = &r->frames[index];
        if (z->previous && index == r->frame_count - 1) ib_stabilizer_set(z, w->raw + slot * z->count, f->scale, f->shift, f->pts_us);
        return ISOBATH_OK;
    }
    ib_alignment al = *of_window;
    if (z->previous) {
        al = ib_stabilize(z, w->raw + slot * z->count, w->pts_us[slot]);
        ib_busy_add(&r->counters->align, start);
        atomic_fetch_add(&r->counters->guards, al.guarded);
    }
    return gather(g, &al, i);
}

static isobath_status take_window(ib_run *r, ib_window *w)
{
    if (r->prime) {
        r->prime = 0;
        return ib_resume_prime(r, w);
    }
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
    group g = {.run = r, .window = w};
    for (int64_t i = first; i < end && *r->cancelled < 2; i++) IB_TRY(take_frame(&g, &record.alignment, i));
    IB_TRY(flush(&g));
    if (temporal) ib_run_keep_tail(r, w, &record.alignment);
    atomic_fetch_add(&r->counters->windows_done, 1);
    ib_commit_kick(r->commit);
    return ib_diag_status(r->diag);
}

/* Cuts that nobody asked to obey are told: across a cut the alignment has nothing to hold on to. */
static void report_cuts(ib_run *r)
{
    int64_t likely = ib_run_likely_cuts(r), shots = r->windows[r->window_count - 1].shot + 1;
    char line[160];
    const isobath_run_options *o = &r->setup->options;
    ib_log_event(r->log, "cuts", json_pack("{s:I, s:I}", "likely", (json_int_t)likely, "shots", (json_int_t)shots));
    if (o->cuts && o->note) {
        snprintf(line, sizeof line, "%lld shot%s, each aligned by itself", (long long)shots, shots == 1 ? "" : "s");
        o->note(o->note_ctx, line);
    }
    if (likely && !o->cuts && o->note) {
        snprintf(line, sizeof line, "%lld likely cut%s: --cuts auto makes every shot its own (off by default)", (long long)likely,
                 likely == 1 ? "" : "s");
        o->note(o->note_ctx, line);
    }
}

void ib_run_tell(ib_run *r, const char *event, const char *text)
{
    const isobath_run_options *o = &r->setup->options;
    ib_log_event(r->log, event, json_pack("{s:o}", "text", ib_json_string(text)));
    if (o->note) o->note(o->note_ctx, text);
}

void ib_run_report_repeats(ib_run *r)
{
    const isobath_run_options *o = &r->setup->options;
    char line[256];
    for (int64_t i = 0; i < r->repeats.count; i++) {
        const ib_repeat *at = &r->repeats.list[i];
        ib_log_event(r->log, "repeated", json_pack("{s:I, s:I, s:o}", "frame", (json_int_t)at->index, "time_us", (json_int_t)at->pts_us, "why",
                                                   ib_json_string(at->why)));
    }
    if (!r->repeats.count || !o->note) return;
    ib_repeats_line(&r->repeats, line, sizeof line);
    o->note(o->note_ctx, line);
}

/* A container that breaks off gives what is there: that is told, too. */
static void report_end(ib_run *r)
{
    const char *broken = r->source ? ib_media_broken(r->setup->media) : "";
    char line[640];
    if (!*broken) return;
    snprintf(line, sizeof line, "the input breaks off behind frame %lld: %s", (long long)r->frame_count - 1, broken);
    ib_run_tell(r, "broken_off", line);
}

/* The finishing pass of one format; then the journal says so. */
static isobath_status finish_sink(ib_run *r, int i)
{
    const ib_sink_format *format = r->setup->formats[i];
    if (r->described[i]) return ISOBATH_OK; /* by an earlier run */
    IB_TRY(format->finish(r->sinks[i]));
    r->described[i] = format->describe(r->sinks[i]);
    if (!r->described[i]) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "%s: cannot be read back, or out of memory", format->name);
    if (!r->journal) return ISOBATH_OK;
    IB_TRY(ib_sync_path(r->setup->options.output, r->diag));
    char *text = ib_json_dump(r->described[i], JSON_COMPACT | JSON_SORT_KEYS);
    isobath_status st = text ? ib_journal_finished(r->journal, i, text) : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
    free(text);
    return st == ISOBATH_OK ? ib_journal_sync(r->journal) : st;
}

isobath_status ib_run_finish(ib_run *r)
{
    int64_t start = ib_now_us();
    for (int i = 0; i < r->setup->format_count; i++) IB_TRY(finish_sink(r, i));
    ib_busy_add(&r->counters->write, start);
    if (r->hashing) pthread_join(r->hash_thread, NULL);
    r->hashing = 0;
    IB_TRY(ib_diag_status(r->diag));
    IB_TRY(ib_run_write_manifest(r));
    return r->journal ? ib_resume_clean(r) : ISOBATH_OK;
}

/* The window that comes after this one. */
static void note_next(ib_run *r, const ib_window *w)
{
    r->next = (ib_range){.shot = w->shot, .shot_first = w->shot_first, .k = w->k + 1, .k_end = -1};
    if (w->frames_total >= 0 && w->k + 1 >= ib_plan_windows(w->frames_total))
        r->next = (ib_range){.shot = w->shot + 1, .shot_first = w->shot_first + w->frames_total, .k_end = -1};
}

static isobath_status render_all(ib_run *r)
{
    while (*r->cancelled < 2) {
        ib_window *w = ib_windows_next(r->stream);
        if (!w && !ib_run_switch(r)) break;
        if (!w) continue;
        note_next(r, w);
        isobath_status st = take_window(r, w);
        ib_window_free(w);
        IB_TRY(st);
    }
    IB_TRY(ib_diag_status(r->diag));
    if (*r->cancelled)
        return ib_fail(r->diag, ISOBATH_ERR_INTERRUPTED, "stopped after %lld frames; what is in %s is complete", (long long)r->frame_count,
                       r->setup->options.output);
    if (!r->frame_count) {
        const isobath_run_options *o = &r->setup->options;
        int part = o->start_s > 0 || o->end_s > 0 || o->start_frame > 0 || o->end_frame > 0;
        r->empty = 1;
        return part ? ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: no frames between --start and --end", o->input)
                    : ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: no frames", o->input);
    }
    if (r->source) IB_TRY(ib_repeats_copy(&r->repeats, ib_source_repeats(r->source), r->diag));
    ib_run_report_repeats(r);
    report_end(r);
    report_cuts(r);
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
    IB_TRY(start_loading(r));
    IB_TRY(ib_resume_prepare(r));
    if (r->complete) {
        IB_TRY(ib_resume_verify(r));
        ib_run_list_outputs(r);
        return ib_resume_clean(r);
    }
    atomic_store(&r->counters->frames_done, r->past.frame_count);
    atomic_store(&r->counters->frames_before, r->past.frame_count);
    isobath_status st = open_all(r);
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
    ib_windows_destroy(r->stream);
    ib_source_destroy(r->source);
    for (int i = 0; i < r->former_count; i++) ib_windows_destroy(r->former_stream[i]);
    ib_source_destroy(r->former_source);
    ib_commit_destroy(r->commit);
    if (r->hashing) pthread_join(r->hash_thread, NULL);
    for (int s = 0; s < r->setup->format_count; s++)
        if (r->sinks[s]) r->setup->formats[s]->close(r->sinks[s]);
    for (int i = 0; i < 8; i++) ib_source_frame_unref(r->tail_source[i]);
    free(r->tail);
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
    for (int i = 0; i < r->renderer_count; i++) ib_backend_close(r->renderers[i]);
    free(r->renderers);
    ib_depth_frame_pool_close(r->depth_frames);
    for (int i = 0; r->guided && i < ib_pool_threads(r->host_pool); i++) ib_guided_destroy(r->guided[i]);
    free(r->guided);
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
