/* conv3x3: sums of 9 Ci products, bias and residuals. */
#include "checkop.h"

#include <math.h>

enum { NONE, ONE, TWO, IN_PLACE, IN_PLACE_TWO };

/* T, H, W, Ci, Co, stride, relu in, relu out, residuals, bias */
static const int cases[][CK_PARAMS] = {{2, 5, 7, 16, 8, 1, 0, 0, NONE, 1},
                                       {1, 1, 1, 1, 1, 1, 0, 0, NONE, 0},
                                       {1, 1, 1, 3, 5, 2, 0, 0, NONE, 1},
                                       {1, 6, 9, 64, 64, 1, 1, 1, NONE, 1},
                                       {1, 6, 9, 64, 64, 1, 0, 0, ONE, 1},
                                       {2, 4, 5, 64, 64, 1, 1, 0, IN_PLACE, 1},
                                       {1, 5, 6, 64, 64, 1, 0, 0, TWO, 1},
                                       {1, 7, 9, 48, 64, 1, 0, 0, NONE, 0},
                                       {1, 5, 9, 384, 384, 2, 0, 0, NONE, 1},
                                       {1, 4, 4, 256, 256, 1, 1, 1, NONE, 1},
                                       {1, 3, 5, 1024, 256, 1, 0, 0, NONE, 0},
                                       {1, 8, 11, 64, 32, 1, 0, 0, NONE, 1},
                                       {3, 2, 3, 17, 15, 1, 0, 1, NONE, 1},
                                       {1, 3, 2, 15, 17, 2, 1, 0, NONE, 1},
                                       {1, 13, 3, 32, 33, 1, 0, 0, ONE, 1},
                                       {1, 15, 16, 16, 16, 1, 0, 0, NONE, 1},
                                       {1, 16, 17, 8, 24, 1, 0, 0, IN_PLACE_TWO, 1},
                                       {1, 17, 15, 31, 8, 2, 0, 1, NONE, 0},
                                       {1, 1, 65, 32, 16, 1, 1, 0, NONE, 1},
                                       {1, 33, 1, 16, 32, 1, 0, 0, NONE, 1},
                                       {1, 9, 13, 128, 128, 1, 1, 0, ONE, 1},
                                       {2, 7, 8, 96, 65, 1, 0, 0, NONE, 0},
                                       {1, 5, 127, 12, 20, 1, 0, 0, NONE, 1},
                                       {1, 2, 2, 63, 129, 2, 0, 0, NONE, 1},
                                       {2, 18, 15, 256, 256, 1, 1, 0, TWO, 1},
                                       {3, 9, 14, 256, 512, 1, 0, 0, NONE, 0},
                                       {1, 37, 66, 64, 64, 1, 1, 0, IN_PLACE, 1},
                                       {1, 148, 264, 64, 64, 1, 1, 1, NONE, 1},
                                       {1, 74, 132, 256, 256, 1, 1, 0, ONE, 1},
                                       {4, 37, 66, 384, 64, 1, 0, 0, NONE, 0}};

static void build(ck_case *c)
{
    static const char *const residuals[] = {"", " +1", " +2", " +1 in place", " +2 in place"};
    const int *p = c->p;
    int64_t h = (p[1] - 1) / p[5] + 1, w = (p[2] - 1) / p[5] + 1;
    unsigned gaps = CK_GAP0 | CK_GAP1 | CK_GAP2;
    ck_name(c, "T%d %dx%d %d->%d stride %d%s%s%s%s", p[0], p[1], p[2], p[3], p[4], p[5], p[6] ? " relu in" : "",
            p[7] ? " relu out" : "", residuals[p[8]], p[9] ? "" : " no bias");
    ck_fill(c, ck_add(c, "x", c->act, CK_T | (p[5] == 2 ? CK_FREE : 0), CK_GAP0, 4, p[0], p[1], p[2], p[3]), 0.2, 1);
    if (p[9])
        ck_fill(c, ck_add(c, "bias", IB_F32, CK_OPTIONAL, 0, 1, p[4], 1, 1, 1), 0, 0.5);
    else
        ck_add_absent(c, "bias");
    unsigned in_place = p[8] >= IN_PLACE ? CK_INPLACE : 0;
    in_place |= CK_OPTIONAL | CK_MAY_ALIAS;
    if (p[8] == NONE)
        ck_add_absent(c, "residual");
    else
        ck_fill(c, ck_add(c, "residual", c->act, CK_T | in_place, gaps, 4, p[0], h, w, p[4]), 0, 2);
    if (p[8] == TWO || p[8] == IN_PLACE_TWO)
        ck_fill(c, ck_add(c, "residual2", c->act, CK_T | CK_OPTIONAL, gaps, 4, p[0], h, w, p[4]), 0, 2);
    else
        ck_add_absent(c, "residual2");
    ck_add(c, "y", c->act, CK_OUT | CK_T, gaps, 4, p[0], h, w, p[4]);
    ck_set_weight(c, IB_WEIGHT_CONV3X3, p[4], p[3], 0, sqrt(3.0 / (9 * p[3])));
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)host;
    int on = mode == CK_PLAIN;
    return ib_conv3x3(b, &(ib_conv3x3_args){t[0], w, t[1], c->p[5], on && c->p[6], on && c->p[7], t[2], t[3], t[4]});
}

static void bound(ck_case *c) { ck_bound_sum(c, 9.0 * c->p[3] + 3, 1); }

static double flops(const ck_case *c)
{
    const ck_arg *y = &c->arg[c->args - 1];
    return 2.0 * 9 * c->p[3] * (double)ck_elements(y);
}

const ck_op ck_op_conv3x3 = {"conv3x3",      CK_COUNTS(cases, 4), .build = build, .call = call,
                             .bound = bound, .flops = flops,      .plant_nan = 3, .plant_inf = 1};
