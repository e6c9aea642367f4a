/* A run of isobath_split_run in work, for the files that share it: split.c counts, plans and publishes, chunks.c writes and proves. One thread. */
#ifndef IB_SPLIT_SPLIT_RUN_H
#define IB_SPLIT_SPLIT_RUN_H

#include "base/hash.h"
#include "media/cut.h"
#include "sink/file.h"
#include "sink/lock.h"
#include "split/plan.h"
#include <isobath/split.h>

typedef struct ib_split_run {
    const isobath_split_options *o;
    isobath_split_summary *summary;
    ib_diag *diag;
    ib_media_options media;
    ib_cut_codec wish;
    int copies; /* may be tried */
    ib_split_plan plan;
    char *name;
    ib_lock *lock;
    /* of the input's frames */
    ib_picture_hash *hashes;
    int64_t *pts, *times_us, capacity; /* pts: in the stream's units */
    int has_pts, pix_fmt;
    int32_t matrix[9];
    int has_matrix;
    int64_t *keys, key_count;
    char **parts; /* by chunk: where it is written until it is proved; NULL: not yet */
} ib_split_run;

#define IB_SPLIT_REPORT_EVERY 16 /* frames between two reports */

/* ISOBATH_ERR_MEMORY with the input's name. */
isobath_status ib_split_memory(const ib_split_run *run);
/* Tells the caller's progress function. ISOBATH_ERR_INTERRUPTED when that says so. */
isobath_status ib_split_report(const ib_split_run *run, const char *stage, int64_t done, int64_t total);

/* Every chunk of the plan into run->parts, proved, with its SHA-256 in the plan. Errors: MEMORY, INPUT, IO, UNSUPPORTED, INTERRUPTED. */
isobath_status ib_split_write_chunks(ib_split_run *run);

#endif
