/* add_pos: exact (an f32 addition, rounded to act). */
#include "checkop.h"

/* T, N, C, x is f32 */
static const int cases[][CK_PARAMS] = {{2, 5, 64, 0}, {1, 1, 1, 1},    {32, 3, 256, 0},
                                       {3, 7, 33, 1}, {31, 2, 127, 0}, {32, 2442, 192, 0}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d N%d C%d%s", p[0], p[1], p[2], p[3] ? " f32" : "");
    ck_fill(c, ck_add(c, "x", p[3] ? IB_F32 : c->act, CK_T | CK_N, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1), 0, 3);
    ck_fill(c, ck_add(c, "pos", IB_F32, CK_T, CK_GAP0, 2, p[0], p[2], 1, 1), 0, 1);
    ck_add(c, "y", c->act, CK_OUT | CK_T | CK_N, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_add_pos(b, &(ib_add_pos_args){t[0], t[1], t[2]});
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_add_pos = {"add_pos",      CK_COUNTS(cases, 1), .build = build, .call = call,
                             .bound = bound, .plant_nan = 3,      .plant_inf = 3};
