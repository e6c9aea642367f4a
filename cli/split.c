/* isobath split: overlapping chunks of a video for a foreign depth tool. */
#include "cli.h"
#include "stage.h"

#include <isobath/split.h>
#include <stdio.h>

int cmd_split(int argc, char **argv)
{
    isobath_split_options o;
    isobath_split_options_init(&o);
    int quiet = 0;
    static const cli_command command = {.name = "split",
                                        .usage = "split INPUT -o FOLDER (--chunks N | --chunk-frames N) [--overlap 32]",
                                        .summary = "cut a video into overlapping chunks for another depth tool",
                                        .description = "Writes NAME_chunk_000.mp4 ... and NAME_split.json, the plan "
                                                       "that `isobath join` puts the tool's results together by.\n"
                                                       "Neighbouring chunks share exactly --overlap frames, by which "
                                                       "their depth is aligned. Chunks are copied where key frames\n"
                                                       "allow, else encoded without loss, and each is decoded and "
                                                       "compared with the input, frame by frame. docs/JOIN.md.",
                                        .examples =
                                            "  isobath split clip.mp4 -o chunks --chunks 5\n"
                                            "  isobath split clip.mp4 -o chunks --chunk-frames 300 --plan-only\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Chunks"},
        {CLI_INT64, "--chunks", 0, "N", "so many, of nearly the same length", &o.chunks},
        {CLI_INT64, "--chunk-frames", 0, "N", "so many frames each; the last one may be shorter", &o.chunk_frames},
        {CLI_INT64, "--overlap", 0, "N", "frames that neighbours share (default 32)", &o.overlap},
        {CLI_FLAG, "--plan-only", 0, NULL, "only the plan with the frame ranges, no chunks", &o.plan_only},
        {CLI_STRING, "--codec", 0, "NAME",
         "auto: a copy where that is exact, else h264, else ffv1 (default); copy, h264, ffv1", &o.codec},
        {CLI_HEADING, .help = "Output"},
        {CLI_STRING, "--output", 'o', "FOLDER", "where chunks and plan go; created when missing", &o.output},
        {CLI_STRING, "--name", 0, "NAME", "of the files (default: the input's name)", &o.name},
        {CLI_FLAG, "--overwrite", 0, NULL, "replace an existing plan and its chunks", &o.overwrite},
        {CLI_THREADS, "--threads", 0, "N", "of the decoder (default: all CPUs)", &o.threads},
        {CLI_FLAG, "--quiet", 'q', NULL, "no progress, no summary", &quiet},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1 || !o.output)
        return cli_fail("split", ISOBATH_ERR_USAGE, "INPUT and -o FOLDER expected (see isobath split --help)");
    o.input = argv[1];
    cli_stage stage;
    cli_stage_start(&stage, quiet);
    o.progress = cli_stage_report;
    o.progress_ctx = &stage;
    isobath_split_summary s;
    char error[1024];
    isobath_status st = isobath_split_run(&o, &s, error, sizeof error);
    cli_stage_stop(&stage);
    if (st != ISOBATH_OK) return cli_fail("split", st, error);
    if (quiet) return 0;
    printf("frames    %lld, in %lld chunks with %lld frames\n", (long long)s.frames, (long long)s.chunks,
           (long long)s.frames_in_chunks);
    if (!o.plan_only)
        printf("chunks    %lld copied, %lld encoded without loss; every frame compared\n", (long long)s.copied,
               (long long)s.encoded);
    printf("plan      %s\n", s.plan);
    return 0;
}
