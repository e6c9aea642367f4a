/* One network on one device at one size, run on given frames: what doctor and bench measure. */
#ifndef IB_PIPELINE_REPORT_TRIAL_H
#define IB_PIPELINE_REPORT_TRIAL_H

#include "backend/backend.h"
#include "model/vda.h"
#include "pipeline/plan.h"

/* The 32 frames of a window: rgb[i] is u8 (height,width,3). */
typedef struct ib_trial_frames {
    const uint8_t *rgb[IB_PLAN_WINDOW];
    int width, height;
} ib_trial_frames;

typedef struct ib_trial {
    ib_backend *backend;
    ib_vda *vda;
    ib_vda_shape shape;
    ib_vda_memory memory;
    int64_t nonfinite; /* in all windows so far */
} ib_trial;

/* Opens `device` (a CUDA ordinal or IB_DEVICE_CPU of setup.h) and loads the network for a source of the frames' size at
 * input_size. Errors: DEVICE, UNSUPPORTED, MEMORY, MODEL; on failure there is nothing to close. */
isobath_status ib_trial_open(const ib_checkpoint *checkpoint, const ib_vda_config *config, int device, ib_dtype act,
                             ib_pool *pool, const ib_trial_frames *frames, int input_size, ib_diag *diag, ib_trial *out);
void ib_trial_close(ib_trial *trial);

/* Work of a whole window at a size, and of one output frame of a long video. */
isobath_status ib_trial_flops(const ib_vda_config *config, const ib_trial_frames *frames, int input_size, ib_diag *diag,
                              double *window_flops, double *frame_flops);

/* The first window: encodes all 32 frames; depth f32 (32,shape.height,shape.width). `seconds`: what it took. */
isobath_status ib_trial_first(ib_trial *trial, const ib_trial_frames *frames, float *depth, double *seconds);
/* Windows of 22 new frames, as in the middle of a video, until `budget_s` is over (at least one, at most `most`). */
isobath_status ib_trial_rate(ib_trial *trial, const ib_trial_frames *frames, float *depth, double budget_s, int most,
                             double *frames_per_s);

#endif
