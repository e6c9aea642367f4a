/* The head: DPT with temporal modules, in two halves. The first sees one frame at a time and fills the features of a
 * frame; the second turns the features of a window's 32 frames into 32 depth maps. */
#ifndef IB_MODEL_DPT_H
#define IB_MODEL_DPT_H

#include "model/tap.h"
#include "model/temporal.h"

/* Residual conv unit: conv2(relu(conv1(relu(x)))) + x. */
typedef struct ib_rcu {
    ib_weight *conv1, *conv2;
    ib_tensor conv1_b, conv2_b;
} ib_rcu;

typedef struct ib_refinenet {
    ib_rcu rcu1, rcu2; /* rcu1 is absent in refinenet4: it has no skip */
    ib_pair out;       /* out_conv, 1x1 */
    ib_tensor out_b;
} ib_refinenet;

typedef struct ib_dpt {
    const ib_vda_config *config;
    ib_weight *project[4], *resize[4]; /* resize[2] is the identity: NULL */
    ib_tensor project_b[4], resize_b[4];
    ib_weight *layer_rn[4];
    ib_refinenet refine[4]; /* refine[i] is refinenet(i+1) */
    ib_weight *output1, *output2;
    ib_tensor output1_b, output2_b; /* output2_b: 32 biases of the 3x3, then the 1x1's */
    /* Where the backend wants taps first, in the place of both: refinenet1's out_conv and output_conv1 as one LINEAR [9 F/2, F];
     * resize_layers[i] and layer(i+1)_rn as one [(k+2)^2 F, oc], i = 0 and 1. */
    ib_weight *taps, *overlap[2];
    ib_tensor taps_b, overlap_b[2];
    ib_temporal motion[4];
} ib_dpt;

/* Sizes of the maps for h x w patches: level 0..3 is 4h, 2h, h, ceil(h/2) high; the output is 14h. */
typedef struct ib_dpt_shape {
    int64_t h[4], w[4], out_h, out_w;
} ib_dpt_shape;
ib_dpt_shape ib_dpt_shape_for(int64_t patch_rows, int64_t patch_columns);

/* What the head keeps of T frames: everything that sees one frame at a time. */
typedef struct ib_dpt_features {
    ib_tensor skip[2];  /* act (T,4h,4w,F), (T,2h,2w,F): RCU1(layerK_rn(...)) of refinenet1 and 2 */
    ib_tensor layer[2]; /* act (T,h,w,oc2), (T,h/2,w/2,oc3): layers 3 and 4 before their temporal modules */
} ib_dpt_features;

isobath_status ib_dpt_create(ib_params *params, const ib_vda_config *config, ib_dpt *dpt);

/* First half: tap_tokens[i] act (T,h*w,C) of T frames into features of T frames (views of a larger cache allowed). */
isobath_status ib_dpt_features_forward(const ib_dpt *dpt, ib_backend *backend, ib_arena *arena,
                                       const ib_tensor tap_tokens[4], const ib_dpt_shape *shape,
                                       const ib_dpt_features *out, const ib_tap *tap, int64_t first);

/* Second half: depth f32 (T,14h,14w) from the features of T frames. The last stages run in micro-batches of
 * `micro_batch` frames, the temporal modules in pieces of `piece` pixels: memory, no bits. */
isobath_status ib_dpt_depth_forward(const ib_dpt *dpt, ib_backend *backend, ib_arena *arena,
                                    const ib_dpt_features *features, const ib_dpt_shape *shape, int64_t micro_batch,
                                    int64_t piece, const ib_tensor *depth, const ib_tap *tap);

/* The same for one new frame of a stream, T = 1: past[i] is what temporal module i sees and where it leaves its own. */
isobath_status ib_dpt_stream_forward(const ib_dpt *dpt, ib_backend *backend, ib_arena *arena,
                                     const ib_dpt_features *features, const ib_dpt_shape *shape, int64_t piece,
                                     const ib_temporal_past past[4], const ib_tensor *depth, const ib_tap *tap);

#endif
