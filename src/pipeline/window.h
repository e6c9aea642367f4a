/* Raw windows on their way from where they are computed to the alignment, and what a place that windows come from looks like: a
 * thread of this process (worker.h), child processes on several devices (fleet.h), or files of a cluster's tasks. */
#ifndef IB_PIPELINE_WINDOW_H
#define IB_PIPELINE_WINDOW_H

#include "pipeline/plan.h"
#include "pipeline/source.h"

/* Owned by whoever got it; given back with ib_window_free from any thread, before its stream is destroyed. */
typedef struct ib_window {
    int64_t shot, shot_first;   /* which shot, and the video's frame that it begins with */
    int64_t k;                  /* within the shot */
    int64_t frames_total;       /* of the shot; -1: not known yet */
    int redone;                 /* 1: computed in fp32 after `nonfinite` values in the fast path */
    int64_t nonfinite;
    int64_t pts_us[IB_PLAN_WINDOW];          /* of frames that are new in this window, by slot (0..31 or 10..31); else 0 */
    ib_source_frame *source[IB_PLAN_WINDOW]; /* the same frames where their pictures are wanted; else NULL */
    float *raw;                              /* f32 (32,height,width) of the network */
    void (*release)(struct ib_window *window); /* takes the window and `raw` back; source frames are dropped before */
} ib_window;

void ib_window_free(ib_window *window); /* NULL allowed */

/* A range of a video's windows. {0} with k_end = -1 is all of it. */
typedef struct ib_range {
    int64_t shot, shot_first; /* the shot to begin in, and the video's frame that it begins with */
    int64_t k;                /* the first window, within that shot */
    int64_t k_end;            /* end before this window of that shot; -1: go on to the end of the video */
    int64_t limit;            /* windows at most; 0: no limit */
} ib_range;

#define IB_RANGE_ALL ((ib_range){.k_end = -1})
#define IB_MAX_DEVICES 16

/* One device of a stream, for progress lines. */
typedef enum ib_device_state { IB_DEVICE_STARTING, IB_DEVICE_IDLE, IB_DEVICE_BUSY, IB_DEVICE_LEFT_OUT } ib_device_state;
typedef struct ib_device_stats {
    char name[16]; /* cpu, cuda:0 ... */
    ib_device_state state;
    int64_t windows; /* computed */
    double busy_s;   /* computing */
    int restarts;    /* processes that were lost and replaced */
} ib_device_stats;

typedef struct ib_window_stats {
    double flops;  /* of the network, so far */
    double busy_s; /* sum over devices */
    int64_t lost;  /* segments that went to another device after a fault */
    int64_t late;  /* segments that were given to a second device because they were late */
    int device_count;
    ib_device_stats device[IB_MAX_DEVICES];
    /* of streams whose workers decode for themselves; else 0 */
    int64_t decoded, likely_cuts;
    double decode_s; /* sum over devices */
} ib_window_stats;

typedef struct ib_window_stream ib_window_stream;
typedef struct ib_window_stream_ops {
    ib_window *(*next)(ib_window_stream *);
    void (*stop)(ib_window_stream *);
    void (*stats)(ib_window_stream *, ib_window_stats *);
    void (*destroy)(ib_window_stream *);
    void (*end)(ib_window_stream *); /* NULL: a stop is all */
} ib_window_stream_ops;
/* First member of every implementation. */
struct ib_window_stream {
    const ib_window_stream_ops *ops;
};

/* Next window in order (of shots, and within them), NULL at the end, after an error (see diag) or after a stop. One thread. */
ib_window *ib_windows_next(ib_window_stream *stream);
void ib_windows_stop(ib_window_stream *stream); /* any thread; everyone returns soon */
void ib_windows_stats(ib_window_stream *stream, ib_window_stats *out); /* any thread */
/* Stops, waits for its threads and processes and gives back what it can: after it only stats and destroy. No window may be held. */
void ib_windows_end(ib_window_stream *stream);
void ib_windows_destroy(ib_window_stream *stream); /* stops; NULL allowed */

#endif
