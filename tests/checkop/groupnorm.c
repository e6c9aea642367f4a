/* groupnorm: bound through the errors of mean and variance (README.md). */
#include "checkop.h"

#include <math.h>

/* T, P, C, groups, mean in hundredths of the amplitude */
static const int cases[][CK_PARAMS] = {
    {2, 35, 64, 32, 0},    {1, 1, 32, 32, 0},    {3, 11, 128, 32, 100}, {1, 63, 256, 32, 0},    {1, 700, 64, 32, 30},
    {2, 64, 96, 32, 0},    {1, 65, 384, 32, 0},  {1, 13, 1024, 32, 0},  {2, 127, 192, 32, 500}, {1, 50, 32, 32, 20000},
    {4, 2442, 384, 32, 0}, {4, 9768, 64, 32, 0}, {4, 9768, 256, 32, 0}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d P%d C%d mean %.1f", p[0], p[1], p[2], p[4] / 100.0);
    ck_fill(c, ck_add(c, "x", c->act, CK_T, CK_GAP0, 3, p[0], p[1], p[2], 1), 2 * p[4] / 100.0, 2);
    ck_fill(c, ck_add(c, "weight", IB_F32, 0, 0, 1, p[2], 1, 1, 1), 1, 0.5);
    ck_fill(c, ck_add(c, "bias", IB_F32, 0, 0, 1, p[2], 1, 1, 1), 0, 0.5);
    ck_add(c, "y", c->act, CK_OUT | CK_T, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode, (void)host;
    return ib_groupnorm(b, &(ib_groupnorm_args){t[0], t[1], t[2], c->p[3], 1e-6f, t[3]});
}

static void bound(ck_case *c)
{
    int64_t pixels = c->p[1], channels = c->p[2], size = channels / c->p[3];
    for (int64_t t = 0; t < c->p[0]; t++) {
        for (int64_t first = 0; first < channels; first += size) {
            const float *x = c->arg[0].value + t * pixels * channels + first;
            ck_moments m = ck_moments_of(x, pixels * size, size, channels, (double)1e-6f);
            for (int64_t i = 0; i < pixels * size; i++) {
                int64_t at = i / size * channels + i % size, channel = first + i % size;
                ck_bound_normalised(c, t * pixels * channels + first + at, &m, (double)x[at],
                                    (double)c->arg[1].value[channel], fabs((double)c->arg[2].value[channel]));
            }
        }
    }
}

const ck_op ck_op_groupnorm = {"groupnorm",  CK_COUNTS(cases, 3), .build = build,
                               .call = call, .bound = bound,      .plant_nan = 7};
