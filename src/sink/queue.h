/* A queue of depth frames, bounded in bytes, with its own worker threads: what stands between push and every sink. */
#ifndef IB_SINK_QUEUE_H
#define IB_SINK_QUEUE_H

#include "sink/sink.h"

typedef struct ib_frame_queue ib_frame_queue;

/* What a sink does with a frame. `thread` in [0, threads) names the scratch memory that the call may use.
 * work:   in any order, on any thread, several at a time.
 * commit: NULL, or called after the frame's work, on the same thread, for one frame at a time in the order of the
 *         pushes: for formats that append to one file.
 * two:    NULL, or the work of two packed frames that follow each other, without commit only: a packed frame waits up to 20 ms for the next one,
 *         unless somebody waits for it (a push that finds no room, a drain). */
typedef struct ib_frame_queue_ops {
    isobath_status (*work)(void *ctx, ib_depth_frame *frame, int thread);
    isobath_status (*commit)(void *ctx, ib_depth_frame *frame, int thread);
    isobath_status (*two)(void *ctx, ib_depth_frame *const frame[2], int thread);
} ib_frame_queue_ops;

/* Starts the threads. threads <= 0: as many as CPUs; bound_bytes <= 0: 64 MiB (frames in work count; one frame is
 * always let in). `ops` is copied. Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_INTERNAL. */
isobath_status ib_frame_queue_create(int threads, int64_t bound_bytes, const ib_frame_queue_ops *ops, void *ctx,
                                     ib_diag *diag, ib_frame_queue **out);
/* Takes a reference of its own and blocks while the queue is full. Returns the first failure of the workers, which
 * have dropped everything after it. One pushing thread at a time. */
isobath_status ib_frame_queue_push(ib_frame_queue *queue, ib_depth_frame *frame);
/* Frames [0, n) of the pushes are done (worked and committed); 0 after a failure. Any thread. */
int64_t ib_frame_queue_done(ib_frame_queue *queue);
/* Waits until nothing is queued or in work; returns the first failure. */
isobath_status ib_frame_queue_drain(ib_frame_queue *queue);
/* Drops what is queued, waits for what is in work, frees. NULL allowed. */
void ib_frame_queue_destroy(ib_frame_queue *queue);
int ib_frame_queue_threads(const ib_frame_queue *queue);

/* The thread count that `threads` of a sink's configuration means. */
int ib_sink_threads(const ib_sink_config *config);

#endif
