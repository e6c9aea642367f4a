/* isobath stream: one frame in, its depth out. */
#include "run_options.h"

#include <isobath/stream.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static isobath_stream *volatile running; /* for the signal handler */
static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    if (++interrupts > 1) _exit(128 + number); /* the second one does not wait */
    if (running) isobath_stream_stop(running);
}

static int set_when_slow(void *target, const char *arg)
{
    if (strcmp(arg, "block") && strcmp(arg, "drop")) return -1;
    *(int *)target = strcmp(arg, "drop") == 0;
    return 0;
}

static int set_pipe(void *target, const char *arg)
{
    static const char *const names[] = {"f32", "u16", "y4m", "view"};
    for (int i = 0; i < 4; i++)
        if (strcmp(arg, names[i]) == 0) {
            *(isobath_stream_pipe *)target = (isobath_stream_pipe)(ISOBATH_STREAM_PIPE_F32 + i);
            return 0;
        }
    return -1;
}

/* --video-size, --input-format and --framerate as FFmpeg names them; together they are what --raw says. */
typedef struct camera_mode {
    const char *size, *format;
    double fps;
    char raw[128];
} camera_mode;

/* 0: what to say is in *raw (NULL: nothing was said). */
static int join_mode(camera_mode *m, const char **raw)
{
    char fps[32] = "";
    if (!m->size && !m->format && m->fps == 0) return 0;
    if (*raw) return cli_fail("stream", ISOBATH_ERR_USAGE, "--raw says all of --video-size, --input-format and --framerate: one or the other");
    if (m->fps != 0) snprintf(fps, sizeof fps, "%.9g", m->fps);
    if (snprintf(m->raw, sizeof m->raw, "%s:%s:%s", m->size ? m->size : "", m->format ? m->format : "", fps) >= (int)sizeof m->raw)
        return cli_fail("stream", ISOBATH_ERR_USAGE, "--video-size, --input-format: too long");
    *raw = m->raw;
    return 0;
}

typedef struct reporter {
    int json, terminal;
    double next_s; /* of the stream's time */
    double rate, since_s; /* frames per second of late; measured since then, when there were so many frames */
    int64_t since_frames;
    int64_t expected; /* frames; -1: who knows */
} reporter;

static void print_json(const isobath_stream_summary *m, const char *event)
{
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "event", event, "frames",
                          (json_int_t)m->frames, "dropped", (json_int_t)m->dropped, "redone", (json_int_t)m->redone, "reconnects",
                          (json_int_t)m->reconnects, "elapsed_s", m->elapsed_s, "frames_per_s", m->frames_per_s, "latency_p50_ms",
                          m->latency_p50_ms, "latency_p90_ms", m->latency_p90_ms, "latency_p99_ms", m->latency_p99_ms,
                          "latency_max_ms", m->latency_max_ms, "network_p50_ms", m->network_p50_ms);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    printf("\n");
    fflush(stdout);
    json_decref(o);
}

/* A terminal five times a second; a file or pipe every ten seconds; JSON every second. */
static void report(void *ctx, const isobath_stream_summary *m)
{
    reporter *r = ctx;
    if (m->elapsed_s < r->next_s) return;
    r->next_s = m->elapsed_s + (r->json ? 1 : r->terminal ? 0.2 : 10);
    if (r->json) {
        print_json(m, "progress");
        return;
    }
    if (m->elapsed_s - r->since_s >= 2) {
        r->rate = (double)(m->frames - r->since_frames) / (m->elapsed_s - r->since_s);
        r->since_s = m->elapsed_s;
        r->since_frames = m->frames;
    }
    fprintf(stderr, "%s%lld", r->terminal ? "\r\033[K" : "progress ", (long long)m->frames);
    if (r->expected > 0) fprintf(stderr, " of about %lld", (long long)r->expected);
    fprintf(stderr, " frames, ");
    if (m->silent_s > 0) fprintf(stderr, "none for %.0f s: waiting for the source", m->silent_s);
    else fprintf(stderr, "%.1f frames/s, latency %.1f ms (99%%: %.1f ms), dropped %lld", r->rate > 0 ? r->rate : m->frames_per_s, m->latency_p50_ms,
                 m->latency_p99_ms, (long long)m->dropped);
    fprintf(stderr, "%s", r->terminal ? "" : "\n");
}

