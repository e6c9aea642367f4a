/* Depth Anything V2 through a whole run: every frame is there once, and is what a run of that frame alone gives. */
#include "e2e/session.h"
#include "support/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Paths of e2e_path do not last, so options are made anew for every run. */
static isobath_run_options options_for(e2e *e, const char *model)
{
    isobath_run_options o = e2e_options(e, "v2.mkv", "v2");
    o.model = model;
    o.formats = "npz";
    o.overwrite = 1;
    return o;
}

static float *depth_of(e2e *e, isobath_run_options o, int64_t *frames)
{
    int h, w;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("from frame %lld: %s", (long long)o.start_frame, e->error);
    float *d = e2e_read_depth(e2e_path(e, "v2/clip_depths.npz"), frames, &h, &w);
    assert_true(d && h == 48 && w == 64);
    return d;
}

static void frames_stand_alone(void **state)
{
    e2e *e = *state;
    static const int counts[] = {1, 31, 32, 33, 54, 55, 77};
    char model[512];
    snprintf(model, sizeof model, "%s", e2e_path(e, "depth_anything_v2_tiny.safetensors"));
    assert_int_equal(synth_checkpoint_write("v2-tiny", 1, model), 0);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int64_t n = counts[c], got;
        e2e_clip(e, "v2.mkv", (int)n, 0);
        float *all = depth_of(e, options_for(e, model), &got);
        assert_int_equal(got, n);
        const int64_t picked[] = {0, 9, 31, 32, 53, 54, n - 1};
        for (size_t i = 0; i < sizeof picked / sizeof *picked; i++) {
            if (picked[i] >= n) continue;
            isobath_run_options o = options_for(e, model);
            o.start_frame = picked[i];
            o.max_frames = 1;
            float *one = depth_of(e, o, &got);
            assert_int_equal(got, 1);
            if (memcmp(one, all + picked[i] * 64 * 48, 64 * 48 * sizeof *one))
                fail_msg("frame %lld of %lld is not what it is alone", (long long)picked[i], (long long)n);
            free(one);
        }
        free(all);
    }
}

static void metric_needs_its_largest_depth(void **state)
{
    e2e *e = *state;
    int64_t n;
    char plain[512], indoor[512];
    snprintf(plain, sizeof plain, "%s", e2e_path(e, "depth_anything_v2_metric_vits.safetensors"));
    snprintf(indoor, sizeof indoor, "%s", e2e_path(e, "depth_anything_v2_metric_hypersim_vits.safetensors"));
    assert_int_equal(synth_checkpoint_write("v2-tiny", 2, plain), 0);
    assert_int_equal(synth_checkpoint_write("v2-tiny", 2, indoor), 0);
    e2e_clip(e, "v2.mkv", 3, 0);
    isobath_run_options o = options_for(e, plain);
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(e->error, "--max-depth"));
    o = options_for(e, plain);
    o.max_depth = 80;
    float *far = depth_of(e, o, &n);
    assert_int_equal(n, 3);
    assert_true(e->plan.metric);
    float *near = depth_of(e, options_for(e, indoor), &n);
    float most = 0;
    for (int i = 0; i < 3 * 64 * 48; i++) {
        if (near[i] > most) most = near[i];
        assert_true(far[i] > 3.99f * near[i] && far[i] < 4.01f * near[i]);
    }
    assert_true(most > 10 && most <= 20);
    free(far);
    free(near);
}

static void stabilize_is_for_single_frames(void **state)
{
    e2e *e = *state;
    int64_t n;
    char model[512];
    snprintf(model, sizeof model, "%s", e2e_path(e, "depth_anything_v2_tiny.safetensors"));
    e2e_clip(e, "v2.mkv", 40, 0);
    float *plain = depth_of(e, options_for(e, model), &n);
    isobath_run_options o = options_for(e, model);
    o.stabilize_s = 2;
    float *steady = depth_of(e, o, &n);
    assert_int_equal(n, 40);
    assert_memory_equal(plain, steady, 64 * 48 * sizeof *plain); /* the first frame is what it was */
    assert_memory_not_equal(plain + 64 * 48, steady + 64 * 48, 39 * 64 * 48 * sizeof *plain);
    free(plain);
    free(steady);
    o = options_for(e, e->model);
    o.stabilize_s = 2;
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(e->error, "one frame at a time"));
    o = options_for(e, model);
    o.stabilize_s = -1;
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames_stand_alone), cmocka_unit_test(metric_needs_its_largest_depth),
                                       cmocka_unit_test(stabilize_is_for_single_frames)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
