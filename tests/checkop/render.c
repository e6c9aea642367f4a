/* render: equal bits. */
#include "checkop.h"

/* h, w, H, W, cross-fade weight in sevenths (-1: no second frame), shift in hundredths, range asked for */
static const int cases[][CK_PARAMS] = {
    {7, 9, 16, 21, 3, -50, 1}, {1, 1, 1, 1, -1, 0, 1},         {1, 5, 3, 1, 7, 0, 0},       {14, 28, 30, 61, -1, 12, 1},
    {14, 28, 14, 28, 1, 0, 1}, {9, 14, 5, 6, 5, -100, 1},      {37, 66, 131, 233, 2, 3, 1}, {3, 130, 5, 257, 6, 0, 1},
    {8, 8, 33, 17, 0, 0, 0},   {518, 924, 1080, 1920, 4, 1, 1}};

static void build(ck_case *c)
{
    const int *p = c->p;
    ck_name(c, "%dx%d to %dx%d weight %d/7 shift %.2f", p[0], p[1], p[2], p[3], p[4], p[5] / 100.0);
    unsigned alone = p[4] < 0 ? CK_FREE : 0;
    ck_fill(c, ck_add(c, "a", IB_F32, alone, CK_GAP0, 2, p[0], p[1], 1, 1), 0.6, 0.6);
    if (p[4] >= 0)
        ck_fill(c, ck_add(c, "b", IB_F32, CK_OPTIONAL, CK_GAP0, 2, p[0], p[1], 1, 1), 0.6, 0.6);
    else
        ck_add_absent(c, "b");
    ck_add(c, "y", IB_F32, CK_OUT | CK_FREE, CK_GAP0, 2, p[2], p[3], 1, 1);
    c->hosts = p[6] ? 2 : 0;
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode;
    const int *p = c->p;
    float low = -1, high = -1, shift = (float)p[5] / 100.0f;
    ib_render_args a = {t[0],
                        t[1],
                        1.0371f,
                        shift,
                        0.9713f,
                        -shift / 2,
                        p[4] >= 0 ? p[4] / 7.0 : 0,
                        t[2],
                        p[6] ? &low : NULL,
                        p[6] ? &high : NULL};
    isobath_status st = ib_render(b, &a);
    host[0] = (double)low;
    host[1] = (double)high;
    return st;
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_render = {"render",       CK_COUNTS(cases, 1), .build = build, .call = call,
                            .bound = bound, .plant_nan = 3,      .plant_inf = 3};
