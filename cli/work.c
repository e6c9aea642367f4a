/* isobath work: one segment of a run that was cut into tasks. */
#include "cli.h"
#include "task.h"

#include <stdio.h>

int cmd_work(int argc, char **argv)
{
    isobath_task_options t;
    isobath_task_result result;
    isobath_task_options_init(&t);
    int quiet = 0, rest;
    t.part = -1;
    static const cli_command command = {
        .name = "work",
        .usage = "work DIR --segment I [options]",
        .summary = "compute one segment of a plan",
        .description = "Computes the windows of segment I of the plan in DIR (see isobath shard) and leaves them there. It may run on\n"
                       "any machine that sees DIR and the input, in any order, again, or twice at once: a segment that is there\n"
                       "and sound is left alone, a damaged one is done again.",
        .examples = "  isobath work /shared/film --segment 5 --devices cuda:0\n"};
    const cli_option options[] = {
        {CLI_INT64, "--segment", 0, "I", "which one, from 0", &t.part},
        {CLI_STRING, "--name", 0, "NAME", "NAME of the run, where DIR holds several plans", &t.name},
        {CLI_STRING, "--devices", 'd', "D", "auto, cpu or cuda:N", &t.devices},
        {CLI_THREADS, "--threads", 'j', "N", "CPU threads (default: all)", &t.threads},
        {CLI_FLAG, "--again", 0, NULL, "compute it even if it is there", &t.again},
        {CLI_FLAG, "--quiet", 'q', NULL, "say nothing", &quiet},
        {CLI_END}};
    int code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1) return cli_fail("work", ISOBATH_ERR_USAGE, "one DIR expected (see isobath work --help)");
    if (t.part < 0) return cli_fail("work", ISOBATH_ERR_USAGE, "--segment I: expected a number from 0");
    t.kind = ISOBATH_TASK_WORK;
    t.folder = argv[1];
    code = cli_task_run("work", &t, quiet, &result);
    if (code == 0 && !quiet) {
        char bytes[32];
        if (result.skipped) printf("segment %lld is there\n", (long long)t.part);
        else printf("segment %lld: %lld windows in %.1f s, %s\n", (long long)t.part, (long long)result.done, result.seconds,
                    cli_bytes((double)result.bytes, bytes, sizeof bytes));
    }
    return code;
}
