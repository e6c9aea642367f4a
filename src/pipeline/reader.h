/* Source frames to the frames of windows: what each window of a range reads, in order. */
#ifndef IB_PIPELINE_READER_H
#define IB_PIPELINE_READER_H

#include "pipeline/window.h"

/* One window to compute. The frames are the reader's, valid until its next call. */
typedef struct ib_window_frames {
    int64_t shot, shot_first, k, frames_total; /* as of ib_window */
    int first, end;                            /* slots [first, end) are new frames; those from `end` on repeat the last one */
    ib_source_frame *slot[IB_PLAN_WINDOW];
} ib_window_frames;

/* Windows never cross a frame that starts a shot: each shot has its own frame 0 and its own windows. One thread. */
typedef struct ib_reader {
    ib_source *source; /* frames from the first one of range.shot on; those that no window needs are dropped. NULL: */
    ib_source_frame *(*next)(void *ctx); /* as ib_source_next */
    ib_range range;
    int (*stopped)(void *ctx); /* 1: what looks like the end is a stop */
    void *ctx;
    ib_diag *diag;
    /* its own */
    ib_window_frames window;
    ib_source_frame *pending; /* the first frame of the next shot, read already */
    int started, ended;
    int64_t given;
} ib_reader;

/* Fill the first six members, the rest zero. *out is NULL at the end of the range, after an error of the source and after a stop.
 * ISOBATH_ERR_INPUT when the video ends before the range begins. */
isobath_status ib_reader_next(ib_reader *reader, const ib_window_frames **out);
void ib_reader_free(ib_reader *reader);

#endif
