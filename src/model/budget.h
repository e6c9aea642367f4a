/* How much memory of a device the networks of a process may take together. */
#ifndef IB_MODEL_BUDGET_H
#define IB_MODEL_BUDGET_H

#include <stdatomic.h>
#include <stddef.h>

typedef struct ib_budget {
    size_t limit; /* bytes; 0: none */
    atomic_size_t used;
} ib_budget;

/* 1 and counted, or 0 when it would pass the limit. NULL takes everything. Thread-safe. */
static inline int ib_budget_take(ib_budget *b, size_t bytes)
{
    if (!b || !b->limit) return 1;
    size_t used = atomic_load(&b->used);
    do {
        if (used > b->limit || bytes > b->limit - used) return 0;
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
    return 1;
}

static inline void ib_budget_give(ib_budget *b, size_t bytes)
{
    if (b && b->limit) atomic_fetch_sub(&b->used, bytes);
}

#endif
