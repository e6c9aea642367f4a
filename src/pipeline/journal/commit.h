/* Group commits of a run: a thread that makes what every format has written durable and then says so in the journal, so that
 * nothing waits for the disk but this thread. */
#ifndef IB_PIPELINE_JOURNAL_COMMIT_H
#define IB_PIPELINE_JOURNAL_COMMIT_H

#include "pipeline/journal/journal.h"

typedef struct ib_commit_options {
    ib_journal *journal;                 /* the caller's */
    const ib_sink_config *config;        /* the caller's, as the sinks have it */
    const ib_sink_format *const *formats;
    ib_sink *const *sinks;               /* open, `sinks` of them */
    int count;
    int64_t first; /* frames [0, first) are in the journal already */
    ib_diag *diag;
} ib_commit_options;

typedef struct ib_commit ib_commit;
/* Starts the thread. Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_INTERNAL; later ones go to diag. */
isobath_status ib_commit_start(const ib_commit_options *options, ib_commit **out);
/* The next frame was pushed to every sink. One thread. ISOBATH_ERR_MEMORY, or what a commit failed with. */
isobath_status ib_commit_frame(ib_commit *commit, const ib_frame_record *frame);
/* A good moment: after a window. A commit follows unless the last one was short ago (it takes at most a twentieth of the time,
 * and none is later than a second after the moment). */
void ib_commit_kick(ib_commit *commit);
/* Frames [0, n) are in the journal. Any thread. */
int64_t ib_commit_frames(ib_commit *commit);
/* The sinks were drained: commits everything and stops the thread; with `end` the journal says that no frame follows. Once. */
isobath_status ib_commit_finish(ib_commit *commit, int end);
void ib_commit_destroy(ib_commit *commit); /* without finish: what is not committed is lost. NULL allowed */

#endif
