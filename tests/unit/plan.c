/* Windows, sizes and which raw maps make which output frame. */
#include "pipeline/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The reference's loop, literally: carried frames are copied slot by slot from one window's input to the next. */
static void reference_inputs(int64_t n, int64_t windows, int64_t *inputs)
{
    static const int key[10] = {0, 12, 24, 25, 26, 27, 28, 29, 30, 31};
    for (int64_t k = 0; k < windows; k++)
        for (int i = 0; i < 32; i++) {
            int64_t f = 22 * k + i;
            inputs[32 * k + i] = f < n ? f : n - 1;
            if (k > 0 && i < 10) inputs[32 * k + i] = inputs[32 * (k - 1) + key[i]];
        }
}

static void windows_read_what_the_reference_reads(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 150; n++) {
        int64_t windows = ib_plan_windows(n), frames[32];
        int64_t *want = malloc((size_t)(32 * windows) * sizeof *want);
        assert_int_equal(windows, (n + 21) / 22);
        reference_inputs(n, windows, want);
        for (int64_t k = 0; k < windows; k++) {
            ib_plan_window_frames(k, n, frames);
            assert_memory_equal(frames, want + 32 * k, sizeof frames);
        }
        free(want);
    }
}

/* The reference's output list: 32 frames of window 0, then per window a cross-fade of the last 8 and 22 more. */
static void frames_are_made_of_what_the_reference_makes_them_of(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 150; n++) {
        int64_t windows = ib_plan_windows(n), total = 32 + 22 * (windows - 1), done = 0;
        ib_plan_render *want = calloc((size_t)total, sizeof *want);
        for (int i = 0; i < 32; i++) want[i] = (ib_plan_render){0, i, 0, 0, 0};
        for (int64_t k = 1; k < windows; k++) {
            int64_t end = 32 + 22 * (k - 1);
            for (int i = 0; i < 8; i++) want[end - 8 + i] = (ib_plan_render){k, 2 + i, 1, 24 + i, i == 7 ? 1.0 : i * (1.0 / 7)};
            for (int i = 10; i < 32; i++) want[end + i - 10] = (ib_plan_render){k, i, 0, 0, 0};
        }
        for (int64_t k = 0; k < windows; k++) {
            int64_t first, end, first_open, end_open;
            ib_plan_final_frames(k, n, &first, &end);
            ib_plan_final_frames(k, -1, &first_open, &end_open);
            assert_int_equal(first, done);
            if (k < windows - 1) assert_int_equal(end, end_open < n ? end_open : n);
            for (int64_t i = first; i < end; i++) {
                ib_plan_render got = ib_plan_frame(i, n);
                assert_int_equal(got.window, want[i].window);
                assert_int_equal(got.window, k);
                assert_int_equal(got.slot, want[i].slot);
                assert_int_equal(got.fade, want[i].fade);
                if (got.fade) assert_int_equal(got.fade_slot, want[i].fade_slot);
                assert_true(got.weight == want[i].weight);
            }
            done = end;
        }
        assert_int_equal(done, n); /* as many frames out as in */
        free(want);
    }
}

static void network_sizes(void **state)
{
    (void)state;
    static const int cases[][5] = {/* width, height, input size -> network width, height */
                                   {1280, 720, 518, 924, 518}, {1920, 1080, 518, 924, 518}, {960, 540, 518, 924, 518},
                                   {2400, 1080, 518, 938, 420}, {1080, 2400, 518, 420, 938}, {640, 480, 518, 686, 518},
                                   {500, 500, 518, 518, 518}, {160, 120, 98, 126, 98},      {160, 90, 98, 168, 98},
                                   {90, 160, 98, 98, 168},     {240, 80, 98, 168, 56},       {480, 270, 280, 504, 280},
                                   {640, 360, 280, 504, 280},  {1, 1, 14, 14, 14}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int w, h;
        ib_plan_network_size(cases[i][0], cases[i][1], cases[i][2], 1, &w, &h);
        assert_int_equal(w, cases[i][3]);
        assert_int_equal(h, cases[i][4]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(windows_read_what_the_reference_reads),
                                       cmocka_unit_test(frames_are_made_of_what_the_reference_makes_them_of),
                                       cmocka_unit_test(network_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
