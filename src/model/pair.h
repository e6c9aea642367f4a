/* Products of few inputs in the half types: their weights are kept as a sum of two, W = w + rest, and the rest is multiplied
 * first. A product of IB_PAIR_INPUTS inputs at most fills half of a matrix instruction's tile or less and waits for memory
 * anyway, and few weights decide much there: docs/MODEL.md has what it gains. */
#ifndef IB_MODEL_PAIR_H
#define IB_MODEL_PAIR_H

#include "model/params.h"

#define IB_PAIR_INPUTS 32

/* Owned by the ib_params that made it. */
typedef struct ib_pair {
    ib_weight *w, *rest; /* LINEAR [M,K]; rest NULL: w is all there is */
} ib_pair;

/* From host data [M,K] (NULL on the null backend), and from tensor prefix+name. */
isobath_status ib_pair_pack(ib_params *params, const float *data, int64_t M, int64_t K, ib_pair *out);
isobath_status ib_pair_read(ib_params *params, const char *name, int64_t M, int64_t K, ib_pair *out);

/* ib_linear with `pair` for args->w (no activation). A residual must be f32: one of a half type would be rounded twice. */
isobath_status ib_pair_linear(ib_backend *backend, const ib_pair *pair, const ib_linear_args *args);

#endif
