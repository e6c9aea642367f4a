/* resize_bilinear: four products and three sums, with the weights of ib_bilinear_axis. */
#include "checkop.h"

/* T, h, w, H, W, C */
static const int cases[][CK_PARAMS] = {{2, 3, 5, 6, 10, 16},       {1, 1, 1, 1, 1, 1},      {1, 1, 1, 3, 4, 8},
                                       {1, 4, 5, 1, 1, 32},        {1, 4, 6, 7, 11, 64},    {1, 7, 9, 7, 9, 17},
                                       {2, 5, 8, 9, 16, 33},       {1, 9, 13, 18, 26, 31},  {1, 10, 12, 5, 5, 15},
                                       {1, 2, 67, 3, 133, 8},      {3, 19, 33, 37, 66, 16}, {1, 74, 132, 148, 264, 64},
                                       {1, 148, 264, 296, 528, 32}};

static void build(ck_case *c)
{
    const int *p = c->p;
    unsigned gaps = CK_GAP0 | CK_GAP1 | CK_GAP2;
    ck_name(c, "T%d %dx%d to %dx%d C%d", p[0], p[1], p[2], p[3], p[4], p[5]);
    ck_fill(c, ck_add(c, "x", c->act, CK_T | CK_FREE, gaps, 4, p[0], p[1], p[2], p[5]), 0.3, 2);
    ck_add(c, "y", c->act, CK_OUT | CK_T | CK_FREE, gaps, 4, p[0], p[3], p[4], p[5]);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_resize_bilinear(b, &(ib_resize_bilinear_args){t[0], t[1]});
}

/* Each term passes two products and two sums. */
static void bound(ck_case *c) { ck_bound_sum(c, 4, 1); }

const ck_op ck_op_resize_bilinear = {"resize_bilinear", CK_COUNTS(cases, 2), .build = build,
                                     .call = call,      .bound = bound,      .plant_nan = 1};
