/* What all tasks of a cut run have in common, and their bodies. */
#ifndef IB_PIPELINE_CLUSTER_SHARD_TASK_H
#define IB_PIPELINE_CLUSTER_SHARD_TASK_H

#include "pipeline/align.h"
#include "pipeline/run.h"
#include "pipeline/cluster/shard.h"
#include "pipeline/cluster/spool.h"
#include <isobath/task.h>

struct isobath_task {
    ib_diag diag;
    isobath_task_options options; /* strings are copies; run is not kept */
    char *strings[3];
    atomic_int cancelled;
    ib_setup setup;
    ib_shard shard;
    ib_run run; /* for what a manifest says */
    ib_run_counters counters;
    ib_status *status;
    char device[128]; /* the kind that computes; settled is set when it is known: the status thread reads it */
    atomic_int settled;
    int64_t total; /* of `done`, for progress lines */
    atomic_int_fast64_t done;
    isobath_task_result result;
};

isobath_status ib_shard_make(isobath_task *task, const isobath_run_options *run);
isobath_status ib_shard_work(isobath_task *task);
isobath_status ib_merge_chain(isobath_task *task);
isobath_status ib_merge_render(isobath_task *task);
isobath_status ib_merge_finish(isobath_task *task);
isobath_status ib_merge_all(isobath_task *task);

/* The lock of the result, for as long as the task: one plan, run or end of a run at a time writes it, or `shared` any number of rendering
 * tasks. */
isobath_status ib_shard_lock(isobath_task *task, int shared);

/* Fills task->setup from the plan for a task that computes no network (devices NULL) or does, and checks that input and model are
 * what was planned. */
isobath_status ib_shard_setup(isobath_task *task, const char *devices);
/* The status file of this task: OUT/NAME_isobath.tasks/FILE.status.json; file NULL: that of the run, which stays. */
isobath_status ib_shard_report(isobath_task *task, const char *file, const char *what, int64_t total);

#endif
