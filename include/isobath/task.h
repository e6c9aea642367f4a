/* A run cut into tasks for a cluster: plan, segments, chain, rendering, end. Tasks share a folder that all machines see; each may run
 * anywhere, again, or twice at once. docs/CLUSTER.md is the manual. */
#ifndef ISOBATH_TASK_H
#define ISOBATH_TASK_H

#include <isobath/session.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum isobath_task_kind {
    ISOBATH_TASK_SHARD,  /* reads the input once and writes the plan */
    ISOBATH_TASK_WORK,   /* computes the windows of segment `part` into the spool */
    ISOBATH_TASK_CHAIN,  /* aligns all windows: needs every segment */
    ISOBATH_TASK_RENDER, /* writes the frames of part `part` of `parts` in the formats that are one file a frame: needs the chain */
    ISOBATH_TASK_FINISH, /* makes the files that hold all frames, and the manifest: needs every part of the rendering */
    ISOBATH_TASK_MERGE   /* chain, rendering and end in one */
} isobath_task_kind;

/* Strings must live until isobath_task_create returns. */
typedef struct isobath_task_options {
    isobath_task_kind kind;
    const isobath_run_options *run; /* SHARD: what is to be done; else NULL */
    int64_t segments;               /* SHARD: into how many; 0: about 1,000 frames each */
    int count_packets;              /* SHARD: 1: frames are counted as packets, nothing is decoded; WORK finds out if that was wrong */
    const char *folder;             /* of the result and the tasks; SHARD: run->output */
    const char *name;               /* NAME of the run; NULL: the only one there */
    int64_t part, parts;            /* WORK, RENDER */
    const char *devices;            /* WORK: as in isobath_run_options */
    int threads;                    /* 0: all */
    int again;                      /* WORK, RENDER: 1: do what is there already again */
    int keep;                       /* FINISH, MERGE: 1: the tasks' files stay */
    void (*note)(void *ctx, const char *line);
    void *note_ctx;
} isobath_task_options;

void isobath_task_options_init(isobath_task_options *options);

typedef struct isobath_task_result {
    int64_t frames, windows, segments; /* of the whole run */
    int64_t done;                      /* SHARD: frames read; WORK, CHAIN: windows; else frames written */
    int64_t bytes;                     /* WORK: of the spool file */
    double seconds;
    int skipped;                       /* 1: it was there already, whole and sound */
} isobath_task_result;

typedef struct isobath_task isobath_task;

/* *out is set even on failure (unless memory is out), so that isobath_task_error can be read. */
isobath_status isobath_task_create(const isobath_task_options *options, isobath_task **out);
/* Runs to the end; blocks. Errors: every status of status.h; ISOBATH_ERR_INPUT says which segment or part is missing or damaged. */
isobath_status isobath_task_run(isobath_task *task);
/* Async-signal-safe, any thread. */
void isobath_task_cancel(isobath_task *task);
void isobath_task_result_get(const isobath_task *task, isobath_task_result *out);
/* After MERGE and FINISH: as isobath_session_output. */
const char *isobath_task_output(const isobath_task *task, int i);
const char *isobath_task_error(const isobath_task *task);
void isobath_task_destroy(isobath_task *task); /* NULL allowed */

/* How far the tasks of a run are, by the files that are there; contents are not looked at. */
typedef struct isobath_task_progress {
    char name[256];
    int64_t frames, windows;
    int64_t segments, segments_done;
    int chain_done;
    int64_t parts, parts_done; /* of the rendering; parts 0: not begun */
    int rendered;              /* 1: formats that are one file a frame are asked for, so there is rendering to do in parts */
    int finished;              /* the manifest is there */
} isobath_task_progress;

/* Errors: ISOBATH_ERR_INPUT (no plan, several, damaged). */
isobath_status isobath_task_progress_read(const char *folder, const char *name, isobath_task_progress *out, char *error, size_t error_size);

/* Which segments (WORK) or parts of `parts` (RENDER) are not there yet, ascending: *list is malloc'ed, the caller frees it. */
isobath_status isobath_task_missing(const char *folder, const char *name, isobath_task_kind kind, int64_t parts, int64_t **list, int64_t *count,
                                    char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
