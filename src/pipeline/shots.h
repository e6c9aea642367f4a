/* Where shots begin: a detector of hard cuts over small thumbnails, and lists of cuts from a file. Knows no threads. */
#ifndef IB_PIPELINE_SHOTS_H
#define IB_PIPELINE_SHOTS_H

#include "base/diag.h"
#include "base/yuv_pixel.h"
#include <stdint.h>

#define IB_THUMB_W 32
#define IB_THUMB_H 18
#define IB_CUT_LOOKAHEAD 4 /* frames after a frame that the decision about it waits for */

/* What the detector remembers of a frame. */
typedef struct ib_thumb {
    float luma[IB_THUMB_H][IB_THUMB_W]; /* box means, 0..255 */
} ib_thumb;

/* rgb u8 (height,width,3), any size. */
void ib_thumb_make(const uint8_t *rgb, int width, int height, ib_thumb *out);
/* The same values from planes in host memory. */
void ib_thumb_make_planes(const ib_yuv_planes *planes, ib_thumb *out);

/* 1 - the best normalised cross-correlation over shifts of up to 4 x 3 boxes: 0 same picture (brightness, contrast and
 * camera motion aside), about 1 unrelated. Two flat pictures give 0, a flat and a structured one 1. */
float ib_thumb_distance(const ib_thumb *a, const ib_thumb *b);

/* A stream of thumbnails; decisions come out IB_CUT_LOOKAHEAD frames later. One thread at a time. */
typedef struct ib_cut_detector {
    ib_thumb thumbs[2 * IB_CUT_LOOKAHEAD + 1]; /* ring of the last frames */
    float distance[2 * IB_CUT_LOOKAHEAD + 1];  /* of frame i to frame i - 1 */
    int64_t count;                             /* frames pushed */
    int64_t last_cut;                          /* -1: none */
} ib_cut_detector;

void ib_cut_detector_init(ib_cut_detector *detector);
void ib_cut_detector_push(ib_cut_detector *detector, const ib_thumb *thumb);
/* Is frame i the first of a shot? i must be within the last IB_CUT_LOOKAHEAD + 1 frames pushed, asked once, in order; after
 * the last frame fewer frames of look-ahead are there. Rule in docs/MODEL.md, "Shots". */
int ib_cut_detector_is_cut(ib_cut_detector *detector, int64_t i);

/* Reads a list of frame numbers (of the kept frames, 0-based, one per line, # comments): the first frame of each shot after
 * the first. *out is malloc'ed, ascending. Errors: ISOBATH_ERR_INPUT with file and line, ISOBATH_ERR_MEMORY. */
isobath_status ib_cuts_read(const char *path, ib_diag *diag, int64_t **out, int64_t *count);

#endif
