/* Camera files: JSON lines of frame, fx, fy, cx, cy, world_from_camera (4x4, row-major, OpenCV axes). */
#ifndef IB_SINK_CAMERA_H
#define IB_SINK_CAMERA_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

/* A frame's pinhole camera and where it stands: world_from_camera is 4x4, row by row. */
typedef struct ib_camera {
    int64_t frame;
    int line; /* of the file */
    double fx, fy, cx, cy, world_from_camera[16];
} ib_camera;

/* As many cameras as the file has lines, whatever frames they name. */
typedef struct ib_camera_track {
    ib_camera *cameras; /* by increasing frame */
    int64_t count, room;
} ib_camera_track;

/* Reads a whole file. world_from_camera may be 16 numbers or 4 rows of 4; it may be missing when `need_pose` is 0.
 * Errors: ISOBATH_ERR_INPUT with the line number, ISOBATH_ERR_MEMORY. */
isobath_status ib_camera_read(const char *path, int need_pose, ib_diag *diag, ib_camera_track *track);
/* From memory; `name` is for error lines. */
isobath_status ib_camera_parse(const char *text, size_t size, const char *name, int need_pose, ib_diag *diag,
                               ib_camera_track *track);
void ib_camera_free(ib_camera_track *track);
/* Appends a camera; the caller keeps to the order of frames. 0: no memory. */
int ib_camera_add(ib_camera_track *track, const ib_camera *camera);
/* The camera of a frame, NULL when the file has none. */
const ib_camera *ib_camera_of(const ib_camera_track *track, int64_t frame);

#endif
