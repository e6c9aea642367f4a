/* preprocess: within 1e-5 of ref (op.h). */
#include "checkop.h"

/* T, H, W, h, w */
static const int cases[][CK_PARAMS] = {
    {2, 9, 13, 14, 28}, {1, 1, 1, 14, 14},    {1, 2, 3, 28, 14},    {1, 31, 40, 14, 14},    {1, 14, 28, 14, 28},
    {3, 5, 7, 14, 42},  {1, 4, 640, 14, 686}, {1, 640, 3, 434, 14}, {1, 37, 1280, 28, 924}, {1, 720, 1280, 518, 924}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d %dx%d to %dx%d", p[0], p[1], p[2], p[3], p[4]);
    ck_arg *x = ck_add(c, "x", IB_U8, CK_T | CK_FREE, CK_GAP0 | CK_GAP1, 4, p[0], p[1], p[2], 3);
    ck_fill(c, x, 128, 128);
    for (int64_t i = 0; i < ck_elements(x); i++) x->value[i] = (float)(int)x->value[i];
    ck_add(c, "y", IB_F32, CK_OUT | CK_T | CK_FREE, 0, 4, p[0], p[3], p[4], 3);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_preprocess(b, &(ib_preprocess_args){t[0], t[1]});
}

static void bound(ck_case *c)
{
    for (int64_t i = 0; i < ck_elements(ck_result(c)); i++) c->peak[i] = c->rms[i] = 1e-5;
}

const ck_op ck_op_preprocess = {"preprocess", CK_COUNTS(cases, 1), .build = build, .call = call, .bound = bound};
