/* count_nonfinite: exact. */
#include "checkop.h"

#include <math.h>

/* elements, type (0: act, 1: f32), every how manyth value is not finite (0: none) */
static const int cases[][CK_PARAMS] = {{1, 1, 0},   {1, 0, 1},     {31, 1, 7},      {1000, 0, 13},     {4097, 1, 1},
                                       {65, 0, 64}, {70001, 1, 0}, {70001, 0, 997}, {4000003, 1, 1009}};

static void build(ck_case *c)
{
    static const float values[] = {NAN, INFINITY, -INFINITY, -NAN};
    const int *p = c->p;
    ck_name(c, "%d %s, every %d bad", p[0], p[1] ? "f32" : "act", p[2]);
    ck_arg *x = ck_add(c, "x", p[1] ? IB_F32 : c->act, CK_FREE, 0, 1, p[0], 1, 1, 1);
    ck_fill(c, x, 0, 60000);
    for (int i = p[2] - 1; p[2] > 0 && i < p[0]; i += p[2]) x->value[i] = values[i / p[2] % 4];
    c->hosts = 1;
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode;
    int64_t count = -1;
    isobath_status st = ib_count_nonfinite(b, &(ib_count_nonfinite_args){t[0], &count});
    host[0] = (double)count;
    return st;
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_count_nonfinite = {"count_nonfinite", CK_COUNTS(cases, 1), .build = build, .call = call,
                                     .bound = bound};
