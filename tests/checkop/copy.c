/* copy: exact; values beyond the range of f16 become infinite, small ones subnormal. */
#include "checkop.h"

/* T, N, C, types of x and y (1: f32, 0: act), amplitude 10^N */
static const int cases[][CK_PARAMS] = {{2, 5, 64, 1, 0, 0},    {1, 1, 1, 0, 0, 0},   {3, 7, 33, 1, 0, 5},
                                       {1, 17, 384, 0, 1, 0},  {2, 3, 127, 1, 1, 0}, {1, 31, 65, 1, 0, -6},
                                       {4, 2442, 384, 1, 0, 0}};

static void build(ck_case *c)
{
    const int *p = c->p;
    double amplitude = p[5] == 5 ? 1e5 : p[5] == -6 ? 1e-6 : 3;
    ck_name(c, "T%d N%d C%d %s to %s, up to %g", p[0], p[1], p[2], p[3] ? "f32" : "act", p[4] ? "f32" : "act",
            amplitude);
    ck_fill(c, ck_add(c, "x", p[3] ? IB_F32 : c->act, CK_T | CK_N, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1), 0,
            amplitude);
    ck_add(c, "y", p[4] ? IB_F32 : c->act, CK_OUT | CK_T | CK_N, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_copy(b, &(ib_copy_args){t[0], t[1]});
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_copy = {"copy",         CK_COUNTS(cases, 1), .build = build, .call = call,
                          .bound = bound, .plant_nan = 1,      .plant_inf = 1};
