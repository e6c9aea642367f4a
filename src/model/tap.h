/* Looking at inner values: tests hang a function on the network and see what flows by. */
#ifndef IB_MODEL_TAP_H
#define IB_MODEL_TAP_H

#include "op/op.h"

/* Called with a named value of frames [first, first + value->dim[0]) of the current call; device memory, valid during
 * the call. Names: patch_embed, block%d, layer1_rn, layer4_rn, refinenet4, refinenet3, motion%d. */
typedef struct ib_tap {
    void (*fn)(void *ctx, const char *name, const ib_tensor *value, int64_t first);
    void *ctx;
} ib_tap;

static inline void ib_tap_show(const ib_tap *tap, const char *name, const ib_tensor *value, int64_t first)
{
    if (tap && tap->fn) tap->fn(tap->ctx, name, value, first);
}

#endif
