/* Every device at once: the same bytes for any number of worker processes, any segments, any timing, on every instruction path. */
#include "session.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef QUICK /* sanitizers take ten times as long */
#define FRAMES 160
#define KINDS 1
#else
#define FRAMES 200
#define KINDS 4
#endif
#define PATHS 4

static const char *const paths[PATHS] = {"clip_depths_png16", "clip_depths.npz", "clip_isobath.json", "clip_vis.mp4"};

/* "cpu,cpu,cpu" */
static const char *cpus(int count)
{
    static char text[64];
    *text = 0;
    for (int i = 0; i < count; i++) strcat(text, i ? ",cpu" : "cpu");
    return text;
}

static void digests(e2e *e, const char *out, char hex[PATHS][65])
{
    char rel[256];
    for (int i = 0; i < PATHS; i++) {
        snprintf(rel, sizeof rel, "%s/%s", out, paths[i]);
        e2e_digest(e2e_path(e, rel), hex[i]);
    }
}

static void expect_same(char a[PATHS][65], char b[PATHS][65], const char *what)
{
    for (int i = 0; i < PATHS; i++)
        if (strcmp(a[i], b[i])) fail_msg("%s: %s differs", what, paths[i]);
}

/* One reference in this process, then fleets of 1, 2, 3 and 5 workers whose windows take random times. */
static int compare_fleets(e2e *e, const char *isa, const char *precision, const char *cuts, int side_by_side)
{
    static const struct { int workers, segment, delay_us; } fleets[] = {{1, 4, 0}, {2, 1, 9000}, {3, 8, 20000}, {5, 2, 15000}};
    static const char *const forms[] = {"", "", ",rgb", ""}; /* frames as the decoder left them, and as RGB */
    static const char *const decoders[] = {"one", "each", "one", "each"};
    char want[PATHS][65], got[PATHS][65], what[128], delay[64], input[512], output[512], cut_file[512];
    isobath_run_options o = e2e_options(e, "d.mkv", "d");
    o.input = strcpy(input, o.input); /* e2e_path reuses its buffers */
    o.output = strcpy(output, o.output);
    if (cuts) cuts = strcpy(cut_file, cuts);
    o.overwrite = 1;
    o.formats = "png16,npz,preview";
    o.cpu_isa = isa;
    o.precision = precision;
    o.cuts = cuts;
    o.side_by_side = side_by_side;
    o.program = ISOBATH_BINARY;
    isobath_status st = e2e_run(e, &o);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        print_message("SKIPPED on this machine: %s %s: %s\n", isa, precision, e->error);
        return 0;
    }
    if (st != ISOBATH_OK) fail_msg("%s %s: %s", isa, precision, e->error);
    digests(e, "d", want);
    for (size_t i = 0; i < sizeof fleets / sizeof *fleets; i++) {
        snprintf(delay, sizeof delay, "delay_us=%d%s", fleets[i].delay_us, forms[i]);
        setenv("ISOBATH_WORKER_TEST", delay, 1);
        o.devices = cpus(fleets[i].workers);
        o.segment_windows = fleets[i].segment;
        o.decoders = decoders[i];
        snprintf(what, sizeof what, "%s %s, %s, segments of %d", isa, precision, o.devices, o.segment_windows);
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s: %s", what, e->error);
        assert_int_equal(e->plan.device_count, fleets[i].workers);
        digests(e, "d", got);
        expect_same(want, got, what);
    }
    unsetenv("ISOBATH_WORKER_TEST");
    return (int)(sizeof fleets / sizeof *fleets);
}

static void same_bytes_for_any_workers(void **state)
{
    static const char *const kinds[4][2] = {{"avx2", "fp32"}, {"avx512", "fp32"}, {"avx512", "bf16"}, {"amx", "bf16"}};
    int compared = 0;
    e2e_clip(*state, "d.mkv", FRAMES, 0);
    for (int i = 0; i < KINDS; i++) compared += compare_fleets(*state, kinds[i][0], kinds[i][1], NULL, 0);
    print_message("%d fleets compared with one process\n", compared);
    assert_true(compared >= 4);
}

