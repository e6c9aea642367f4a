/* isobath run: a video in, consistent depth out. */
#include "again.h"
#include "cli.h"
#include "progress.h"
#include "run_options.h"

#include "batch.h"

#include <isobath/batch.h>
#include <isobath/session.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static isobath_session *volatile running; /* for the signal handler, like the next two */
static volatile sig_atomic_t interrupts;
static char *again; /* the command that goes on */
static char *again_repeating; /* the same over damaged frames */
static size_t again_size;

static void tell(const char *text, size_t size)
{
    if (write(STDERR_FILENO, text, size) < 0) { /* nobody listens */
    }
}

/* The first one lets what is in flight finish; the second does not wait: a run can be killed at any instant. */
static void on_signal(int number)
{
    static const char first[] = "\nstopping when the windows in flight are done (again: at once)\n";
    if (++interrupts > 1) {
        if (running) tell(again, again_size);
        _exit(128 + number);
    }
    if (running) tell(first, sizeof first - 1);
    if (running) isobath_session_cancel(running);
}

typedef struct run_flags {
    int json, quiet, fp32, npz, exr;
    char formats[160];
} run_flags;

/* One input; *progress, when the caller wants it, is what was done. */
static int run_session(const isobath_run_options *o, const run_flags *f, isobath_progress *progress)
{
    isobath_session *s;
    isobath_status st = isobath_session_create(o, &s);
    if (st == ISOBATH_OK) {
        if (f->json) cli_print_plan_json(isobath_session_plan(s));
        else if (!f->quiet) cli_print_plan(isobath_session_plan(s), o);
        /* Frames go back to the system when they are freed, so that memory is what is in use; on a GPU speed counts more. */
        if (!isobath_session_plan(s)->device_bytes) {
            mallopt(M_MMAP_THRESHOLD, 1 << 20);
        } else { /* frames of many threads are used again, without a visit to the system */
            mallopt(M_MMAP_THRESHOLD, 1 << 25);
            mallopt(M_TRIM_THRESHOLD, 1 << 30);
            mallopt(M_ARENA_MAX, 2);
        }
        running = s;
        cli_progress *bar = cli_progress_start(s, f->json ? CLI_PROGRESS_JSON : f->quiet ? CLI_PROGRESS_NONE : CLI_PROGRESS_TEXT);
        if (interrupts) isobath_session_cancel(s); /* between two inputs */
        st = isobath_session_run(s);
        cli_progress_stop(bar, st);
        running = NULL;
    }
    if (progress && s) isobath_session_progress(s, progress);
    int code = st == ISOBATH_OK ? 0 : cli_fail("run", st, s ? isobath_session_error(s) : "");
    int damaged = s && !o->on_error_repeat && strstr(isobath_session_error(s), "(--on-error repeat"); /* as it was, it would stop there again */
    if (code && s && isobath_session_can_resume(s)) fputs(damaged ? again_repeating : again, stderr);
    if (st == ISOBATH_OK && !f->json)
        for (int i = 0; isobath_session_output(s, i); i++) printf("%s\n", isobath_session_output(s, i));
    isobath_session_destroy(s);
    return code;
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

/* Every input of the batch with the same options; the first failure's exit code. */
static int run_batch(isobath_run_options *o, const run_flags *f, const isobath_batch *batch)
{
    size_t count = isobath_batch_count(batch);
    cli_batch_row *rows = calloc(count, sizeof *rows);
    if (!rows) return cli_fail("run", ISOBATH_ERR_MEMORY, "out of memory for the summary");
    int code = 0;
    isobath_engine *engine = o->engine = isobath_engine_create(); /* without memory for it, every run opens its own */
    for (size_t i = 0; i < count; i++) {
        o->input = rows[i].input = isobath_batch_input(batch, i);
        rows[i].code = -1;
        if (interrupts) continue;
        cli_batch_announce(o->input, i, count, f->json, f->quiet);
        isobath_progress p = {0};
        rows[i].code = run_session(o, f, &p);
        rows[i].frames = p.frames_done;
        rows[i].seconds = p.elapsed_s;
        if (!code) code = rows[i].code;
    }
    isobath_engine_destroy(engine);
    o->engine = NULL;
    cli_batch_print(rows, count, f->json);
    free(rows);
    return code || !interrupts ? code : ISOBATH_ERR_INTERRUPTED;
}

/* What the command line names: one input, or a batch. */
static int run_inputs(isobath_run_options *o, const run_flags *f, char **inputs, int count, const char *list)
{
    isobath_batch *batch = isobath_batch_create();
    isobath_status st = batch ? ISOBATH_OK : ISOBATH_ERR_MEMORY;
    if (st == ISOBATH_OK && list) st = isobath_batch_add_list(batch, list);
    for (int i = 0; st == ISOBATH_OK && i < count; i++) st = isobath_batch_add(batch, inputs[i]);
    if (st == ISOBATH_OK) st = isobath_batch_check(batch);
    int code;
    if (st != ISOBATH_OK) code = cli_fail("run", st, batch ? isobath_batch_error(batch) : "");
    else if (isobath_batch_count(batch) == 1 && !list) {
        o->input = isobath_batch_input(batch, 0);
        code = run_session(o, f, NULL);
    } else if (o->name) code = cli_fail("run", ISOBATH_ERR_USAGE, "--name is for one input; several are called by their own names");
    else code = run_batch(o, f, batch);
    isobath_batch_destroy(batch);
    return code;
}

int cmd_run(int argc, char **argv)
{
    isobath_run_options o;
    isobath_run_options_init(&o);
    run_flags f = {0};
    const char *input = NULL, *list = NULL;
    double range[2] = {0, 0};
    int metric = 0, max_len = 0;
    static const cli_command command = {
        .name = "run",
        .usage = "run INPUT... -o OUT [options]",
        .summary = "turn a video into consistent depth",
        .description = "Turns a video of any length into one depth map per frame that does not flicker.\n"
                       "INPUT is a file, a URL, a folder or pattern of images (frames/%05d.png), or - for Y4M or raw video on\n"
                       "stdin. OUT is a folder; results are called NAME_depths_png16/, NAME_vis.mp4 and so on.\n\n"
                       "Several inputs run one after another with the model loaded once; a folder without images stands for\n"
                       "the videos in it. One that fails does not stop the rest; a table at the end says how each went.",
        .examples = "  isobath run clip.mp4 -o out\n"
                    "  isobath run clip.mp4 -o out --model video_depth_anything_vits.pth --format png16,npz,preview\n"
                    "  isobath run 'frames/%05d.png' -o out --max-frames 100\n"
                    "  isobath run *.mp4 clips/ -o out\n"
                    "  find . -name '*.mov' | isobath run --list - -o out\n"
                    "  ffmpeg -i rtsp://... -f yuv4mpegpipe - | isobath run - -o out --name camera\n"};
    const cli_option options[] = {
        CLI_INPUT_OPTIONS(o),
        {CLI_STRING, "--list", 0, "FILE", "more inputs, one a line (-: on stdin)", &list},
        CLI_MODEL_OPTIONS(o, metric),
        {CLI_INT, "--segment-windows", 0, "N", "several devices: windows (of 22 frames) that one computes in a row; fewer take less\nmemory and more time (default: 8, or 12 where each decodes; fewer where memory is short)", &o.segment_windows},
        {CLI_CALL, "--guard", 0, "on|off", "on (default): a window whose alignment is not sane keeps the last good one;\noff: as the reference does", &o.guard, cli_set_guard},
        {CLI_DOUBLE, "--stabilize", 0, "S", "models that see one frame at a time: smooth scale and shift over S seconds", &o.stabilize_s},
        {CLI_DOUBLE, "--exec-timeout", 0, "S", "seconds that a frame may take when --model is exec:COMMAND (default 60)", &o.exec_timeout_s},
        {CLI_STRING, "--cuts", 0, "off|auto|FILE", "each shot is aligned by itself: at detected cuts, or at the frame numbers\nin FILE (one per line); off by default, likely cuts are reported", &o.cuts},
        CLI_SINK_OPTIONS(o, range),
        {CLI_FLAG, "--resume", 0, NULL, "go on with a run that was stopped; nothing there: begin; finished: verify it", &o.resume},
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
        {CLI_DOUBLE, "--focal-length-x", 0, "PX", NULL, &o.focal_px},
        {CLI_DOUBLE, "--focal-length-y", 0, "PX", NULL, &o.focal_y_px},
        {CLI_END}};
    again = cli_again(argc, argv, "");
    again_repeating = cli_again(argc, argv, " --on-error repeat");
    if (!again || !again_repeating) return cli_fail("run", ISOBATH_ERR_MEMORY, "out of memory for the command line");
    again_size = strlen(again);
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (!rest && !input && !list) return cli_fail("run", ISOBATH_ERR_USAGE, "no INPUT (see isobath run --help)");
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
    catch_signals();
    char *only[1] = {(char *)(uintptr_t)input};
    code = run_inputs(&o, &f, rest ? argv + 1 : only, rest ? rest : input != NULL, list);
    free(again);
    free(again_repeating);
    return code;
}
