/* Windows from several devices at once: worker processes pull segments of the video, whatever their speeds; a device that dies, hangs,
 * runs out of memory or returns garbage loses its segment to another. */
#ifndef IB_PIPELINE_FLEET_FLEET_H
#define IB_PIPELINE_FLEET_FLEET_H

#include "pipeline/setup.h"
#include "pipeline/window.h"
#include "sink/log.h"

typedef struct ib_fleet_options {
    ib_setup *setup; /* its child[] are taken; must outlive the stream */
    ib_range range;
    const int64_t *cuts; /* frames that start a shot, where the workers decode; ascending, must outlive the stream; NULL: one shot */
    int64_t cut_count;
    int wants_rgb;               /* 1: windows carry their source frames */
    const atomic_int *cancelled; /* polled: 1: windows that are in work are finished and no more begun; 2: everybody stops */
    ib_log *log;                 /* lost, restarted and left-out workers; NULL allowed */
    ib_diag *diag;
} ib_fleet_options;

typedef struct ib_fleet ib_fleet;
/* Takes the shared memory. Errors: MEMORY, INTERNAL. */
isobath_status ib_fleet_create(const ib_fleet_options *options, ib_fleet **out);
/* Where the source that ib_fleet_start gets must put its frames. Frames may outlive the fleet. */
ib_frame_pool ib_fleet_pool(ib_fleet *fleet);
/* Starts the threads: one assembles windows from `source` (the caller's; from the first frame of range.shot on), one talks to the
 * worker processes. The stream is the fleet; ib_windows_destroy ends both. Where the workers decode (setup->decodes) source is NULL, and
 * windows come from the input's packets (media/index.h). */
isobath_status ib_fleet_start(ib_fleet *fleet, ib_source *source);
ib_window_stream *ib_fleet_stream(ib_fleet *fleet);
/* After the stream's end, with decoding workers: not "" when the frames that they read do not fit what the packets say, or each other. What
 * was handed on is right; the rest is to be computed from one decoder's frames. */
const char *ib_fleet_misfit(ib_window_stream *stream);

#endif
