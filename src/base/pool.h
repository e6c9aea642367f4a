/* A fixed pool of threads that runs index ranges: the only threading primitive that kernels use. */
#ifndef IB_BASE_POOL_H
#define IB_BASE_POOL_H

#include "base/diag.h"
#include <stdint.h>

#define IB_POOL_MOST 1024 /* threads that anybody may ask for */

typedef struct ib_pool ib_pool;

/* Called once per index i in [0, count), on any thread, in any order. `thread` is in [0, ib_pool_threads()) and names
 * the slot of per-thread scratch memory that the call may use. */
typedef void (*ib_pool_fn)(void *ctx, int64_t i, int thread);

/* Starts `threads` - 1 helpers (the caller of ib_pool_run is the last one). threads: 1 to IB_POOL_MOST.
 * Errors: ISOBATH_ERR_USAGE, ISOBATH_ERR_MEMORY (also when a thread does not start). */
isobath_status ib_pool_create(int threads, ib_diag *diag, ib_pool **out);
/* Waits for the helpers and frees; NULL is allowed. No ib_pool_run may be in flight. */
void ib_pool_destroy(ib_pool *pool);
int ib_pool_threads(const ib_pool *pool);

/* Runs fn for every index and returns when all are done. Results must not depend on which thread ran what.
 * One caller at a time (a second one waits). With pool == NULL everything runs on the calling thread as thread 0. */
void ib_pool_run(ib_pool *pool, int64_t count, ib_pool_fn fn, void *ctx);

/* Number of CPUs this process may run on (affinity and cgroup quota obeyed), at least 1. */
int ib_cpu_count(void);

#endif
