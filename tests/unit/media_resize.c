/* Reduced sizes, the triangle filter and upright turns. */
#include "media/media.h"
#include "media/resize.h"
#include "media/resize_rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t seed = 777;
static uint8_t next_byte(void) { return (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24); }

static void test_reduced_size(void **state)
{
    (void)state;
    static const int cases[][5] = {
        /* w, h, max, and what comes out */
        {1920, 1080, 1280, 1280, 720}, {1280, 720, 1280, 1280, 720}, {1281, 720, 1280, 1280, 720},
        {1080, 1920, 1280, 720, 1280}, {640, 480, 0, 640, 480},      {641, 481, 0, 641, 481},
        {2000, 1001, 1000, 1000, 500}, /* 500.5 to even 500 */
        {2000, 1003, 1000, 1000, 502}, /* 501.5 to even 502 */
        {1920, 817, 1280, 1280, 546},  /* 544.67 -> 545, odd -> 546 */
        {1000, 999, 501, 502, 500},    /* the limit itself is odd: 502; 500.499 -> 500 */
        {10000, 10, 100, 100, 2},      /* never 0 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int w, h;
        ib_media_reduced_size(cases[i][0], cases[i][1], cases[i][2], &w, &h);
        assert_int_equal(w, cases[i][3]);
        assert_int_equal(h, cases[i][4]);
    }
}

/* Weights: not negative, sum exactly one, close to the triangle in double. */
static void test_axis(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1920, 1280}, {3840, 1280}, {7, 3},    {3, 7},   {1, 1},
                                   {1, 5},       {5, 1},       {100, 99}, {4096, 2}};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        int in = sizes[n][0], out = sizes[n][1];
        double scale = (double)in / out, half = fmax(scale, 1.0);
        ib_resize_axis a;
        assert_int_equal(ib_resize_axis_init(&a, in, out, NULL), 0);
        for (int i = 0; i < out; i++) {
            int sum = 0;
            double total = 0, centre = (i + 0.5) * scale;
            for (int j = 0; j < in; j++) total += fmax(0, half - fabs(j + 0.5 - centre));
            assert_true(a.first[i] >= 0 && a.first[i] + a.taps <= in);
            for (int j = 0; j < in; j++) {
                int k = j - a.first[i];
                int w = k >= 0 && k < a.taps ? a.weights[i * a.taps + k] : 0;
                double want = fmax(0, half - fabs(j + 0.5 - centre)) / total * (1 << IB_RESIZE_BITS);
                assert_true(w >= 0);
                assert_true(fabs(w - want) < 1.0);
                sum += w;
            }
            assert_int_equal(sum, 1 << IB_RESIZE_BITS);
        }
        ib_resize_axis_free(&a);
    }
}

/* Against the same filter in double, within one step; constant pictures stay constant; any pool gives the same bytes.
 */
static void test_resize(void **state)
{
    (void)state;
    static const int cases[][4] = {
        {64, 48, 40, 30}, {97, 61, 32, 20}, {33, 20, 33, 10}, {20, 33, 40, 66}, {5, 5, 2, 2}};
    ib_pool *pool;
    assert_int_equal(ib_pool_create(3, NULL, &pool), 0);
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        int w = cases[n][0], h = cases[n][1], ow = cases[n][2], oh = cases[n][3];
        size_t in_bytes = (size_t)(w * h * 3), out_bytes = (size_t)(ow * oh * 3);
        uint8_t *src = malloc(in_bytes), *a = malloc(out_bytes), *b = malloc(out_bytes);
        for (size_t i = 0; i < in_bytes; i++) src[i] = next_byte();
        ib_resize *r, *threaded;
        assert_int_equal(ib_resize_create(w, h, ow, oh, NULL, NULL, &r), 0);
        assert_int_equal(ib_resize_create(w, h, ow, oh, pool, NULL, &threaded), 0);
        ib_resize_run(r, src, w * 3, a);
        ib_resize_run(threaded, src, w * 3, b);
        assert_memory_equal(a, b, out_bytes);
        double sx = (double)w / ow, sy = (double)h / oh, hx = fmax(sx, 1), hy = fmax(sy, 1);
        for (int y = 0; y < oh; y++)
            for (int x = 0; x < ow; x++)
                for (int c = 0; c < 3; c++) {
                    double sum = 0, weight = 0;
                    for (int j = 0; j < h; j++)
                        for (int i = 0; i < w; i++) {
                            double t = fmax(0, hx - fabs(i + 0.5 - (x + 0.5) * sx)) *
                                       fmax(0, hy - fabs(j + 0.5 - (y + 0.5) * sy));
                            sum += t * src[(j * w + i) * 3 + c];
                            weight += t;
                        }
                    assert_true(fabs(a[(y * ow + x) * 3 + c] - sum / weight) < 0.6);
                }
        memset(src, 201, in_bytes);
        ib_resize_run(r, src, w * 3, a);
        for (size_t i = 0; i < out_bytes; i++) assert_int_equal(a[i], 201);
        ib_resize_destroy(r);
        ib_resize_destroy(threaded);
        free(src), free(a), free(b);
    }
    ib_pool_destroy(pool);
}

