/* layernorm: bound through the errors of mean and variance (README.md). */
#include "checkop.h"

#include <math.h>

/* T, N, C, y is f32, pos, mean in hundredths of the amplitude, eps 1e-N */
static const int cases[][CK_PARAMS] = {
    {2, 5, 384, 0, 0, 0, 6},    {1, 1, 1, 0, 0, 0, 5},      {3, 7, 64, 0, 1, 100, 5},    {1, 17, 1024, 1, 0, 800, 6},
    {2, 3, 768, 0, 0, 0, 6},    {1, 9, 31, 1, 1, 300, 5},   {2, 4, 33, 0, 1, 0, 5},      {1, 3, 384, 1, 0, 50000, 6},
    {1, 5, 1023, 0, 0, 0, 6},   {32, 3, 256, 0, 1, 30, 5},  {1, 2, 2, 1, 0, 0, 5},       {2, 64, 16, 0, 1, 0, 5},
    {1, 180, 384, 0, 0, 20, 6}, {4, 2442, 384, 0, 0, 0, 6}, {4, 2442, 1024, 0, 0, 0, 6}, {32, 2442, 64, 0, 1, 0, 5}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d N%d C%d%s%s mean %.1f", p[0], p[1], p[2], p[3] ? " f32" : "", p[4] ? " pos" : "", p[5] / 100.0);
    ck_fill(c, ck_add(c, "x", IB_F32, CK_T | CK_N, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1), 2 * p[5] / 100.0, 2);
    ck_fill(c, ck_add(c, "weight", IB_F32, 0, 0, 1, p[2], 1, 1, 1), 1, 0.5);
    ck_fill(c, ck_add(c, "bias", IB_F32, 0, 0, 1, p[2], 1, 1, 1), 0, 0.5);
    if (p[4])
        ck_fill(c, ck_add(c, "pos", IB_F32, CK_T | CK_OPTIONAL, CK_GAP0, 2, p[0], p[2], 1, 1), 0, 1);
    else
        ck_add_absent(c, "pos");
    ck_add(c, "y", p[3] ? IB_F32 : c->act, CK_OUT | CK_T | CK_N, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1);
}

static double eps_of(const ck_case *c) { return c->p[6] == 5 ? (double)1e-5f : (double)1e-6f; }

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode, (void)host;
    return ib_layernorm(b, &(ib_layernorm_args){t[0], t[1], t[2], t[3], (float)eps_of(c), t[4]});
}

static void bound(ck_case *c)
{
    int64_t tokens = c->p[1], channels = c->p[2], rows = c->p[0] * tokens;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = c->arg[0].value + r * channels;
        ck_moments m = ck_moments_of(x, channels, channels, channels, eps_of(c));
        for (int64_t i = 0; i < channels; i++) {
            double pos = c->arg[3].present ? (double)c->arg[3].value[r / tokens * channels + i] : 0;
            ck_bound_normalised(c, r * channels + i, &m, (double)x[i], (double)c->arg[1].value[i],
                                fabs((double)c->arg[2].value[i]) + fabs(pos));
        }
    }
}

const ck_op ck_op_layernorm = {"layernorm",  CK_COUNTS(cases, 3), .build = build,
                               .call = call, .bound = bound,      .plant_nan = 7};
