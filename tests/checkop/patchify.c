/* patchify: exact. */
#include "checkop.h"

/* T, rows and columns of patches */
static const int cases[][CK_PARAMS] = {{1, 1, 1}, {2, 3, 5}, {1, 10, 18}, {3, 7, 1}, {1, 37, 66}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d %dx%d", p[0], p[1], p[2]);
    ck_fill(c, ck_add(c, "x", IB_F32, CK_T, 0, 4, p[0], p[1] * IB_PATCH, p[2] * IB_PATCH, 3), 0.1, 2.2);
    ck_add(c, "y", c->act, CK_OUT | CK_T, 0, 3, p[0], p[1] * p[2], IB_PATCH_KPAD, 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_patchify(b, &(ib_patchify_args){t[0], t[1]});
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_patchify = {"patchify",     CK_COUNTS(cases, 1), .build = build, .call = call,
                              .bound = bound, .plant_nan = 1,      .plant_inf = 1};
