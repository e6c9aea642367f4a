/* The temporal module: attention over the frames of a window, at each pixel by itself. */
#ifndef IB_MODEL_TEMPORAL_H
#define IB_MODEL_TEMPORAL_H

#include "model/arena.h"
#include "model/params.h"

#define IB_TEMPORAL_HEADS 8
#define IB_TEMPORAL_GROUPS 32

typedef struct ib_temporal_attn {
    ib_tensor norm_w, norm_b; /* (C) */
    ib_weight *qkv;           /* [3C,C]: to_q, to_k, to_v one after the other; no bias */
    ib_weight *out;
    ib_tensor out_b;
    ib_tensor pe; /* (32*C) f32: pos_encoder.pe */
} ib_temporal_attn;

typedef struct ib_temporal {
    int64_t channels;
    ib_tensor norm_w, norm_b; /* GroupNorm */
    ib_weight *proj_in, *proj_out;
    ib_tensor proj_in_b, proj_out_b;
    ib_temporal_attn attn[2];
    ib_tensor ff_norm_w, ff_norm_b;
    ib_weight *ff_in, *ff_out; /* GEGLU to 4C, then back */
    ib_tensor ff_in_b, ff_out_b;
} ib_temporal;

/* Reads head.motion_modules.<index>. */
isobath_status ib_temporal_create(ib_params *params, int index, int64_t channels, ib_temporal *module);

/* x act (T,P,C), T <= 32, is replaced by the module's output. Works in pieces of `piece` pixels (0: all at once), which
 * changes memory and no bit. Arena: scratch only. */
isobath_status ib_temporal_forward(const ib_temporal *module, ib_backend *backend, ib_arena *arena, const ib_tensor *x,
                                   int64_t piece);

#endif
