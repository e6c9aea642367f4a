/* Video Depth Anything: frames of a window in, 32 raw depth maps out; features of carried frames are kept. */
#ifndef IB_MODEL_VDA_H
#define IB_MODEL_VDA_H

#include "model/budget.h"
#include "model/dpt.h"
#include "model/vit.h"

typedef struct ib_vda ib_vda;

/* Sizes and batch sizes of a run. Micro-batch and piece change memory and speed, never a bit of the result. */
typedef struct ib_vda_shape {
    int height, width;     /* network input, multiples of 14 */
    int encode_batch;      /* frames encoded together, >= 1 */
    int depth_batch;       /* frames of the head's last stages together, >= 1 */
    int64_t temporal_piece; /* pixels of a temporal module together; 0: all */
    int taps_first;         /* as the backend's (op/op.h): for plans; ib_vda_create and ib_vda_reshape set it themselves */
    int depth_slots;        /* windows whose depth may be in flight: 1, or 2 on devices (costs one more result buffer) */
    ib_budget *budget;      /* of device memory; NULL: none. Must outlive the network */
} ib_vda_shape;

/* Device memory of a network at a shape, in bytes. */
typedef struct ib_vda_memory {
    size_t weights, features, activations, total; /* total: the sum plus input and output of a window */
    double encode_flops, depth_flops;             /* per frame; depth_flops per window frame */
} ib_vda_memory;

/* Runs the network on the null backend at this shape: what it will take, exactly. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_vda_plan(const ib_vda_config *config, const ib_vda_shape *shape, ib_dtype act, ib_diag *diag,
                           ib_vda_memory *out);

/* Loads the weights of `checkpoint` (NULL with the null backend) and takes all device memory that the shape needs; no
 * allocation follows. The backend and config must outlive the object. One thread at a time.
 * Errors: ISOBATH_ERR_MODEL, ISOBATH_ERR_MEMORY, ISOBATH_ERR_DEVICE. */
isobath_status ib_vda_create(ib_backend *backend, const ib_checkpoint *checkpoint, const ib_vda_config *config,
                             const ib_vda_shape *shape, ib_diag *diag, ib_vda **out);
void ib_vda_destroy(ib_vda *vda); /* NULL allowed */
/* For another video: other sizes with the same weights, which stay. On failure the object can only be destroyed.
 * Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_DEVICE. */
isobath_status ib_vda_reshape(ib_vda *vda, const ib_vda_shape *shape);
/* For another owner: an equal config that lives longer than the one so far, and where errors go. */
void ib_vda_lend(ib_vda *vda, const ib_vda_config *config, ib_diag *diag);
/* The next smaller plan: micro-batches, then pieces, then windows in flight. 0: there is none. */
int ib_vda_shape_shrink(ib_vda_shape *shape);
/* Gives all device memory back; nothing but ib_vda_reload and ib_vda_destroy may follow. ib_vda_reload takes it again: the slots
 * hold nothing then. Errors of ib_vda_reload: as of ib_vda_create; the object stays unloaded. */
void ib_vda_unload(ib_vda *vda);
isobath_status ib_vda_reload(ib_vda *vda, const ib_checkpoint *checkpoint);
/* ib_vda_shape_shrink for the network's own shape, from the next ib_vda_reload on. */
int ib_vda_shrink(ib_vda *vda);
int ib_vda_depth_slots(const ib_vda *vda); /* how many windows' depth may be in flight */
/* Where errors go from now on. */
void ib_vda_set_diag(ib_vda *vda, ib_diag *diag);

/* The window's slots 0..31 hold the features of the frames that it reads, in order. */

/* A source frame: RGB on the host, or a decoded picture's planes, which the device makes RGB of. */
typedef struct ib_vda_frame {
    const uint8_t *rgb;          /* u8 (height,width,3), or NULL */
    const ib_yuv_planes *planes; /* or NULL */
    int height, width;
} ib_vda_frame;
/* Encodes frames of one size into slots first_slot, first_slot + 1 ... Host memory may be reused when the call returns; planes
 * on the device must stay until the depth of the window is there. */
isobath_status ib_vda_encode_frames(ib_vda *vda, const ib_vda_frame *frames, int count, int first_slot);
/* The same for RGB frames: rgb[i] is u8 (src_height,src_width,3) on the host. */
isobath_status ib_vda_encode_rgb(ib_vda *vda, const uint8_t *const *rgb, int src_height, int src_width, int count,
                                 int first_slot);
/* The same from network input, f32 (count,height,width,3) on the host. */
isobath_status ib_vda_encode_input(ib_vda *vda, const float *input, int count, int first_slot);
/* Slot `to` becomes a copy of slot `from`: the repeated last frame of a video. */
isobath_status ib_vda_copy_slot(ib_vda *vda, int from, int to);
/* Prepares the next window: slot 0 stays, 12 -> 1, 24..31 -> 2..9; slots 10..31 are to be filled. */
isobath_status ib_vda_advance(ib_vda *vda);

/* Without temporal modules only the slots encoded since the last call are computed; the rest of `depth` is left as it is.
 * Depth of the window, f32 (32,height,width), into `depth` (from ib_host_alloc, so that the copy overlaps with what
 * follows). `slot` < shape.depth_slots names the window in flight until ib_vda_depth_end(slot), which says how many values
 * of the depth, and of the features that it was made of, are not finite. */
isobath_status ib_vda_depth_begin(ib_vda *vda, int slot, float *depth);
isobath_status ib_vda_depth_end(ib_vda *vda, int slot, int64_t *nonfinite);
/* Both in one, on slot 0; any host memory. */
isobath_status ib_vda_depth(ib_vda *vda, float *depth, int64_t *nonfinite);

/* For tests: inner values of the calls that follow; NULL switches it off. */
void ib_vda_set_tap(ib_vda *vda, const ib_tap *tap);
/* The preprocessed network input of the last ib_vda_encode_rgb micro-batch is shown as tap "network_input". */

#endif
