/* One worker process, seen from the run: found, started, talked to, ended. */
#ifndef IB_PIPELINE_FLEET_CHILD_H
#define IB_PIPELINE_FLEET_CHILD_H

#include "pipeline/fleet/wire.h"
#include <sys/types.h>

typedef struct ib_child {
    pid_t pid;
    ib_wire wire;
    int errors_fd;       /* what it writes to its standard error */
    char last_words[256]; /* the end of that, on one line */
} ib_child;

/* Path of the program that can be a worker: `named` (NULL: not named), else this program when it is isobath, else the installed one.
 * Errors: ISOBATH_ERR_UNSUPPORTED, with where it was looked for. */
isobath_status ib_child_program(const char *named, char *path, size_t size, ib_diag *diag);

/* Starts `path` as a worker of this thread: it dies with the thread, never sees the terminal or its signals, and reads nothing but its
 * socket. Errors: ISOBATH_ERR_INTERNAL, ISOBATH_ERR_MEMORY. */
isobath_status ib_child_start(const char *path, ib_diag *diag, ib_child **out);
/* Asks it to be what `open` says. 0, or errno. */
int ib_child_open(ib_child *child, const ib_msg_open *open);
/* Waits for its answer to OPEN, at most limit_s. Errors: what the worker says; ISOBATH_ERR_DEVICE when it is silent, dies or is of
 * another version. */
isobath_status ib_child_opened(ib_child *child, const char *device, int limit_s, ib_diag *diag, ib_msg_opened *answer);

/* Keeps the last of what it wrote to its standard error. */
void ib_child_listen(ib_child *child);
void ib_child_kill(ib_child *child);
/* 1: it has ended (and is reaped); `how` says how: "killed by signal 9 (Killed)", "ended with code 1". */
int ib_child_ended(ib_child *child, char *how, size_t size);
/* Says good-bye, waits a little, kills what still runs, and frees; NULL allowed. */
void ib_child_close(ib_child *child);

#endif
