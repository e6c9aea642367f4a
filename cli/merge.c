/* isobath merge: from the segments of a plan to the result. */
#include "cli.h"
#include "task.h"

#include <stdio.h>

/* I/N into two numbers. */
static int set_part(void *target, const char *arg)
{
    isobath_task_options *t = target;
    long long part, parts;
    int end = 0;
    if (sscanf(arg, "%lld/%lld%n", &part, &parts, &end) != 2 || arg[end] || part < 0 || part >= parts) return -1;
    t->part = part;
    t->parts = parts;
    t->kind = ISOBATH_TASK_RENDER;
    return 0;
}

int cmd_merge(int argc, char **argv)
{
    isobath_task_options t;
    isobath_task_result result;
    isobath_task_options_init(&t);
    int quiet = 0, chain = 0, finish = 0, rest;
    t.kind = ISOBATH_TASK_MERGE;
    static const cli_command command = {
        .name = "merge",
        .usage = "merge DIR [--chain | --render I/N | --finish] [options]",
        .summary = "make the result of a plan's segments",
        .description = "Aligns the windows of all segments of the plan in DIR and writes the result that isobath run would have\n"
                       "written. By itself it does everything in one process. A cluster does it in three steps: --chain, once;\n"
                       "--render I/N for I from 0 to N - 1, anywhere, in any order (formats that are one file a frame: png16, exr,\n"
                       "ply); --finish, once (formats that are one file, and the manifest). The tasks' files go at the end.",
        .examples = "  isobath merge /shared/film\n"
                    "  isobath merge /shared/film --chain\n"
                    "  isobath merge /shared/film --render 0/16\n"
                    "  isobath merge /shared/film --finish\n"};
    const cli_option options[] = {
        {CLI_FLAG, "--chain", 0, NULL, "align all windows", &chain},
        {CLI_CALL, "--render", 0, "I/N", "write part I of N of the frames, I from 0", &t, set_part},
        {CLI_FLAG, "--finish", 0, NULL, "what is left when all parts are written", &finish},
        {CLI_STRING, "--name", 0, "NAME", "NAME of the run, where DIR holds several plans", &t.name},
        {CLI_THREADS, "--threads", 'j', "N", "CPU threads (default: all)", &t.threads},
        {CLI_FLAG, "--again", 0, NULL, "chain and parts: even if they are there", &t.again},
        {CLI_FLAG, "--keep", 0, NULL, "leave the tasks' files", &t.keep},
        {CLI_FLAG, "--quiet", 'q', NULL, "say nothing", &quiet},
        {CLI_END}};
    int code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1) return cli_fail("merge", ISOBATH_ERR_USAGE, "one DIR expected (see isobath merge --help)");
    if (chain + finish + (t.kind == ISOBATH_TASK_RENDER) > 1) return cli_fail("merge", ISOBATH_ERR_USAGE, "one of --chain, --render and --finish");
    if (chain) t.kind = ISOBATH_TASK_CHAIN;
    if (finish) t.kind = ISOBATH_TASK_FINISH;
    t.folder = argv[1];
    code = cli_task_run("merge", &t, quiet, &result);
    if (code == 0 && !quiet && result.skipped) fprintf(stderr, "nothing to do: it is there\n");
    else if (code == 0 && !quiet) fprintf(stderr, "%lld %s in %.1f s\n", (long long)result.done, chain ? "windows" : "frames", result.seconds);
    return code;
}
