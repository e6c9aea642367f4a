/* Depth of a detection, the scale of relative depth, and smoothing over time. Pure: no files. */
#ifndef IB_TRACK_LIFT_H
#define IB_TRACK_LIFT_H

#include "track/tracks.h"

/* Why a detection has no position. */
typedef enum ib_lift_reason {
    IB_LIFT_OK = 0,
    IB_LIFT_NO_DEPTH,  /* its frame is beyond the depth result */
    IB_LIFT_EMPTY,     /* a box without width or height */
    IB_LIFT_OUTSIDE,   /* outside the picture */
    IB_LIFT_INVALID,   /* no valid depth in it */
    IB_LIFT_HIDDEN,    /* covered by nearer boxes */
    IB_LIFT_DUPLICATE, /* its track has a detection in this frame already */
    IB_LIFT_NO_CAMERA, /* the camera file has no line for its frame */
    IB_LIFT_BEYOND,    /* the scale gives no positive distance */
    IB_LIFT_REASONS
} ib_lift_reason;

/* What depth says about one detection. Shares are of the pixels looked at. */
typedef struct ib_measure {
    ib_lift_reason reason;
    double disparity;    /* median; 1/metre for metric depth */
    double feet;         /* the same of the ground at its feet, 0: not seen */
    double spread;       /* 1.4826 * median absolute deviation / median */
    double valid_share;  /* with a depth */
    double hidden_share; /* covered by boxes whose foot is lower */
} ib_measure;

typedef struct ib_measure_setup {
    int width, height;             /* of the depth */
    int video_width, video_height; /* of the coordinates of the detections */
    int metric;                    /* 1: depth holds metres, 0: disparity */
} ib_measure_setup;

/* Measures the `count` detections from `first` on, all of one frame, in depth (H,W); invalid depth is <= 0 or not
 * finite. A mask is used whole, else the central half of the box without what nearer boxes cover, or what is left of
 * the whole box. Large areas are sampled on a grid of at most 17 x 17 pixels. Writes out[0..count). */
void ib_measure_frame(const ib_measure_setup *setup, const float *depth, const ib_tracks *tracks, size_t first,
                      size_t count, ib_measure *out);
/* Where the depth of a box is taken. */
typedef enum ib_depth_at { IB_DEPTH_AT_AUTO = 0, IB_DEPTH_AT_BODY, IB_DEPTH_AT_FEET } ib_depth_at;

typedef struct ib_feet {
    double lean;   /* median of disparity / feet; 1: no box has both */
    int64_t pairs; /* boxes that have both */
    int used;      /* 1: the measures are those of the feet now */
} ib_feet;

/* A depth map with blurred edges takes bodies for what is behind them: they lean to it, the ground at their feet does not. AUTO
 * takes the feet where that is so (at least 10 boxes, lean < 0.96), BODY and FEET do as they say. With the feet, a box has the
 * nearer of body and feet, and a box whose feet are not seen its body's disparity over the lean of its track (of all, where the
 * track has fewer than 5). `measures` by detection of `tracks`. 0: out of memory. */
int ib_measure_feet(const ib_tracks *tracks, ib_depth_at at, ib_measure *measures, ib_feet *out);
/* Median disparity of the 3x3 pixels around (u,v) in video coordinates; 0: none is valid. */
double ib_measure_point(const ib_measure_setup *setup, const float *depth, double u, double v);
/* Reorders v. n >= 1. */
double ib_median(double *v, size_t n);

/* A distance that is known: 1/metres = scale * disparity + shift. */
typedef struct ib_known {
    double disparity, metres;
    double residual; /* filled in: metres of the fit minus metres known */
    int inlier;
} ib_known;

/* Robust fit: the least median of squares over pairs of points, then least squares over its inliers. One point, or
 * points of one disparity: scale only, shift 0. Returns 0 when no positive scale fits. */
int ib_scale_fit(ib_known *known, size_t n, double *scale, double *shift);

/* One coordinate of one track over time. */
typedef struct ib_sample {
    double t_s;
    double value, variance;    /* measured; variance < 0: not measured */
    double position, velocity; /* filled in */
} ib_sample;

/* Constant-velocity Kalman filter and Rauch-Tung-Striebel smoother; q: variance of the acceleration noise per second.
 * The first sample must be measured, times increase. Measurements far from the prediction are trusted less. 0: out of
 * memory. */
int ib_smooth(ib_sample *samples, size_t n, double q, double velocity_scale);

#endif
