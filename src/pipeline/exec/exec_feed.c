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

static void close_window(ib_exec *e, ib_exec_window *w, int64_t frames_total)
{
    if (!w) return;
    pthread_mutex_lock(&e->lock);
    w->base.frames_total = frames_total;
    w->closed = 1;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

void *ib_exec_feeder_main(void *arg)
{
    ib_exec *e = arg;
    ib_exec_window *w = NULL;
    int64_t shot = e->range.shot, shot_first = e->range.shot_first, k = e->range.k;
    int64_t n, first, end; /* n: frames of the shot so far */
    ib_plan_new_frames(k, -1, &n, &end);
    int64_t begin = shot_first + n;
    for (ib_source_frame *f; (f = ib_source_next(e->source));) {
        if (f->index < begin) {
            ib_source_frame_unref(f);
            continue;
        }
        if (f->starts_shot && n) {
            close_window(e, w, n);
            w = NULL;
            shot++;
            shot_first += n;
            n = k = 0;
        }
        ib_plan_new_frames(k, -1, &first, &end);
        if (!w && (!(w = new_window(e, shot, shot_first, k)) || !add_window(e, w))) {
            ib_source_frame_unref(f);
            w = NULL;
            break;
        }
        if (!add_job(e, w, (int)(n - IB_PLAN_STEP * k), f)) break;
        if (++n == end) {
            close_window(e, w, -1);
            w = NULL;
            k++;
        }
    }
    close_window(e, w, n);
    pthread_mutex_lock(&e->lock);
    e->ended = 1;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (ib_diag_status(e->diag) != ISOBATH_OK) ib_exec_stop_all(e);
    return NULL;
}
