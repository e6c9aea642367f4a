/* Source frames on their way through a run: shared, reference-counted RGB pictures, and the thread that decodes them. */
#ifndef IB_PIPELINE_SOURCE_H
#define IB_PIPELINE_SOURCE_H

#include "base/channel.h"
#include "media/media.h"
#include <stdatomic.h>

/* Immutable after creation. */
typedef struct ib_source_frame {
    atomic_int refs;
    int64_t index, pts_us;
    int width, height;
    uint8_t rgb[]; /* (height,width,3) */
} ib_source_frame;

ib_source_frame *ib_source_frame_ref(ib_source_frame *frame); /* returns frame; NULL stays NULL */
void ib_source_frame_unref(ib_source_frame *frame);           /* NULL allowed */

/* Decodes ahead of the consumer, at most `bytes` of frames. */
typedef struct ib_source ib_source;
isobath_status ib_source_start(ib_media *media, size_t bytes, ib_diag *diag, ib_source **out);
/* Next frame (the caller owns one reference), NULL at the end, after an error (see diag) or after ib_source_stop. */
ib_source_frame *ib_source_next(ib_source *source);
/* Makes everyone return at once; any thread. */
void ib_source_stop(ib_source *source);
/* Joins the thread and frees. NULL allowed. The media object stays the caller's. */
void ib_source_destroy(ib_source *source);
/* Any thread: frames decoded so far, and seconds spent decoding. */
int64_t ib_source_decoded(const ib_source *source);
double ib_source_busy_s(const ib_source *source);

#endif
