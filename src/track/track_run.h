/* A run of isobath_track_run in work, for the files that share it: track.c opens and measures, place.c gives positions. One thread. */
#ifndef IB_TRACK_TRACK_RUN_H
#define IB_TRACK_TRACK_RUN_H

#include "depthio/depth_reader.h"
#include "track/homography.h"
#include "track/lens.h"
#include "track/outputs.h"
#include "track/result.h"

typedef struct ib_track_run {
    const isobath_track_options *o;
    isobath_track_summary *summary;
    ib_diag *diag;
    ib_tracks tracks;
    ib_depth_reader *reader;
    ib_lenses lenses;
    ib_camera_track poses;
    ib_homographies homographies;
    ib_measure_setup setup;
    ib_measure *measures; /* by detection */
    ib_result result;
} ib_track_run;

/* Scale, shift and unit of the summary: as given, or fitted to known distances or to the ground. Needs the measures. Errors: MEMORY, INPUT. */
isobath_status ib_track_set_scale(ib_track_run *run);
/* The result: every detection with its position or why it has none, smoothed. Errors: MEMORY, USAGE. */
isobath_status ib_track_lift(ib_track_run *run);

#endif
