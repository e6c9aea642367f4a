/* Tasks of a cut run on the command line; see task.h. */
#include "task.h"

#include "cli.h"
#include "run_options.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static isobath_task *volatile running; /* for the signal handler */
static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    if (++interrupts > 1) _exit(128 + number);
    if (running) isobath_task_cancel(running);
}

int cli_task_run(const char *command, isobath_task_options *options, int quiet, isobath_task_result *result)
{
    isobath_task *t;
    if (!quiet) options->note = cli_print_note;
    isobath_status st = isobath_task_create(options, &t);
    if (st == ISOBATH_OK) {
        running = t;
        struct sigaction sa = {.sa_handler = on_signal};
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        st = isobath_task_run(t);
        running = NULL;
    }
    int code = st == ISOBATH_OK ? 0 : cli_fail(command, st, t ? isobath_task_error(t) : "");
    if (t && result) isobath_task_result_get(t, result);
    for (int i = 0; t && code == 0 && isobath_task_output(t, i); i++) printf("%s\n", isobath_task_output(t, i));
    isobath_task_destroy(t);
    return code;
}

int cli_set_count(void *target, const char *arg)
{
    if (strcmp(arg, "frames") && strcmp(arg, "packets")) return -1;
    *(int *)target = strcmp(arg, "packets") == 0;
    return 0;
}
