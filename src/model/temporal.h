/* The temporal module: attention over the frames of a window, at each pixel by itself. */
#ifndef IB_MODEL_TEMPORAL_H
#define IB_MODEL_TEMPORAL_H

#include "model/arena.h"
#include "model/pair.h"

#define IB_TEMPORAL_HEADS 8
#define IB_TEMPORAL_GROUPS 32

typedef struct ib_temporal_attn {
    ib_tensor norm_w, norm_b; /* (C) */
    ib_pair qkv;              /* [3C,C]: to_q, to_k, to_v one after the other; no bias */
    ib_pair out;
    ib_tensor out_b;
    ib_tensor pe; /* (32*C) f32: pos_encoder.pe */
} ib_temporal_attn;

typedef struct ib_temporal {
    int64_t channels;
    ib_tensor norm_w, norm_b; /* GroupNorm */
    ib_pair proj_in, proj_out;
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

/* Streaming: one new frame against frames of the past, of which the keys and values before positions are kept. Since
 * q, k and v have no bias, W (n + pos) = W n + W pos: W n is computed once per frame and W pos once per model. */
typedef struct ib_temporal_past {
    ib_tensor kv[2];    /* act (slots,P,2C), any stride of slots: k | v of each attention */
    ib_tensor pos[2];   /* f32 (32,3C): q | k | v of each position alone, by ib_temporal_positions */
    const int *context; /* slots that are seen, at positions 0 .. count - 1 */
    int count;          /* 0 to 31; the new frame has position `count` */
    int slot;           /* where the new frame's k | v go; not in context */
} ib_temporal_past;

/* Fills pos f32 (32,3C) of attention i. Arena: scratch only. */
isobath_status ib_temporal_positions(const ib_temporal *module, ib_backend *backend, ib_arena *arena, int i, const ib_tensor *pos);

/* x act (1,P,C), the new frame, is replaced by the module's output. Piece and arena as in ib_temporal_forward. */
isobath_status ib_temporal_stream(const ib_temporal *module, ib_backend *backend, ib_arena *arena, const ib_tensor *x,
                                  int64_t piece, const ib_temporal_past *past);

#endif
