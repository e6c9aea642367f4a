/* isobath run: a video in, consistent depth out. */
#include "cli.h"
#include "progress.h"

#include <isobath/session.h>
#include <jansson.h>
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

static int set_on_error(void *target, const char *arg)
{
    if (strcmp(arg, "stop") && strcmp(arg, "repeat")) return -1;
    *(int *)target = strcmp(arg, "repeat") == 0;
    return 0;
}

static int set_png_level(void *target, const char *arg)
{
    if (strcmp(arg, "fast") && strcmp(arg, "max")) return -1;
    *(int *)target = strcmp(arg, "max") == 0;
    return 0;
}

static void print_plan(const isobath_plan *p, const isobath_run_options *o)
{
    char host[32], device[32], disk[32];
    fprintf(stderr, "input    %s: %d x %d", o->input, p->source_width, p->source_height);
    if (p->fps > 0) fprintf(stderr, ", %.3f frames/s", p->fps);
    if (p->frames_hint >= 0) fprintf(stderr, ", about %lld frames", (long long)p->frames_hint);
    fprintf(stderr, "\nmodel    %s (%s), %s, network %d x %d, %.0f GFLOP per frame\n", p->model,
            p->metric ? "metric, metres" : "relative disparity", p->precision, p->network_width, p->network_height,
            p->flops_per_frame * 1e-9);
    fprintf(stderr, "output   %s: %d x %d, %s", o->output, p->output_width, p->output_height, o->formats ? o->formats : "png16,preview");
    if (p->disk_bytes > 0) fprintf(stderr, ", at most %s", cli_bytes(p->disk_bytes, disk, sizeof disk));
    fprintf(stderr, "\nmemory   %s", cli_bytes((double)p->host_bytes, host, sizeof host));
    if (p->device_bytes) fprintf(stderr, ", on the device %s", cli_bytes((double)p->device_bytes, device, sizeof device));
    fprintf(stderr, "\ndevice   %s\n", p->device);
}

static void print_plan_json(const isobath_plan *p)
{
    json_t *o = json_pack("{s:s, s:[i,i], s:[i,i], s:[i,i], s:f, s:I, s:s, s:b, s:s, s:s, s:I, s:I, s:f, s:f}", "event", "plan",
                          "source_size", p->source_width, p->source_height, "network_size", p->network_width, p->network_height,
                          "output_size", p->output_width, p->output_height, "fps", p->fps, "frames_hint",
                          (json_int_t)p->frames_hint, "model", p->model, "metric", p->metric, "device", p->device, "precision",
                          p->precision, "host_bytes", (json_int_t)p->host_bytes, "device_bytes", (json_int_t)p->device_bytes,
                          "disk_bytes", p->disk_bytes, "flops_per_frame", p->flops_per_frame);
    if (o) json_dumpf(o, stdout, JSON_COMPACT);
    printf("\n");
    fflush(stdout);
    json_decref(o);
}

static void print_note(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "note     %s\n", line);
}

