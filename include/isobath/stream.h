/* A stream: one frame in, its depth out at once. For live sources, and for whoever cannot wait for a window. */
#ifndef ISOBATH_STREAM_H
#define ISOBATH_STREAM_H

#include <isobath/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Depth frames on a file descriptor, (H,W) row by row, little-endian. The 16-bit forms hold q = floor(d / step): a reader
 * takes (q + 0.5) * step. Disparity: the step is a power of two that leaves room for four times the first frame's largest
 * value; metric: 1 mm, 0 = no depth; a fixed run.range_min .. range_max is cut into 65536 (metric: 65535) steps instead.
 * What is beyond is clamped. A note says scale and offset. */
typedef enum isobath_stream_pipe {
    ISOBATH_STREAM_PIPE_NONE,
    ISOBATH_STREAM_PIPE_F32, /* float, nothing else */
    ISOBATH_STREAM_PIPE_U16, /* uint16, nothing else */
    ISOBATH_STREAM_PIPE_Y4M, /* YUV4MPEG2 of 16-bit grey (Cmono16); the header says XSTEP=2^-11 or XSTEP=0.001 */
    ISOBATH_STREAM_PIPE_VIEW /* YUV4MPEG2 in the colours of the preview, beside the source with preview_side_by_side, to look at:
                              * the ends of the colours follow what was seen lately, or are run.range_min and range_max */
} isobath_stream_pipe;

typedef struct isobath_stream_summary {
    int64_t frames;     /* done */
    int64_t dropped;    /* read, but replaced by newer ones */
    int64_t redone;     /* in fp32, for values that were not finite */
    int64_t reconnects;
    double elapsed_s, frames_per_s;
    /* From the moment that a frame is there until its depth has gone to every sink's queue and into the pipe: 1% resolution. */
    double latency_p50_ms, latency_p90_ms, latency_p99_ms, latency_max_ms;
    double network_p50_ms; /* the network's part */
    double silent_s;       /* in `progress`: how long no frame has come, from 1 on; 0: frames come */
} isobath_stream_summary;

typedef struct isobath_stream_options {
    isobath_run_options run;  /* as for a session; output may be NULL with a pipe; cuts and guard mean nothing here */
    isobath_stream_pipe pipe;
    int pipe_fd;              /* init: 1, stdout */
    int drop;                 /* too slow: 1: frames are dropped and the newest is next, and a file plays at its own pace;
                               * 0: the source waits; init: -1: 1 for a camera or a broadcast (RTSP ...), else 0 */
    int lag;                  /* frames of look-ahead, 0..16: 0: depth at once, as the reference streams; else a window every `lag`
                               * frames, so that a frame waits for up to lag - 1 others: better depth for more work */
    double reconnect_s;       /* a source that ends or breaks off is opened again for so long (one that gives nothing for 10 s or
                               * run.stall_s has broken off); 0: it is the end */
    /* after every frame, and once a second while none comes, from the thread of isobath_stream_run; NULL: none */
    void (*progress)(void *ctx, const isobath_stream_summary *so_far);
    void *progress_ctx;
} isobath_stream_options;

void isobath_stream_options_init(isobath_stream_options *options);

typedef struct isobath_stream isobath_stream;

/* As isobath_session_create. */
isobath_status isobath_stream_create(const isobath_stream_options *options, isobath_stream **out);
const isobath_plan *isobath_stream_plan(const isobath_stream *stream);
/* Runs until the source ends or isobath_stream_stop; blocks. A live source (no file) that breaks off: ISOBATH_ERR_INPUT and its line; a
 * pipe whose reader is gone: ISOBATH_ERR_IO; in both cases the result of the frames before that is complete. */
isobath_status isobath_stream_run(isobath_stream *stream);
/* Ends the stream after the frame in work: the result is complete, as if the source had ended. Async-signal-safe, any
 * thread. */
void isobath_stream_stop(isobath_stream *stream);
/* After isobath_stream_run. */
void isobath_stream_summarize(const isobath_stream *stream, isobath_stream_summary *out);
/* As isobath_session_output, _error, _destroy. */
const char *isobath_stream_output(const isobath_stream *stream, int i);
const char *isobath_stream_error(const isobath_stream *stream);
void isobath_stream_destroy(isobath_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
