/* Depth against ground truth: AbsRel, RMSE, delta1 and, with cameras, the temporal alignment error (TAE). */
#ifndef ISOBATH_EVAL_H
#define ISOBATH_EVAL_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How ground truth is read and which part of it counts. Fill with isobath_eval_options_init or _preset. */
typedef struct isobath_eval_options {
    double gt_scale;  /* metres = value / gt_scale for integer files; 0: as the file says, else 1 */
    double max_depth; /* valid: 1e-3 < metres < max_depth */
    int crop[4];      /* rows crop[0]:crop[1], columns crop[2]:crop[3] as in NumPy: negative counts from the end,
                         0 as an end means the end */
    int64_t start, step, frames; /* ground-truth frames start, start + step ...; at most `frames` (0: all) */
    int metric;         /* 1: the prediction is in metres, no fit; 0: disparity, fitted; -1: as the file says */
    const char *input_scale; /* of the prediction's samples: "mm", "unit" ... (docs/JOIN.md); NULL: as the files say */
    const char *camera; /* JSON lines: frame, fx, fy, cx, cy, world_from_camera; NULL: no TAE */
} isobath_eval_options;

typedef struct isobath_eval_result {
    int64_t frames; /* that had a valid pixel */
    int64_t pixels; /* valid ones */
    double abs_rel, rmse, delta1;
    double tae;          /* percent; NaN: not asked for */
    double scale, shift; /* of the fit in disparity; 1 and 0 without one */
    int metric;          /* what was assumed of the prediction */
} isobath_eval_result;

/* Whole frames, every frame, 80 m. */
void isobath_eval_options_init(isobath_eval_options *options);
/* The reference benchmark's settings for "kitti", "nyuv2", "bonn", "scannet" or "sintel"; `is_short`: its 110-frame
 * (sintel: 100, scannet: 90 at step 3) protocol, else up to 500 frames. ISOBATH_ERR_USAGE: no such set. */
isobath_status isobath_eval_preset(const char *name, int is_short, isobath_eval_options *options);

/* Evaluates one sequence. `prediction` and `truth` are what depth readers open: PNG, EXR, npz, npy, grey video. The
 * prediction has a frame for each frame of the truth, or for each selected one. On failure `error` (may be NULL) holds
 * one line. Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_USAGE, ISOBATH_ERR_MEMORY. Thread-safe. */
isobath_status isobath_eval_sequence(const char *prediction, const char *truth, const isobath_eval_options *options,
                                     isobath_eval_result *result, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
