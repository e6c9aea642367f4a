/* linear: sums of K products; GELU and GEGLU carry the error of the sum on (README.md). */
#include "checkop.h"

#include <math.h>
#include <stdlib.h>

/* How the residual is given: none, f32, act, f32 or act in place of y. */
enum { NONE, RES_F32, RES_ACT, IN_F32, IN_ACT };

/* T, N, K of x, K, M, activation, residual, y is f32, bias, amplitude of x */
static const int cases[][CK_PARAMS] = {
    {2, 9, 64, 64, 64, IB_ACT_NONE, NONE, 0, 1, 1},
    {1, 1, 1, 1, 1, IB_ACT_NONE, NONE, 1, 0, 1},
    {1, 3, 7, 7, 5, IB_ACT_RELU, NONE, 0, 1, 1},
    {1, 33, 384, 384, 1152, IB_ACT_NONE, NONE, 0, 1, 1},    /* vits qkv */
    {2, 17, 384, 384, 384, IB_ACT_NONE, IN_F32, 1, 1, 1},   /* proj into the residual stream */
    {1, 40, 384, 384, 1536, IB_ACT_GELU, NONE, 0, 1, 2},    /* fc1 */
    {1, 20, 1536, 1536, 384, IB_ACT_NONE, IN_F32, 1, 1, 1}, /* fc2 */
    {1, 12, 592, 588, 384, IB_ACT_NONE, NONE, 1, 1, 2},     /* patch embedding */
    {1, 5, 1024, 1024, 4096, IB_ACT_GELU, NONE, 0, 1, 2},   /* vitl fc1 */
    {1, 3, 4096, 4096, 1024, IB_ACT_NONE, IN_F32, 1, 1, 1}, /* vitl fc2 */
    {3, 7, 384, 384, 48, IB_ACT_NONE, NONE, 0, 1, 1},       /* projects */
    {4, 15, 192, 192, 192, IB_ACT_NONE, RES_ACT, 0, 1, 1},  /* temporal to_out */
    {4, 9, 64, 64, 256, IB_ACT_GEGLU, NONE, 0, 1, 2},       /* temporal feed-forward */
    {2, 5, 192, 192, 768, IB_ACT_GEGLU, NONE, 0, 1, 2},
    {1, 7, 33, 33, 31, IB_ACT_GEGLU, RES_F32, 1, 0, 2},
    {1, 15, 16, 16, 17, IB_ACT_NONE, RES_F32, 0, 1, 1},
    {1, 16, 17, 17, 15, IB_ACT_GELU, RES_ACT, 1, 0, 3},
    {1, 17, 15, 15, 16, IB_ACT_RELU, IN_ACT, 0, 1, 1},
    {1, 31, 32, 32, 33, IB_ACT_NONE, NONE, 0, 0, 1},
    {1, 32, 33, 33, 31, IB_ACT_NONE, NONE, 1, 1, 1},
    {1, 33, 31, 31, 32, IB_ACT_GELU, NONE, 0, 1, 6},
    {1, 63, 64, 64, 65, IB_ACT_NONE, IN_F32, 1, 1, 1},
    {1, 64, 65, 65, 63, IB_ACT_NONE, NONE, 0, 1, 1},
    {1, 65, 63, 63, 64, IB_ACT_RELU, RES_F32, 1, 1, 1},
    {1, 127, 128, 128, 129, IB_ACT_NONE, NONE, 0, 1, 1},
    {1, 128, 129, 129, 127, IB_ACT_NONE, NONE, 0, 1, 1},
    {1, 129, 127, 127, 128, IB_ACT_NONE, NONE, 1, 1, 1},
    {5, 13, 8, 8, 8, IB_ACT_NONE, NONE, 1, 0, 1},
    {1, 67, 101, 101, 103, IB_ACT_GELU, RES_F32, 1, 1, 2},
    {1, 4, 128, 128, 64, IB_ACT_NONE, NONE, 0, 1, 8000}, /* beyond the range of f16: infinity, not 65504 */
    {2, 150, 1024, 1024, 512, IB_ACT_NONE, IN_F32, 1, 1, 1}, /* an odd number of tiles of 128 rows */
    {1, 257, 512, 512, 768, IB_ACT_GELU, NONE, 0, 1, 2},
    {1, 2443, 384, 384, 1536, IB_ACT_GELU, NONE, 0, 1, 2},
    {1, 2443, 1536, 1536, 384, IB_ACT_NONE, IN_F32, 1, 1, 1},
    {1, 2443, 1024, 1024, 4096, IB_ACT_GELU, NONE, 0, 1, 2},
    {1, 2443, 4096, 4096, 1024, IB_ACT_NONE, IN_F32, 1, 1, 1},
    {8, 2442, 64, 64, 256, IB_ACT_GEGLU, NONE, 0, 1, 2}};

