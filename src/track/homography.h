/* Per-frame homographies instead of poses: of a camera that turns, or from the picture to the ground. */
#ifndef IB_TRACK_HOMOGRAPHY_H
#define IB_TRACK_HOMOGRAPHY_H

#include "base/diag.h"
#include "track/lens.h"
#include <stddef.h>
#include <stdint.h>

/* 3x3 row by row, of pixels in OpenCV's convention (0 is the centre of the first pixel), without lens distortion. */
typedef struct ib_homography {
    int64_t frame;
    int line; /* of the file */
    double matrix[9];
} ib_homography;

typedef struct ib_homographies {
    ib_homography *of; /* as many as the file has lines, by increasing frame */
    int64_t count, room;
    int ground; /* 1: to metres on the ground; 0: to the pixels of a reference picture */
} ib_homographies;

/* Do these JSON lines hold homographies (a first object with ground_from_image or reference_from_image)? */
int ib_homographies_are(const char *text, size_t size);
/* Lines of frame and one of the two keys, the same in all lines: 9 numbers, or 3 rows of 3; not singular.
 * Errors: ISOBATH_ERR_INPUT with the line, ISOBATH_ERR_MEMORY. ib_homographies_free in any case is allowed. */
isobath_status ib_homographies_parse(const char *text, size_t size, const char *name, ib_diag *diag,
                                     ib_homographies *out);
void ib_homographies_free(ib_homographies *h);
/* Of a frame; NULL: none. */
const double *ib_homography_of(const ib_homographies *h, int64_t frame);

/* The point of the ground seen at (u,v), continuous coordinates, in pictures of width x height; 0: at or above the
 * horizon. The lower edge's middle is taken to be on the ground. */
int ib_homography_ground(const double h[9], double u, double v, int width, int height, double ground[2]);
/* The rotation that brings this camera's axes to the reference picture's (row by row), both with this lens. 0: the
 * homography is none of a camera that only turns. */
int ib_homography_rotation(const double h[9], const ib_lens *lens, double rotation[9]);

#endif
