/* What the end-to-end tests share: a folder of their own, a tiny checkpoint, a clip, a run of it. */
#ifndef TESTS_E2E_SESSION_H
#define TESTS_E2E_SESSION_H

#include "support/clips.h"

#include <isobath/session.h>

typedef struct e2e {
    char dir[256];   /* removed at the end */
    char model[512]; /* tiny synthetic checkpoint */
    char error[1024]; /* of the last run */
    isobath_plan plan; /* of the last run */
} e2e;

int e2e_setup(void **state);
int e2e_teardown(void **state);

/* dir/NAME into a rotating buffer. */
const char *e2e_path(e2e *e, const char *name);
/* Defaults for tests: the tiny model at input size 28, CPU, output to dir/out. */
isobath_run_options e2e_options(e2e *e, const char *input, const char *out);
isobath_status e2e_run(e2e *e, const isobath_run_options *options);
/* The same, stopped by `cancels` calls of isobath_session_cancel once `frames` frames are done (should the run end before, they come too
 * late). can_resume: isobath_session_can_resume of the stopped run, or NULL. */
isobath_status e2e_run_until(e2e *e, const isobath_run_options *options, int64_t frames, int cancels, int *can_resume);
/* A 64x48 clip of n frames at dir/NAME; variable: uneven frame times. */
void e2e_clip(e2e *e, const char *name, int n, int variable);

/* SHA-256 of a file, or over names and bytes of all files of a folder in order. */
void e2e_digest(const char *path, char hex[65]);
/* Files in a folder whose names end in `suffix`. */
int e2e_count_files(const char *folder, const char *suffix);
/* Floats of NAME_depths.npz through the depth reader: malloc'ed, or NULL. */
float *e2e_read_depth(const char *path, int64_t *frames, int *height, int *width);

#endif
