/* Windows in the render stage; see render.h. base/ordered.h has the threads. */
#include "pipeline/render.h"

#include "base/ordered.h"
#include "pipeline/guided.h"
#include "pipeline/run.h"

#include <stdlib.h>
#include <string.h>

#define WINDOWS_LEAST 2 /* one whose last frames are rendered, and the next one */
#define WINDOWS_MOST 4
#define THREADS_A_WINDOW 16
#define WINDOWS_BYTES ((size_t)512 << 20)
#define AHEAD_BYTES ((size_t)256 << 20)
#define TAIL_FIRST 24 /* the slot that the tail begins with: the next window's slot 2 */
#define TAIL 8

typedef struct flight flight;
typedef struct frame_job {
    flight *of;
    int64_t i; /* frame of the shot */
    ib_depth_frame *frame;
} frame_job;

struct flight {
    ib_renderer_window w;
    flight *before;    /* its first frames fade from it; NULL: they do not */
    float *tail;       /* raw slots 24..31 */
    int refs;          /* frames that have not left: one; the window after it; the stage, while it is the last one */
    frame_job job[IB_PLAN_WINDOW];
};

struct ib_renderer {
    ib_run *run;
    int threads, windows;
    ib_ordered *frames;
    ib_depth_frame_pool *pool;
    ib_backend **backends; /* one a thread, of one thread each; none: run->host */
    ib_guided **guided;    /* one a thread, with --upsample guided; else NULL */
    int packs;             /* the sink that makes a file of each frame where it is rendered, and the others need no depth; -1: none */
    flight *last;
    float *kept;      /* the tail of a window that was given back: (8,h,w) */
    ib_window rest;   /* what else is kept of it */
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    int count;        /* windows with frames that have not left */
    isobath_status status; /* the first failure */
};

int ib_renderer_windows(int threads, int devices, size_t window_bytes)
{
    int windows = WINDOWS_LEAST + (devices > 1 ? threads / THREADS_A_WINDOW : 0);
    if (threads == 0) return 1;
    if (windows > WINDOWS_MOST) windows = WINDOWS_MOST;
    while (windows > 1 && (size_t)windows * window_bytes > WINDOWS_BYTES) windows--;
    return windows;
}

int ib_renderer_held(int threads, int windows) { return threads ? windows + 1 : 1; }

int ib_renderer_ahead(int threads, size_t frame_bytes)
{
    size_t fit = AHEAD_BYTES / frame_bytes, most = 2 * (size_t)threads, least = threads < IB_PLAN_STEP ? (size_t)threads : IB_PLAN_STEP;
    if (threads == 0) return 1;
    return (int)(fit < least ? least : fit < most ? fit : most);
}

static size_t map_floats(const ib_run *r) { return (size_t)r->setup->plan.network_height * (size_t)r->setup->plan.network_width; }

/* A reference less; what is not referred to any more goes back. */
static void release(ib_renderer *s, flight *f)
{
    if (!f) return;
    pthread_mutex_lock(&s->lock);
    int gone = --f->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!gone) return;
    ib_window_free(f->w.window);
    free(f);
}

/* No frame of it is in the stage any more: what they faded from is not needed for it. */
static void land(ib_renderer *s, flight *f)
{
    release(s, f->before);
    f->before = NULL;
    release(s, f);
}

