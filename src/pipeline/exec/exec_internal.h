/* What the files of a depth program's stream share: exec.c (the stream), exec_feed.c (frames into windows),
 * exec_runner.c (one process). A feeder thread gives every source frame its place in a window; one thread per process
 * sends frames and puts depth into those places; at most two windows are open, which bounds the memory. */
#ifndef IB_PIPELINE_EXEC_INTERNAL_H
#define IB_PIPELINE_EXEC_INTERNAL_H

#include "base/clock.h"
#include "pipeline/exec/exec.h"
#include "pipeline/exec/exec_process.h"

#define IB_EXEC_OPEN_WINDOWS 2
#define IB_EXEC_IN_FLIGHT 2 /* frames that a process has been given */
#define IB_EXEC_TICK_MS 100

typedef struct ib_exec_window {
    ib_window base;
    int waiting; /* frames whose depth has not come */
    int closed;  /* no more frames will be added */
} ib_exec_window;

typedef struct ib_exec_job {
    ib_source_frame *frame;
    ib_exec_window *window;
    int slot, tries;
} ib_exec_job;

typedef struct ib_exec_runner {
    ib_exec *exec;
    pthread_t thread;
    int index, running;
    atomic_int restarts;
    ib_exec_process *process;
    ib_exec_job given[IB_EXEC_IN_FLIGHT]; /* oldest first */
    int given_count;
    unsigned char head[IB_EXEC_FRAME_HEAD];
    int64_t since_us; /* when the oldest frame's wait began */
    atomic_int_fast64_t frames;
    ib_busy busy;
} ib_exec_runner;

struct ib_exec {
    ib_window_stream stream;
    ib_exec_options o;
    char *command, *visible[IB_MAX_DEVICES];
    ib_exec_hello hello;
    ib_source *source;
    ib_range range;
    int wants_rgb;
    const atomic_int *cancelled;
    ib_diag *diag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    ib_exec_window *open[IB_EXEC_OPEN_WINDOWS]; /* oldest first */
    int open_count;
    ib_exec_job queue[(2 + IB_EXEC_IN_FLIGHT) * IB_MAX_DEVICES]; /* frames that wait for a process, next first */
    int queued, alive, ended;                                    /* ended: the source has no more */
    atomic_int stopped;
    pthread_t feeder;
    int feeding;
    ib_exec_runner runners[IB_MAX_DEVICES];
};

int ib_exec_must_stop(const ib_exec *e);
/* With the lock held; returns at least every IB_EXEC_TICK_MS, for a cancel signals nobody. */
void ib_exec_wait_changed(ib_exec *e);
void ib_exec_stop_all(ib_exec *e);

/* A new process up to its hello. Errors: ISOBATH_ERR_MODEL, _MEMORY, _INTERRUPTED. */
isobath_status ib_exec_introduce(ib_exec *e, int index, ib_diag *diag, ib_exec_process **out, ib_exec_hello *hello);
void *ib_exec_runner_main(void *runner); /* thread of one process */
void *ib_exec_feeder_main(void *exec);   /* thread that takes frames from the source */

#endif
