/* Frames of a live source: the newest one waits for the consumer; when the consumer is slow the source waits, or frames are
 * dropped. Reopens a source that broke off. */
#ifndef IB_PIPELINE_STREAM_LIVE_H
#define IB_PIPELINE_STREAM_LIVE_H

#include "pipeline/source.h"

typedef struct ib_live_options {
    const char *input;       /* for reopening */
    ib_media_options media;  /* likewise */
    int drop;                /* 1: a newer frame replaces the one that waits; 0: block */
    int paced;               /* with drop: a file, which is read at its own pace; a live source gives frames when they are there */
    double reconnect_s;      /* how long to try to reopen a source that ended or broke off; 0: that is its end */
    const atomic_int *ended; /* polled: the consumer wants no more */
    /* called about once a second while ib_live_next waits, with the seconds so far; NULL: not */
    void (*idle)(void *ctx, double seconds);
    void *idle_ctx;
} ib_live_options;

typedef struct ib_live ib_live;
/* Starts the reading thread. `*media` stays the caller's, but is another object after a reconnection. */
isobath_status ib_live_start(ib_media **media, const ib_live_options *options, ib_diag *diag, ib_live **out);
/* The next frame (the caller owns a reference), and when it was ready; NULL at the end, after an error (see diag), or
 * when *ended was set. */
ib_source_frame *ib_live_next(ib_live *live, int64_t *ready_us);
/* Joins the thread and frees; NULL allowed. */
void ib_live_destroy(ib_live *live);
/* Any thread. */
int64_t ib_live_dropped(const ib_live *live);
int64_t ib_live_reconnects(const ib_live *live);

#endif
