/* isobath shard: the plan of a run that is cut into tasks for a cluster. */
#include "cli.h"
#include "run_options.h"
#include "task.h"

#include <stdio.h>

int cmd_shard(int argc, char **argv)
{
    isobath_run_options o;
    isobath_task_options t;
    isobath_task_result result;
    isobath_run_options_init(&o);
    isobath_task_options_init(&t);
    double range[2] = {0, 0};
    int metric = 0, quiet = 0, rest;
    static const cli_command command = {
        .name = "shard",
        .usage = "shard INPUT -o DIR [--segments N] [options]",
        .summary = "cut a run into tasks for a cluster: the plan",
        .description = "Reads the input once and writes the plan into DIR, a folder that all machines see. Then\n"
                       "  isobath work DIR --segment I      for every I from 0 to N - 1, anywhere, in any order, and\n"
                       "  isobath merge DIR                 make the result that isobath run would have made, byte by byte.\n"
                       "isobath slurm does all of it on a Slurm cluster. docs/CLUSTER.md is the manual.",
        .examples = "  isobath shard film.mp4 -o /shared/film --segments 64 --precision fp16\n"
                    "  isobath work /shared/film --segment 5\n"
                    "  isobath merge /shared/film\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Plan"},
        {CLI_INT64, "--segments", 0, "N", "segments of windows (default: one for about 1,000 frames)", &t.segments},
        {CLI_CALL, "--count", 0, "frames|packets", "frames (default): decode all of it once, exact; packets: read the container only,\nmuch sooner; a task that finds another frame than was counted says so", &t.count_packets, cli_set_count},
        CLI_INPUT_OPTIONS(o),
        CLI_MODEL_OPTIONS(o, metric),
        {CLI_CALL, "--guard", 0, "on|off", "as for isobath run", &o.guard, cli_set_guard},
        {CLI_DOUBLE, "--stabilize", 0, "S", "as for isobath run", &o.stabilize_s},
        {CLI_DOUBLE, "--exec-timeout", 0, "S", "as for isobath run", &o.exec_timeout_s},
        {CLI_STRING, "--cuts", 0, "off|auto|FILE", "as for isobath run", &o.cuts},
        CLI_SINK_OPTIONS(o, range),
        {CLI_HEADING, .help = "Reporting"},
        {CLI_FLAG, "--quiet", 'q', NULL, "say nothing", &quiet},
        {CLI_END}};
    int code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1) return cli_fail("shard", ISOBATH_ERR_USAGE, "one INPUT expected (see isobath shard --help)");
    if (!o.output) return cli_fail("shard", ISOBATH_ERR_USAGE, "no folder: -o DIR");
    if (t.segments < 0) return cli_fail("shard", ISOBATH_ERR_USAGE, "--segments: expected a number above 0");
    o.input = argv[1];
    if (metric) o.metric = 1;
    o.range_min = range[0];
    o.range_max = range[1];
    if (!quiet) o.note = cli_print_note;
    t.kind = ISOBATH_TASK_SHARD;
    t.run = &o;
    code = cli_task_run("shard", &t, quiet, &result);
    if (code == 0 && !quiet)
        printf("%lld frames, %lld windows, %lld segments: isobath work %s --segment 0 ... %lld, then isobath merge %s\n", (long long)result.frames,
               (long long)result.windows, (long long)result.segments, o.output, (long long)result.segments - 1, o.output);
    return code;
}
