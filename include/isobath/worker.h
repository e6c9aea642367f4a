/* Worker processes: a run on several devices, or on a GPU, starts the program isobath once per device. A program that wants to be its
 * own worker names itself in isobath_run_options.program and calls this when it is started as
 * `PROGRAM worker --fd N --parent PID`. */
#ifndef ISOBATH_WORKER_H
#define ISOBATH_WORKER_H

#include <isobath/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Serves the run on the other end of socket `fd` until it says good-bye; dies with process `parent` (0: not watched). Prints nothing
 * (errors go to the run), ignores SIGINT, SIGTERM, SIGHUP and SIGPIPE, and uses the whole process: call it from main's thread.
 * Returns the exit code. */
int isobath_worker_run(int fd, long parent);

#ifdef __cplusplus
}
#endif
#endif