static void print_summary(const isobath_stream_summary *m, int terminal)
{
    fprintf(stderr, "%sdone     %lld frames in %.1f s, %.2f frames/s; dropped %lld, redone %lld, reconnected %lld\n", terminal ? "\r\033[K" : "",
            (long long)m->frames, m->elapsed_s, m->frames_per_s, (long long)m->dropped, (long long)m->redone, (long long)m->reconnects);
    fprintf(stderr, "latency  half of the frames %.1f ms, 90%% %.1f ms, 99%% %.1f ms, all %.1f ms; of it the network %.1f ms\n",
            m->latency_p50_ms, m->latency_p90_ms, m->latency_p99_ms, m->latency_max_ms, m->network_p50_ms);
}

static int run_stream(isobath_stream_options *o, int json, int quiet)
{
    isobath_stream *s;
    reporter r = {.json = json, .terminal = isatty(STDERR_FILENO), .next_s = json ? 1 : 0};
    if (!r.json && !r.terminal) r.next_s = 10;
    if (!quiet) {
        o->progress = report;
        o->progress_ctx = &r;
    }
    isobath_status st = isobath_stream_create(o, &s);
    if (st == ISOBATH_OK) {
        if (json) cli_print_plan_json(isobath_stream_plan(s));
        else if (!quiet) cli_print_plan(isobath_stream_plan(s), &o->run);
        r.expected = isobath_stream_plan(s)->frames_hint;
        if (r.terminal && !json && !quiet && r.expected < 0)
            fprintf(stderr, "stop     Ctrl-C ends the stream; what there is by then is a complete result\n");
        running = s;
        struct sigaction sa = {.sa_handler = on_signal};
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        st = isobath_stream_run(s);
        running = NULL;
        isobath_stream_summary m;
        isobath_stream_summarize(s, &m);
        if (json) print_json(&m, st == ISOBATH_OK ? "done" : "failed");
        else if (!quiet && st == ISOBATH_OK) print_summary(&m, r.terminal);
    }
    int code = st == ISOBATH_OK ? 0 : cli_fail("stream", st, s ? isobath_stream_error(s) : "");
    if (st == ISOBATH_OK && !json && !o->pipe)
        for (int i = 0; isobath_stream_output(s, i); i++) printf("%s\n", isobath_stream_output(s, i));
    if (interrupts) { /* all is written; the source may stall for ever, and its thread with it */
        fflush(stdout);
        _exit(code);
    }
    isobath_stream_destroy(s);
    return code;
}