/* Shots of 1, 2, 23 ... frames, so that segments cross cuts; and pictures that travel with the windows. */
static void same_bytes_across_cuts_with_pictures(void **state)
{
    e2e *e = *state;
    static const char cuts[] = "1\n3\n26\n70\n71\n72\n150\n";
    e2e_clip(e, "d.mkv", FRAMES, 1);
    assert_int_equal(clip_write_file(e2e_path(e, "cuts.txt"), cuts, sizeof cuts - 1), 0);
    assert_int_equal(compare_fleets(e, "avx2", "fp32", e2e_path(e, "cuts.txt"), 1), 4);
}

static void a_short_clip_has_idle_workers(void **state)
{
    e2e *e = *state;
    char want[PATHS][65], got[PATHS][65];
    for (int n = 1; n <= 45; n += 22) {
        e2e_clip(e, "s.mkv", n, 0);
        isobath_run_options o = e2e_options(e, "s.mkv", "s");
        o.overwrite = 1;
        o.formats = "png16,npz,preview";
        o.program = ISOBATH_BINARY;
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        digests(e, "s", want);
        o.devices = "cpu,cpu,cpu";
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        digests(e, "s", got);
        expect_same(want, got, "a short clip");
    }
}

static void mistakes_are_told(void **state)
{
    e2e *e = *state;
    static const struct { const char *devices, *program, *text; isobath_status st; } cases[] = {
        {"cpu,gpu", ISOBATH_BINARY, "expected auto, or a list of cpu, cuda and cuda:N", ISOBATH_ERR_USAGE},
        {"cuda:1,cuda:1", ISOBATH_BINARY, "cuda:1 is named twice", ISOBATH_ERR_USAGE},
        {",", ISOBATH_BINARY, "expected auto, or a list", ISOBATH_ERR_USAGE},
        {"cpu,cpu", "/nonexistent/isobath", "no such program to be a worker process", ISOBATH_ERR_UNSUPPORTED},
        {"cpu,cpu", "/bin/true", "its worker process ended at its start", ISOBATH_ERR_DEVICE},
        {"cpu,cpu", NULL, "worker processes need the program isobath", ISOBATH_ERR_UNSUPPORTED}};
    e2e_clip(e, "m.mkv", 3, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        isobath_run_options o = e2e_options(e, "m.mkv", "m");
        o.devices = cases[i].devices;
        o.program = cases[i].program;
        isobath_status st = e2e_run(e, &o);
        if (st == ISOBATH_OK && !cases[i].program) continue; /* isobath is installed here */
        if (st != cases[i].st || !strstr(e->error, cases[i].text)) fail_msg("%s: %d: %s", cases[i].devices, (int)st, e->error);
    }
}

/* Spans of this name in a timeline (trace.h) whose every line must be an event; *processes: how many said who they are. */
static int count_spans(const char *path, const char *name, int *processes)
{
    char line[1024];
    int count = 0;
    FILE *f = fopen(path, "r");
    if (!f || !fgets(line, sizeof line, f) || strcmp(line, "[\n") != 0) fail_msg("%s: no timeline", path);
    for (*processes = 0; fgets(line, sizeof line, f);) {
        size_t n = strlen(line);
        if (n < 2 || strcmp(line + n - 2, ",\n") != 0) fail_msg("%s: a torn line: %s", path, line);
        line[n - 2] = 0;
        json_t *o = json_loads(line, 0, NULL);
        const char *phase = json_string_value(json_object_get(o, "ph")), *called = json_string_value(json_object_get(o, "name"));
        if (!phase || !called || !json_is_integer(json_object_get(o, "pid"))) fail_msg("%s: no event: %s", path, line);
        *processes += *phase == 'M';
        count += *phase == 'X' && strcmp(called, name) == 0 && json_integer_value(json_object_get(o, "dur")) >= 0;
        json_decref(o);
    }
    fclose(f);
    return count;
}

