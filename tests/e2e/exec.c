/* --model exec: a user's program as the model: its depth arrives whole and in order from any number of processes, and whatever it
 * does wrong is survived or told in one line. */
#include "e2e/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char notes[4096];

static void on_note(void *ctx, const char *line)
{
    (void)ctx;
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", line);
}

static isobath_status run(e2e *e, const char *how, const char *devices)
{
    char model[1024], program[512];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 16);
    assert_true(n > 0);
    program[n] = '\0';
    strcpy(strrchr(program, '/'), "/exec_model"); /* beside this test */
    snprintf(model, sizeof model, "exec:'%s' %s '%s'", program, how, e2e_path(e, "mark"));
    isobath_run_options o = e2e_options(e, "exec.mkv", "exec");
    o.model = model;
    o.devices = devices;
    o.formats = "npz";
    o.output_size = "model";
    o.overwrite = 1;
    o.exec_timeout_s = 1;
    o.note = on_note;
    notes[0] = '\0';
    unlink(e2e_path(e, "mark"));
    return e2e_run(e, &o);
}

static float *depth_of(e2e *e, int n)
{
    int64_t frames;
    int h, w;
    float *d = e2e_read_depth(e2e_path(e, "exec/clip_depths.npz"), &frames, &h, &w);
    assert_true(d && frames == n && h == 24 && w == 32);
    return d;
}

static void depth_in_order_from_any_number(void **state)
{
    e2e *e = *state;
    static const int counts[] = {1, 31, 32, 33, 54, 77};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int n = counts[c];
        e2e_clip(e, "exec.mkv", n, 0);
        if (run(e, "well", "cpu") != ISOBATH_OK) fail_msg("%d frames: %s", n, e->error);
        assert_string_equal(e->plan.model, "test");
        assert_int_equal(e->plan.metric, 0);
        float *one = depth_of(e, n);
        for (int f = 0; f < n; f++) /* 0..255 times 6, over 64: below 24; the frame's number shows in multiples beyond noise */
            for (int i = 0; i < 32 * 24; i++) assert_true(one[f * 32 * 24 + i] >= (float)(f % 5) && one[f * 32 * 24 + i] < 28);
        if (run(e, "well", "cpu,cpu,cpu") != ISOBATH_OK) fail_msg("%d frames, 3 processes: %s", n, e->error);
        float *three = depth_of(e, n);
        assert_memory_equal(one, three, (size_t)n * 32 * 24 * sizeof *one);
        free(one);
        free(three);
    }
    assert_int_equal(run(e, "metric", "cpu"), ISOBATH_OK);
    assert_int_equal(e->plan.metric, 1);
}

static void a_lost_process_costs_nothing(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "exec.mkv", 77, 0);
    assert_int_equal(run(e, "well", "cpu"), ISOBATH_OK);
    float *whole = depth_of(e, 77);
    static const char *const how[] = {"crash-once", "hang-once"};
    static const char *const devices[] = {"cpu", "cpu,cpu"};
    for (int i = 0; i < 4; i++) {
        if (run(e, how[i / 2], devices[i % 2]) != ISOBATH_OK) fail_msg("%s on %s: %s", how[i / 2], devices[i % 2], e->error);
        assert_non_null(strstr(notes, "is started anew"));
        float *d = depth_of(e, 77);
        assert_memory_equal(whole, d, 77 * 32 * 24 * sizeof *d);
        free(d);
    }
    free(whole);
}

static void misbehaviour_is_told(void **state)
{
    static const struct {
        const char *how, *says;
    } cases[] = {{"nohello", "ended with status 7: no model here"}, {"refuse", "the depth program says: out of luck"},
                 {"size", "width must be an integer from 1 to"},    {"crash", "ended with status 9: frame 40 is too much"},
                 {"garbage", "does it print to its standard output"}, {"nan", "1 values of the depth program are not finite"},
                 {"order", "answered with frame 9, expected 4"}};
    e2e *e = *state;
    e2e_clip(e, "exec.mkv", 50, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unlink(e2e_path(e, "exec/clip_depths.npz"));
        assert_int_equal(run(e, cases[i].how, "cpu"), ISOBATH_ERR_MODEL);
        if (!strstr(e->error, cases[i].says) || strchr(e->error, '\n')) fail_msg("%s: %s", cases[i].how, e->error);
        assert_int_equal(access(e2e_path(e, "exec/clip_depths.npz"), F_OK), -1);
    }
    isobath_run_options o = e2e_options(e, "exec.mkv", "exec");
    o.model = "exec:";
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(depth_in_order_from_any_number), cmocka_unit_test(a_lost_process_costs_nothing),
                                       cmocka_unit_test(misbehaviour_is_told)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
