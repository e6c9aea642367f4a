/* Frames in two lanes; see lanes.h. */
#include "model/lanes.h"

#include "op/transfer.h"

isobath_status ib_lanes_run(ib_backend *be, ib_arena *arena, int64_t total, int64_t batch, int lanes, ib_lanes_fn fn, void *ctx)
{
    int halves = lanes && batch > 1 && ib_has_lanes(be);
    int64_t piece = halves ? (batch + 1) / 2 : batch;
    int parts = halves && total > piece ? IB_LANES : 1;
    size_t mark = ib_arena_mark(arena), peak = arena->peak, extent = 0;
    isobath_status status = ISOBATH_OK;
    arena->peak = mark; /* of the first call, which is as large as any */
    for (int64_t first = 0, i = 0; first < total && status == ISOBATH_OK; first += piece, i++) {
        ib_arena_release(arena, mark + (size_t)(i % parts) * extent);
        if (parts > 1) status = ib_lane(be, (int)(i % parts));
        if (status == ISOBATH_OK) status = fn(ctx, first, total - first < piece ? total - first : piece);
        if (i == 0) extent = arena->peak - mark;
    }
    if (peak > arena->peak) arena->peak = peak;
    ib_arena_release(arena, mark);
    isobath_status joined = parts > 1 ? ib_lane(be, IB_LANES_JOIN) : ISOBATH_OK;
    return status == ISOBATH_OK ? joined : status;
}
