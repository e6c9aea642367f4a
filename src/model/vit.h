/* The encoder: DINOv2's vision transformer with patch 14, four blocks of which are read by the head. */
#ifndef IB_MODEL_VIT_H
#define IB_MODEL_VIT_H

#include "model/arena.h"
#include "model/params.h"
#include "model/tap.h"

typedef struct ib_vit_block {
    ib_tensor norm1_w, norm1_b, norm2_w, norm2_b; /* (C) */
    ib_weight *qkv, *proj, *fc1, *fc2;            /* proj and fc2 have LayerScale folded in */
    ib_tensor qkv_b, proj_b, fc1_b, fc2_b;
} ib_vit_block;

typedef struct ib_vit {
    const ib_vda_config *config;
    ib_weight *patch;           /* (C,588) in patchify's (ky,kx,c) order */
    ib_tensor patch_b, cls;     /* (C) */
    ib_tensor norm_w, norm_b;   /* the final LayerNorm, applied to every tap */
    ib_vit_block *blocks;       /* [depth] */
    float *pos_grid;            /* host: (1 + grid*grid, C) as stored; NULL on the null backend */
} ib_vit;

isobath_status ib_vit_create(ib_params *params, const ib_vda_config *config, ib_vit *vit);
void ib_vit_free(ib_vit *vit); /* what params does not own */

/* Position embedding for h x w patches: (1 + h*w, C) f32 into dst. Bicubic, a = -0.75, half-pixel centres, no antialias,
 * indices clamped, scale factor (n + 0.1)/grid per axis, as the reference asks of torch; copied as it is when the
 * patch count equals the grid's and the image is square. `grid_pos` has (1 + grid*grid, C). */
void ib_vit_positions(const float *grid_pos, int grid, int width, int h, int w, float *dst);

/* Encodes `frames` f32 (T,14h,14w,3): for each of the four taps i, tap_tokens[i] act (T,h*w,C) is written: block output
 * through the final LayerNorm, class token dropped. `pos` from ib_vit_positions on the device. Arena: scratch only. */
isobath_status ib_vit_encode(const ib_vit *vit, ib_backend *backend, ib_arena *arena, const ib_tensor *frames,
                             const ib_tensor *pos, ib_tensor tap_tokens[4], const ib_tap *tap, int64_t first);

#endif
