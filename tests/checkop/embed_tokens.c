/* embed_tokens: exact (one f32 addition). */
#include "checkop.h"

/* T, N, C */
static const int cases[][CK_PARAMS] = {{1, 1, 1}, {2, 7, 128}, {1, 180, 384}, {3, 31, 67}, {2, 2442, 1024}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "T%d N%d C%d", p[0], p[1], p[2]);
    ck_fill(c, ck_add(c, "x", IB_F32, CK_T, CK_GAP0 | CK_GAP1, 3, p[0], p[1], p[2], 1), 0, 3);
    ck_fill(c, ck_add(c, "cls", IB_F32, 0, 0, 1, p[2], 1, 1, 1), 0, 1);
    ck_fill(c, ck_add(c, "pos", IB_F32, 0, CK_GAP0, 2, p[1] + 1, p[2], 1, 1), 0, 0.3);
    ck_add(c, "y", IB_F32, CK_OUT | CK_T, CK_GAP0 | CK_GAP1, 3, p[0], p[1] + 1, p[2], 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)c, (void)w, (void)mode, (void)host;
    return ib_embed_tokens(b, &(ib_embed_tokens_args){t[0], t[1], t[2], t[3]});
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_embed_tokens = {"embed_tokens", CK_COUNTS(cases, 1), .build = build, .call = call,
                                  .bound = bound, .plant_nan = 7,      .plant_inf = 7};
