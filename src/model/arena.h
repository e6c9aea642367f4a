/* A bump arena over one device buffer: activations of the model live here. With the null backend it measures. */
#ifndef IB_MODEL_ARENA_H
#define IB_MODEL_ARENA_H

#include "model/budget.h"
#include "op/op.h"

/* One thread at a time. Allocations are 256-byte aligned and freed by going back to a mark. */
typedef struct ib_arena {
    ib_backend *backend;
    char *base;
    size_t size, used, peak;
    ib_budget *budget;
} ib_arena;

/* Device memory within a budget (NULL: none). ISOBATH_ERR_MEMORY when the device or the budget has not that much. */
isobath_status ib_device_alloc(ib_backend *backend, ib_budget *budget, size_t bytes, void **out);
void ib_device_free(ib_backend *backend, ib_budget *budget, void *buffer, size_t bytes); /* NULL allowed */

/* Takes `bytes` by ib_device_alloc. */
isobath_status ib_arena_init(ib_arena *arena, ib_backend *backend, size_t bytes, ib_budget *budget);
void ib_arena_free(ib_arena *arena);

/* Contiguous tensors. ISOBATH_ERR_MEMORY when the arena is too small (a wrong plan: a bug). */
isobath_status ib_arena_3d(ib_arena *arena, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2, ib_tensor *out);
isobath_status ib_arena_4d(ib_arena *arena, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2, int64_t d3,
                           ib_tensor *out);

static inline size_t ib_arena_mark(const ib_arena *arena) { return arena->used; }
static inline void ib_arena_release(ib_arena *arena, size_t mark) { arena->used = mark; }

#endif
