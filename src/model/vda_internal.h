/* The inside of ib_vda, for vda.c and stream.c: both run the same encoder and head on their own bookkeeping. */
#ifndef IB_MODEL_VDA_INTERNAL_H
#define IB_MODEL_VDA_INTERNAL_H

#include "model/vda.h"
#include "model/staging.h"
#include "op/transfer.h"

struct ib_vda {
    ib_backend *backend;
    ib_diag *diag;
    const ib_vda_config *config;
    ib_vda_shape shape;
    int slots; /* frames whose features are kept: IB_WINDOW; 1 in a stream */
    ib_dpt_shape maps;
    ib_params params;
    ib_vit vit;
    ib_dpt dpt;
    ib_arena features_arena, arena; /* what lasts over windows; scratch */
    ib_dpt_features features;       /* of all slots */
    ib_tensor pos;                  /* (1 + h*w, C) on the device */
    ib_staging staging;             /* of source frames */
    ib_tensor depth[IB_FETCH_SLOTS]; /* f32 (slots,H,W) on the device */
    int fresh;                       /* the first slot encoded since the last depth: frames by themselves begin there */
    ib_tap tap;
};

/* An arena that never ends: running a call in it on the null backend finds the scratch that the call needs. */
#define IB_ENDLESS_ARENA ((size_t)1 << 42)

/* With backend, diag, config, shape and slots set: weights and positions; then, with features_arena made, what is kept of
 * `slots` frames. ib_vda_free_network frees them and both arenas, made or not. */
isobath_status ib_vda_create_network(ib_vda *vda, const ib_checkpoint *checkpoint);
isobath_status ib_vda_take_features(ib_vda *vda);
void ib_vda_free_network(ib_vda *vda);

/* input f32 (T,height,width,3) on the device into the features of slots first_slot .. first_slot + T - 1. */
isobath_status ib_vda_encode_batch(ib_vda *vda, const ib_tensor *input, int first_slot);

#endif
