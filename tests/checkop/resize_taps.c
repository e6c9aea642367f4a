/* resize_taps: 36 samples, each through two products and the sums of its taps, and a bias. */
#include "checkop.h"

/* T, h, w, H, W, C */
static const int cases[][CK_PARAMS] = {{2, 3, 5, 6, 10, 16},       {1, 1, 1, 1, 1, 1},      {1, 1, 1, 3, 4, 8},
                                       {1, 4, 5, 1, 1, 32},        {1, 4, 6, 7, 11, 64},    {1, 7, 9, 7, 9, 17},
                                       {2, 5, 8, 9, 16, 33},       {1, 9, 13, 18, 26, 31},  {1, 10, 12, 5, 5, 15},
                                       {1, 2, 67, 3, 133, 8},      {3, 19, 33, 37, 66, 16}, {1, 20, 22, 40, 44, 128},
                                       {1, 148, 264, 296, 528, 32}};

static void build(ck_case *c)
{
    const int *p = c->p;
    unsigned gaps = CK_GAP0 | CK_GAP1 | CK_GAP2;
    ck_name(c, "T%d %dx%d to %dx%d C%d", p[0], p[1], p[2], p[3], p[4], p[5]);
    ck_fill(c, ck_add(c, "x", c->act, CK_T | CK_FREE, gaps, 4, p[0], p[1], p[2], 9 * p[5]), 0.1, 1);
    ck_fill(c, ck_add(c, "bias", IB_F32, 0, 0, 1, p[5], 1, 1, 1), 0.2, 0.3);
    ck_add(c, "y", c->act, CK_OUT | CK_T | CK_FREE, gaps, 4, p[0], p[3], p[4], p[5]);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_resize_taps(b, &(ib_resize_taps_args){t[0], t[1], t[2]});
}

/* A term passes two products, at most six sums within its input row and seven over rows and bias. */
static void bound(ck_case *c) { ck_bound_sum(c, 15, 1); }

const ck_op ck_op_resize_taps = {"resize_taps",  CK_COUNTS(cases, 1), .build = build,
                                 .call = call,   .bound = bound,      .plant_nan = 3};