int cmd_stream(int argc, char **argv)
{
    isobath_stream_options o;
    isobath_stream_options_init(&o);
    double range[2] = {0, 0};
    int metric = 0, json = 0, quiet = 0;
    camera_mode mode = {0};
    static const cli_command command = {
        .name = "stream",
        .usage = "stream INPUT|- [-o OUT] [--pipe FORM] [options]",
        .summary = "depth of a live source, frame by frame",
        .description = "One frame in, its depth out at once, against 31 earlier frames: for cameras and for whoever cannot wait.\n"
                       "INPUT is a camera (/dev/video0), a URL (RTSP, HTTP ...), a file, a folder or pattern of images, or - for Y4M or raw\n"
                       "video on stdin.\n"
                       "No look-ahead and no alignment: run is steadier over long videos. Ctrl-C ends the stream; the result is complete.",
        .examples = "  isobath stream /dev/video0 -o out --video-size 1280x720 --input-format mjpeg --framerate 30\n"
                    "  isobath stream rtsp://camera/1 -o out --reconnect 60\n"
                    "  isobath stream clip.mp4 --pipe y4m | ffmpeg -i - -c:v ffv1 depth.mkv\n"
                    "  ffmpeg -i rtsp://... -f yuv4mpegpipe - | isobath stream - -o out --name camera --format png16\n"};
    const cli_option options[] = {
        CLI_INPUT_OPTIONS(o.run),
        CLI_MODEL_OPTIONS(o.run, metric),
        {CLI_HEADING, .help = "Camera"},
        {CLI_STRING, "--video-size", 0, "WxH", "the size to ask a camera for (default: the one it is set to)", &mode.size},
        {CLI_STRING, "--input-format", 0, "F", "its format: yuyv422, mjpeg, h264 ... (default: the first that libav knows)", &mode.format},
        {CLI_DOUBLE, "--framerate", 0, "FPS", "its frames per second; a mode that it does not have is refused with a list\nof those that it has", &mode.fps},
        {CLI_HEADING, .help = "Streaming"},
        {CLI_CALL, "--pipe", 0, "f32|u16|y4m|view", "depth on stdout: raw float32, raw uint16, Y4M of 16-bit grey,\nor Y4M in colours to look at (| ffplay -)", &o.pipe, set_pipe},
        {CLI_CALL, "--when-slow", 0, "block|drop", "block: the source waits; drop: the newest frame is next, and a file plays\nat its own pace (default: drop for cameras and RTSP,\nelse block)", &o.drop, set_when_slow},
        {CLI_INT, "--lag", 0, "L", "frames of look-ahead, 0 to 16: better depth, later and for more work (default 0)", &o.lag},
        {CLI_DOUBLE, "--reconnect", 0, "S", "a source that ends or breaks off is opened again for S seconds (default 0)", &o.reconnect_s},
        {CLI_DOUBLE, "--stall", 0, "S", "a URL or camera that gives nothing for S seconds counts as broken off\n(default 10 with --reconnect, else it is waited for)", &o.run.stall_s},
        CLI_SINK_OPTIONS(o.run, range),
        {CLI_HEADING, .help = "Reporting"},
        {CLI_FLAG, "--json", 0, NULL, "events as JSON lines on stdout", &json},
        {CLI_FLAG, "--quiet", 'q', NULL, "no progress", &quiet},
        {CLI_END}};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--resume") == 0)
            return cli_fail("stream", ISOBATH_ERR_USAGE, "--resume: a live source's frames do not come again; take another --name, or --overwrite");
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest > 1) return cli_fail("stream", ISOBATH_ERR_USAGE, "one INPUT expected (quote patterns: 'frames/%05d.png')");
    if (!rest) return cli_fail("stream", ISOBATH_ERR_USAGE, "no INPUT (see isobath stream --help)");
    if (!o.run.output && !o.pipe) return cli_fail("stream", ISOBATH_ERR_USAGE, "no output: -o FOLDER, --pipe f32|u16|y4m|view, or both");
    if (!o.run.output && o.run.formats) return cli_fail("stream", ISOBATH_ERR_USAGE, "--format needs a folder: -o FOLDER");
    if (json && o.pipe) return cli_fail("stream", ISOBATH_ERR_USAGE, "--json and --pipe both want stdout");
    if (o.pipe && isatty(STDOUT_FILENO)) return cli_fail("stream", ISOBATH_ERR_USAGE, "--pipe: stdout is a terminal");
    if (o.run.stall_s < 0) return cli_fail("stream", ISOBATH_ERR_USAGE, "--stall: expected seconds, 0 or more");
    if (o.reconnect_s < 0) return cli_fail("stream", ISOBATH_ERR_USAGE, "--reconnect: expected seconds, 0 or more");
    if ((code = join_mode(&mode, &o.run.raw_format))) return code;
    o.run.input = argv[1];
    if (metric) o.run.metric = 1;
    if (o.run.max_res < 0) o.run.max_res = 0;
    if (o.run.target_fps < 0) o.run.target_fps = 0;
    o.run.range_min = range[0];
    o.run.range_max = range[1];
    if (!quiet && !json) o.run.note = cli_print_note;
    return run_stream(&o, json, quiet);
}
