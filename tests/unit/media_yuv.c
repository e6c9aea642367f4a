/* Our YUV to RGB: fast rows equal the definition bit for bit, the definition is the formula within one step, and every
 * picture layout ends in the same arithmetic. */
#include "media/yuv.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t seed = 12345;
static uint32_t next_random(void) { return (seed = seed * 1664525u + 1013904223u) >> 8; }

static const double kr_kb[3][2] = {{0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}};

/* The textbook formula in double: R'G'B' in 0..255 before rounding. */
static void formula(ib_yuv_matrix m, int full, int bits, int y, int u, int v, double rgb[3])
{
    double kr = kr_kb[m][0], kb = kr_kb[m][1], kg = 1 - kr - kb, s = 1 << (bits - 8), max = (1 << bits) - 1;
    double luma = full ? y / max : (y - 16 * s) / (219 * s);
    double cb = (u - 128 * s) / (full ? max : 224 * s), cr = (v - 128 * s) / (full ? max : 224 * s);
    rgb[0] = 255 * (luma + 2 * (1 - kr) * cr);
    rgb[1] = 255 * (luma - 2 * (1 - kb) * kb / kg * cb - 2 * (1 - kr) * kr / kg * cr);
    rgb[2] = 255 * (luma + 2 * (1 - kb) * cb);
}

static double clamp255(double x) { return x < 0 ? 0 : x > 255 ? 255 : x; }

/* The published numbers, scaled by 2^16: a change of the definition must not go unnoticed. */
static void test_coefficients(void **state)
{
    (void)state;
    static const struct {
        ib_yuv_matrix m;
        int full, bits;
        ib_yuv_coefficients want;
    } cases[] = {
        {IB_YUV_BT601, 0, 8, {16, 128, 76309, 104597, 25675, 53279, 132201, 16}},
        {IB_YUV_BT709, 0, 8, {16, 128, 76309, 117489, 13975, 34925, 138438, 16}},
        {IB_YUV_BT601, 1, 8, {0, 128, 65536, 91881, 22553, 46802, 116130, 16}},
        {IB_YUV_BT2020, 0, 10, {64, 512, 76309, 110014, 12277, 42626, 140363, 18}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ib_yuv_coefficients k = ib_yuv_coefficients_for(cases[i].m, cases[i].full, cases[i].bits);
        assert_memory_equal(&k, &cases[i].want, sizeof k);
    }
}

/* Never more than 0.51 from the exact value: nearest, but for coefficients of finite length. */
static void test_accuracy(void **state)
{
    (void)state;
    static const int depths[] = {8, 9, 10, 12, 14, 16};
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
        int bits = depths[d], max = (1 << bits) - 1;
        double bound = bits <= 12 ? 0.51 : 0.6;
        for (int m = 0; m < 3; m++) {
            for (int full = 0; full < 2; full++) {
                ib_yuv_coefficients k = ib_yuv_coefficients_for((ib_yuv_matrix)m, full, bits);
                double worst = 0;
                for (int i = 0; i < 40000; i++) {
                    int y = (int)(next_random() & (unsigned)max), u = (int)(next_random() & (unsigned)max);
                    int v = (int)(next_random() & (unsigned)max);
                    if (i < 125) { /* corners and centres */
                        int at[5] = {0, 1, max / 2, max - 1, max};
                        y = at[i % 5], u = at[i / 5 % 5], v = at[i / 25];
                    }
                    uint8_t rgb[3];
                    double want[3];
                    ib_yuv_pixel(&k, y, u, v, rgb);
                    formula((ib_yuv_matrix)m, full, bits, y, u, v, want);
                    for (int c = 0; c < 3; c++) worst = fmax(worst, fabs(rgb[c] - clamp255(want[c])));
                }
                assert_true(worst <= bound);
            }
        }
    }
}