/* The fast inner loops against the plain ones, at every length and number of taps; nothing behind the end is written.
 */
static void test_rows_equal(void **state)
{
    (void)state;
    enum { N = 75, TAPS = 9 };
    static uint8_t src[TAPS][N];
    static uint16_t a[N + 8], b[N + 8], row[N + 1];
    static int16_t weights[TAPS * N];
    static int32_t first[N];
    for (int taps = 1; taps <= TAPS; taps++) {
        for (int n = 3; n <= N; n += 3) {
            for (int k = 0; k < TAPS; k++)
                for (int i = 0; i < N; i++) src[k][i] = next_byte() < 128 ? 255 : next_byte();
            for (int i = 0; i < TAPS * N; i++) weights[i] = (int16_t)((1 << IB_RESIZE_BITS) / taps - next_byte() % 8);
            for (int i = 0; i <= N; i++) row[i] = (uint16_t)(next_byte() * 64);
            memset(a, 0x11, sizeof a);
            memset(b, 0x11, sizeof b);
            ib_resize_columns(1)(src[0], N, weights, taps, (size_t)n, a);
            ib_resize_columns(0)(src[0], N, weights, taps, (size_t)n, b);
            assert_memory_equal(a, b, sizeof a);
            int in = n / 3, out = in >= taps ? 20 : 0;
            for (int i = 0; i < out; i++) first[i] = next_byte() % (in - taps + 1);
            uint8_t p[64], q[64];
            memset(p, 0x22, sizeof p);
            memset(q, 0x22, sizeof q);
            ib_resize_along(1)(row, first, weights, taps, out, p);
            ib_resize_along(0)(row, first, weights, taps, out, q);
            assert_memory_equal(p, q, sizeof p);
        }
    }
}

/* 2x3 picture with pixels 0..5; what each turn makes of it. */
static void test_orient(void **state)
{
    (void)state;
    static const struct {
        ib_orientation o;
        int degrees;
        uint8_t want[6];
    } cases[] = {
        {{0, 0, 0}, 0, {0, 1, 2, 3, 4, 5}},   /* 0 1 2 / 3 4 5 */
        {{0, 1, 1}, 180, {5, 4, 3, 2, 1, 0}}, /* upside down */
        {{1, 1, 0}, 90, {3, 0, 4, 1, 5, 2}},  /* 3 0 / 4 1 / 5 2: the top row is at the right */
        {{1, 0, 1}, 270, {2, 5, 1, 4, 0, 3}}, /* 2 5 / 1 4 / 0 3: the top row is at the left */
        {{0, 1, 0}, 0, {2, 1, 0, 5, 4, 3}},   {{1, 0, 0}, 90, {0, 3, 1, 4, 2, 5}},
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        uint8_t src[18], dst[18];
        for (int i = 0; i < 6; i++)
            for (int c = 0; c < 3; c++) src[3 * i + c] = (uint8_t)(i + 10 * c);
        ib_orient(cases[n].o, src, 3, 2, dst, NULL);
        for (int i = 0; i < 6; i++)
            for (int c = 0; c < 3; c++) assert_int_equal(dst[3 * i + c], cases[n].want[i] + 10 * c);
        assert_int_equal(ib_orientation_degrees(cases[n].o), cases[n].degrees);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reduced_size), cmocka_unit_test(test_axis),
                                       cmocka_unit_test(test_resize), cmocka_unit_test(test_rows_equal),
                                       cmocka_unit_test(test_orient)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
