/* Video Depth Anything one frame at a time: a frame in, its depth out, against what is kept of 31 earlier frames. */
#ifndef IB_MODEL_STREAM_H
#define IB_MODEL_STREAM_H

#include "model/vda.h"

#define IB_STREAM_RING 42    /* frames n-41 .. n */
#define IB_STREAM_CONTEXT 31 /* frames that frame n >= 1 sees, at positions 0..30; itself is at 31 */

/* Frames that frame n >= 1 sees, in order of their positions: 0, max(0, n-41), max(0, n-29) .. n-1. Pure. */
void ib_stream_context(int64_t n, int64_t frames[IB_STREAM_CONTEXT]);

typedef struct ib_stream ib_stream;

/* Of `shape` only height, width and temporal_piece count. As ib_vda_plan; `features` holds what is kept of the 43 frames. */
isobath_status ib_stream_plan(const ib_vda_config *config, const ib_vda_shape *shape, ib_dtype act, ib_diag *diag,
                              ib_vda_memory *out);
/* As ib_vda_create: takes all memory; no allocation follows but for the first source frame's. */
isobath_status ib_stream_create(ib_backend *backend, const ib_checkpoint *checkpoint, const ib_vda_config *config,
                                const ib_vda_shape *shape, ib_diag *diag, ib_stream **out);
void ib_stream_destroy(ib_stream *stream); /* NULL allowed */
/* The next frame is frame 0 of a new stream. */
void ib_stream_restart(ib_stream *stream);

/* The next frame: rgb u8 (src_height,src_width,3) on the host; depth f32 (height,width) on the host. *nonfinite counts the
 * values that are not finite in the depth and in what is kept of the frame: when there are any, ib_stream_redo must follow,
 * for later frames would see them. */
isobath_status ib_stream_frame(ib_stream *stream, const uint8_t *rgb, int src_height, int src_width, float *depth,
                               int64_t *nonfinite);
/* The frame just done once more on `fp32`, a stream of the same model and shape in f32 that sees the past of `stream`; what
 * is kept of the frame goes back to `stream`, where values beyond its type become the largest that it has. */
isobath_status ib_stream_redo(ib_stream *stream, ib_stream *fp32, const uint8_t *rgb, int src_height, int src_width,
                              float *depth, int64_t *nonfinite);

/* For tests: as ib_vda_set_tap. */
void ib_stream_set_tap(ib_stream *stream, const ib_tap *tap);

#endif
