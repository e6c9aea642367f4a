/* Frames out of spool files; see merge.h. */
#include "pipeline/cluster/merge.h"

#include "backend/backend.h"
#include "base/ordered.h"
#include "pipeline/guided.h"
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)1 << 30)

/* What one thread works with. */
typedef struct thread_state {
    ib_segments *segments;
    ib_backend *backend;
    ib_guided *guided; /* with --upsample guided */
    float *map, *fade; /* (network_height, network_width) */
} thread_state;

struct ib_frames {
    const ib_shard *shard;
    const ib_chain *chain;
    const ib_setup *setup;
    const ib_sink_format *format; /* packs; NULL: none */
    ib_sink *sink;
    ib_diag *diag;
    int threads;
    ib_depth_frame_pool *frames;
    thread_state *thread;
    const ib_frames_way *way; /* while there is a run */
};

void ib_frames_destroy(ib_frames *f)
{
    if (!f) return;
    for (int i = 0; f->thread && i < f->threads; i++) {
        ib_segments_destroy(f->thread[i].segments);
        ib_backend_close(f->thread[i].backend);
        ib_guided_destroy(f->thread[i].guided);
        free(f->thread[i].map);
        free(f->thread[i].fade);
    }
    free(f->thread);
    ib_depth_frame_pool_close(f->frames);
    free(f);
}

isobath_status ib_frames_create(const ib_shard *shard, const ib_chain *chain, const ib_setup *setup, const ib_sink_format *format, ib_sink *sink,
                                ib_diag *diag, ib_frames **out)
{
    *out = NULL;
    ib_frames *f = calloc(1, sizeof *f);
    if (!f) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for rendering");
    f->shard = shard;
    f->chain = chain;
    f->setup = setup;
    f->format = format;
    f->sink = sink;
    f->diag = diag;
    f->threads = setup->threads;
    f->thread = calloc((size_t)f->threads, sizeof *f->thread);
    size_t map = (size_t)shard->network_width * (size_t)shard->network_height * sizeof(float);
    isobath_status st = f->thread ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for rendering");
    if (st == ISOBATH_OK) st = ib_depth_frame_pool_create(diag, &f->frames);
    ib_backend_options host = {.act = IB_F32, .isa = setup->options.cpu_isa, .diag = diag};
    for (int i = 0; st == ISOBATH_OK && i < f->threads; i++) {
        thread_state *t = &f->thread[i];
        t->map = malloc(map);
        t->fade = malloc(map);
        st = t->map && t->fade ? ib_cpu_open(&host, &t->backend) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for rendering");
        if (st == ISOBATH_OK) st = ib_segments_create(shard, diag, &t->segments);
        const isobath_plan *p = &setup->plan;
        if (st == ISOBATH_OK && setup->guided)
            st = ib_guided_create(p->network_height, p->network_width, p->source_height, p->source_width, p->output_height, p->output_width, diag,
                                  &t->guided);
    }
    if (st != ISOBATH_OK) ib_frames_destroy(f);
    else *out = f;
    return st;
}

/* How many frames there are at a time. */
static int most_frames(const ib_frames *f)
{
    size_t frame = (size_t)f->shard->output_width * (size_t)f->shard->output_height * sizeof(float), fit = BATCH_BYTES / frame;
    int most = 2 * f->threads;
    return fit < 1 ? 1 : fit < (size_t)most ? (int)fit : most;
}

/* The window that finishes frame i of the video, and how. */
static int64_t how_made(const ib_shard *s, int64_t i, ib_plan_render *how)
{
    int64_t low = 0, high = s->shot_count - 1;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (s->shots[middle].first <= i) low = middle;
        else high = middle - 1;
    }
    i -= s->shots[low].first;
    if (s->temporal) *how = ib_plan_frame(i, s->shots[low].count);
    else {
        int64_t k = i < IB_PLAN_WINDOW ? 0 : (i - IB_PLAN_OVERLAP) / IB_PLAN_STEP;
        *how = (ib_plan_render){.window = k, .slot = (int)(i - IB_PLAN_STEP * k)};
    }
    return s->shot_window[low] + how->window;
}

static isobath_status render(ib_frames *f, thread_state *t, int64_t index, ib_depth_frame *out)
{
    const ib_shard *s = f->shard;
    ib_plan_render how;
    int64_t w = how_made(s, index, &how);
    IB_TRY(ib_segments_map(t->segments, w, how.slot, t->map));
    if (how.fade) IB_TRY(ib_segments_map(t->segments, w - 1, how.fade_slot, t->fade));
    const ib_alignment *al = ib_chain_of(f->chain, w, index);
    if (f->format)
        return ib_align_pack(t->backend, &how, t->map, al, t->fade, how.fade ? &f->chain->alignments[w - 1] : NULL,
                             s->network_height, s->network_width, f->format, f->sink, (int)(t - f->thread), out);
    return ib_guided_render(t->guided, t->backend, &how, t->map, al, how.fade ? t->fade : NULL,
                            how.fade ? &f->chain->alignments[w - 1] : NULL, s->network_height, s->network_width, out);
}

static isobath_status take(ib_frames *f, int64_t index, int with_rgb, ib_depth_frame **out)
{
    const isobath_plan *p = &f->setup->plan;
    IB_TRY(ib_depth_frame_take(f->frames, p->output_width, p->output_height, !f->format, with_rgb, p->source_width, p->source_height, f->diag, out));
    (*out)->index = index;
    (*out)->pts_us = f->shard->pts_us[index];
    return ISOBATH_OK;
}

isobath_status ib_frames_render(ib_frames *f, int64_t index, ib_depth_frame **out)
{
    IB_TRY(take(f, index, 0, out));
    isobath_status st = render(f, &f->thread[0], index, *out);
    if (st != ISOBATH_OK) ib_depth_frame_unref(*out);
    return st;
}

static isobath_status render_job(void *ctx, void *item, int thread)
{
    ib_frames *f = ctx;
    return render(f, &f->thread[thread], ((ib_depth_frame *)item)->index, item);
}

static isobath_status hand_on(void *ctx, void *item, isobath_status st)
{
    ib_frames *f = ctx;
    if (st == ISOBATH_OK) st = f->way->push(f->way->ctx, item);
    ib_depth_frame_unref(item);
    return st;
}

isobath_status ib_frames_run(ib_frames *f, int64_t first, int64_t end, const ib_frames_way *way)
{
    int most = most_frames(f);
    ib_ordered *stage;
    ib_ordered_options o = {.name = "render", .threads = f->threads, .ahead = most, .room = most, .work = render_job, .leave = hand_on, .ctx = f, .diag = f->diag};
    f->way = way;
    IB_TRY(ib_ordered_create(&o, &stage));
    isobath_status st = ISOBATH_OK, drained;
    for (int64_t i = first; st == ISOBATH_OK && i < end; i++) {
        ib_depth_frame *frame;
        if (*way->cancelled) st = ISOBATH_ERR_INTERRUPTED;
        if (st == ISOBATH_OK) st = take(f, i, way->picture != NULL, &frame);
        if (st != ISOBATH_OK) break;
        if (way->picture) st = way->picture(way->ctx, frame);
        if (st == ISOBATH_OK) st = ib_ordered_push(stage, frame);
        else ib_depth_frame_unref(frame);
    }
    drained = ib_ordered_drain(stage);
    ib_ordered_destroy(stage);
    return st != ISOBATH_OK ? st : drained;
}