/* Black, white and grey are exact in limited and full range at every depth. */
static void test_fixed_points(void **state)
{
    (void)state;
    for (int bits = 8; bits <= 16; bits++) {
        for (int m = 0; m < 3; m++) {
            int one = 1 << (bits - 8), zero = 128 * one;
            ib_yuv_coefficients k = ib_yuv_coefficients_for((ib_yuv_matrix)m, 0, bits);
            uint8_t rgb[3];
            ib_yuv_pixel(&k, 16 * one, zero, zero, rgb);
            assert_memory_equal(rgb, "\0\0\0", 3);
            ib_yuv_pixel(&k, 235 * one, zero, zero, rgb);
            assert_memory_equal(rgb, "\xff\xff\xff", 3);
            k = ib_yuv_coefficients_for((ib_yuv_matrix)m, 1, bits);
            ib_yuv_pixel(&k, (1 << bits) - 1, zero, zero, rgb);
            assert_memory_equal(rgb, "\xff\xff\xff", 3);
        }
    }
}

/* The rows of this machine against the plain ones: all corner values at all positions, random ones, every width. */
static void test_rows_equal(void **state)
{
    (void)state;
    enum { N = 101 };
    static uint16_t y[N], u[N], v[N];
    static uint8_t y8[N], u8[N], v8[N], fast[3 * N + 16], plain[3 * N + 16];
    static const int depths[] = {8, 10, 12, 16};
    for (size_t d = 0; d < 4; d++) {
        int bits = depths[d], wide = bits > 8;
        unsigned max = (1u << bits) - 1;
        for (int round = 0; round < 600; round++) {
            ib_yuv_coefficients k = ib_yuv_coefficients_for((ib_yuv_matrix)(round % 3), round / 3 % 2, bits);
            int width = 1 + round % N, ssx = round / 6 % 2;
            for (int i = 0; i < N; i++) {
                unsigned at[5] = {0, 1, max / 2 + 1, max - 1, max};
                y[i] = (uint16_t)(round < 300 ? at[next_random() % 5] : next_random() & max);
                u[i] = (uint16_t)(round < 300 ? at[next_random() % 5] : next_random() & max);
                v[i] = (uint16_t)(round < 300 ? at[next_random() % 5] : next_random() & max);
                y8[i] = (uint8_t)y[i], u8[i] = (uint8_t)u[i], v8[i] = (uint8_t)v[i];
            }
            memset(fast, 0xcd, sizeof fast);
            memset(plain, 0xcd, sizeof plain);
            const void *py = wide ? (void *)y : y8, *pu = wide ? (void *)u : u8, *pv = wide ? (void *)v : v8;
            ib_yuv_row_function(wide, ssx, 1)(&k, py, pu, pv, width, fast);
            ib_yuv_row_function(wide, ssx, 0)(&k, py, pu, pv, width, plain);
            assert_memory_equal(fast, plain, sizeof fast); /* nothing behind the row is touched either */
            for (int x = 0; x < width; x++) {
                uint8_t want[3];
                ib_yuv_pixel(&k, y[x], u[x >> ssx], v[x >> ssx], want);
                assert_memory_equal(plain + 3 * x, want, 3);
            }
        }
    }
}

/* ---- layouts --------------------------------------------------------------------------------------------------------
 */

#define W 37
#define H 23

/* One random picture as planar 4:2:0, and what must come out of it. */
typedef struct source {
    int bits;
    uint16_t y[H][W], u[(H + 1) / 2][(W + 1) / 2], v[(H + 1) / 2][(W + 1) / 2];
    uint8_t want[H][W][3];
} source;

static void make_source(source *s, int bits, int interlaced)
{
    unsigned max = (1u << bits) - 1;
    s->bits = bits;
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) s->y[i][j] = (uint16_t)(next_random() & max);
    for (int i = 0; i < (H + 1) / 2; i++)
        for (int j = 0; j < (W + 1) / 2; j++)
            s->u[i][j] = (uint16_t)(next_random() & max), s->v[i][j] = (uint16_t)(next_random() & max);
    ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT709, 0, bits);
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            int row = interlaced ? i / 4 * 2 + i % 2 : i / 2; /* chroma of the same field */
            if (row > (H + 1) / 2 - 1) row = (H + 1) / 2 - 1;
            ib_yuv_pixel(&k, s->y[i][j], s->u[row][j / 2], s->v[row][j / 2], s->want[i][j]);
        }
}

