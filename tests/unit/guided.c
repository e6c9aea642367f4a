/* Guided upsampling against a second implementation, written from docs/MODEL.md pixel by pixel in double; its bounds; and what it is
 * good for: edges where the picture has them. */
#include "op/op.h"
#include "pipeline/guided.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct scene {
    int h, w, picture_h, picture_w, height, width;
    uint8_t *rgb;
    float *small;
} scene;

static uint32_t noise(uint32_t x)
{
    x = (x ^ 61) ^ (x >> 16);
    x *= 9;
    x ^= x >> 4;
    x *= 0x27d4eb2d;
    return x ^ (x >> 15);
}

/* Depth and brightness of a made-up scene at (y, x) in 0..1: a near disc and a bar before a far slope, all with texture. */
static double depth_at(double y, double x)
{
    if (hypot(y - 0.45, x - 0.4) < 0.22) return 6;
    if (fabs(x - 0.8 + 0.2 * y) < 0.03) return 4;
    return 1 + y;
}

static double luma_at(double y, double x)
{
    double texture = 0.03 * sin(60 * x) * sin(47 * y);
    if (hypot(y - 0.45, x - 0.4) < 0.22) return 0.75 + texture;
    if (fabs(x - 0.8 + 0.2 * y) < 0.03) return 0.6 - texture;
    return 0.3 + 0.1 * y + texture;
}

static scene make(int h, int w, int ph, int pw, int oh, int ow, int random)
{
    scene s = {h, w, ph, pw, oh, ow, malloc((size_t)(ph * pw) * 3), malloc((size_t)(h * w) * sizeof(float))};
    for (int i = 0; i < ph * pw; i++) {
        double y = (i / pw + 0.5) / ph, x = (i % pw + 0.5) / pw;
        for (int c = 0; c < 3; c++) s.rgb[3 * i + c] = (uint8_t)(random ? noise((uint32_t)(3 * i + c)) >> 24 : (uint32_t)lrint(255 * luma_at(y, x)));
    }
    for (int i = 0; i < h * w; i++) { /* as a network gives it: the mean of a block */
        double sum = 0;
        for (int k = 0; k < 64; k++) sum += depth_at((i / w + (k / 8 + 0.5) / 8) / h, (i % w + (k % 8 + 0.5) / 8) / w);
        s.small[i] = random ? (float)(noise((uint32_t)i + 77) >> 8) * 0x1p-22f : (float)(sum / 64);
    }
    return s;
}

static float *run(const scene *s, float *min, float *max)
{
    ib_guided *g;
    assert_int_equal(ib_guided_create(s->h, s->w, s->picture_h, s->picture_w, s->height, s->width, NULL, &g), ISOBATH_OK);
    memcpy(ib_guided_small(g), s->small, (size_t)(s->h * s->w) * sizeof(float));
    float *y = malloc((size_t)(s->height * s->width) * sizeof *y);
    ib_guided_run(g, s->rgb, y, min, max);
    ib_guided_destroy(g);
    return y;
}

static void release(scene *s)
{
    free(s->rgb);
    free(s->small);
}

/* ---- the second implementation ------------------------------------------------------------------------------------ */

static int luma8(const scene *s, int y, int x)
{
    const uint8_t *p = s->rgb + 3 * (y * s->picture_w + x);
    return (77 * p[0] + 150 * p[1] + 29 * p[2] + 128) / 256;
}

static int clamp(int v, int n) { return v < 0 ? 0 : v >= n ? n - 1 : v; }

