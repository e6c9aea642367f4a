/* Sequences of ops; see graph.h. */
#include "op/graph.h"

isobath_status ib_graph_run(ib_backend *b, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx)
{
    return b->ops->graph_run ? b->ops->graph_run(b, owner, name, fn, ctx) : fn(ctx);
}

void ib_graph_forget(ib_backend *b, const void *owner)
{
    if (b->ops->graph_forget) b->ops->graph_forget(b, owner);
}
