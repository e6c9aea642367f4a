/* output_head: the bound of the 3x3 carried through ReLU and the 1x1; products may use a type of act's precision. */
#include "checkop.h"

#include <math.h>
#include <stdlib.h>

/* T, h, w, Ci, H, W, x is f32, sigmoid times this (0: ReLU) */
static const int cases[][CK_PARAMS] = {
    {2, 3, 4, 32, 6, 7, 0},     {1, 1, 1, 16, 1, 1, 0},      {1, 8, 8, 32, 14, 14, 0},      {1, 8, 16, 16, 14, 28, 0},
    {1, 5, 3, 128, 9, 5, 1},    {3, 4, 6, 64, 7, 10, 0},     {1, 9, 2, 33, 16, 3, 1},       {1, 7, 33, 8, 12, 65, 0},
    {1, 16, 17, 32, 28, 31, 0}, {1, 40, 72, 32, 70, 126, 0}, {2, 4, 6, 64, 7, 13, 0, 20},
    {2, 40, 72, 64, 70, 126, 0},  {1, 33, 150, 128, 57, 263, 0},
    {1, 3, 4, 32, 6, 7, 1, 80}, {1, 296, 528, 32, 518, 924, 0}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d %dx%d C%d to %dx%d%s%s", p[0], p[1], p[2], p[3], p[4], p[5], p[6] ? " f32" : "", p[7] ? " sigmoid" : "");
    ck_fill(c, ck_add(c, "x", p[6] ? IB_F32 : c->act, CK_T | CK_FREE, CK_GAP0, 4, p[0], p[1], p[2], p[3]), 0.2, 1);
    ck_fill(c, ck_add(c, "bias", IB_F32, 0, 0, 1, 33, 1, 1, 1), 0.2, 0.3);
    ck_add(c, "y", IB_F32, CK_OUT | CK_T | CK_FREE, CK_GAP0 | CK_GAP1, 3, p[0], p[4], p[5], 1);
    ck_set_weight(c, IB_WEIGHT_HEAD, 32, p[3], 0, sqrt(3.0 / (9 * p[3])));
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)mode, (void)host;
    return ib_output_head(b, &(ib_output_head_args){t[0], w, t[1], t[2], (float)c->p[7]});
}

/* The resized map of one frame; NaN spreads as in a sum of four products. */
static void upsample(const float *x, int64_t h, int64_t w, int64_t channels, int64_t height, int64_t width, float *map)
{
    for (int64_t i = 0; i < height * width; i++) {
        int64_t y0, y1, x0, x1;
        float wy, wx;
        ib_bilinear_axis(i / width, h, height, &y0, &y1, &wy);
        ib_bilinear_axis(i % width, w, width, &x0, &x1, &wx);
        for (int64_t c = 0; c < channels; c++) {
            float top = (1 - wx) * x[(y0 * w + x0) * channels + c] + wx * x[(y0 * w + x1) * channels + c];
            float bottom = (1 - wx) * x[(y1 * w + x0) * channels + c] + wx * x[(y1 * w + x1) * channels + c];
            map[i * channels + c] = (1 - wy) * top + wy * bottom;
        }
    }
}

/* One output pixel. `unit` is the precision of the products. */
static void bound_pixel(const ck_case *c, const float *map, int64_t y, int64_t x, double unit, double *peak,
                        double *rms)
{
    int64_t in = c->p[3], height = c->p[4], width = c->p[5];
    const float *w = c->weight.data, *last = w + 32 * in * 9;
    double terms = 9.0 * (double)in + 5, size2 = fabs((double)c->arg[1].value[32]), square2 = 0, variance = 0;
    *peak = 0;
    for (int64_t o = 0; o < 32; o++) {
        double sum = (double)c->arg[1].value[o], size = fabs(sum), square = 0;
        for (int64_t tap = 0; tap < 9; tap++) {
            int64_t ty = y + tap / 3 - 1, tx = x + tap % 3 - 1;
            if (ty < 0 || ty >= height || tx < 0 || tx >= width) continue;
            for (int64_t i = 0; i < in; i++) {
                double product = (double)map[(ty * width + tx) * in + i] * (double)w[(o * in + i) * 9 + tap];
                sum += product;
                size += fabs(product);
                square += product * product;
            }
        }
        double z = sum > 0 ? sum : 0, weight = fabs((double)last[o]);
        *peak += weight * (unit * fmin(size, CK_LAMBDA * sqrt(square)) + ck_peak(terms) * size);
        double typical = weight * (unit * sqrt(square) + ck_rms(terms) * size);
        variance += typical * typical;
        size2 += weight * z;
        square2 += weight * z * weight * z;
    }
    *peak += unit * fmin(size2, CK_LAMBDA * sqrt(square2)) + ck_peak(34) * size2;
    *rms = sqrt(variance) + unit * sqrt(square2) + ck_rms(34) * size2;
    if (c->p[7]) { /* the sigmoid's slope is at most 1/4; exp, sum and quotient round */
        *peak = c->p[7] * (*peak / 4 + ck_peak(8));
        *rms = c->p[7] * (*rms / 4 + ck_rms(8));
    }
}

static void bound(ck_case *c)
{
    const int *p = c->p;
    int64_t pixels = (int64_t)p[4] * p[5];
    float *map = ck_alloc((size_t)(pixels * p[3]) * sizeof *map);
    for (int64_t t = 0; t < p[0]; t++) {
        upsample(c->arg[0].value + t * p[1] * p[2] * p[3], p[1], p[2], p[3], p[4], p[5], map);
        for (int64_t i = 0; i < pixels; i++)
            bound_pixel(c, map, i / p[5], i % p[5], ck_unit(c->act), &c->peak[t * pixels + i], &c->rms[t * pixels + i]);
    }
    free(map);
}

static double flops(const ck_case *c) { return 2.0 * c->p[0] * c->p[4] * c->p[5] * 32 * (9 * c->p[3] + 1); }

const ck_op ck_op_output_head = {"output_head",  CK_COUNTS(cases, 1), .build = build, .call = call,
                                 .bound = bound, .flops = flops,      .plant_nan = 3};
