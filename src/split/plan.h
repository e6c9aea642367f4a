/* Which frames each chunk holds, and NAME_split.json, the file that says so. */
#ifndef IB_SPLIT_PLAN_H
#define IB_SPLIT_PLAN_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

#define IB_SPLIT_SCHEMA "isobath-split-1"
#define IB_SPLIT_MAX_FRAMES ((int64_t)1 << 28)

typedef struct ib_split_chunk {
    int64_t first, frames;
    char *path;         /* relative to the plan's folder, or NULL */
    const char *method; /* "copy", "h264", "ffv1", or NULL. A constant */
    char sha256[65];    /* of the file, "" */
    char *depth;        /* what a user wrote into the plan: where the depth of this chunk is; or NULL */
} ib_split_chunk;

typedef struct ib_split_plan {
    char *input;       /* base name */
    char sha256[65];   /* of the input, "" */
    int width, height; /* as stored */
    double fps;        /* 0: unknown */
    int64_t frames, overlap;
    ib_split_chunk *chunks;
    int64_t count;
    int64_t *times_us; /* by frame, or NULL */
} ib_split_plan;

/* Fills chunks and count from frames, overlap and one of `chunks` (the longest and the shortest differ by one frame)
 * and `chunk_frames` (the last one may be shorter). Every chunk but the outer ones holds at least twice the overlap, so
 * that no frame is in three chunks. Pure. Errors: ISOBATH_ERR_USAGE, ISOBATH_ERR_MEMORY. */
isobath_status ib_split_plan_make(ib_split_plan *plan, int64_t chunks, int64_t chunk_frames, ib_diag *diag);
void ib_split_plan_free(ib_split_plan *plan);

isobath_status ib_split_plan_write(const ib_split_plan *plan, const char *path, ib_diag *diag);
/* Reads a plan, or a list of lines "FIRST PATH" (first frame of a chunk, its depth; # begins a comment) whose frame
 * counts are not known yet (frames -1). Checks that chunks overlap as the plan says and leave no gap. Errors:
 * ISOBATH_ERR_INPUT with one line. ib_split_plan_free in any case is allowed. */
isobath_status ib_split_plan_read(const char *path, ib_diag *diag, ib_split_plan *plan);
isobath_status ib_split_plan_parse(const char *text, size_t size, const char *name, ib_diag *diag, ib_split_plan *plan);
/* Chunks in order, without gaps, at most two over a frame; for lists, when the counts are known. ISOBATH_ERR_INPUT. */
isobath_status ib_split_plan_check(ib_split_plan *plan, const char *name, ib_diag *diag);

#endif
