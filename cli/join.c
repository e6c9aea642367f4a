/* isobath join: the depth of chunks, aligned and blended. */
#include "cli.h"
#include "stage.h"

#include <isobath/join.h>
#include <stdio.h>
#include <string.h>

typedef struct join_flags {
    isobath_join_options o;
    double range[2];
    int metric, relative, quiet;
} join_flags;

static void print_summary(const isobath_join_summary *s)
{
    printf("frames    %lld, from %zu chunks with %lld, %dx%d, %s\n", (long long)s->frames, s->count,
           (long long)s->frames_in_chunks, s->width, s->height,
           strcmp(s->unit, "metre") == 0 ? "metres" : "relative disparity");
    for (size_t k = 0; k < s->count; k++) {
        const isobath_join_chunk *c = &s->chunks[k];
        printf("chunk %-3zu frames %lld to %lld", k, (long long)c->first, (long long)(c->first + c->frames - 1));
        if (k && c->overlap)
            printf(": scale %.5g, shift %.5g over %lld frames, residual %.2f%%", c->scale, c->shift,
                   (long long)c->overlap, 100 * c->residual);
        putchar('\n');
    }
    if (s->unit_assumed)
        printf("note      the files do not say what they hold: taken for disparity, larger is nearer (--metric if they "
               "hold metres)\n");
    if (s->clamped)
        printf("note      %lld values fell below 0 and became 0: something is farther than all of the first chunk "
               "(--fit scale has no shift)\n",
               (long long)s->clamped);
    printf("written   %s\n", s->manifest);
}

int cmd_join(int argc, char **argv)
{
    join_flags f = {0};
    isobath_join_options *o = &f.o;
    isobath_join_options_init(o);
    static const cli_command command = {
        .name = "join",
        .usage = "join PLAN [DEPTH ...] -o FOLDER",
        .summary = "align and blend the depth of chunks into one result",
        .description = "PLAN is the NAME_split.json of `isobath split`, or a text with the lines FIRST_FRAME PATH. "
                       "Each DEPTH holds one chunk, in order: PNG,\n"
                       "EXR, npz or npy, a file or a folder, or grey video. Neighbours are aligned by a robust fit "
                       "over the frames they share, in the\n"
                       "scale of the first one, and blended there; as many frames come out as the plan says. Input "
                       "whose frames were normalised one by\n"
                       "one has lost the scale of the video: it is refused, or repaired where asked. The result has the chunks' size:\n"
                       "--upsample guided needs the pictures, so it belongs to the run that makes a chunk. docs/JOIN.md.",
        .examples = "  isobath join chunks/clip_split.json depth_0 depth_1 depth_2 -o out\n"
                    "  isobath join list.txt -o out --input-scale unit --format npz,preview --fps 30\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Input"},
        {CLI_STRING, "--input-scale", 0, "SCALE",
         "samples of foreign depth: mm, cm, m, 1/N (metres = sample / N), unit (0..1), raw, S or\nS,OFFSET",
         &o->input_scale},
        {CLI_FLAG, "--metric", 0, NULL, "DEPTH holds metres (default: as the files say, else disparity)", &f.metric},
        {CLI_FLAG, "--relative", 0, NULL, "DEPTH holds disparity", &f.relative},
        {CLI_STRING, "--per-frame", 0, "HOW",
         "frames that were normalised one by one: refuse (default), repair, ignore", &o->per_frame},
        {CLI_DOUBLE, "--fps", 0, "F", "of the result (default: the plan's times, the files', else 30)", &o->fps},
        {CLI_HEADING, .help = "Alignment"},
        {CLI_STRING, "--fit", 0, "WHAT",
         "scale+shift, scale, none (default: scale+shift for disparity, none for metres)", &o->fit},
        {CLI_STRING, "--space", 0, "NAME",
         "in which the fit is linear: disparity, depth (default: what the files hold)", &o->space},
        {CLI_STRING, "--blend", 0, "NAME", "of neighbours: linear (default), cosine, cut", &o->blend},
        {CLI_INT64, "--blend-frames", 0, "N", "in the middle of the overlap (default 8; 0: all of it)",
         &o->blend_frames},
        {CLI_HEADING, .help = "Output"},
        {CLI_STRING, "--output", 'o', "FOLDER", "where the results go; created when missing", &o->output},
        {CLI_STRING, "--format", 'f', "LIST", "of png16, preview, npz, exr, ffv1 (default png16,preview)", &o->formats},
        {CLI_STRING, "--name", 0, "NAME", "of the result files (default: the plan's input)", &o->name},
        {CLI_FLAG, "--overwrite", 0, NULL, "replace existing results", &o->overwrite},
        {CLI_INT, "--start-number", 0, "N", "first number in file names (default 0)", &o->start_number},
        {CLI_RANGE, "--range", 0, "A:B", "fixed range of 16-bit files", f.range},
        {CLI_FLAG, "--npz-half", 0, NULL, "float16 in .npz", &o->npz_half},
        {CLI_FLAG, "--exr-half", 0, NULL, "half floats in .exr", &o->exr_half},
        {CLI_FLAG, "--exr-z-only", 0, NULL, "channel Z alone in .exr, without its copy Y", &o->exr_z_only},
        {CLI_STRING, "--exr-compression", 0, "NAME", "zip, piz, pxr24, none", &o->exr_compression},
        {CLI_STRING, "--colormap", 0, "NAME", "of the preview: inferno, magma, viridis, plasma, turbo, gray",
         &o->colormap},
        {CLI_THREADS, "--threads", 0, "N", "CPU threads (default: all)", &o->threads},
        {CLI_FLAG, "--quiet", 'q', NULL, "no progress, no summary", &f.quiet},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest < 1 || !o->output)
        return cli_fail("join", ISOBATH_ERR_USAGE, "PLAN and -o FOLDER expected (see isobath join --help)");
    if (f.metric && f.relative)
        return cli_fail("join", ISOBATH_ERR_USAGE, "--metric and --relative exclude each other");
    o->metric = f.metric ? 1 : f.relative ? 0 : -1;
    o->range_min = f.range[0];
    o->range_max = f.range[1];
    o->plan = argv[1];
    o->depths = (const char *const *)(argv + 2);
    o->depth_count = (size_t)rest - 1;
    cli_stage stage;
    cli_stage_start(&stage, f.quiet);
    o->progress = cli_stage_report;
    o->progress_ctx = &stage;
    isobath_join_summary s;
    char error[1024];
    isobath_status st = isobath_join_run(o, &s, error, sizeof error);
    cli_stage_stop(&stage);
    if (st == ISOBATH_OK && !f.quiet) print_summary(&s);
    isobath_join_summary_free(&s);
    return st == ISOBATH_OK ? 0 : cli_fail("join", st, error);
}