static void check(const ib_picture *p, const uint8_t want[H][W][3], int threads)
{
    ib_pool *pool = NULL;
    if (threads > 1) assert_int_equal(ib_pool_create(threads, NULL, &pool), 0);
    ib_colour *c;
    assert_int_equal(ib_colour_create(p, pool, NULL, &c), 0);
    static uint8_t rgb[H][W * 3 + 5];
    memset(rgb, 0xee, sizeof rgb);
    ib_colour_run(c, p, rgb[0], sizeof rgb[0]);
    for (int i = 0; i < H; i++) {
        assert_memory_equal(rgb[i], want[i], W * 3);
        assert_memory_equal(rgb[i] + W * 3, "\xee\xee\xee\xee\xee", 5);
    }
    ib_colour_destroy(c);
    ib_pool_destroy(pool);
}

static void fill_random(void *data, size_t size)
{
    for (uint8_t *p = data; size; size--) *p++ = (uint8_t)next_random();
}

static void put(uint8_t *p, unsigned v, int wide, int big)
{
    if (!wide)
        p[0] = (uint8_t)v;
    else
        p[big ? 1 : 0] = (uint8_t)v, p[big ? 0 : 1] = (uint8_t)(v >> 8);
}

/* planar, NV12, P010, packed 4:2:0-like and bottom-up, in 8, 10 and 12 bits, either byte order */
static void test_layouts(void **state)
{
    (void)state;
    static source s;
    static uint8_t luma[H * 2 * W + 64], chroma[2][H * 2 * W + 64];
    for (int variant = 0; variant < 32; variant++) {
        int bits = variant % 4 == 0 ? 8 : variant % 4 == 1 ? 10 : variant % 4 == 2 ? 12 : 10;
        int shift = variant % 4 == 3 ? 6 : 0, wide = bits > 8, n = wide ? 2 : 1;
        int semi = variant / 4 % 2, big = variant / 8 % 2, interlaced = variant / 16;
        make_source(&s, bits, interlaced);
        int cw = (W + 1) / 2, ch = (H + 1) / 2, step = semi ? 2 * n : n;
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++) put(luma + (i * W + j) * n, (unsigned)s.y[i][j] << shift, wide, big);
        uint8_t *up = chroma[0], *vp = semi ? chroma[0] + n : chroma[1];
        for (int i = 0; i < ch; i++)
            for (int j = 0; j < cw; j++) {
                put(up + i * cw * step + j * step, (unsigned)s.u[i][j] << shift, wide, big);
                put(vp + i * cw * step + j * step, (unsigned)s.v[i][j] << shift, wide, big);
            }
        ib_picture p = {.kind = IB_PICTURE_YUV,
                        .width = W,
                        .height = H,
                        .bits = bits,
                        .shift = shift,
                        .big_endian = big,
                        .ssx = 1,
                        .ssy = 1,
                        .interlaced = interlaced,
                        .matrix = IB_YUV_BT709};
        p.c[0] = (ib_component){luma, W * n, n};
        p.c[1] = (ib_component){up, cw * step, step};
        p.c[2] = (ib_component){vp, cw * step, step};
        check(&p, (const void *)s.want, 1);
        check(&p, (const void *)s.want, 3);
    }
}

/* 4:1:1 and 4:1:0, and 4:4:0: chroma at x >> ssx, y >> ssy. */
static void test_subsampling(void **state)
{
    (void)state;
    static uint8_t yuv[3][H][W], want[H][W][3];
    fill_random(yuv, sizeof yuv);
    ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT601, 1, 8);
    for (int ssx = 0; ssx <= 2; ssx++)
        for (int ssy = 0; ssy <= 2; ssy++) {
            for (int i = 0; i < H; i++)
                for (int j = 0; j < W; j++)
                    ib_yuv_pixel(&k, yuv[0][i][j], yuv[1][i >> ssy][j >> ssx], yuv[2][i >> ssy][j >> ssx], want[i][j]);
            ib_picture p = {.kind = IB_PICTURE_YUV,
                            .width = W,
                            .height = H,
                            .bits = 8,
                            .ssx = ssx,
                            .ssy = ssy,
                            .matrix = IB_YUV_BT601,
                            .full_range = 1,
                            .c = {{yuv[0][0], W, 1}, {yuv[1][0], W, 1}, {yuv[2][0], W, 1}}};
            check(&p, (const void *)want, 1);
        }
}

