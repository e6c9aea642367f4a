/* Frames out of spool files; see merge.h. */
#include "pipeline/cluster/merge.h"

#include "backend/backend.h"
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
    ib_pool *pool;
    int threads;
    ib_depth_frame_pool *frames;
    thread_state *thread;
    /* of the batch */
    int64_t first;
    ib_depth_frame **out;
    atomic_int status;
};

void ib_frames_destroy(ib_frames *f)
{
    if (!f) return;
    ib_pool_destroy(f->pool);
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
    isobath_status st = f->thread ? ib_pool_create(f->threads, diag, &f->pool) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for rendering");
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

int ib_frames_batch(const ib_frames *f)
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

static void render_job(void *ctx, int64_t i, int thread)
{
    ib_frames *f = ctx;
    if (atomic_load(&f->status) != ISOBATH_OK) return;
    int st = render(f, &f->thread[thread], f->first + i, f->out[i]), none = ISOBATH_OK;
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&f->status, &none, st);
}

isobath_status ib_frames_render(ib_frames *f, int64_t first, int count, isobath_status (*picture)(void *ctx, ib_depth_frame *frame), void *ctx,
                                ib_depth_frame **out)
{
    const isobath_plan *p = &f->setup->plan;
    isobath_status st = ISOBATH_OK;
    int made = 0;
    for (; st == ISOBATH_OK && made < count; made += st == ISOBATH_OK)
        st = ib_depth_frame_take(f->frames, p->output_width, p->output_height, !f->format, picture != NULL, p->source_width, p->source_height, f->diag, &out[made]);
    for (int i = 0; i < made; i++) {
        out[i]->index = first + i;
        out[i]->pts_us = f->shard->pts_us[first + i];
        if (st == ISOBATH_OK && picture) st = picture(ctx, out[i]);
    }
    f->first = first;
    f->out = out;
    atomic_store(&f->status, st);
    if (st == ISOBATH_OK) ib_pool_run(f->pool, count, render_job, f);
    st = (isobath_status)atomic_load(&f->status);
    for (int i = 0; st != ISOBATH_OK && i < made; i++) ib_depth_frame_unref(out[i]);
    return st;
}