/* Mean luma of the block of small pixel (y, x): the picture's pixels at most half a step away from where it stands. */
static double block_luma(const scene *s, int y, int x)
{
    double sum = 0, n = 0;
    double sy = s->h > 1 ? (double)(s->picture_h - 1) / (s->h - 1) : 0, sx = s->w > 1 ? (double)(s->picture_w - 1) / (s->w - 1) : 0;
    int v0 = (int)ceil((y - 0.5) * sy - 1e-9), v1 = (int)floor((y + 0.5) * sy + 1e-9), u0 = (int)ceil((x - 0.5) * sx - 1e-9),
        u1 = (int)floor((x + 0.5) * sx + 1e-9);
    for (int v = v0; v <= (v1 < v0 ? v0 : v1); v++) /* a picture smaller than the map: the next pixel */
        for (int u = u0; u <= (u1 < u0 ? u0 : u1); u++)
            if (v >= 0 && u >= 0 && v < s->picture_h && u < s->picture_w) {
                sum += luma8(s, v, u) / 255.0;
                n++;
            }
    return sum / n;
}

/* a and b of the window around (y, x). */
static void window_fit(const scene *s, const double *guide, int y, int x, double *a, double *b)
{
    double i = 0, p = 0, ip = 0, ii = 0, n = 0;
    for (int v = y - IB_GUIDED_RADIUS; v <= y + IB_GUIDED_RADIUS; v++)
        for (int u = x - IB_GUIDED_RADIUS; u <= x + IB_GUIDED_RADIUS; u++)
            if (v >= 0 && u >= 0 && v < s->h && u < s->w) {
                double g = guide[v * s->w + u], d = s->small[v * s->w + u];
                i += g, p += d, ip += g * d, ii += g * g, n++;
            }
    *a = (ip / n - i / n * (p / n)) / (ii / n - i / n * (i / n) + (double)IB_GUIDED_EPS);
    *b = p / n - *a * (i / n);
}

/* Bilinear, align_corners. */
static double bilinear(const double *map, int h, int w, int y, int x, int height, int width)
{
    double sy = height > 1 ? (double)y * (h - 1) / (height - 1) : 0, sx = width > 1 ? (double)x * (w - 1) / (width - 1) : 0;
    int y0 = clamp((int)sy, h), x0 = clamp((int)sx, w), y1 = clamp(y0 + 1, h), x1 = clamp(x0 + 1, w);
    double fy = sy - y0, fx = sx - x0;
    return (1 - fy) * ((1 - fx) * map[y0 * w + x0] + fx * map[y0 * w + x1]) + fy * ((1 - fx) * map[y1 * w + x0] + fx * map[y1 * w + x1]);
}

static void bounds(const scene *s, int y, int x, double *low, double *high)
{
    /* in f32, as the weights are: which cell a pixel lies in is a matter of the last bit */
    int64_t y0, x0, unused;
    float weight;
    ib_bilinear_axis(y, s->h, s->height, &y0, &unused, &weight);
    ib_bilinear_axis(x, s->w, s->width, &x0, &unused, &weight);
    *low = INFINITY, *high = -INFINITY;
    for (int v = (int)y0 - 1; v <= y0 + 2; v++)
        for (int u = (int)x0 - 1; u <= x0 + 2; u++) {
            double d = s->small[clamp(v, s->h) * s->w + clamp(u, s->w)];
            *low = fmin(*low, d), *high = fmax(*high, d);
        }
}

static double *reference(const scene *s)
{
    size_t n = (size_t)(s->h * s->w), big = (size_t)(s->picture_h * s->picture_w);
    double *guide = malloc(n * sizeof *guide), *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b), *ma = calloc(n, sizeof *ma), *mb = calloc(n, sizeof *mb),
           *luma = malloc(big * sizeof *luma), *out = malloc((size_t)(s->height * s->width) * sizeof *out);
    for (int i = 0; i < s->h * s->w; i++) guide[i] = block_luma(s, i / s->w, i % s->w);
    for (int i = 0; i < s->h * s->w; i++) window_fit(s, guide, i / s->w, i % s->w, &a[i], &b[i]);
    for (int i = 0; i < s->h * s->w; i++) {
        double count = 0;
        for (int v = i / s->w - IB_GUIDED_RADIUS; v <= i / s->w + IB_GUIDED_RADIUS; v++)
            for (int u = i % s->w - IB_GUIDED_RADIUS; u <= i % s->w + IB_GUIDED_RADIUS; u++)
                if (v >= 0 && u >= 0 && v < s->h && u < s->w) ma[i] += a[v * s->w + u], mb[i] += b[v * s->w + u], count++;
        ma[i] /= count, mb[i] /= count;
    }
    for (size_t i = 0; i < big; i++) luma[i] = luma8(s, (int)i / s->picture_w, (int)i % s->picture_w) / 255.0;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++) {
            double low, high, d = bilinear(ma, s->h, s->w, y, x, s->height, s->width) * bilinear(luma, s->picture_h, s->picture_w, y, x, s->height, s->width) +
                                  bilinear(mb, s->h, s->w, y, x, s->height, s->width);
            bounds(s, y, x, &low, &high);
            out[y * s->width + x] = fmin(fmax(d, low), high);
        }
    free(guide), free(a), free(b), free(ma), free(mb), free(luma);
    return out;
}

