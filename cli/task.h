/* What shard, work and merge share: running a task, stopping it on a signal, saying how it went. */
#ifndef ISOBATH_CLI_TASK_H
#define ISOBATH_CLI_TASK_H

#include <isobath/task.h>

/* Runs the task; `command` is for messages. Prints outputs to stdout. Returns the exit code; *result may be NULL. */
int cli_task_run(const char *command, isobath_task_options *options, int quiet, isobath_task_result *result);

/* frames or packets, into an int. */
int cli_set_count(void *target, const char *argument);

#endif
