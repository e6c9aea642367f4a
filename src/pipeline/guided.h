/* --upsample guided: depth at output size whose edges are the picture's. A guided filter (He, Sun, "Fast Guided Filter",
 * 2015) with the source's luma as guide; docs/MODEL.md, "Guided upsampling", has the formula, tests/unit/guided.c a second
 * implementation of it. */
#ifndef IB_PIPELINE_GUIDED_H
#define IB_PIPELINE_GUIDED_H

#include "pipeline/align.h"
#include "sink/sink.h"
#include <stdint.h>

#define IB_GUIDED_RADIUS 2       /* of the windows, in pixels of the small map */
#define IB_GUIDED_EPS 0.0004f    /* of the guide's variance, luma 0..1 */

typedef struct ib_guided ib_guided;

/* Small maps (h,w), pictures (picture_height,picture_width,3) as large as them or larger, output (height,width). ISOBATH_ERR_MEMORY. */
isobath_status ib_guided_create(int64_t h, int64_t w, int64_t picture_height, int64_t picture_width, int64_t height, int64_t width,
                                ib_diag *diag, ib_guided **out);
void ib_guided_destroy(ib_guided *guided); /* NULL allowed */
/* Where the caller puts the aligned small map, f32 (h,w), >= 0. */
float *ib_guided_small(ib_guided *guided);
/* y f32 (height,width); every value lies between the least and the largest of the 4x4 small ones around it. One thread at a time
 * per object; the bytes depend on nothing but the arguments. */
void ib_guided_run(ib_guided *guided, const uint8_t *rgb, float *y, float *min, float *max);
/* A frame's depth, least and largest value: ib_align_render at the frame's size; with a guide (not NULL) at that of the small map, and
 * from there by the frame's picture, which must be there. */
isobath_status ib_guided_render(ib_guided *guided, ib_backend *backend, const ib_plan_render *how, float *raw, const ib_alignment *al, float *fade,
                                const ib_alignment *fade_al, int64_t h, int64_t w, ib_depth_frame *f);
size_t ib_guided_bytes(int64_t h, int64_t w, int64_t picture_height, int64_t picture_width);

#endif