static int run_session(const isobath_run_options *o, const run_flags *f)
{
    isobath_session *s;
    isobath_status st = isobath_session_create(o, &s);
    if (st == ISOBATH_OK) {
        if (f->json) print_plan_json(isobath_session_plan(s));
        else if (!f->quiet) print_plan(isobath_session_plan(s), o);
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
        {CLI_HEADING, .help = "Input"},
        {CLI_TIME, "--start", 0, "T", "start at this time (seconds, M:SS, H:MM:SS)", &o.start_s},
        {CLI_TIME, "--end", 0, "T", "end before this time", &o.end_s},
        {CLI_DOUBLE, "--target-fps", 0, "F", "keep every n-th frame, n = round(fps / F)", &o.target_fps},
        {CLI_INT64, "--max-frames", 0, "N", "stop after N frames", &o.max_frames},
        {CLI_INT, "--max-res", 0, "N", "reduce sources whose longer side exceeds N (default 1280; 0: never)", &o.max_res},
        {CLI_CALL, "--on-error", 0, "stop|repeat", "damaged frames: stop (default), or repeat the last good one", &o.on_error_repeat, set_on_error},
        {CLI_STRING, "--raw", 0, "WxH:FMT:FPS", "stdin is headerless video, e.g. 1280x720:rgb24:30", &o.raw_format},
        {CLI_HEADING, .help = "Model"},
        {CLI_STRING, "--model", 'm', "NAME|PATH", "checkpoint (.safetensors or .pth) or a known name (see isobath models)", &o.model},
        {CLI_FLAG, "--metric", 0, NULL, "the checkpoint gives metres (else as the file says)", &metric},
        {CLI_INT, "--input-size", 0, "N", "size of the network's shorter side (default: the model's, 518)", &o.input_size},
        {CLI_STRING, "--precision", 0, "P", "auto, fp32, fp16 (GPU), bf16", &o.precision},
        {CLI_STRING, "--devices", 'd', "D", "auto, cpu or cuda:N", &o.devices},
        {CLI_INT, "--threads", 'j', "N", "CPU threads (default: all)", &o.threads},
        {CLI_STRING, "--isa", 0, "I", "pin the CPU's instruction path: sse4, avx2, avx512, amx", &o.cpu_isa},
        {CLI_CALL, "--guard", 0, "on|off", "on (default): a window whose alignment is not sane keeps the last good one;\noff: as the reference does", &o.guard, set_guard},
        {CLI_STRING, "--cuts", 0, "off|auto|FILE", "each shot is aligned by itself: at detected cuts, or at the frame numbers\nin FILE (one per line); off by default, likely cuts are reported", &o.cuts},
        {CLI_HEADING, .help = "Output"},
        {CLI_STRING, "--output", 'o', "FOLDER", "where the result goes", &o.output},
        {CLI_STRING, "--name", 0, "NAME", "NAME of the result files (default: the input's)", &o.name},
        {CLI_STRING, "--format", 'f', "LIST", "png16, npz, preview, exr, ffv1, src, ply (default png16,preview)", &o.formats},
        {CLI_STRING, "--output-size", 0, "SIZE", "source (default), model or WIDTHxHEIGHT", &o.output_size},
        {CLI_FLAG, "--overwrite", 0, NULL, "replace an existing result", &o.overwrite},
        {CLI_INT, "--start-number", 0, "N", "first number of numbered files (default 0)", &o.start_number},
        {CLI_RANGE, "--range", 0, "A:B", "png16: fixed range instead of the automatic scale", range},
        {CLI_CALL, "--png-level", 0, "fast|max", "png16: fast (default) or smallest", &o.png_max, set_png_level},
        {CLI_FLAG, "--npz-half", 0, NULL, "npz: float16 instead of float32", &o.npz_half},
        {CLI_INT, "--npz-level", 0, "N", "npz: 0 stores without compression", &o.npz_level},
        {CLI_STRING, "--colormap", 0, "NAME", "preview: inferno (default), magma, viridis, plasma, turbo, gray", &o.colormap},
        {CLI_FLAG, "--grayscale", 0, NULL, "preview: grey", &o.grayscale},
        {CLI_FLAG, "--side-by-side", 0, NULL, "preview: the source beside the depth", &o.side_by_side},
        {CLI_STRING, "--exr-compression", 0, "C", "exr: zip (default), piz, pxr24, none", &o.exr_compression},
        {CLI_FLAG, "--exr-half", 0, NULL, "exr: 16-bit float", &o.exr_half},
        {CLI_DOUBLE, "--focal", 0, "PX", "ply: focal length in pixels", &o.focal_px},
        {CLI_INT, "--stride", 0, "N", "ply: every N-th pixel", &o.ply_stride},
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
    if (!f.quiet && !f.json) o.note = print_note;
    return run_session(&o, &f);
}
