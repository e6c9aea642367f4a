/* The cut detector on made-up video: splices are found, flashes, fast pans, brightness changes and noise are not cuts. */
#include "pipeline/shots.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { W = 160, H = 90 };

static uint32_t hash(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* Smooth value noise of a scene at (x, y): what a camera sees there. */
static double scene(uint32_t seed, double x, double y)
{
    double sum = 0;
    for (int octave = 0; octave < 3; octave++) {
        double s = 40.0 / (1 << octave), fx = floor(x / s), fy = floor(y / s), u = x / s - fx, v = y / s - fy, c[4];
        for (int i = 0; i < 4; i++)
            c[i] = hash(seed * 977u + (uint32_t)octave * 131u + hash((uint32_t)((int)fx + (i & 1))) + 7u * hash((uint32_t)((int)fy + (i >> 1)) + 99u)) / 4294967296.0;
        sum += ((c[0] * (1 - u) + c[1] * u) * (1 - v) + (c[2] * (1 - u) + c[3] * u) * v) / (1 << octave);
    }
    return sum / 1.75;
}

/* A camera over scene `seed` at (cx, cy); gain and lift of the light; noise. */
static void shoot(uint8_t *rgb, uint32_t seed, double cx, double cy, double gain, double lift, int frame)
{
    double tint[3] = {0.5 + hash(seed) % 100 / 200.0, 0.5 + hash(seed + 1) % 100 / 200.0, 0.5 + hash(seed + 2) % 100 / 200.0};
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            double v = scene(seed, x + cx, y + cy);
            for (int c = 0; c < 3; c++) {
                double p = (v * tint[c] * gain + lift) * 255 + hash((uint32_t)(frame * W * H * 3 + (y * W + x) * 3 + c)) % 9 - 4.0;
                rgb[(y * W + x) * 3 + c] = (uint8_t)(p < 0 ? 0 : p > 255 ? 255 : p);
            }
        }
}

typedef struct counts {
    int found, missed, false_cuts;
} counts;

/* 24 shots of 20 to 35 frames in a style; frames and truth go through the detector. */
static counts run_style(int style)
{
    ib_cut_detector d;
    ib_cut_detector_init(&d);
    uint8_t *rgb = malloc(W * H * 3);
    int truth[1200] = {0}, n = 0;
    counts c = {0};
    for (uint32_t shot = 0; shot < 24; shot++) {
        int length = 20 + (int)(hash(shot + 5) % 16);
        for (int f = 0; f < length; f++) {
            double speed = style == 1 ? 6.0 : style == 2 ? 1.5 : 0.5; /* 6 pixels of 160 per frame is a fast pan */
            double gain = style == 3 ? 1 + 0.5 * sin(f * 0.8) : 1, lift = style == 4 && f % 9 == 4 ? 0.6 : 0;
            truth[n] = f == 0 && shot > 0;
            shoot(rgb, shot + 100u * (uint32_t)style, f * speed, f * speed * 0.3, gain, lift, n);
            ib_thumb t;
            ib_thumb_make(rgb, W, H, &t);
            ib_cut_detector_push(&d, &t);
            n++;
            int64_t i = n - 1 - IB_CUT_LOOKAHEAD;
            if (i >= 0) {
                int cut = ib_cut_detector_is_cut(&d, i);
                c.found += cut && truth[i];
                c.missed += !cut && truth[i];
                c.false_cuts += cut && !truth[i];
            }
        }
    }
    free(rgb);
    return c;
}

static void splices_are_found_and_nothing_else(void **state)
{
    (void)state;
    static const char *const names[] = {"slow", "fast pan", "pan", "changing light", "flashes"};
    for (int style = 0; style < 5; style++) {
        counts c = run_style(style);
        print_message("%-15s %d of %d cuts found, %d false\n", names[style], c.found, c.found + c.missed, c.false_cuts);
        assert_true(c.found >= 22); /* of 23 */
        assert_int_equal(c.false_cuts, 0);
    }
}

static void cut_to_black_is_a_cut(void **state)
{
    (void)state;
    ib_cut_detector d;
    ib_cut_detector_init(&d);
    uint8_t *rgb = malloc(W * H * 3);
    int cuts = 0;
    for (int i = 0; i < 40; i++) {
        shoot(rgb, 7, i, 0, i < 20 ? 1 : 0, 0, i);
        ib_thumb t;
        ib_thumb_make(rgb, W, H, &t);
        ib_cut_detector_push(&d, &t);
        if (i >= IB_CUT_LOOKAHEAD && ib_cut_detector_is_cut(&d, i - IB_CUT_LOOKAHEAD)) {
            assert_int_equal(i - IB_CUT_LOOKAHEAD, 20);
            cuts++;
        }
    }
    assert_int_equal(cuts, 1);
    free(rgb);
}

static isobath_status read_text(const char *text, ib_diag *diag, int64_t **list, int64_t *n)
{
    char path[] = "cuts-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    isobath_status st = ib_cuts_read(path, diag, list, n);
    unlink(path);
    return st;
}

static void lists_are_read(void **state)
{
    (void)state;
    int64_t *list, n;
    assert_int_equal(read_text("# cuts\n12\n 40 # fade\n\n41\n", NULL, &list, &n), ISOBATH_OK);
    assert_true(n == 3 && list[0] == 12 && list[1] == 40 && list[2] == 41);
    free(list);
    static const char *const bad[] = {"0\n", "12\n12\n", "x\n", "5 6\n", "-3\n", "99999999999999999999\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ib_diag d = IB_DIAG_INIT;
        assert_int_equal(read_text(bad[i], &d, &list, &n), ISOBATH_ERR_INPUT);
        assert_non_null(strstr(d.text, "line "));
    }
    assert_int_equal(ib_cuts_read("/nonexistent/cuts", NULL, &list, &n), ISOBATH_ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(splices_are_found_and_nothing_else), cmocka_unit_test(cut_to_black_is_a_cut),
                                       cmocka_unit_test(lists_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
