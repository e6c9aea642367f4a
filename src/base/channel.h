/* A channel of pointers between threads, bounded in bytes: the only way that stages of the pipeline wait for each other. */
#ifndef IB_BASE_CHANNEL_H
#define IB_BASE_CHANNEL_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ib_channel ib_channel;

/* Holds items of at most `bytes` in sum (one item always fits). `diag` outlives it. ISOBATH_ERR_MEMORY. */
isobath_status ib_channel_create(size_t bytes, ib_diag *diag, ib_channel **out);
/* No thread may be inside; items still queued are handed to `drop` (NULL allowed). */
void ib_channel_destroy(ib_channel *channel, void (*drop)(void *item));

/* Blocks while full. Returns 1 when the item was taken, 0 when the channel was stopped (the caller keeps the item), which it
 * also is when memory is out; the diag says so then. */
int ib_channel_push(ib_channel *channel, void *item, size_t bytes);
/* Blocks while empty. Returns the item, or NULL at the end (closed and drained, or stopped). */
void *ib_channel_pop(ib_channel *channel);
/* The producer is done: consumers drain what is queued, then get NULL. */
void ib_channel_close(ib_channel *channel);
/* Everyone returns at once: an error or a cancel. */
void ib_channel_stop(ib_channel *channel);
int ib_channel_stopped(ib_channel *channel);

#endif