static void same_as_reference(void **state)
{
    (void)state;
    const int sizes[][6] = {{14, 14, 14, 14, 14, 14}, {14, 28, 40, 90, 40, 90}, {28, 14, 97, 61, 50, 33}, {42, 42, 128, 128, 300, 211},
                            {28, 28, 20, 17, 20, 17}, {14, 14, 64, 48, 1, 1}, {14, 14, 3, 300, 3, 300}, {70, 126, 180, 320, 180, 320}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int random = 0; random < 2; random++) {
            const int *z = sizes[i];
            scene s = make(z[0], z[1], z[2], z[3], z[4], z[5], random);
            float min, max;
            float *got = run(&s, &min, &max), least = INFINITY, largest = -INFINITY;
            double *want = reference(&s), worst = 0;
            for (int k = 0; k < s.height * s.width; k++) {
                worst = fmax(worst, fabs(got[k] - want[k]));
                least = fminf(least, got[k]), largest = fmaxf(largest, got[k]);
            }
            /* covariances lose eps/1e-7 of the range, 6 here: far below what a wrong term would make */
            if (!(worst < 2e-3)) fail_msg("%dx%d, picture %dx%d, output %dx%d: off by %g", z[1], z[0], z[3], z[2], z[5], z[4], worst);
            assert_true(min == least && max == largest);
            free(got);
            free(want);
            release(&s);
        }
}

/* A flat map stays what it is, to the bit, whatever the picture shows. */
static void flat_stays_flat(void **state)
{
    (void)state;
    scene s = make(28, 42, 90, 120, 90, 120, 1);
    for (int i = 0; i < s.h * s.w; i++) s.small[i] = 2.5f;
    float min, max, *y = run(&s, &min, &max);
    for (int i = 0; i < s.height * s.width; i++) assert_true(y[i] == 2.5f);
    assert_true(min == 2.5f && max == 2.5f);
    free(y);
    release(&s);
}

/* On the made-up scene, whose truth is known: the squared error is at most half of bilinear upsampling's. */
static void edges_follow_the_picture(void **state)
{
    (void)state;
    scene s = make(70, 126, 360, 640, 360, 640, 0);
    float min, max, *guided = run(&s, &min, &max);
    double *small = malloc((size_t)(s.h * s.w) * sizeof *small), error_guided = 0, error_bilinear = 0;
    for (int i = 0; i < s.h * s.w; i++) small[i] = s.small[i];
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++) {
            double truth = depth_at((y + 0.5) / s.height, (x + 0.5) / s.width);
            error_bilinear += pow(bilinear(small, s.h, s.w, y, x, s.height, s.width) - truth, 2);
            error_guided += pow(guided[y * s.width + x] - truth, 2);
        }
    int n = s.height * s.width;
    print_message("root mean square error: bilinear %.4f, guided %.4f\n", sqrt(error_bilinear / n), sqrt(error_guided / n));
    assert_true(error_guided < 0.5 * error_bilinear);
    free(small);
    free(guided);
    release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_reference), cmocka_unit_test(flat_stays_flat), cmocka_unit_test(edges_follow_the_picture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
