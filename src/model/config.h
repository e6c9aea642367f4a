/* What a checkpoint of the family is: read off the names and shapes of its tensors. */
#ifndef IB_MODEL_CONFIG_H
#define IB_MODEL_CONFIG_H

#include "weights/checkpoint.h"

#define IB_WINDOW 32 /* frames of a window */

/* Sizes of a Video Depth Anything network, or of Depth Anything V2: the same without temporal modules. */
typedef struct ib_vda_config {
    char name[32];        /* "vits", "vitb", "vitl", "width128-depth4" for others; "v2-vits" ... without temporal modules */
    int temporal;         /* 1: Video Depth Anything; 0: Depth Anything V2, every frame by itself */
    int width;            /* C of the encoder */
    int depth;            /* blocks */
    int heads;            /* width / 64 */
    int mlp;              /* hidden size of a block's MLP, 4 * width */
    int grid;             /* side of the position embedding's square grid, 37 as published */
    int taps[4];          /* block indices whose output the head reads */
    int out_channels[4];  /* of the head's projects */
    int features;         /* of the DPT head */
    int metric;           /* 1: metres, 0: relative disparity */
    float max_depth;      /* metric Depth Anything V2: depth = max_depth * sigmoid; 0: the head ends in ReLU */
    float metre_fov_deg;  /* metric: its metres are those of a camera with this field of view along the picture's longer side
                             (metadata isobath.canonical_fov_deg); 0: of any camera */
    float metre_scale;    /* what the last layer is multiplied by; 1, unless the caller knows the camera */
    int noncommercial;    /* 1: the published weights of this size are CC-BY-NC-4.0 */
    int input_size;       /* recommended --input-size (metadata isobath.input_size), 518 when the file does not say */
    int64_t parameters;
} ib_vda_config;

/* Reads the configuration and checks that every tensor is there with the right shape, and that no other is.
 * `metric`: 1 or 0 to say so, -1 to take it from the file's metadata (isobath.kind) or name (metric_...).
 * A metric Depth Anything V2 has its largest depth in the metadata (isobath.max_depth) or its published name (hypersim: 20,
 * vkitti: 80). Errors: ISOBATH_ERR_MODEL with the tensor's name, its shape and the expected one. */
isobath_status ib_vda_config_read(const ib_checkpoint *checkpoint, int metric, ib_diag *diag, ib_vda_config *out);
/* What the names of the head's tensors begin with: "head" or "depth_head". */
const char *ib_vda_head_name(const ib_vda_config *config);

#endif
