/* What the parts of a join share. */
#ifndef IB_JOIN_JOIN_H
#define IB_JOIN_JOIN_H

#include "depthio/depth_reader.h"
#include "join/fit.h"
#include "split/plan.h"
#include <isobath/join.h>

/* aligned = scale * value + shift, in the fit's space. */
typedef struct ib_line {
    double scale, shift;
} ib_line;

typedef struct ib_join_source {
    ib_depth_reader *reader;
    int64_t first, frames;
    char *path;
    ib_line line;   /* to the first chunk's scale */
    ib_line *lines; /* repair: by frame, to the chunk's first frame; else NULL */
} ib_join_source;

typedef struct ib_join {
    const isobath_join_options *o;
    isobath_join_summary *summary;
    ib_diag *diag;
    ib_split_plan plan;
    ib_join_source *sources; /* plan.count */
    ib_depth_kind kind;
    ib_fit_model model;
    int reciprocal; /* 1: the fit is linear in 1/value */
    int width, height;
    /* scratch frames (H,W) and samples */
    float *depth[2];
    uint8_t *valid[2];
    float *x, *y;
    double *scratch;
    size_t sample_capacity;
    int64_t *times_us;      /* plan.frames */
    const char *times_from; /* for the manifest: "plan", "files", "fps" */
} ib_join;

/* open.c: reads the plan, opens every chunk, checks counts, sizes, kinds, and times. */
isobath_status ib_join_open(ib_join *j);
void ib_join_free(ib_join *j);
/* Frame i of chunk k in the first chunk's scale, into depth[slot] and valid[slot]. Values that the line makes negative
 * become 0; they are counted in *clamped (NULL allowed). */
isobath_status ib_join_read(ib_join *j, int64_t k, int64_t i, int slot, int64_t *clamped);
/* aligned = line(value) for the valid pixels of a slot, in place; returns how many fell below 0. */
int64_t ib_join_apply(ib_join *j, ib_line line, int slot);
isobath_status ib_join_report(const ib_join *j, const char *stage, int64_t done, int64_t total);

/* normalised.c: refuses, or repairs, frames that were normalised one by one; `repair` fills the sources' lines. */
isobath_status ib_join_look_at_frames(ib_join *j);
isobath_status ib_join_repair(ib_join *j);

/* align.c: fills the sources' line and the summary's chunks. */
isobath_status ib_join_align(ib_join *j);
/* Appends samples of the pixels that are valid in both slots, on a grid, up to `limit` in all. Returns how many there
 * are. */
size_t ib_join_sample(const ib_join *j, size_t have, size_t limit);

/* write.c: blends and writes everything. */
isobath_status ib_join_write(ib_join *j);

#endif
