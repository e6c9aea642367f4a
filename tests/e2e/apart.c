/* Worker processes that decode for themselves: the bytes of one decoder, whatever the stream, the segments and the timing; and where a
 * stream is damaged or the pictures differ, what one decoder makes of it. */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef QUICK /* sanitizers take ten times as long */
#define FRAMES 90
#define STEP 2 /* every second stream, fleet, fault */
#else
#define FRAMES 180
#define STEP 1
#endif

typedef struct stream {
    clip clip;
    const char *name;
    isobath_run_options options; /* those that are not zero count */
    int one;                     /* 1: it cannot be jumped in */
} stream;

static const stream streams[] = {
    {{.encoder = "mpeg4", .gop = 25, .b_frames = 2}, "b.mp4", {0}}, /* with an edit list */
    {{.encoder = "mpeg4", .gop = 40, .variable = 1}, "vfr.mkv", {.target_fps = 12}},
    {{.encoder = "ffv1", .gop = 1}, "intra.mkv", {.start_frame = 13, .end_frame = FRAMES - 10}},
    {{.encoder = "mpeg2video", .gop = 15, .b_frames = 2}, "b.ts", {.max_frames = FRAMES - 20}, 1},
    {{.encoder = "mpeg2video", .gop = 15, .b_frames = 2}, "b.mkv", {.start_s = 1.1, .max_frames = FRAMES - 40}},
    {{.encoder = "libx264", .gop = 30, .b_frames = 3, .options = "preset=ultrafast:x264-params=open-gop=1"}, "open.mp4", {.max_res = 48}},
    {{.encoder = "libx264", .gop = 500, .b_frames = 2, .options = "preset=ultrafast"}, "one-group.mkv", {0}},
    {{.encoder = "libx264", .gop = 500, .options = "preset=ultrafast:x264-params=intra-refresh=1"}, "refresh.mp4", {0}},
};

/* Does the last run's log say so? */
static int in_log(e2e *e, const char *text)
{
    size_t size;
    uint8_t *log = clip_read_file(e2e_path(e, "out/clip_isobath.log.jsonl"), &size);
    assert_non_null(log);
    int found = memmem(log, size, text, strlen(text)) != NULL;
    free(log);
    return found;
}

static isobath_run_options options_for(e2e *e, const char *name, const isobath_run_options *own, char paths[2][512])
{
    isobath_run_options o = e2e_options(e, name, "out");
    o.input = strcpy(paths[0], o.input);
    o.output = strcpy(paths[1], o.output);
    o.formats = "npz";
    o.overwrite = 1;
    o.program = ISOBATH_BINARY;
    if (!own) return o;
    o.target_fps = own->target_fps;
    o.start_frame = own->start_frame;
    o.end_frame = own->end_frame;
    o.start_s = own->start_s;
    o.max_frames = own->max_frames;
    if (own->max_res) o.max_res = own->max_res;
    return o;
}

/* Depth and manifest of the run. */
static void digests(e2e *e, char hex[2][65])
{
    e2e_digest(e2e_path(e, "out/clip_depths.npz"), hex[0]);
    e2e_digest(e2e_path(e, "out/clip_isobath.json"), hex[1]);
}

static void compare(e2e *e, const isobath_run_options *reference, const char *name, int one)
{
    static const struct { const char *devices; int segment; const char *delay; } fleets[] = {
        {"cpu", 1, "delay_us=100"}, {"cpu,cpu", 2, "decoders=2,delay_us=9000"}, {"cpu,cpu,cpu", 1, "decoders=2,delay_us=4000"}, {"cpu,cpu,cpu,cpu,cpu", 3, "delay_us=15000"}};
    char want[2][65], got[2][65];
    isobath_run_options o = *reference;
    o.devices = "cpu";
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s: %s", name, e->error);
    digests(e, want);
    for (size_t i = STEP - 1; i < sizeof fleets / sizeof *fleets; i += STEP) {
        o.devices = fleets[i].devices;
        o.segment_windows = fleets[i].segment;
        setenv("ISOBATH_WORKER_TEST", fleets[i].delay, 1);
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s, %s: %s", name, o.devices, e->error);
        digests(e, got);
        if (strcmp(want[0], got[0]) || strcmp(want[1], got[1])) fail_msg("%s, %s: other bytes", name, o.devices);
        if (!in_log(e, one ? "\"decoders\":\"one\"" : "\"decoders\":\"each\"")) fail_msg("%s: decoders", name);
        if (in_log(e, "one_decoder")) fail_msg("%s, %s: pictures did not fit", name, o.devices);
    }
    unsetenv("ISOBATH_WORKER_TEST");
}

static void every_stream(void **state)
{
    e2e *e = *state;
    char paths[2][512];
    int made = 0;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i += STEP) {
        clip c = streams[i].clip;
        c.frames = FRAMES;
        if (!clip_have_encoder(c.encoder)) continue;
        assert_int_equal(clip_write(e2e_path(e, streams[i].name), &c), 0);
        isobath_run_options o = options_for(e, streams[i].name, &streams[i].options, paths);
        compare(e, &o, streams[i].name, streams[i].one);
        made++;
    }
    print_message("%d streams, %d fleets each\n", made, 4 / STEP);
    assert_true(made >= 4 / STEP);
}

