/* Positions over time, and the files that hold them. */
#ifndef IB_TRACK_RESULT_H
#define IB_TRACK_RESULT_H

#include "sink/camera.h"
#include "track/lift.h"
#include <isobath/track.h>

/* One position. Rows are sorted by frame, bridged ones last, then by track. */
typedef struct ib_row {
    int64_t frame, id, order; /* order: of the detection, as read; -1: none, in a gap */
    double box[4], confidence;
    int class_index;
    int has_position, bridged, has_speed;
    ib_measure measure;            /* of bridged rows: zeros */
    double camera[3], position[3]; /* in the camera's axes; as the result says (the same without poses) */
    double velocity[3], distance;  /* distance: from the camera */
    double focal_px[2];            /* of the frame, for sizes */
} ib_row;

typedef struct ib_result {
    ib_row *rows;
    size_t count, capacity;
    const ib_tracks *tracks;
    const isobath_track_options *options;
    isobath_track_summary *summary;
    int world, metric; /* coordinates and unit */
    int ground, turns; /* of homographies: positions on the ground (x and z, y 0); poses that only turn */
    int video_width, video_height;
    double fps;                   /* 0: unknown, no speeds */
    const ib_camera_track *poses; /* world: where the camera was */
} ib_result;

/* 0: out of memory */
int ib_result_add(ib_result *result, const ib_row *row);
/* Bridges gaps, smooths and sets velocities, per track; sorts. ISOBATH_ERR_MEMORY. */
isobath_status ib_result_smooth(ib_result *result, ib_diag *diag);
void ib_result_sort(ib_result *result);

/* A JSON format of tracks again, with unit, coordinates, position, distance, velocity or refused in each detection: the
 * file or folder `from` becomes `to`. Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_result_write_back(const ib_result *result, const char *from, const char *to, ib_diag *diag);

/* Each returns fresh text that the caller frees, NULL: out of memory. */
char *ib_result_json(const ib_result *result);
char *ib_result_csv(const ib_result *result);
char *ib_result_mot(const ib_result *result);
char *ib_result_kitti(const ib_result *result);
char *ib_result_svg(const ib_result *result);
char *ib_result_png(const ib_result *result, size_t *size); /* the same plot as a picture: a PNG file */

#endif