static void build(ck_case *c)
{
    static const char *const acts[] = {"", " gelu", " relu", " geglu"};
    static const char *const residuals[] = {"", " +f32", " +act", " +f32 in place", " +act in place"};
    const int *p = c->p;
    int act = p[5], residual = p[6];
    unsigned rows = CK_T | CK_N, gaps = CK_GAP0 | CK_GAP1;
    ck_name(c, "T%d N%d K%d M%d%s%s%s%s", p[0], p[1], p[3], p[4], acts[act], residuals[residual], p[7] ? " f32" : "",
            p[9] > 1000 ? " large" : "");
    ck_arg *x = ck_add(c, "x", c->act, rows, gaps, 3, p[0], p[1], p[2], 1);
    ck_fill(c, x, 0, p[9]);
    for (int64_t i = 0; i < ck_elements(x); i++)
        if (i % p[2] >= p[3]) x->value[i] = 0; /* patchify's padding */
    if (p[8])
        ck_fill(c, ck_add(c, "bias", IB_F32, CK_OPTIONAL, 0, 1, act == IB_ACT_GEGLU ? 2 * p[4] : p[4], 1, 1, 1), 0,
                0.5);
    else
        ck_add_absent(c, "bias");
    if (residual == NONE)
        ck_add_absent(c, "residual");
    else
        ck_fill(c,
                ck_add(c, "residual", residual == RES_F32 || residual == IN_F32 ? IB_F32 : c->act,
                       rows | CK_OPTIONAL | CK_MAY_ALIAS | (residual >= IN_F32 ? CK_INPLACE : 0), gaps, 3, p[0], p[1],
                       p[4], 1),
                0, 2);
    ck_add(c, "y", p[7] ? IB_F32 : c->act, CK_OUT | rows, gaps, 3, p[0], p[1], p[4], 1);
    ck_set_weight(c, act == IB_ACT_GEGLU ? IB_WEIGHT_GEGLU : IB_WEIGHT_LINEAR, p[4], p[3], 0, sqrt(3.0 / p[3]));
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)host;
    ib_linear_args a = {t[0], w, t[1], mode == CK_LINEARISED ? IB_ACT_NONE : (ib_act)c->p[5], t[2], t[3]};
    return ib_linear(b, &a);
}

/* value * gelu(gate): both sums carry an error. */
static void bound_geglu(ck_case *c)
{
    int64_t rows = c->p[0] * c->p[1], inner = c->p[3], outputs = c->p[4];
    for (int64_t r = 0; r < rows; r++) {
        const float *x = c->arg[0].value + r * c->p[2];
        for (int64_t m = 0; m < outputs; m++) {
            double sum[2], size[2]; /* value and gate */
            for (int half = 0; half < 2; half++) {
                const float *w = c->weight.data + (half * outputs + m) * inner;
                double bias = c->arg[1].present ? (double)c->arg[1].value[half * outputs + m] : 0;
                sum[half] = bias;
                size[half] = fabs(bias);
                for (int64_t k = 0; k < inner; k++) {
                    sum[half] += (double)x[k] * (double)w[k];
                    size[half] += fabs((double)x[k] * (double)w[k]);
                }
            }
            double gelu = 0.5 * sum[1] * (1 + erf(sum[1] * sqrt(0.5)));
            double residual = c->arg[2].present ? fabs((double)c->arg[2].value[r * outputs + m]) : 0;
            for (int j = 0; j < 2; j++) {
                double growth = j == 0 ? ck_peak((double)inner + 2) : ck_rms((double)inner + 2);
                double value_error = growth * size[0];
                double gate_error = 1.13 * growth * size[1] + 4 * 0x1p-24 * fabs(sum[1]);
                double e = fabs(gelu) * value_error + fabs(sum[0]) * gate_error + value_error * gate_error +
                           2 * 0x1p-24 * (fabs(sum[0] * gelu) + residual);
                (j == 0 ? c->peak : c->rms)[r * outputs + m] = e;
            }
        }
    }
}

static void bound(ck_case *c)
{
    if (c->p[5] == IB_ACT_GEGLU)
        bound_geglu(c);
    else
        ck_bound_sum(c, c->p[3] + 2, c->p[5] == IB_ACT_GELU ? 1.13 : 1);
}

static double flops(const ck_case *c)
{
    return 2.0 * c->p[0] * c->p[1] * c->p[3] * c->p[4] * (c->p[5] == IB_ACT_GEGLU ? 2 : 1);
}

const ck_op ck_op_linear = {"linear",       CK_COUNTS(cases, 5), .build = build, .call = call,
                            .bound = bound, .flops = flops,      .plant_nan = 3, .plant_inf = 1};
