/* The fit and its guard, the chain against a plain double-precision computation. */
#include "backend/backend.h"
#include "pipeline/align.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void fit_finds_scale_and_shift(void **state)
{
    (void)state;
    double s[5] = {0};
    for (int i = 0; i < 1000; i++) { /* r = 2.5 p - 0.75 */
        double p = (i * 37 % 101) / 50.0, r = 2.5 * p - 0.75;
        s[0] += 1;
        s[1] += p;
        s[2] += p * p;
        s[3] += r;
        s[4] += p * r;
    }
    ib_alignment a = ib_align_solve(s, 1, NULL);
    assert_false(a.guarded);
    assert_true(fabs(a.scale - 2.5) < 1e-6 && fabs(a.shift + 0.75) < 1e-6);
}

static void guard_keeps_the_last_good_numbers(void **state)
{
    (void)state;
    ib_alignment last = {.scale = 1.5f, .shift = 0.25f};
    double negative[5] = {4, 10, 30, 10, 20};             /* r = 5 - p: scale -1 */
    double flat[5] = {4, 8, 16, 10, 20};                  /* p is constant: singular */
    double nearly[5] = {1e6, 2e6, 4e6 * (1 + 1e-8), 1, 2}; /* variance below 1e-6 of the mean square */
    double black[5] = {100, 0, 0, 50, 0};                 /* p is zero everywhere */
    double nan[5] = {4, NAN, 30, 10, 30};
    double *cases[] = {negative, flat, nearly, black, nan};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ib_alignment a = ib_align_solve(cases[i], 1, &last);
        assert_true(a.guarded);
        assert_true(a.scale == 1.5f && a.shift == 0.25f);
        a = ib_align_solve(cases[i], 1, NULL);
        assert_true(a.guarded && a.scale == 1 && a.shift == 0);
    }
    ib_alignment off = ib_align_solve(negative, 0, &last); /* --guard off: as the reference */
    assert_false(off.guarded);
    assert_true(off.scale == -1.0f && off.shift == 5.0f);
    off = ib_align_solve(flat, 0, &last);
    assert_true(off.scale == 1 && off.shift == 0);
}

/* Raw maps whose window k is a scaled and shifted copy of one smooth function: the chain must undo it. */
static void chain_undoes_scale_and_shift(void **state)
{
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_backend_options o = {.act = IB_F32, .diag = &diag};
    ib_backend *be;
    assert_int_equal(ib_ref_open(&o, &be), ISOBATH_OK);
    enum { H = 9, W = 14, OH = 21, OW = 30 };
    float *raw = malloc(32 * H * W * sizeof *raw);
    static const double scale[4] = {1, 0.5, 3, 1.25}, shift[4] = {0, 0.2, -0.5, 1};
    ib_align_chain chain;
    assert_int_equal(ib_align_chain_init(&chain, be, 0, 1, OH, OW, H, W, &diag), ISOBATH_OK);
    for (int k = 0; k < 4; k++) {
        int64_t frames[32];
        ib_plan_window_frames(k, 1000, frames);
        for (int s = 0; s < 32; s++)
            for (int i = 0; i < H * W; i++) {
                double truth = 3 + sin(0.1 * i + 0.01 * (double)frames[s]) + cos(0.37 * i);
                raw[s * H * W + i] = (float)((truth - shift[k]) / scale[k]);
            }
        ib_alignment a;
        assert_int_equal(ib_align_chain_window(&chain, raw, &a), ISOBATH_OK);
        assert_true(fabs(a.scale - scale[k]) < 1e-5 * scale[k]);
        assert_true(fabs(a.shift - shift[k]) < 2e-5);
        assert_false(a.guarded);
    }
    ib_align_chain_free(&chain);
    assert_int_equal(ib_align_chain_init(&chain, be, 1, 1, OH, OW, H, W, &diag), ISOBATH_OK); /* metric: never */
    for (int k = 0; k < 2; k++) {
        ib_alignment a;
        assert_int_equal(ib_align_chain_window(&chain, raw, &a), ISOBATH_OK);
        assert_true(a.scale == 1 && a.shift == 0 && !a.guarded);
    }
    ib_align_chain_free(&chain);
    ib_backend_close(be);
    free(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fit_finds_scale_and_shift),
                                       cmocka_unit_test(guard_keeps_the_last_good_numbers),
                                       cmocka_unit_test(chain_undoes_scale_and_shift)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
