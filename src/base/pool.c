/* A fixed pool of threads that runs index ranges; see pool.h. Indices are handed out one at a time by an atomic
 * counter, so uneven work balances itself.
 *
 * A network is a chain of short runs, so helpers that have nothing to do look for the next run for a while before they
 * sleep, and the caller looks for the end of the last helper's work: a run of awake helpers takes no system call. */
#include "base/pool.h"
#include "base/thread_name.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPEN 0x10000 /* bit of `state`: a run has work to give; below it: how many helpers are inside */
#define LOOK_MAX_NS 600000
#define YIELD_NS 20000

struct ib_pool {
    int threads;
    pthread_t *helpers;
    pthread_mutex_t caller; /* one ib_pool_run at a time */
    pthread_mutex_t lock;   /* for sleeping and waking only */
    pthread_cond_t wake, done;
    int next_id;
    ib_pool_fn fn;
    void *ctx;
    int64_t count;
    int64_t look; /* of the caller, for the end of a run */
    _Alignas(64) atomic_uint_fast64_t generation; /* counts runs; helpers wait for it to change */
    atomic_int asleep, waiting, quit;
    _Alignas(64) atomic_int state; /* only helpers inside are waited for, so a busy machine does not hold a run up */
    _Alignas(64) atomic_int_fast64_t next;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A moment's wait inside of a loop that has looked for `looked` ns: first the processor's own, then others may run. */
static void rest(int64_t looked)
{
    if (looked > YIELD_NS) sched_yield();
#if defined(__x86_64__)
    for (int i = 0; i < 4; i++) __builtin_ia32_pause();
#endif
}

/* For how long to look next time: twice the last wait when that was short, hardly at all after a long one. */
static int64_t look_next(int64_t look, int64_t waited)
{
    int64_t kept = look - look / 4;
    if (2 * waited > LOOK_MAX_NS) return look / 4;
    return 2 * waited > kept ? 2 * waited : kept;
}

static void drain(ib_pool *pool, int thread)
{
    for (;;) {
        int64_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->count) return;
        pool->fn(pool->ctx, i, thread);
    }
}

static int news(ib_pool *pool, uint64_t seen) { return atomic_load(&pool->generation) != seen || atomic_load(&pool->quit); }

/* Returns when a run has begun after run `seen`, or the pool ends. *look: for how long to look before sleeping. */
static void await_run(ib_pool *pool, uint64_t seen, int64_t *look)
{
    int64_t begin = now_ns(), waited = 0;
    do {
        for (int i = 0; i < 16; i++) {
            if (news(pool, seen)) goto done;
            rest(waited);
        }
        waited = now_ns() - begin;
    } while (waited < *look);
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->asleep, 1); /* a run that begins from here on sees it and wakes */
    while (!news(pool, seen)) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->lock);
done:
    *look = look_next(*look, now_ns() - begin);
}

/* Goes inside of the current run; 0 when it has closed. */
static int enter(ib_pool *pool)
{
    int state = atomic_load(&pool->state);
    while (state & OPEN)
        if (atomic_compare_exchange_weak(&pool->state, &state, state + 1)) return 1;
    return 0;
}

static void leave(ib_pool *pool)
{
    if (atomic_fetch_sub(&pool->state, 1) != 1 || !atomic_load(&pool->waiting)) return; /* open, or others inside, or nobody sleeps */
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void *helper_main(void *arg)
{
    ib_pool *pool = arg;
    ib_thread_name("pool");
    pthread_mutex_lock(&pool->lock);
    int id = ++pool->next_id;
    pthread_mutex_unlock(&pool->lock);
    int64_t look = 0;
    for (uint64_t seen = 0;;) {
        await_run(pool, seen, &look);
        if (atomic_load(&pool->quit)) return NULL;
        seen = atomic_load(&pool->generation);
        if (!enter(pool)) continue;
        drain(pool, id);
        leave(pool);
    }
}

isobath_status ib_pool_create(int threads, ib_diag *diag, ib_pool **out)
{
    *out = NULL;
    if (threads < 1 || threads > IB_POOL_MOST)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "%d threads: expected 1 to %d", threads, IB_POOL_MOST);
    ib_pool *pool = aligned_alloc(_Alignof(ib_pool), sizeof *pool);
    if (!pool) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a thread pool");
    memset(pool, 0, sizeof *pool);
    pool->helpers = calloc((size_t)threads, sizeof *pool->helpers);
    if (!pool->helpers) {
        free(pool);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %d threads", threads);
    }
    pool->threads = 1;
    pthread_mutex_init(&pool->caller, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&pool->helpers[i - 1], NULL, helper_main, pool) != 0) {
            ib_pool_destroy(pool);
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start thread %d of %d", i + 1, threads);
        }
        pool->threads++;
    }
    *out = pool;
    return ISOBATH_OK;
}

void ib_pool_destroy(ib_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->quit, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads - 1; i++) pthread_join(pool->helpers[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->caller);
    free(pool->helpers);
    free(pool);
}

int ib_pool_threads(const ib_pool *pool) { return pool ? pool->threads : 1; }

/* Returns when nobody is inside of the run, which is closed. */
static void await_helpers(ib_pool *pool)
{
    int64_t begin = now_ns(), waited = 0;
    for (; atomic_load(&pool->state) && waited < pool->look; waited = now_ns() - begin) rest(waited);
    if (atomic_load(&pool->state)) {
        pthread_mutex_lock(&pool->lock);
        atomic_store(&pool->waiting, 1);
        while (atomic_load(&pool->state)) pthread_cond_wait(&pool->done, &pool->lock);
        atomic_store(&pool->waiting, 0);
        pthread_mutex_unlock(&pool->lock);
    }
    pool->look = look_next(pool->look, now_ns() - begin);
}

void ib_pool_run(ib_pool *pool, int64_t count, ib_pool_fn fn, void *ctx)
{
    if (!pool || pool->threads == 1 || count <= 1) {
        if (pool) pthread_mutex_lock(&pool->caller);
        for (int64_t i = 0; i < count; i++) fn(ctx, i, 0);
        if (pool) pthread_mutex_unlock(&pool->caller);
        return;
    }
    pthread_mutex_lock(&pool->caller);
    pool->fn = fn;
    pool->ctx = ctx;
    pool->count = count;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->state, OPEN);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->asleep)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
    drain(pool, 0);
    if (atomic_fetch_sub(&pool->state, OPEN) != OPEN) await_helpers(pool);
    pthread_mutex_unlock(&pool->caller);
}

int ib_cpu_count(void)
{
    cpu_set_t set;
    int n = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        double quota, period;
        if (fscanf(f, "%lf %lf", &quota, &period) == 2 && period > 0) {
            int limit = (int)(quota / period + 0.5);
            if (limit >= 1 && limit < n) n = limit;
        }
        fclose(f);
    }
    return n < 1 ? 1 : n;
}
