/* 2-D tracks and depth to 3-D positions: lifting, scale, smoothing, files. */
#ifndef ISOBATH_TRACK_H
#define ISOBATH_TRACK_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A distance along the optical axis that is known: of the point (x,y), in pixels of the tracks' video, in frame `frame`
 * (from 0). */
typedef struct isobath_track_known {
    int64_t frame;
    double x, y, metres;
    double disparity, residual; /* results: what the depth says there; metres of the fit minus metres known */
    int inlier;                 /* result: 1 when the fit used it */
} isobath_track_known;

/* What to do. Fill with isobath_track_options_init; strings must live until isobath_track_run returns. */
typedef struct isobath_track_options {
    const char *depth, *tracks; /* paths */
    const char *output;         /* folder, created when missing */
    const char *name;           /* of the result files; NULL: the base name of the tracks */
    const char *formats; /* of json, csv, mot, kitti, svg, png, same, overlay, comma-separated; NULL: "json,csv,svg" */
    const char *video;   /* the tracks' video, for the overlay, which it asks for; NULL: none */
    int overwrite;
    /* tracks */
    const char *tracks_format, *columns; /* NULL: by content; see docs/TRACKS.md */
    int first_frame;                     /* number of the first frame in the tracks; -1: as the format has it */
    int64_t video_id;                    /* coco: of which video; -1: the only one */
    int video_width, video_height; /* of the video that the tracks are of; 0: as the file says, else the depth's size */
    /* camera: one of these ways; focal lengths and centre in pixels of calibration_width x calibration_height (0: the
     * tracks' video) */
    double fx, fy, cx, cy, hfov_deg; /* 0: not given (cx, cy: negative) */
    const char *camera;
    int calibration_width, calibration_height;
    const char *poses; /* JSON lines with world_from_camera, reference_from_image or ground_from_image: positions in the
                          world, in the axes of a reference picture, on the ground; NULL: in the camera's axes */
    /* scale of relative depth: 1/metres = scale * disparity + shift; at most one of the three ways; known distances and
     * the camera's height also correct metres that are off, with 1/Z for the disparity */
    int metric;              /* 1: the depth holds metres, 0: disparity, -1: as its files say */
    const char *input_scale; /* what the samples of foreign depth mean: "mm", "1/256", "unit" ... (docs/JOIN.md); NULL:
                                as the files say */
    double scale, shift;     /* scale 0: not given */
    isobath_track_known *known;
    size_t known_count;
    double camera_height_m; /* above a flat ground that all boxes stand on, 0: not given */
    double pitch_deg;       /* of the camera, downwards positive; for camera_height_m */
    /* lifting and smoothing */
    int foot;     /* 1: position of the middle of the box's lower edge, 0: of the box's centre */
    int depth_at; /* where a box's depth is taken: 0: automatic, 1: on its body, 2: on the ground at its feet */
    int smooth;   /* 1 (init) */
    int bridge;   /* longest gap in frames that is filled; init: 15 */
    double fps;   /* 0: from the depth's times */
    double accel; /* how quickly things change their velocity, units/s per square root of a second; 0: automatic */
} isobath_track_options;

#define ISOBATH_TRACK_REASONS 9

typedef struct isobath_track_summary {
    int64_t read, lifted, bridged, refused[ISOBATH_TRACK_REASONS]; /* refused: by reason, see isobath_track_reason */
    int64_t tracks, frames;                                        /* frames of the depth */
    char tracks_format[24];
    const char *unit, *coordinates; /* "metre" or "relative"; "camera" or "world". Constants */
    double scale, shift;            /* that were used; 1, 0 for metric depth */
    int64_t fitted_points, fitted_inliers;
    double fit_median_error; /* of the fit's inliers, relative; 0: no fit */
    int at_feet;             /* 1: depth was taken at the feet of the boxes */
    double lean;             /* median of disparity on the body / at the feet; 1: no box has both */
    double depth_s, lift_s;  /* seconds spent in reading depth, and in everything else */
} isobath_track_summary;

void isobath_track_options_init(isobath_track_options *options);
/* Reads, lifts, smooths and writes NAME_tracks3d.json, NAME_tracks3d.csv, NAME_mot_COORDINATES_UNIT.txt,
 * NAME_kitti_camera_UNIT.txt, NAME_top.svg, NAME_top.png, NAME_positions.json (same: the tracks' own JSON again) and
 * NAME_overlay.mp4, all of them or none that did not exist. On failure `error` (may be NULL) holds one line. Errors:
 * ISOBATH_ERR_USAGE, INPUT, EXISTS, IO, MEMORY. Thread-safe. */
isobath_status isobath_track_run(const isobath_track_options *options, isobath_track_summary *summary, char *error,
                                 size_t error_size);
/* Why detections were refused; NULL for reason 0 and beyond the last. */
const char *isobath_track_reason(int reason);

#ifdef __cplusplus
}
#endif
#endif
