/* Source frames on their way through a run: shared, reference-counted RGB pictures, and the thread that decodes them. */
#ifndef IB_PIPELINE_SOURCE_H
#define IB_PIPELINE_SOURCE_H

#include "base/channel.h"
#include "media/media.h"
#include "pipeline/repeats.h"
#include <stdatomic.h>

/* Immutable once it is shared. Either RGB, or (for devices that convert) a decoded picture's planes. */
typedef struct ib_source_frame {
    atomic_int refs;
    int64_t index, pts_us;
    int width, height;
    int starts_shot; /* 1: the first frame of a shot after the first */
    int repeated;    /* 1: stands in for a damaged one */
    int place;       /* the pool's: which of its places `rgb` is */
    uint8_t *rgb;    /* (height,width,3), or NULL: planes */
    const ib_yuv_planes *planes; /* of `picture`, or NULL */
    ib_media_picture *picture;   /* owned, or NULL */
    void (*release)(struct ib_source_frame *frame); /* frees it all after the last reference */
    void *pool;
} ib_source_frame;

/* On the heap, with one reference; the caller fills the rest. NULL: out of memory. */
ib_source_frame *ib_source_frame_create(int width, int height);
ib_source_frame *ib_source_frame_ref(ib_source_frame *frame); /* returns frame; NULL stays NULL */
void ib_source_frame_unref(ib_source_frame *frame);           /* NULL allowed */

/* Where the decoder puts its pictures: `take` gives a frame with one reference and room for its picture, and may wait until there
 * is room; NULL: out of memory, or stopped. */
typedef struct ib_frame_pool {
    ib_source_frame *(*take)(void *ctx, int width, int height);
    void *ctx;
    /* NULL allowed: takes over what the decoder left (planes, or RGB), when it has been looked at; drops `picture`. */
    isobath_status (*store)(void *ctx, ib_source_frame *frame, ib_diag *diag);
} ib_frame_pool;
/* Frames stay as the decoder left them, by reference, where the input allows it (ib_media_has_planes). */
extern const ib_frame_pool ib_frame_pool_by_reference;

/* Where shots begin. */
typedef struct ib_source_cuts {
    int detect;          /* 1: by the detector; 0: at the frames listed */
    const int64_t *list; /* ascending frame numbers, must outlive the source; NULL: one shot */
    int64_t count;
    int64_t first;    /* the first frame that is handed on, which begins a shot; those before are decoded only */
    int64_t skip_end; /* frames (first, skip_end), of its shot, are decoded only, too; the next 10 are of it */
    const int64_t *times_us; /* of all frames up to the last one that is read, where they are known: long gaps are jumped over. NULL */
} ib_source_cuts;

/* Decodes ahead of the consumer, at most `bytes` of frames (and IB_CUT_LOOKAHEAD more inside the detector), into frames of
 * `pool` (NULL: the heap). */
typedef struct ib_source ib_source;
isobath_status ib_source_start(ib_media *media, size_t bytes, const ib_source_cuts *cuts, const ib_frame_pool *pool, ib_diag *diag,
                               ib_source **out);
/* Next frame (the caller owns one reference), NULL at the end, after an error (see diag) or after ib_source_stop. */
ib_source_frame *ib_source_next(ib_source *source);
/* Makes everyone return at once; any thread. */
void ib_source_stop(ib_source *source);
/* Stops, joins the threads and drops their frames: the media object is not used any more; only the numbers below and destroy after it. */
void ib_source_end(ib_source *source);
/* Joins the thread and frees. NULL allowed. The media object stays the caller's. */
void ib_source_destroy(ib_source *source);
/* Any thread: frames decoded so far, and seconds spent decoding. */
int64_t ib_source_decoded(const ib_source *source);
double ib_source_busy_s(const ib_source *source);
/* Cuts that the detector sees, whether or not they are obeyed. */
int64_t ib_source_likely_cuts(const ib_source *source);
/* Frames that stand in for damaged ones, of all that were read (those that nobody wanted, too). After ib_source_next said that there are no more. */
const ib_repeats *ib_source_repeats(const ib_source *source);

#endif
