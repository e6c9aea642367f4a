/* Frames of the source into windows and into the queue of a depth program's processes; see exec_internal.h. */
#include "pipeline/exec/exec_internal.h"

#include <stdlib.h>

static void release_window(ib_window *window)
{
    free(window->raw);
    free(window);
}

static ib_exec_window *new_window(ib_exec *e, int64_t shot, int64_t shot_first, int64_t k)
{
    ib_exec_window *w = calloc(1, sizeof *w);
    if (w)
        w->base.raw = calloc((size_t)IB_PLAN_WINDOW * (size_t)e->hello.width * (size_t)e->hello.height, sizeof(float));
    if (!w || !w->base.raw) {
        free(w);
        ib_fail(e->diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
        return NULL;
    }
    w->base.shot = shot;
    w->base.shot_first = shot_first;
    w->base.k = k;
    w->base.frames_total = -1;
    w->base.release = release_window;
    return w;
}

/* Waits for room, then makes the window one of the open ones. */
static int add_window(ib_exec *e, ib_exec_window *w)
{
    pthread_mutex_lock(&e->lock);
    while (e->open_count == IB_EXEC_OPEN_WINDOWS && !ib_exec_must_stop(e)) ib_exec_wait_changed(e);
    int good = !ib_exec_must_stop(e);
    if (good) e->open[e->open_count++] = w;
    pthread_mutex_unlock(&e->lock);
    if (!good) release_window(&w->base);
    return good;
}

static int add_job(ib_exec *e, ib_exec_window *w, int slot, ib_source_frame *f)
{
    pthread_mutex_lock(&e->lock);
    while (e->queued >= e->o.processes && !ib_exec_must_stop(e)) ib_exec_wait_changed(e);
    int good = !ib_exec_must_stop(e);
    if (good) {
        w->base.pts_us[slot] = f->pts_us;
        if (e->wants_rgb) w->base.source[slot] = ib_source_frame_ref(f);
        w->waiting++;
        e->queue[e->queued++] = (ib_exec_job){f, w, slot, 0};
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (!good) ib_source_frame_unref(f);
    return good;
}

/* Where the feeder is. */
typedef struct place {
    int64_t shot, shot_first, n; /* n: frames of the shot so far */
    int64_t k, windows;          /* of the window that is open or next; how many there were */
    ib_exec_window *window;      /* NULL: none is open */
} place;

/* 0: there is to be none any more. */
static int open_window(ib_exec *e, place *p)
{
    if (e->range.limit && p->windows == e->range.limit) return 0;
    p->window = new_window(e, p->shot, p->shot_first, p->k);
    if (p->window && !add_window(e, p->window)) p->window = NULL;
    p->windows += p->window != NULL;
    return p->window != NULL;
}

static void close_window(ib_exec *e, place *p, int64_t frames_total)
{
    if (!p->window) return;
    pthread_mutex_lock(&e->lock);
    p->window->base.frames_total = frames_total;
    p->window->closed = 1;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    p->window = NULL;
    p->k++;
}

/* As of every model: the last window may have no new frames. */
static void end_shot(ib_exec *e, place *p)
{
    close_window(e, p, p->n);
    if (p->k < ib_plan_windows(p->n) && open_window(e, p)) close_window(e, p, p->n);
}

/* 0: no more frames are wanted. Takes the frame. */
static int take_frame(ib_exec *e, place *p, ib_source_frame *f)
{
    int64_t first, end;
    if (f->starts_shot && f->index > p->shot_first) {
        end_shot(e, p);
        *p = (place){.shot = p->shot + 1, .shot_first = f->index, .windows = p->windows};
    }
    ib_plan_new_frames(p->k, -1, &first, &end);
    p->n = f->index - p->shot_first + 1;
    int wanted = p->n > first;
    if (!wanted || (!p->window && !open_window(e, p))) {
        ib_source_frame_unref(f);
        return !wanted;
    }
    if (!add_job(e, p->window, (int)(p->n - 1 - IB_PLAN_STEP * p->k), f)) return 0;
    if (p->n == end) close_window(e, p, -1);
    return 1;
}

void *ib_exec_feeder_main(void *arg)
{
    ib_exec *e = arg;
    place p = {.shot = e->range.shot, .shot_first = e->range.shot_first, .k = e->range.k};
    for (ib_source_frame *f; (f = ib_source_next(e->source)) && take_frame(e, &p, f);) {
    }
    end_shot(e, &p);
    pthread_mutex_lock(&e->lock);
    e->ended = 1;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (ib_diag_status(e->diag) != ISOBATH_OK) ib_exec_stop_all(e);
    return NULL;
}
