/* Source pictures that wait for the end of the video, for the side-by-side preview: yuv420p, deflated, one hidden file
 * each, removed at the end. */
#ifndef IB_SINK_SOURCE_SPOOL_H
#define IB_SINK_SOURCE_SPOOL_H

#include "sink/sink.h"

typedef struct ib_source_spool ib_source_spool;

/* Pictures are brought to width x height (bilinear) and stored with both sides made even. */
isobath_status ib_source_spool_open(const ib_sink_config *config, int width, int height, ib_diag *diag,
                                    ib_source_spool **out);
void ib_source_spool_close(ib_source_spool *spool); /* removes the files unless resumable; NULL allowed */
isobath_status ib_source_spool_push(ib_source_spool *spool, ib_depth_frame *frame);
isobath_status ib_source_spool_finish(ib_source_spool *spool);
/* As ib_sink_format says. */
isobath_status ib_source_spool_flush(ib_source_spool *spool, int64_t *frames);
void ib_source_spool_parts(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx);
/* Bytes of a picture: Y (h,w), U and V (h/2,w/2) without gaps, sides even. */
size_t ib_source_spool_picture_bytes(const ib_source_spool *spool);
/* Picture i into yuv. Any thread. */
isobath_status ib_source_spool_read(const ib_source_spool *spool, int64_t i, uint8_t *yuv);

#endif
