/* One process of a depth program: frames to it, depth back, and a new one when it fails; see exec_internal.h. */
#include "pipeline/exec/exec_internal.h"

#include "base/thread_name.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TRIES 3 /* of one frame */

/* Its message of type ERROR. */
static isobath_status it_says(const ib_exec_header *header, const unsigned char *message, ib_diag *diag)
{
    int size = (int)(header->size < 400 ? header->size : 400);
    return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program says: %.*s", size, (const char *)message);
}

isobath_status ib_exec_introduce(ib_exec *e, int index, ib_diag *diag, ib_exec_process **out, ib_exec_hello *hello)
{
    ib_exec_process *p;
    ib_exec_header header;
    const unsigned char *message = NULL;
    char text[256];
    int n =
        snprintf(text, sizeof text, "{\"protocol\": 1, \"width\": %d, \"height\": %d, \"fps\": %.6g, \"process\": %d}",
                 e->o.width, e->o.height, e->o.fps, index);
    *out = NULL;
    IB_TRY(ib_exec_process_start(e->command, e->visible[index], diag, &p));
    ib_exec_process_send(p, IB_EXEC_HELLO, NULL, 0, text, (size_t)n);
    int64_t end = ib_now_us() + (int64_t)(e->o.start_timeout_s * 1e6);
    isobath_status st = ISOBATH_OK;
    while (st == ISOBATH_OK && !message) {
        if (ib_exec_must_stop(e))
            st = ib_fail(diag, ISOBATH_ERR_INTERRUPTED, "stopped");
        else if (ib_now_us() > end)
            st = ib_fail(diag, ISOBATH_ERR_MODEL,
                         "the depth program said nothing for %.0f s after its start (expected a hello)",
                         e->o.start_timeout_s);
        else
            st = ib_exec_process_poll(p, IB_EXEC_TICK_MS, NULL, diag, &header, &message);
    }
    if (st == ISOBATH_OK && header.type == IB_EXEC_ERROR) st = it_says(&header, message, diag);
    if (st == ISOBATH_OK) st = ib_exec_read_hello((const char *)message, (size_t)header.size, diag, hello);
    if (st != ISOBATH_OK)
        ib_exec_process_destroy(p);
    else
        *out = p;
    return st;
}

/* Gives the process its next frame when it has room for one. Blocks for one only when it has none. */
static void give(ib_exec_runner *r)
{
    ib_exec *e = r->exec;
    if (r->given_count == IB_EXEC_IN_FLIGHT || ib_exec_process_sending(r->process)) return;
    pthread_mutex_lock(&e->lock);
    while (!e->queued && !r->given_count && !ib_exec_must_stop(e) && !(e->ended && !e->open_count))
        ib_exec_wait_changed(e);
    int some = e->queued > 0 && !ib_exec_must_stop(e);
    if (some) {
        r->given[r->given_count] = e->queue[0];
        memmove(e->queue, e->queue + 1, (size_t)--e->queued * sizeof *e->queue);
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (!some) return;
    const ib_source_frame *f = r->given[r->given_count].frame;
    if (!r->given_count++) r->since_us = ib_now_us();
    ib_exec_write_frame_head(r->head, f->index, f->pts_us);
    ib_exec_process_send(r->process, IB_EXEC_FRAME, r->head, sizeof r->head, f->rgb,
                         (size_t)f->width * (size_t)f->height * 3);
}

/* The oldest given frame's depth. */
static isobath_status take(ib_exec_runner *r, const unsigned char *payload, ib_diag *diag)
{
    ib_exec *e = r->exec;
    size_t map = (size_t)e->hello.width * (size_t)e->hello.height;
    int64_t index = ib_exec_read_index(payload);
    if (!r->given_count || index != r->given[0].frame->index)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "the depth program answered with frame %lld, expected %lld (frames are answered in order)",
                       (long long)index, r->given_count ? (long long)r->given[0].frame->index : -1LL);
    ib_exec_job *j = &r->given[0];
    float *depth = j->window->base.raw + (size_t)j->slot * map;
    memcpy(depth, payload + 8, map * sizeof *depth);
    int64_t bad = 0;
    for (size_t i = 0; i < map; i++) {
        bad += !isfinite(depth[i]);
        if (depth[i] < 0) depth[i] = 0;
    }
    if (bad)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "frame %lld: %lld values of the depth program are not finite",
                       (long long)index, (long long)bad);
    ib_busy_add(&r->busy, r->since_us);
    r->since_us = ib_now_us();
    atomic_fetch_add(&r->frames, 1);
    ib_source_frame_unref(j->frame);
    pthread_mutex_lock(&e->lock);
    j->window->waiting--;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    r->given[0] = r->given[1];
    r->given_count--;
    return ISOBATH_OK;
}

