/* overlap_add: sums of one, two or four values. */
#include "checkop.h"

/* T, h, w, k, C */
static const int cases[][CK_PARAMS] = {{2, 3, 5, 4, 16},  {1, 1, 1, 2, 1},   {1, 1, 1, 4, 8},  {1, 1, 7, 2, 32},  {1, 5, 1, 4, 17},
                                       {2, 4, 6, 2, 64},  {1, 7, 9, 3, 33},  {3, 9, 5, 4, 15}, {1, 11, 13, 2, 31}, {1, 6, 7, 5, 8},
                                       {1, 9, 10, 4, 64}, {1, 37, 66, 4, 64}};

static void build(ck_case *c)
{
    const int *p = c->p;
    unsigned gaps = CK_GAP0 | CK_GAP1 | CK_GAP2;
    int k = p[3];
    ck_name(c, "T%d %dx%d k%d C%d", p[0], p[1], p[2], k, p[4]);
    ck_fill(c, ck_add(c, "x", c->act, CK_T | CK_FREE, gaps, 4, p[0], p[1], p[2], (k + 2) * (k + 2) * p[4]), 0.1, 1);
    ck_add(c, "y", c->act, CK_OUT | CK_T | CK_FREE, gaps, 4, p[0], k * p[1], k * p[2], p[4]);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode, (void)host;
    return ib_overlap_add(b, &(ib_overlap_add_args){t[0], c->p[3], t[1]});
}

static void bound(ck_case *c) { ck_bound_sum(c, 3, 1); }

const ck_op ck_op_overlap_add = {"overlap_add", CK_COUNTS(cases, 1), .build = build,
                                 .call = call,  .bound = bound,      .plant_nan = 1};