static isobath_status render(void *ctx, void *item, int thread)
{
    ib_renderer *s = ctx;
    frame_job *job = item;
    ib_run *r = s->run;
    const ib_setup *setup = r->setup;
    const isobath_plan *p = &setup->plan;
    const flight *of = job->of;
    const ib_window *w = of->w.window;
    int64_t start = ib_now_us();
    int slot = (int)(job->i - IB_PLAN_STEP * w->k), carried = of->before && slot < IB_PLAN_OVERLAP, at = carried ? slot + IB_PLAN_STEP : slot;
    /* The end of the video only cuts; w->k finishes i, so any n beyond i in the same window gives the same answer. */
    ib_plan_render how = {.window = w->k, .slot = slot, .fade = carried, .fade_slot = slot + IB_PLAN_STEP,
                          .weight = carried ? ib_plan_frame(job->i, job->i + 1 + IB_PLAN_STEP).weight : 0};
    const ib_window *from = carried ? of->before->w.window : w;
    const ib_alignment *al = &of->w.frame[job->i - of->w.first], *fade_al = carried ? &of->before->w.alignment : NULL;
    IB_TRY(ib_depth_frame_take(s->pool, p->output_width, p->output_height, s->packs < 0, r->wants_rgb, p->source_width, p->source_height, r->diag,
                               &job->frame));
    ib_depth_frame *f = job->frame;
    f->index = w->shot_first + job->i;
    f->pts_us = from->pts_us[at];
    if (r->wants_rgb) memcpy(f->rgb, from->source[at]->rgb, (size_t)p->source_width * (size_t)p->source_height * 3);
    float *raw = w->raw + (size_t)slot * map_floats(r), *fade = carried ? of->before->tail + (size_t)(at - TAIL_FIRST) * map_floats(r) : NULL;
    ib_backend *backend = s->backends ? s->backends[thread] : r->host;
    ib_guided *guided = s->guided ? s->guided[thread] : NULL;
    isobath_status st = s->packs >= 0 ? ib_align_pack(backend, &how, raw, al, fade, fade_al, p->network_height, p->network_width,
                                                      setup->formats[s->packs], r->sinks[s->packs], thread, f)
                                      : ib_guided_render(guided, backend, &how, raw, al, fade, fade_al, p->network_height, p->network_width, f);
    atomic_fetch_add_explicit(s->threads ? &r->counters->render : &r->counters->align, (ib_now_us() - start) / (s->threads ? s->threads : 1),
                              memory_order_relaxed);
    return st;
}

/* After the last frame of a window. */
static void finish_window(ib_renderer *s, flight *f, int good)
{
    ib_run *r = s->run;
    land(s, f);
    pthread_mutex_lock(&s->lock);
    s->count--;
    pthread_cond_broadcast(&s->fewer);
    pthread_mutex_unlock(&s->lock);
    if (!good) return;
    atomic_fetch_add(&r->counters->windows_done, 1);
    ib_commit_kick(r->commit);
}

static void note_failure(ib_renderer *s, isobath_status st)
{
    pthread_mutex_lock(&s->lock);
    int first = s->status == ISOBATH_OK;
    if (first) s->status = st;
    pthread_mutex_unlock(&s->lock);
    if (first && st != ISOBATH_ERR_INTERRUPTED) ib_windows_stop(s->run->stream); /* the runner may wait for a window */
}

static isobath_status hand_on(void *ctx, void *item, isobath_status st)
{
    ib_renderer *s = ctx;
    frame_job *job = item;
    flight *of = job->of;
    const ib_alignment *al = &of->w.frame[job->i - of->w.first];
    if (st == ISOBATH_OK) st = ib_run_push(s->run, job->frame, al->scale, al->shift);
    if (job->frame) ib_depth_frame_unref(job->frame);
    if (st != ISOBATH_OK) note_failure(s, st);
    if (job->i == of->w.end - 1) finish_window(s, of, st == ISOBATH_OK);
    return st;
}

static int stopped(void *ctx) { return *((ib_renderer *)ctx)->run->cancelled > 1; }

static isobath_status open_backends(ib_renderer *s)
{
    ib_run *r = s->run;
    ib_backend_options o = {.act = IB_F32, .isa = r->setup->options.cpu_isa, .diag = r->diag};
    if (!s->threads) return ISOBATH_OK;
    s->backends = calloc((size_t)s->threads, sizeof(ib_backend *));
    if (!s->backends) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the rendering");
    for (int i = 0; i < s->threads; i++) IB_TRY(ib_cpu_open(&o, &s->backends[i]));
    return ISOBATH_OK;
}

static isobath_status open_guided(ib_renderer *s)
{
    ib_run *r = s->run;
    const isobath_plan *p = &r->setup->plan;
    int count = s->threads ? s->threads : 1;
    if (!r->setup->guided) return ISOBATH_OK;
    s->guided = calloc((size_t)count, sizeof *s->guided);
    if (!s->guided) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the rendering");
    for (int i = 0; i < count; i++)
        IB_TRY(ib_guided_create(p->network_height, p->network_width, p->source_height, p->source_width, p->output_height,
                                p->output_width, r->diag, &s->guided[i]));
    return ISOBATH_OK;
}

