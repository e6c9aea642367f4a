/* isobath run: a video in, consistent depth out. */
#include "cli.h"
#include "progress.h"
#include "run_options.h"

#include <isobath/session.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static isobath_session *volatile running; /* for the signal handler */
static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    if (++interrupts > 1) _exit(128 + number); /* the second one does not wait */
    if (running) isobath_session_cancel(running);
}

typedef struct run_flags {
    int json, quiet, fp32, npz, exr;
    char formats[160];
} run_flags;

static int set_guard(void *target, const char *arg)
{
    if (strcmp(arg, "on") && strcmp(arg, "off")) return -1;
    *(int *)target = strcmp(arg, "on") == 0;
    return 0;
}

static int run_session(const isobath_run_options *o, const run_flags *f)
{
    isobath_session *s;
    isobath_status st = isobath_session_create(o, &s);
    if (st == ISOBATH_OK) {
        if (f->json) cli_print_plan_json(isobath_session_plan(s));
        else if (!f->quiet) cli_print_plan(isobath_session_plan(s), o);
        /* Frames go back to the system when they are freed, so that memory is what is in use; on a GPU speed counts more. */
        if (!isobath_session_plan(s)->device_bytes) mallopt(M_MMAP_THRESHOLD, 1 << 20);
        running = s;
        struct sigaction sa = {.sa_handler = on_signal};
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        cli_progress *progress = cli_progress_start(s, f->json ? CLI_PROGRESS_JSON : f->quiet ? CLI_PROGRESS_NONE : CLI_PROGRESS_TEXT);
        st = isobath_session_run(s);
        cli_progress_stop(progress, st);
        running = NULL;
    }
    int code = st == ISOBATH_OK ? 0 : cli_fail("run", st, s ? isobath_session_error(s) : "");
    if (st == ISOBATH_OK && !f->json)
        for (int i = 0; isobath_session_output(s, i); i++) printf("%s\n", isobath_session_output(s, i));
    isobath_session_destroy(s);
    return code;
}

int cmd_run(int argc, char **argv)
{
    isobath_run_options o;
    isobath_run_options_init(&o);
    run_flags f = {0};
    const char *input = NULL;
    double range[2] = {0, 0};
    int metric = 0, max_len = 0;
    static const cli_command command = {
        .name = "run",
        .usage = "run INPUT -o OUT [options]",
        .summary = "turn a video into consistent depth",
        .description = "Turns a video of any length into one depth map per frame that does not flicker.\n"
                       "INPUT is a file, a URL, a folder or pattern of images (frames/%05d.png), or - for Y4M or raw video on\n"
                       "stdin. OUT is a folder; results are called NAME_depths_png16/, NAME_vis.mp4 and so on.",
        .examples = "  isobath run clip.mp4 -o out\n"
                    "  isobath run clip.mp4 -o out --model video_depth_anything_vits.pth --format png16,npz,preview\n"
                    "  isobath run 'frames/%05d.png' -o out --max-frames 100\n"
                    "  ffmpeg -i rtsp://... -f yuv4mpegpipe - | isobath run - -o out --name camera\n"};
    const cli_option options[] = {
        CLI_INPUT_OPTIONS(o),
        CLI_MODEL_OPTIONS(o, metric),
        {CLI_CALL, "--guard", 0, "on|off", "on (default): a window whose alignment is not sane keeps the last good one;\noff: as the reference does", &o.guard, set_guard},
        {CLI_STRING, "--cuts", 0, "off|auto|FILE", "each shot is aligned by itself: at detected cuts, or at the frame numbers\nin FILE (one per line); off by default, likely cuts are reported", &o.cuts},
        CLI_SINK_OPTIONS(o, range),
        {CLI_HEADING, .help = "Reporting"},
        {CLI_FLAG, "--json", 0, NULL, "events as JSON lines on stdout", &f.json},
        {CLI_FLAG, "--quiet", 'q', NULL, "no progress", &f.quiet},
        /* the reference tool's names */
        {CLI_STRING, "--input_video", 0, "FILE", NULL, &input},
        {CLI_STRING, "--output_dir", 0, "FOLDER", NULL, &o.output},
        {CLI_STRING, "--encoder", 0, "NAME", NULL, &o.model},
        {CLI_INT, "--input_size", 0, "N", NULL, &o.input_size},
        {CLI_INT, "--max_res", 0, "N", NULL, &o.max_res},
        {CLI_INT, "--max_len", 0, "N", NULL, &max_len},
        {CLI_DOUBLE, "--target_fps", 0, "F", NULL, &o.target_fps},
        {CLI_FLAG, "--fp32", 0, NULL, NULL, &f.fp32},
        {CLI_FLAG, "--save_npz", 0, NULL, NULL, &f.npz},
        {CLI_FLAG, "--save_exr", 0, NULL, NULL, &f.exr},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest > 1) return cli_fail("run", ISOBATH_ERR_USAGE, "one INPUT expected (quote patterns: 'frames/%05d.png')");
    o.input = rest ? argv[1] : input;
    if (!o.input) return cli_fail("run", ISOBATH_ERR_USAGE, "no INPUT (see isobath run --help)");
    if (!o.output) return cli_fail("run", ISOBATH_ERR_USAGE, "no output folder: -o FOLDER");
    if (metric) o.metric = 1;
    if (o.max_res < 0) o.max_res = 0; /* the reference's -1 */
    if (o.target_fps < 0) o.target_fps = 0;
    if (max_len > 0) o.max_frames = max_len;
    if (f.fp32) o.precision = "fp32";
    if (f.npz || f.exr) {
        snprintf(f.formats, sizeof f.formats, "%s%s%s", o.formats ? o.formats : "png16,preview", f.npz ? ",npz" : "", f.exr ? ",exr" : "");
        o.formats = f.formats;
    }
    o.range_min = range[0];
    o.range_max = range[1];
    if (!f.quiet && !f.json) o.note = cli_print_note;
    return run_session(&o, &f);
}