static void images_and_shots(void **state)
{
    e2e *e = *state;
    char paths[2][512], cuts[512], name[32];
    clip c = {.pix_fmt = "rgb24"};
    for (int i = 0; i < 90; i++) {
        snprintf(name, sizeof name, "f%03d.png", i);
        assert_int_equal(clip_write_image(e2e_path(e, name), &c, i), 0);
    }
    static const char list[] = "1\n3\n26\n70\n71\n";
    snprintf(cuts, sizeof cuts, "%s", e2e_path(e, "cuts.txt"));
    assert_int_equal(clip_write_file(cuts, list, sizeof list - 1), 0);
    isobath_run_options o = options_for(e, "f%03d.png", NULL, paths);
    compare(e, &o, "images", 0);
    o.cuts = cuts;
    compare(e, &o, "images in shots", 0);
}

/* Runs that need every picture here, and inputs that can be read once only, keep one decoder. */
static void some_runs_have_one(void **state)
{
    e2e *e = *state;
    char paths[2][512];
    e2e_clip(e, "some.mkv", 60, 0);
    isobath_run_options o = options_for(e, "some.mkv", NULL, paths);
    static const struct { const char *formats, *cuts, *decoders; } cases[] = {{"npz,src", NULL, NULL}, {"npz", "auto", "each"}, {"npz", NULL, "one"}};
    o.devices = "cpu,cpu";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        o.formats = cases[i].formats;
        o.cuts = cases[i].cuts;
        o.decoders = cases[i].decoders;
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        assert_true(in_log(e, "\"decoders\":\"one\""));
    }
    o.decoders = "two";
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(e->error, "--decoders two: expected auto, one or each"));
}

/* Damage inside the stream, and a file that breaks off: the line, and with --on-error repeat the bytes, of one decoder. */
static void damage(void **state)
{
    e2e *e = *state;
    char paths[2][512], line[1024], want[65], got[65];
    for (int kind = 0; kind < 3; kind += STEP) {
        clip c = {.encoder = "mpeg4", .frames = FRAMES, .gop = 20, .b_frames = 1};
        assert_int_equal(clip_write(e2e_path(e, "bad.mkv"), &c), 0);
        size_t size, at;
        uint8_t *data = clip_read_file(e2e_path(e, "bad.mkv"), &size);
        assert_non_null(data);
        at = size / 5 * (size_t)(2 + kind);
        if (kind < 2) memset(data + at, 0x5a, 60);
        else size = at;
        assert_int_equal(clip_write_file(e2e_path(e, "bad.mkv"), data, size), 0);
        free(data);
        isobath_run_options o = options_for(e, "bad.mkv", NULL, paths);
        isobath_status st = e2e_run(e, &o);
        snprintf(line, sizeof line, "%s", e->error);
        o.devices = "cpu,cpu,cpu";
        o.segment_windows = 2;
        if (e2e_run(e, &o) != st || strcmp(line, e->error)) fail_msg("damage %d: \"%s\", with several decoders \"%s\"", kind, line, e->error);
        assert_int_equal(st, ISOBATH_ERR_INPUT);
        assert_true(in_log(e, "one_decoder"));
        o.on_error_repeat = 1;
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        e2e_digest(e2e_path(e, "out/clip_depths.npz"), got);
        o.devices = "cpu";
        o.segment_windows = 0;
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        e2e_digest(e2e_path(e, "out/clip_depths.npz"), want);
        if (strcmp(want, got)) fail_msg("damage %d, repeated: other bytes", kind);
    }
}

/* A worker that read other pictures than the one before it; a device of the run's own process that fails: both go on. */
static void runs_go_on(void **state)
{
    e2e *e = *state;
    static const struct { const char *devices, *fault, *event; int window; } cases[] = {
        {"cpu,cpu", "hash", "one_decoder", 1}, {"cpu,cpu,cpu", "hash", "one_decoder", 5}, {"cpu", "broken", "device_failed", 0},
        {"cpu", "broken", "device_failed", 4}, {"cpu", "broken", "device_failed", FRAMES / 22},
        {"cpu,cpu", "broken", "worker_lost", 2}};
    char paths[2][512], hook[1024], want[2][65], got[2][65];
    e2e_clip(e, "on.mkv", FRAMES, 0);
    for (int pictures = 0; pictures < 2; pictures += STEP) {
        isobath_run_options o = options_for(e, "on.mkv", NULL, paths);
        o.formats = pictures ? "npz,src" : "npz";
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        digests(e, want);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i += STEP) {
            if (pictures && strcmp(cases[i].fault, "hash") == 0) continue;
            assert_int_equal(clip_write_file(e2e_path(e, "once"), "", 0), 0);
            snprintf(hook, sizeof hook, "once=%s,window=%d,%s", e2e_path(e, "once"), cases[i].window, cases[i].fault);
            setenv("ISOBATH_WORKER_TEST", hook, 1);
            o.devices = cases[i].devices;
            if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s at window %d: %s", cases[i].fault, cases[i].window, e->error);
            digests(e, got);
            assert_true(in_log(e, cases[i].event));
            if (strcmp(want[0], got[0]) || strcmp(want[1], got[1])) fail_msg("%s at window %d: other bytes", cases[i].fault, cases[i].window);
        }
        unsetenv("ISOBATH_WORKER_TEST");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_stream), cmocka_unit_test(images_and_shots), cmocka_unit_test(some_runs_have_one),
                                       cmocka_unit_test(damage), cmocka_unit_test(runs_go_on)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