/* Two devices that compute nothing, dealt with as cards are: every window is in the timeline once, and the log says what was waited for. */
static void who_did_what_when(void **state)
{
    e2e *e = *state;
    char trace[512], text[512];
    int processes, windows = (FRAMES + 21) / 22, waits = 0;
    e2e_clip(e, "t.mkv", FRAMES, 0);
    isobath_run_options o = e2e_options(e, "t.mkv", "t");
    o.overwrite = 1;
    o.formats = "none";
    o.devices = "null,null";
    o.program = ISOBATH_BINARY;
    setenv("ISOBATH_TRACE", strcpy(trace, e2e_path(e, "trace.json")), 1);
    setenv("ISOBATH_WORKER_TEST", "card_us=3000,decode_us=100", 1);
    isobath_status st = e2e_run(e, &o);
    unsetenv("ISOBATH_TRACE");
    unsetenv("ISOBATH_WORKER_TEST");
    if (st != ISOBATH_OK) fail_msg("%s", e->error);
    siginfo_t child; /* when a run is over its workers' cards are free for the next one */
    assert_int_equal(waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_spans(trace, "card", &processes), windows);
    assert_int_equal(processes, 3);
    assert_int_equal(count_spans(trace, "open a decoder", &processes), 4); /* two each, before there is anything to decode with the second */
    assert_int_equal(count_spans(trace, "check a result", &processes), windows);
    FILE *f = fopen(e2e_path(e, "t/clip_isobath.log.jsonl"), "r");
    if (!f) fail_msg("no log");
    while (fgets(text, sizeof text, f)) waits += strstr(text, "\"device_waits\"") && strstr(text, "\"no_place_s\"");
    fclose(f);
    assert_int_equal(waits, 2);
}

/* The values of every frame's first row; the ones around it say how exactly. */
static void expect_stamps(e2e *e, const char *path)
{
    int64_t frames;
    int h, w;
    float *depth = e2e_read_depth(e2e_path(e, path), &frames, &h, &w);
    assert_non_null(depth);
    assert_int_equal(frames, FRAMES);
    for (int64_t i = 0; i < frames; i++) {
        float want = 1 + (float)(i % 64) / 16, got = depth[(i * h) * w + w / 2];
        if (!(got > want - 1e-3f && got < want + 1e-3f)) fail_msg("frame %lld is another one: %g, expected %g", (long long)i, (double)got, (double)want);
    }
    free(depth);
}

/* One, two and four devices that are dealt with as cards are, so frames are rendered beside the alignment; packed where they are rendered (png16 by
 * itself) or not (npz needs their depth), with pictures or without, on one thread or more: the same files. */
static void same_bytes_however_frames_are_rendered(void **state)
{
    e2e *e = *state;
    static const char *const devices[] = {"null", "null,null", "null,null,null,null"}, *const formats[] = {"png16", "png16,npz", "png16,src"};
    char first[65] = "", got[65], what[128];
    e2e_clip(e, "n.mkv", FRAMES, 0);
    setenv("ISOBATH_WORKER_TEST", "card_us=1000,delay_us=3000", 1);
    for (int i = 0; i < 9; i++) {
        isobath_run_options o = e2e_options(e, "n.mkv", "n");
        o.overwrite = 1;
        o.formats = formats[i / 3];
        o.devices = devices[i % 3];
        o.precision = "fp32";
        o.output_size = "model";
        o.segment_windows = 1 + i % 2;
        o.threads = 1 + i % 4;
        o.program = ISOBATH_BINARY;
        snprintf(what, sizeof what, "%s, %s, %d threads", o.devices, o.formats, o.threads);
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s: %s", what, e->error);
        e2e_digest(e2e_path(e, "n/clip_depths_png16"), got);
        if (!*first) strcpy(first, got);
        if (strcmp(first, got)) fail_msg("%s: other bytes", what);
        if (strstr(o.formats, "npz")) expect_stamps(e, "n/clip_depths.npz");
    }
    unsetenv("ISOBATH_WORKER_TEST");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bytes_for_any_workers),
                                       cmocka_unit_test(same_bytes_across_cuts_with_pictures),
                                       cmocka_unit_test(a_short_clip_has_idle_workers), cmocka_unit_test(mistakes_are_told),
                                       cmocka_unit_test(who_did_what_when),
                                       cmocka_unit_test(same_bytes_however_frames_are_rendered)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
