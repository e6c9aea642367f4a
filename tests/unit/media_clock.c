/* The rules for presentation times, each by itself. */
#include "media/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NONE AV_NOPTS_VALUE

/* Ticks of 1 ms at 25 frames/s in, microseconds out. */
static void expect(int jumps, int n, const int64_t *in, const int64_t *want)
{
    ib_clock c = ib_clock_init((AVRational){1, 1000}, 25, jumps);
    for (int i = 0; i < n; i++) assert_int_equal(ib_clock_next(&c, in[i]), want[i]);
}
#define EXPECT(jumps, in, want) expect(jumps, (int)(sizeof(in) / sizeof *(in)), in, want)

static void test_plain(void **state)
{
    (void)state;
    static const int64_t in[] = {0, 40, 80, 200, 60200}, want[] = {0, 40000, 80000, 200000, 60200000};
    EXPECT(0, in, want);
    static const int64_t late[] = {5000, 5040, 5077}, negative[] = {-80, -40, 0}, want2[] = {0, 40000, 77000};
    static const int64_t want3[] = {0, 40000, 80000};
    EXPECT(0, late, want2);
    EXPECT(0, negative, want3);
}

static void test_missing(void **state)
{
    (void)state;
    static const int64_t in[] = {0, NONE, 80, NONE, NONE}, want[] = {0, 40000, 80000, 120000, 160000};
    EXPECT(0, in, want);
    /* no time at first: the first known one stands where it comes */
    static const int64_t first[] = {NONE, NONE, 1000, 1050}, want2[] = {0, 40000, 80000, 130000};
    EXPECT(0, first, want2);
    static const int64_t none[] = {NONE, NONE, NONE}, want3[] = {0, 40000, 80000};
    EXPECT(0, none, want3);
}

static void test_steps_back(void **state)
{
    (void)state;
    /* equal or a little back: just after the one before; the others stay where they are */
    static const int64_t in[] = {0, 40, 40, 80, 60, 120}, want[] = {0, 40000, 40001, 80000, 80001, 120000};
    EXPECT(0, in, want);
    /* far back: a new clock */
    static const int64_t far[] = {9000, 9040, 100, 140, 190}, want2[] = {0, 40000, 80000, 120000, 170000};
    EXPECT(0, far, want2);
    EXPECT(1, far, want2);
}

static void test_steps_forward(void **state)
{
    (void)state;
    static const int64_t in[] = {0, 40, 95000, 95040}, keeps[] = {0, 40000, 95000000, 95040000};
    static const int64_t joins[] = {0, 40000, 80000, 120000};
    EXPECT(0, in, keeps);
    EXPECT(1, in, joins);
}

/* Timestamps at the ends of int64 neither overflow nor break the order. */
static void test_extremes(void **state)
{
    (void)state;
    static const int64_t in[] = {INT64_MAX, INT64_MIN + 1, 0, INT64_MAX - 1, -(INT64_C(1) << 60), INT64_C(1) << 60, 40};
    ib_clock c = ib_clock_init((AVRational){1, 1000}, 0, 0);
    int64_t last = -1;
    for (int i = 0; i < 1000; i++) {
        int64_t t = ib_clock_next(&c, in[i % 7]);
        assert_true(t > last);
        last = t;
    }
}

static void test_rounding(void **state)
{
    (void)state;
    ib_clock c = ib_clock_init((AVRational){1001, 30000}, 30000.0 / 1001, 0);
    assert_int_equal(ib_clock_next(&c, 7), 0);
    for (int64_t i = 1; i < 5000; i++) assert_int_equal(ib_clock_next(&c, 7 + i), (i * 1001000000 + 15000) / 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_missing),  cmocka_unit_test(test_steps_back),
        cmocka_unit_test(test_steps_forward), cmocka_unit_test(test_extremes), cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