static isobath_status open_stage(ib_renderer *s)
{
    ib_run *r = s->run;
    const ib_setup *u = r->setup;
    IB_TRY(open_backends(s));
    IB_TRY(open_guided(s));
    IB_TRY(ib_depth_frame_pool_create(r->diag, &s->pool));
    if (s->threads && !u->guided) s->packs = ib_sink_packs(&u->sink, u->formats, r->sinks, u->format_count, s->threads);
    ib_ordered_options o = {.name = "render", .threads = s->threads, .ahead = u->render_ahead, .room = s->windows * IB_PLAN_WINDOW, .work = render,
                            .leave = hand_on, .stopped = stopped, .ctx = s, .diag = r->diag};
    return ib_ordered_create(&o, &s->frames);
}

isobath_status ib_renderer_start(ib_run *r, ib_renderer **out)
{
    *out = NULL;
    ib_renderer *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the rendering");
    s->run = r;
    s->threads = r->setup->render_threads;
    s->windows = r->setup->render_windows;
    s->packs = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->fewer, NULL);
    isobath_status st = open_stage(s);
    if (st == ISOBATH_OK) *out = s;
    else ib_renderer_destroy(s);
    return st;
}

/* Waits for room for one more window. */
static isobath_status await_room(ib_renderer *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->count >= s->windows) pthread_cond_wait(&s->fewer, &s->lock);
    isobath_status st = s->status;
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void set_last(ib_renderer *s, flight *f)
{
    release(s, s->last);
    s->last = f;
}

isobath_status ib_renderer_add(ib_renderer *s, const ib_renderer_window *w)
{
    ib_run *r = s->run;
    int temporal = r->setup->config.temporal, frames = w->end > w->first;
    flight *f = calloc(1, sizeof *f);
    if (!f) {
        ib_window_free(w->window);
        return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
    }
    f->w = *w;
    f->tail = w->window->raw + TAIL_FIRST * map_floats(r);
    f->refs = 1 + temporal;
    pthread_mutex_lock(&s->lock);
    if (temporal && w->window->k > 0 && s->last) {
        f->before = s->last;
        f->before->refs++;
    }
    s->count += frames;
    pthread_mutex_unlock(&s->lock);
    if (temporal) set_last(s, f);
    if (!frames) land(s, f);
    for (int64_t i = w->first, end = w->end; i < end; i++) {
        frame_job *job = &f->job[i - w->first];
        *job = (frame_job){.of = f, .i = i};
        ib_ordered_push(s->frames, job);
    }
    if (!s->threads) IB_TRY(ib_renderer_detach(s));
    return await_room(s);
}

isobath_status ib_renderer_drain(ib_renderer *s) { return ib_ordered_drain(s->frames); }

static void forget(ib_window *window) { (void)window; }

isobath_status ib_renderer_detach(ib_renderer *s)
{
    flight *f = s->last;
    ib_window *w = f ? f->w.window : &s->rest, *rest = &s->rest;
    size_t bytes = TAIL * map_floats(s->run) * sizeof *s->kept;
    if (w == rest) return ISOBATH_OK;
    if (!s->kept && !(s->kept = malloc(bytes))) return ib_fail(s->run->diag, ISOBATH_ERR_MEMORY, "out of memory for the end of a window");
    memcpy(s->kept, f->tail, bytes);
    *rest = (ib_window){.k = w->k, .release = forget};
    for (int i = TAIL_FIRST; i < TAIL_FIRST + TAIL; i++) {
        rest->pts_us[i] = w->pts_us[i];
        rest->source[i] = ib_source_frame_ref(w->source[i]);
    }
    ib_window_free(w);
    f->w.window = rest;
    f->tail = s->kept;
    return ISOBATH_OK;
}

void ib_renderer_destroy(ib_renderer *s)
{
    if (!s) return;
    ib_ordered_destroy(s->frames);
    set_last(s, NULL);
    free(s->kept);
    for (int i = 0; s->guided && i < (s->threads ? s->threads : 1); i++) ib_guided_destroy(s->guided[i]);
    free(s->guided);
    for (int i = 0; s->backends && i < s->threads; i++) ib_backend_close(s->backends[i]);
    free(s->backends);
    ib_depth_frame_pool_close(s->pool);
    pthread_cond_destroy(&s->fewer);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
