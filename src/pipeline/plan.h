/* The plan: which windows a video has and which frames each reads. Pure functions of frame counts and options.
 * Formulas: docs/MODEL.md, "Windows" and "Sizes". */
#ifndef IB_PIPELINE_PLAN_H
#define IB_PIPELINE_PLAN_H

#include <stdint.h>

#define IB_PLAN_WINDOW 32
#define IB_PLAN_STEP 22
#define IB_PLAN_OVERLAP 10

/* A run of frames that is aligned by itself: its own windows, its own frame 0. Windows never cross shots. */
typedef struct ib_shot {
    int64_t first, count; /* frames of the video */
} ib_shot;

/* Windows of a shot of n frames: ceil(n/22). */
int64_t ib_plan_windows(int64_t n);

/* Frames (within the shot) that window k reads into slots 0..31, clamped to n - 1. Window 0: 0..31; window k >= 1:
 * 0, 22k-10, 22k+2 .. 22k+31. n >= 1. */
void ib_plan_window_frames(int64_t k, int64_t n, int64_t frames[IB_PLAN_WINDOW]);

/* One output frame of a shot: which raw maps make it. */
typedef struct ib_plan_render {
    int64_t window; /* the window that finishes this frame */
    int slot;       /* its slot there */
    int fade;       /* 1: cross-faded with slot fade_slot of window - 1 */
    int fade_slot;
    double weight; /* of `window` in the cross-fade: 0, 1/7 ... 1 */
} ib_plan_render;

/* Output frames [first, end) of the shot that become final with window k; n < 0: the shot's end is not known yet, so the
 * last 8 slots wait for window k+1. */
void ib_plan_final_frames(int64_t k, int64_t n, int64_t *first, int64_t *end);
/* Frames [first, end) of the shot that window k brings, in slots frame - 22k: 0..31, then 22k+10..22k+31 (n < 0: no end is
 * known yet). Of a network without temporal modules these are final, each by itself. */
void ib_plan_new_frames(int64_t k, int64_t n, int64_t *first, int64_t *end);
/* How output frame i (within the shot, i < n) is made; i must be in the range of ib_plan_final_frames for some k. */
ib_plan_render ib_plan_frame(int64_t i, int64_t n);

/* Network input size for a source of width x height at input_size, multiples of 14. `temporal` (Video Depth Anything):
 * input_size is reduced for pictures longer than 1.78 : 1 as the reference does; Depth Anything V2 does not. */
void ib_plan_network_size(int width, int height, int input_size, int temporal, int *net_width, int *net_height);

#endif
