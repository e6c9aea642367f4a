/* Before a run writes: the folder, the lock, an earlier result or an unfinished run, and where to go on. */
#ifndef IB_PIPELINE_JOURNAL_RESUME_H
#define IB_PIPELINE_JOURNAL_RESUME_H

#include "pipeline/run.h"

/* Takes the lock of the result; refuses, removes or takes over what is there; begins or opens the journal. Fills lock, journal,
 * model_sha256 and past (and complete: the result is there already, there is nothing to compute).
 * Errors: EXISTS (another run, a result, an unfinished result without --resume, a run of other input, model or options), IO ... */
isobath_status ib_resume_prepare(ib_run *run);

/* Where the windows begin that past.frame_count frames leave to be computed: range for the worker; run->prime says whether its
 * first window only primes the chain. */
ib_range ib_resume_range(ib_run *run);

/* Keeps raw slot 0 of window 0 of a shot, which the alignment of all its windows needs: a file of one map, written once per
 * shot. A disk that refuses it costs a resume its speed only. */
void ib_resume_keep_first(ib_run *run, int64_t shot);
/* The first window of a resumed range: fills the chain, says its alignment. No frame of it is to be rendered. */
isobath_status ib_resume_prime(ib_run *run, const ib_window *window, ib_alignment *alignment);

/* Checks a result that is complete: same input, model and options, and every file's digest. */
isobath_status ib_resume_verify(ib_run *run);
/* The manifest is on disk: removes hidden parts and the journal. */
isobath_status ib_resume_clean(ib_run *run);

#endif
