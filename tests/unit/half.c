/* base/half.h: every f16 and bf16 there and back, rounding to nearest even at every tie, NaN, infinity, subnormals. */
#include "base/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The meaning, by arithmetic instead of bits. */
static double f16_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void f16_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = ib_f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) == 0x7c00) {
            if (h & 1023) {
                assert_true(isnan(x));
                uint16_t back = ib_f32_to_f16(x);
                assert_true((back & 0x7c00) == 0x7c00 && (back & 1023) && (back & 0x8000) == (h & 0x8000));
                continue;
            }
            assert_true(isinf(x) && !signbit(x) == !(h & 0x8000));
        } else {
            assert_true((double)x == f16_value((uint16_t)h) && !signbit(x) == !(h & 0x8000));
        }
        assert_int_equal(ib_f32_to_f16(x), h);
    }
}

static void bf16_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = ib_bf16_to_f32((uint16_t)h);
        assert_int_equal(ib_f32_bits(x), h << 16);
        uint16_t back = ib_f32_to_bf16(x);
        if (isnan(x))
            assert_true((back & 0x7f80) == 0x7f80 && (back & 127) && (back & 0x8000) == (h & 0x8000));
        else
            assert_int_equal(back, h);
    }
}

/* Between each two neighbouring finite values: the middle goes to the even one, its float neighbours to the nearer. */
static void check_gap(uint16_t lo, uint16_t hi, float a, float b, uint16_t (*narrow)(float))
{
    float mid = (float)(((double)a + (double)b) / 2);
    uint16_t even = lo & 1 ? hi : lo;
    assert_int_equal(narrow(mid), even);
    assert_int_equal(narrow(-mid), even | 0x8000);
    assert_int_equal(narrow(nextafterf(mid, 0)), lo);
    assert_int_equal(narrow(nextafterf(mid, INFINITY)), hi);
}

static uint16_t to_f16(float x) { return ib_f32_to_f16(x); }
static uint16_t to_bf16(float x) { return ib_f32_to_bf16(x); }

static void rounding(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7bff; h++)
        check_gap(h, (uint16_t)(h + 1), ib_f16_to_f32(h), ib_f16_to_f32((uint16_t)(h + 1)), to_f16);
    for (uint16_t h = 0; h < 0x7f7f; h++)
        check_gap(h, (uint16_t)(h + 1), ib_bf16_to_f32(h), ib_bf16_to_f32((uint16_t)(h + 1)), to_bf16);
}

static void edges(void **state)
{
    (void)state;
    assert_int_equal(ib_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(ib_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(ib_f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(ib_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(ib_f32_to_f16(0x1p-149f), 0);
    assert_int_equal(ib_f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(ib_f32_to_bf16(3.4028235e38f), 0x7f80);
    assert_int_equal(ib_f32_to_bf16(-INFINITY), 0xff80);
    assert_int_equal(ib_f32_to_bf16(0x1p-149f), 0);
    /* A NaN whose payload lies only in the bits that are cut off. */
    assert_true(isnan(ib_bf16_to_f32(ib_f32_to_bf16(ib_f32_from_bits(0x7f800001u)))));
    assert_true(isnan(ib_f16_to_f32(ib_f32_to_f16(ib_f32_from_bits(0xff800001u)))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_round_trip),
        cmocka_unit_test(bf16_round_trip),
        cmocka_unit_test(rounding),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
