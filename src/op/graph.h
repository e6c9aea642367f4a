/* Sequences of ops that come again and again, enqueued at once where the backend can keep them (CUDA graphs). */
#ifndef IB_OP_GRAPH_H
#define IB_OP_GRAPH_H

#include "op/op.h"

/* Calls fn(ctx), which enqueues ops without host results and does nothing else that its caller needs. The second time that
 * `owner` asks for sequence `name` the backend may record it, and from then on enqueue that instead of calling fn: so under one
 * name fn must enqueue the same ops on the same memory every time. A recording that something else in the process disturbed is
 * dropped, whatever fn returned, and fn called again; errors are those of that call. Backends that keep nothing call fn every time. */
isobath_status ib_graph_run(ib_backend *backend, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx);

/* Forgets the owner's sequences: to be called before memory that they use is freed or used otherwise. */
void ib_graph_forget(ib_backend *backend, const void *owner);

#endif
