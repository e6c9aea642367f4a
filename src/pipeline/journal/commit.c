/* Group commits; see commit.h. */
#include "pipeline/journal/commit.h"

#include "base/clock.h"
#include "base/thread_name.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONGEST_US 1000000
#define SHARE 20       /* a commit may take this part of the time */
#define MOST_FRAMES 4096 /* of a record */

struct ib_commit {
    ib_commit_options o;
    pthread_t thread;
    int started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wanted, quit;
    isobath_status status;
    ib_frame_record *pending; /* frames [committed, committed + count) */
    int64_t committed, count, capacity;
};

/* Frames that every format has made durable. */
static isobath_status flush_all(ib_commit *c, int64_t *frames)
{
    for (int i = 0; i < c->o.count; i++) IB_TRY(c->o.formats[i]->flush(c->o.sinks[i], frames));
    return ISOBATH_OK;
}

static isobath_status write_record(ib_commit *c, int64_t first, int64_t count, const ib_frame_record *frames)
{
    int bytes[IB_JOURNAL_SINKS];
    uint8_t *state[IB_JOURNAL_SINKS] = {NULL};
    isobath_status st = ISOBATH_OK;
    for (int i = 0; i < c->o.count; i++) {
        bytes[i] = c->o.formats[i]->state_bytes(c->o.config);
        state[i] = malloc((size_t)count * (size_t)bytes[i] + 1);
        if (!state[i]) st = ib_fail(c->o.diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
        if (st == ISOBATH_OK) c->o.formats[i]->save(c->o.sinks[i], first, first + count, state[i]);
    }
    if (st == ISOBATH_OK) st = ib_journal_frames(c->o.journal, first, count, frames, c->o.count, bytes, state);
    for (int i = 0; i < c->o.count; i++) free(state[i]);
    return st;
}

/* One commit, of at most `limit` frames in all; *done counts them. `whole`: the end need not be one where a resume may begin. */
static isobath_status commit_once(ib_commit *c, int64_t limit, int whole)
{
    int64_t frames = limit, first = c->committed;
    IB_TRY(flush_all(c, &frames));
    for (int i = 0; i < c->o.count && !(whole && frames == limit); i++) frames -= frames % c->o.formats[i]->granularity;
    while (first < frames) {
        int64_t n = frames - first < MOST_FRAMES ? frames - first : MOST_FRAMES;
        ib_frame_record *copy = malloc((size_t)n * sizeof *copy);
        if (!copy) return ib_fail(c->o.diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
        pthread_mutex_lock(&c->lock);
        memcpy(copy, c->pending, (size_t)n * sizeof *copy);
        pthread_mutex_unlock(&c->lock);
        isobath_status st = write_record(c, first, n, copy);
        free(copy);
        IB_TRY(st);
        first += n;
        pthread_mutex_lock(&c->lock);
        c->committed = first;
        c->count -= n;
        memmove(c->pending, c->pending + n, (size_t)c->count * sizeof *c->pending);
        pthread_mutex_unlock(&c->lock);
    }
    return ib_journal_sync(c->o.journal);
}

/* Waits with the lock until `us` from now or quit. */
static void wait_us(ib_commit *c, int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += us / 1000000;
    until.tv_nsec += us % 1000000 * 1000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while (!c->quit && pthread_cond_timedwait(&c->changed, &c->lock, &until) != ETIMEDOUT) {
    }
}

static void *commit_main(void *arg)
{
    ib_commit *c = arg;
    ib_thread_name("commit");
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->wanted && !c->quit) pthread_cond_wait(&c->changed, &c->lock);
        if (c->quit) break;
        c->wanted = 0;
        int64_t limit = c->committed + c->count;
        pthread_mutex_unlock(&c->lock);
        int64_t start = ib_now_us();
        isobath_status st = commit_once(c, limit, 0);
        int64_t rest = (ib_now_us() - start) * (SHARE - 1);
        pthread_mutex_lock(&c->lock);
        if (st != ISOBATH_OK) c->status = st;
        if (st != ISOBATH_OK) break;
        wait_us(c, rest < LONGEST_US ? rest : LONGEST_US);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

isobath_status ib_commit_start(const ib_commit_options *options, ib_commit **out)
{
    *out = NULL;
    ib_commit *c = calloc(1, sizeof *c);
    if (!c) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
    c->o = *options;
    c->committed = options->first;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (pthread_create(&c->thread, NULL, commit_main, c) != 0) {
        ib_commit_destroy(c);
        return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "could not start the journal's thread");
    }
    c->started = 1;
    *out = c;
    return ISOBATH_OK;
}

isobath_status ib_commit_frame(ib_commit *c, const ib_frame_record *frame)
{
    pthread_mutex_lock(&c->lock);
    isobath_status st = c->status;
    if (st == ISOBATH_OK && c->count == c->capacity) {
        int64_t capacity = c->capacity ? 2 * c->capacity : 1024;
        ib_frame_record *grown = realloc(c->pending, (size_t)capacity * sizeof *grown);
        if (grown) {
            c->pending = grown;
            c->capacity = capacity;
        } else
            st = ib_fail(c->o.diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
    }
    if (st == ISOBATH_OK) c->pending[c->count++] = *frame;
    pthread_mutex_unlock(&c->lock);
    return st;
}

void ib_commit_kick(ib_commit *c)
{
    pthread_mutex_lock(&c->lock);
    c->wanted = 1;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

int64_t ib_commit_frames(ib_commit *c)
{
    pthread_mutex_lock(&c->lock);
    int64_t frames = c->committed;
    pthread_mutex_unlock(&c->lock);
    return frames;
}

static void stop(ib_commit *c)
{
    if (!c->started) return;
    pthread_mutex_lock(&c->lock);
    c->quit = 1;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    c->started = 0;
}

isobath_status ib_commit_finish(ib_commit *c, int end)
{
    stop(c);
    IB_TRY(c->status);
    int64_t all = c->committed + c->count;
    IB_TRY(commit_once(c, all, end));
    if (!end) return ISOBATH_OK;
    if (c->committed != all)
        return ib_fail(c->o.diag, ISOBATH_ERR_INTERNAL, "%lld of %lld frames were not written", (long long)(all - c->committed),
                       (long long)all);
    IB_TRY(ib_journal_end(c->o.journal, all));
    return ib_journal_sync(c->o.journal);
}

void ib_commit_destroy(ib_commit *c)
{
    if (!c) return;
    stop(c);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c->pending);
    free(c);
}
