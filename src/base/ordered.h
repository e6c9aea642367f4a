/* Items that several threads work on side by side and that leave one by one in the order in which they came, without a point where all
 * threads wait for the slowest. */
#ifndef IB_BASE_ORDERED_H
#define IB_BASE_ORDERED_H

#include "base/diag.h"

typedef struct ib_ordered ib_ordered;

typedef struct ib_ordered_options {
    const char *name; /* of its threads */
    int threads;      /* 0: whoever pushes an item works on it */
    int ahead;        /* items in work, or done and not left yet, at most; at least 1 */
    int room;         /* items that were pushed and have not left, at most; at least 1 */
    /* On any thread, `thread` in [0, threads), or 0 of the pusher. */
    isobath_status (*work)(void *ctx, void *item, int thread);
    /* In the order of the pushes, never two at a time, on whatever thread. The item is the callee's from here on. `status` is ISOBATH_OK, or the
     * first failure in that order, which all later items get, too; ISOBATH_ERR_INTERRUPTED: of items that nobody has worked on. Returns a
     * failure of its own, or `status`. May block: others go on until `ahead` is reached. */
    isobath_status (*leave)(void *ctx, void *item, isobath_status status);
    /* Asked before each item is begun, on any thread; 1: neither it nor any later one is worked on. NULL allowed. */
    int (*stopped)(void *ctx);
    void *ctx;
    ib_diag *diag; /* of the creation */
} ib_ordered_options;

/* Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_ordered_create(const ib_ordered_options *options, ib_ordered **out);
/* Every item that was pushed leaves; waits for that, then for the threads. NULL allowed. */
void ib_ordered_destroy(ib_ordered *ordered);
/* Waits for room. The item is not the caller's any more, whatever is returned: the first failure so far. One thread. */
isobath_status ib_ordered_push(ib_ordered *ordered, void *item);
/* Waits until all items have left. Returns the first failure. The thread that pushes. */
isobath_status ib_ordered_drain(ib_ordered *ordered);

#endif
