/* add: exact (an f32 addition, rounded once). */
#include "checkop.h"

/* T, N, C, types of a, b, y (1: f32, 0: act), y is the view of a */
static const int cases[][CK_PARAMS] = {{2, 5, 64, 0, 0, 0, 0},   {1, 1, 1, 1, 1, 1, 0},    {3, 7, 33, 1, 0, 1, 1},
                                       {2, 9, 127, 0, 1, 0, 1},  {1, 17, 384, 1, 1, 0, 0}, {2, 3, 65, 0, 0, 1, 0},
                                       {4, 9768, 64, 0, 0, 0, 1}};

static void build(ck_case *c)
{
    const int *p = c->p;
    unsigned gaps = CK_GAP0 | CK_GAP1, rows = CK_T | CK_N;
    ck_name(c, "T%d N%d C%d %s+%s=%s%s", p[0], p[1], p[2], p[3] ? "f32" : "act", p[4] ? "f32" : "act",
            p[5] ? "f32" : "act", p[6] ? " in place" : "");
    ck_fill(c,
            ck_add(c, "a", p[3] ? IB_F32 : c->act, rows | CK_MAY_ALIAS | (p[6] ? CK_INPLACE : 0), gaps, 3, p[0], p[1],
                   p[2], 1),
            0, 3);
    ck_fill(c, ck_add(c, "b", p[4] ? IB_F32 : c->act, rows, gaps, 3, p[0], p[1], p[2], 1), 0, 3);
    ck_add(c, "y", p[5] ? IB_F32 : c->act, CK_OUT | rows, gaps, 3, p[0], p[1], p[2], 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_add(b, &(ib_add_args){t[0], t[1], t[2]});
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_add = {"add",          CK_COUNTS(cases, 1), .build = build, .call = call,
                         .bound = bound, .plant_nan = 3,      .plant_inf = 3};
