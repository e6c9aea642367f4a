/* One run: threads, alignment in order, rendering, sinks, manifest. run.c: from the beginning to the end; run_open.c, run_windows.c (where windows
 * come from), run_align.c (what is done with each), render.c (frames), run_finish.c. */
#ifndef IB_PIPELINE_RUN_H
#define IB_PIPELINE_RUN_H

#include "pipeline/align.h"
#include "pipeline/journal/commit.h"
#include "pipeline/journal/journal.h"
#include "pipeline/setup.h"
#include "pipeline/stabilize.h"
#include "pipeline/render.h"
#include "pipeline/repeats.h"
#include "pipeline/report/status.h"
#include "pipeline/worker.h"
#include "base/clock.h"
#include "sink/lock.h"
#include "sink/log.h"
#include <isobath/batch.h>

/* Numbers that other threads may read while the run goes on. */
typedef struct ib_run_counters {
    atomic_int_fast64_t frames_done, windows_done, guards;
    atomic_int_fast64_t frames_before; /* of frames_done: made by the run that this one goes on with */
    ib_busy align, render, write; /* render: the mean of the threads of the render stage */
    atomic_int_fast64_t start_us;
    _Atomic(ib_source *) source; /* set when they run, alive until ib_run_free */
    _Atomic(ib_window_stream *) windows;
} ib_run_counters;

typedef struct ib_run {
    ib_setup *setup;
    ib_diag *diag;
    ib_log *log;
    ib_status_source report; /* of the status file; progress NULL: none is written */
    ib_status *status;
    ib_run_counters *counters;
    atomic_int *cancelled; /* 1: finish what is in flight; 2: at once */
    ib_pool *compute_pool, *host_pool;
    ib_backend *device, *host; /* the network's; and a CPU one for alignment, and for rendering where no threads do that */
    ib_renderer *render;         /* while there are windows to come; else NULL */
    ib_vda *vda;
    pthread_t load_thread; /* while `loading`: opens the network beside what comes before the first frame */
    int loading;
    isobath_status loaded; /* what came of it, when it has ended */
    isobath_engine *engine; /* whose compute_pool, device and vda are; NULL: the run's own */
    ib_source *source; /* NULL: worker processes read the input */
    ib_window_stream *stream; /* where windows come from */
    ib_source *former_source; /* what windows came from before (run_windows.c): ended, kept for whoever reads its numbers */
    ib_window_stream *former_stream[2];
    int former_count;
    ib_diag device_diag; /* what went wrong on the device of this process: worker processes may go on */
    ib_range next;         /* what comes after the last window that was taken; k_end 0: none was */
    ib_sink *sinks[IB_MAX_SINKS];
    int wants_rgb;
    ib_align_chain chain;
    ib_stabilizer stabilizer; /* with --stabilize */
    char model_sha256[65], input_sha256[65];
    pthread_t hash_thread;
    int hashing;
    int64_t *cuts; /* of --cuts FILE */
    int64_t cut_count;
    ib_window_record *windows; /* for the manifest; of a run that goes on also those of the run before */
    int64_t window_count, window_cap;
    int64_t window_at; /* in `windows`: the next one that comes */
    ib_frame_record *frames; /* likewise; the render stage's from the first frame to the last, as sinks and commit are */
    int64_t frame_count, frame_cap;
    int empty;             /* no frame came: there is nothing to go on with */
    const char *kind, *decoder; /* for the manifest, when others computed; NULL: of device and setup */
    ib_lock *lock;
    ib_journal *journal;   /* NULL: a stream */
    ib_commit *commit;
    ib_journal_state past; /* of a run that goes on; its lists move to `windows` and `frames` */
    int64_t *past_times_us; /* of its frames, for the source */
    ib_repeats repeats;     /* for the manifest: known when all frames have come */
    int complete;   /* the result is there already */
    int unfinished; /* a result without its manifest is there */
    int prime;      /* the first window only primes the chain, and the next one fades from it */
    int64_t kept_from; /* the first shot whose first map is kept on disk */
    json_t *described[IB_MAX_SINKS]; /* what finished formats say of themselves */
    json_t *extra; /* more keys of the manifest, or NULL */
    char *outputs[IB_MAX_SINKS + 2]; /* paths for the caller, ended by NULL */
} ib_run;

/* Runs to the end. On any failure the sinks leave complete files or none, and hidden ones that a resume goes on with. */
isobath_status ib_run_all(ib_run *run);
void ib_run_free(ib_run *run);

/* Steps of a run that streams share (stream.c): NAME_isobath.log.jsonl; all sinks; the input's SHA-256 in a thread; one frame,
 * in order, with its alignment, to every sink and into what the manifest says (one thread at a time); the sinks' end and the manifest. */
isobath_status ib_run_open_log(ib_run *run);
isobath_status ib_run_open_sinks(ib_run *run);
isobath_status ib_run_start_hash(ib_run *run);
isobath_status ib_run_push(ib_run *run, ib_depth_frame *frame, float scale, float shift);
isobath_status ib_run_finish(ib_run *run);
/* Into the log as `event` with a text, and to the user. */
void ib_run_tell(ib_run *run, const char *event, const char *text);
/* Tells of run->repeats: a line for each in the log, one for the user. */
void ib_run_report_repeats(ib_run *run);
/* run_windows.c. Decoding and windows from the range on. When `stream` has ended: 1: it ended early, and windows go on from elsewhere; 0: they
 * do not (the diag may say why). Cuts that were seen. */
isobath_status ib_run_open_windows(ib_run *run, const ib_range *range);
int ib_run_switch(ib_run *run);
/* Waits for a network that is being loaded; ISOBATH_OK when none is. */
isobath_status ib_run_await_network(ib_run *run);
int64_t ib_run_likely_cuts(const ib_run *run);
/* run_open.c. A network of this process begins to be loaded beside the rest; everything up to the first window. */
isobath_status ib_run_start_loading(ib_run *run);
isobath_status ib_run_open(ib_run *run);
/* run_align.c. The next window: aligned, noted, to the render stage. Takes it over. */
isobath_status ib_run_take(ib_run *run, ib_window *window);
/* Where the input broke off; cuts that were seen. */
void ib_run_report_end(ib_run *run);
void ib_run_report_cuts(ib_run *run);

/* NAME_isobath.json: only what is a function of input, model, options and kind (contract 2). */
isobath_status ib_run_write_manifest(ib_run *run);
void ib_run_list_outputs(ib_run *run); /* into run->outputs */

#endif
