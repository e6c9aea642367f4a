/* conv_transpose: sums of Ci products and the bias. */
#include "checkop.h"

#include <math.h>

/* T, H, W, Ci, Co, k */
static const int cases[][CK_PARAMS] = {{2, 3, 5, 16, 8, 2},  {1, 1, 1, 1, 1, 4},     {1, 4, 7, 48, 48, 4},
                                       {1, 4, 7, 96, 96, 2}, {2, 2, 3, 256, 256, 4}, {1, 3, 5, 512, 512, 2},
                                       {1, 5, 3, 17, 15, 4}, {1, 7, 1, 31, 33, 2},   {1, 1, 17, 64, 65, 2},
                                       {3, 6, 2, 16, 32, 4}, {1, 37, 66, 48, 48, 4}, {1, 37, 66, 96, 96, 2}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d %dx%d %d->%d k%d", p[0], p[1], p[2], p[3], p[4], p[5]);
    ck_fill(c, ck_add(c, "x", c->act, CK_T, CK_GAP0, 4, p[0], p[1], p[2], p[3]), 0, 2);
    ck_fill(c, ck_add(c, "bias", IB_F32, 0, 0, 1, p[4], 1, 1, 1), 0, 0.5);
    ck_add(c, "y", c->act, CK_OUT | CK_T, CK_GAP0 | CK_GAP1 | CK_GAP2, 4, p[0], p[1] * p[5], p[2] * p[5], p[4]);
    ck_set_weight(c, IB_WEIGHT_CONVT, p[4], p[3], p[5], sqrt(3.0 / p[3]));
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)mode, (void)host;
    return ib_conv_transpose(b, &(ib_conv_transpose_args){t[0], w, t[1], t[2]});
}

static void bound(ck_case *c) { ck_bound_sum(c, c->p[3] + 1, 1); }

static double flops(const ck_case *c)
{
    return 2.0 * c->p[0] * c->p[1] * c->p[2] * c->p[5] * c->p[5] * c->p[3] * c->p[4];
}

const ck_op ck_op_conv_transpose = {"conv_transpose", CK_COUNTS(cases, 2), .build = build, .call = call,
                                    .bound = bound,   .flops = flops,      .plant_nan = 3, .plant_inf = 1};
