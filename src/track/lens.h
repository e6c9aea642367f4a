/* The camera of a track video: intrinsics from numbers, a field of view, JSON or OpenCV YAML; pixels to rays. */
#ifndef IB_TRACK_LENS_H
#define IB_TRACK_LENS_H

#include "base/diag.h"
#include "sink/camera.h"

#define IB_LENS_TERMS 8

/* A pinhole with the lens distortion of OpenCV. Pixel centres have integer coordinates here, as in OpenCV. */
typedef struct ib_lens {
    double fx, fy, cx, cy;
    double distortion[IB_LENS_TERMS]; /* k1 k2 p1 p2 k3 k4 k5 k6 */
    int distorted;
    int width, height; /* of the pictures it was measured on, 0: not said */
} ib_lens;

/* How the user described the camera; 0 and NULL: not given. */
typedef struct ib_lens_options {
    double fx, fy, cx, cy, hfov_deg;
    int has_cx, has_cy;
    int width, height; /* --camera-size */
    const char *path;  /* JSON object, JSON lines by frame, or OpenCV YAML */
} ib_lens_options;

/* One lens for all frames, or one per frame (`frames` non-empty: JSON lines). */
typedef struct ib_lenses {
    ib_lens lens;
    ib_camera_track frames;
} ib_lenses;

/* Reads and checks the options for pictures of width x height; the lens is scaled from the size it was measured on
 * (--camera-size, or what its file says) to that size. Errors: ISOBATH_ERR_USAGE (no camera, or two),
 * ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY. */
isobath_status ib_lenses_open(const ib_lens_options *options, int width, int height, ib_diag *diag, ib_lenses *out);
void ib_lenses_free(ib_lenses *lenses);
/* Into *lens; 0 when the file has no line for the frame. */
int ib_lenses_of(const ib_lenses *lenses, int64_t frame, ib_lens *lens);

/* OpenCV or ROS YAML: camera_matrix, distortion_coefficients, image_width, image_height. Refuses fisheye models and
 * lines that it does not understand. Errors: ISOBATH_ERR_INPUT with the line. */
isobath_status ib_lens_parse_yaml(const char *text, size_t size, const char *name, ib_diag *diag, ib_lens *lens);
/* {"fx", "fy", "cx", "cy", "width"?, "height"?, "distortion"?: [k1 k2 p1 p2 ...]}. Errors: ISOBATH_ERR_INPUT. */
isobath_status ib_lens_parse_json(const char *text, size_t size, const char *name, ib_diag *diag, ib_lens *lens);

/* The ray of the point (u,v) in continuous coordinates (a pixel's centre is at +0.5): the 3-D point at Z is Z *
 * (ray[0], ray[1], 1). */
void ib_lens_ray(const ib_lens *lens, double u, double v, double ray[2]);

#endif
