/* Frames that do not see each other, computed in two lanes where the device has them (op/transfer.h): what one lane leaves idle
 * at the end of a kernel the other one uses. */
#ifndef IB_MODEL_LANES_H
#define IB_MODEL_LANES_H

#include "model/arena.h"

/* Computes frames [first, first + count); what it takes of the arena is scratch. */
typedef isobath_status (*ib_lanes_fn)(void *ctx, int64_t first, int64_t count);

/* 1 where lanes gain: models whose kernels are long. Those of narrow ones end so soon that the next one's early start, which
 * lanes do without, gains more (docs/SPEED.md). */
static inline int ib_lanes_gain(int width) { return width >= 768; }

/* Calls fn for all of [0, total), `batch` frames at a time; with `lanes`, where the device has them, half of `batch` at a time,
 * by turns in two lanes, each with a part of the arena of its own: together what one call with `batch` frames takes, give or take alignment. The
 * first error ends it. Same bytes however it is cut, as long as fn's do not depend on that. */
isobath_status ib_lanes_run(ib_backend *backend, ib_arena *arena, int64_t total, int64_t batch, int lanes, ib_lanes_fn fn,
                            void *ctx);

#endif
