/* Temporal alignment of frames that were estimated one by one. */
#include "pipeline/stabilize.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define W 96
#define H 64

static uint32_t seed = 7;
static double uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) / 16777216.0;
}

/* A slope with a box that moves over it, and a little noise. */
static void scene(int t, double scale, double shift, float *d)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            int box = x >= 5 + t && x < 25 + t && y >= 20 && y < 50;
            d[y * W + x] = (float)((box ? 9 : 1 + 4.0 * y / H + 0.5 * sin(x * 0.2)) * scale + shift + 0.01 * uniform());
        }
}

static void a_fit_survives_outliers(void **state)
{
    (void)state;
    float x[1000], y[1000];
    const float *px = x, *py = y;
    double s, t;
    for (int i = 0; i < 1000; i++) {
        x[i] = (float)(1 + uniform() * 9);
        y[i] = i % 5 ? 1.7f * x[i] - 0.4f : 20.0f; /* a fifth is something else */
    }
    assert_int_equal(ib_robust_fit(&px, &py, 1, 1000, 1, 0, &s, &t), 1);
    if (fabs(s - 1.7) > 0.1 || fabs(t + 0.4) > 0.5) fail_msg("scale %g shift %g", s, t);
    for (int i = 0; i < 1000; i++) y[i] = 3 * x[i];
    assert_int_equal(ib_robust_fit(&px, &py, 1, 1000, 3, 1, &s, &t), 1);
    assert_true(fabs(s - 3) < 1e-6 && t == 0);
    for (int i = 0; i < 1000; i++) x[i] = 2;
    assert_int_equal(ib_robust_fit(&px, &py, 1, 1000, 1, 0, &s, &t), 0);
    for (int i = 0; i < 1000; i++) x[i] = 0;
    assert_int_equal(ib_robust_fit(&px, &py, 1, 1000, 1, 1, &s, &t), 0);
}

/* Mean change from frame to frame where nothing moves. */
static double flicker(int stabilized, int metric)
{
    static float d[W * H], last[W * H];
    ib_stabilizer z;
    double sum = 0;
    int64_t count = 0;
    seed = 7;
    assert_int_equal(ib_stabilizer_init(&z, W * H, metric, 2.0, NULL), ISOBATH_OK);
    for (int t = 0; t < 60; t++) {
        scene(t, 1 + 0.1 * (uniform() - 0.5), metric ? 0 : 0.6 * uniform(), d);
        ib_alignment al = {.scale = 1};
        if (stabilized) al = ib_stabilize(&z, d, t * 40000);
        assert_int_equal(al.guarded, 0);
        for (int i = 0; i < W * 18; i++) { /* above the box */
            float v = d[i] * al.scale + al.shift;
            if (t) {
                sum += fabs((double)v - (double)last[i]);
                count++;
            }
            last[i] = v;
        }
    }
    ib_stabilizer_free(&z);
    return sum / (double)count;
}

static void flicker_goes_down(void **state)
{
    (void)state;
    for (int metric = 0; metric < 2; metric++) {
        double before = flicker(0, metric), after = flicker(1, metric);
        printf("%s: change from frame to frame %.4f, aligned %.4f\n", metric ? "metric" : "disparity", before, after);
        assert_true(after < before / 5);
    }
}

static void a_steady_estimator_is_left_alone(void **state)
{
    (void)state;
    static float d[W * H];
    ib_stabilizer z;
    assert_int_equal(ib_stabilizer_init(&z, W * H, 0, 2.0, NULL), ISOBATH_OK);
    for (int t = 0; t < 60; t++) {
        scene(t, 1, 0, d);
        ib_alignment al = ib_stabilize(&z, d, t * 40000);
        if (!(fabsf(al.scale - 1) < 0.01f && fabsf(al.shift) < 0.03f)) fail_msg("frame %d: scale %g, shift %g", t, (double)al.scale, (double)al.shift);
    }
    scene(60, 50, 0, d); /* another world: not sane, left as it is */
    ib_alignment al = ib_stabilize(&z, d, 60 * 40000);
    assert_true(al.guarded && al.scale == 1 && al.shift == 0);
    ib_stabilizer_restart(&z);
    al = ib_stabilize(&z, d, 61 * 40000);
    assert_true(!al.guarded && al.scale == 1 && al.shift == 0);
    ib_stabilizer_free(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_fit_survives_outliers), cmocka_unit_test(flicker_goes_down),
                                       cmocka_unit_test(a_steady_estimator_is_left_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