/* One process until the end, or until it fails. */
static isobath_status serve(ib_exec_runner *r, ib_diag *diag)
{
    ib_exec *e = r->exec;
    while (!ib_exec_must_stop(e)) {
        ib_exec_header header;
        const unsigned char *message;
        give(r);
        if (!r->given_count && !ib_exec_process_sending(r->process)) return ISOBATH_OK; /* nothing will come any more */
        IB_TRY(ib_exec_process_poll(r->process, IB_EXEC_TICK_MS, &e->hello, diag, &header, &message));
        if (message && header.type == IB_EXEC_ERROR) return it_says(&header, message, diag);
        if (message) IB_TRY(take(r, message, diag));
        if (r->given_count && ib_now_us() - r->since_us > (int64_t)(e->o.frame_timeout_s * 1e6))
            return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program did not answer frame %lld for %.0f s",
                           (long long)r->given[0].frame->index, e->o.frame_timeout_s);
    }
    return ISOBATH_OK;
}

/* Frames of a process that failed go to the front of the queue, in order. 0 when one of them has failed too often. */
static int give_back(ib_exec_runner *r)
{
    ib_exec *e = r->exec;
    int good = 1;
    pthread_mutex_lock(&e->lock);
    memmove(e->queue + r->given_count, e->queue, (size_t)e->queued * sizeof *e->queue);
    for (int i = 0; i < r->given_count; i++) {
        e->queue[i] = r->given[i];
        if (i == 0) good = ++e->queue[i].tries < TRIES; /* the oldest is the one it failed at */
    }
    e->queued += r->given_count;
    r->given_count = 0;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return good;
}

static void tell(ib_exec *e, int index, const char *what, const char *why)
{
    char line[1024];
    snprintf(line, sizeof line, "process %d of the depth program %s: %s", index, what, why);
    if (e->o.note) e->o.note(e->o.note_ctx, line);
}

static isobath_status start_again(ib_exec_runner *r, ib_diag *diag)
{
    ib_exec_hello hello;
    IB_TRY(ib_exec_introduce(r->exec, r->index, diag, &r->process, &hello));
    const ib_exec_hello *first = &r->exec->hello;
    if (hello.width != first->width || hello.height != first->height || hello.metric != first->metric)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program says %d x %d, but %d x %d before", hello.width,
                       hello.height, first->width, first->height);
    return ISOBATH_OK;
}

void *ib_exec_runner_main(void *arg)
{
    ib_exec_runner *r = arg;
    ib_thread_name("exec");
    ib_exec *e = r->exec;
    for (;;) {
        ib_diag diag = IB_DIAG_INIT;
        isobath_status st = r->process ? ISOBATH_OK : start_again(r, &diag);
        if (st == ISOBATH_OK) st = serve(r, &diag);
        int good = st == ISOBATH_OK || give_back(r), done = st == ISOBATH_OK || ib_exec_must_stop(e);
        if (st == ISOBATH_OK && r->process && !ib_exec_must_stop(e)) {
            const unsigned char *message;
            ib_exec_header header;
            ib_exec_process_send(r->process, IB_EXEC_END, NULL, 0, NULL, 0);
            ib_exec_process_poll(r->process, IB_EXEC_TICK_MS, &e->hello, NULL, &header, &message);
        }
        if (!done || st == ISOBATH_OK) { /* a cancelled one is killed below all the same */
            ib_exec_process_destroy(r->process);
            r->process = NULL;
        }
        if (done) return NULL;
        if (!good) {
            ib_fail(e->diag, st, "%s%s: %s (tried %d times)", IB_EXEC_PREFIX, e->command, diag.text, TRIES);
            ib_exec_stop_all(e);
            return NULL;
        }
        if (atomic_fetch_add(&r->restarts, 1)) {
            tell(e, r->index, "is left out", diag.text);
            pthread_mutex_lock(&e->lock);
            int left = --e->alive;
            pthread_mutex_unlock(&e->lock);
            if (!left) {
                ib_fail(e->diag, st, "%s%s: %s (no process is left)", IB_EXEC_PREFIX, e->command, diag.text);
                ib_exec_stop_all(e);
            }
            return NULL;
        }
        tell(e, r->index, "is started anew", diag.text);
    }
}