/* RGB is copied (8 bits) or rounded to nearest (more); bottom-up rows and padding bytes do not matter. */
static void test_rgb(void **state)
{
    (void)state;
    static uint8_t bgra[H][W][4], want[H][W][3];
    static uint16_t rgb48[H][W][3];
    fill_random(bgra, sizeof bgra);
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++)
            for (int c = 0; c < 3; c++) want[i][j][c] = bgra[H - 1 - i][j][2 - c];
    ib_picture p = {.kind = IB_PICTURE_RGB, .width = W, .height = H, .bits = 8, .full_range = 1};
    for (int c = 0; c < 3; c++) p.c[c] = (ib_component){bgra[H - 1][0] + 2 - c, -(ptrdiff_t)sizeof bgra[0], 4};
    check(&p, (const void *)want, 2);
    static const int depths[] = {9, 10, 12, 14, 16};
    for (int d = 0; d < 5; d++) {
        int bits = depths[d];
        for (int i = 0; i < H * W * 3; i++) {
            unsigned v = next_random() & ((1u << bits) - 1);
            rgb48[i / (3 * W)][i / 3 % W][i % 3] = (uint16_t)v;
            want[i / (3 * W)][i / 3 % W][i % 3] = (uint8_t)floor(v * 255.0 / ((1 << bits) - 1) + 0.5);
        }
        p.bits = bits;
        for (int c = 0; c < 3; c++) p.c[c] = (ib_component){(uint8_t *)&rgb48[0][0][c], sizeof rgb48[0], 6};
        check(&p, (const void *)want, 1);
    }
}

/* Grey is R = G = B; limited grey is stretched like luma. */
static void test_gray(void **state)
{
    (void)state;
    static uint8_t gray[H][W], want[H][W][3];
    fill_random(gray, sizeof gray);
    for (int full = 0; full < 2; full++) {
        for (int i = 0; i < H * W; i++) {
            double v = full ? gray[i / W][i % W] : (gray[i / W][i % W] - 16) * 255.0 / 219.0;
            memset(want[i / W][i % W], (int)floor(clamp255(v) + 0.5), 3);
        }
        ib_picture p = {
            .kind = IB_PICTURE_GRAY, .width = W, .height = H, .bits = 8, .full_range = full, .c = {{gray[0], W, 1}}};
        check(&p, (const void *)want, 1);
    }
}

/* Scene-linear floats go through the sRGB curve; NaN is black, infinity and beyond are white. */
static void test_float(void **state)
{
    (void)state;
    static float rgb[3][H][W];
    static uint8_t want[H][W][3];
    for (int i = 0; i < H * W; i++)
        for (int c = 0; c < 3; c++) {
            double x = (double)(next_random() % 100000) / 80000.0 - 0.1, s;
            x = x < 0 ? x : x * x;
            s = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
            double v = clamp255(255 * s);
            if (fabs(v - floor(v) - 0.5) < 1e-4) x = v = 0; /* too near a tie for this formula to decide */
            rgb[c][i / W][i % W] = (float)x;
            want[i / W][i % W][c] = (uint8_t)floor(v + 0.5);
        }
    static const float special[] = {NAN, INFINITY, -INFINITY, 1e30f, -0.0f, 1.0f};
    static const uint8_t becomes[] = {0, 255, 0, 255, 0, 255};
    for (int i = 0; i < 6; i++) rgb[0][0][i] = special[i], want[0][i][0] = becomes[i];
    ib_picture p = {.kind = IB_PICTURE_RGB_FLOAT, .width = W, .height = H, .bits = 32};
    for (int c = 0; c < 3; c++) p.c[c] = (ib_component){(uint8_t *)rgb[c], sizeof rgb[c][0], 4};
    check(&p, (const void *)want, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coefficients), cmocka_unit_test(test_accuracy), cmocka_unit_test(test_fixed_points),
        cmocka_unit_test(test_rows_equal),   cmocka_unit_test(test_layouts),  cmocka_unit_test(test_subsampling),
        cmocka_unit_test(test_rgb),          cmocka_unit_test(test_gray),     cmocka_unit_test(test_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
