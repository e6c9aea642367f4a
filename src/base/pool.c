/* A fixed pool of threads that runs index ranges; see pool.h. Indices are handed out one at a time by an atomic
 * counter, so uneven work balances itself. */
#include "base/pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct ib_pool {
    int threads;
    pthread_t *helpers;
    pthread_mutex_t caller; /* one ib_pool_run at a time */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    uint64_t generation; /* counts runs; helpers wait for it to change */
    int open;            /* 1: a run has work to give; a helper that wakes up later has missed it */
    int inside;          /* helpers in the current run: only those are waited for, so a busy machine does not hold it up */
    int quit;
    int next_id;
    ib_pool_fn fn;
    void *ctx;
    int64_t count;
    atomic_int_fast64_t next;
};

static void drain(ib_pool *pool, int thread)
{
    for (;;) {
        int64_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->count) return;
        pool->fn(pool->ctx, i, thread);
    }
}

static void *helper_main(void *arg)
{
    ib_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    int id = ++pool->next_id;
    uint64_t seen = 0;
    for (;;) {
        while (!pool->quit && (pool->generation == seen || !pool->open)) pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->quit) break;
        seen = pool->generation;
        pool->inside++;
        pthread_mutex_unlock(&pool->lock);
        drain(pool, id);
        pthread_mutex_lock(&pool->lock);
        if (--pool->inside == 0) pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

isobath_status ib_pool_create(int threads, ib_diag *diag, ib_pool **out)
{
    *out = NULL;
    if (threads < 1) return ib_fail(diag, ISOBATH_ERR_USAGE, "thread count %d is not positive", threads);
    ib_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a thread pool");
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
    pool->quit = 1;
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

void ib_pool_run(ib_pool *pool, int64_t count, ib_pool_fn fn, void *ctx)
{
    if (!pool || pool->threads == 1 || count <= 1) {
        if (pool) pthread_mutex_lock(&pool->caller);
        for (int64_t i = 0; i < count; i++) fn(ctx, i, 0);
        if (pool) pthread_mutex_unlock(&pool->caller);
        return;
    }
    pthread_mutex_lock(&pool->caller);
    pthread_mutex_lock(&pool->lock);
    pool->fn = fn;
    pool->ctx = ctx;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->open = 1;
    pool->generation++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    drain(pool, 0);
    pthread_mutex_lock(&pool->lock);
    pool->open = 0;
    while (pool->inside) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
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
