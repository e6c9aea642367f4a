/* fit_sums: equal bits. */
#include "checkop.h"

/* h, w, H, W, shift in hundredths */
static const int cases[][CK_PARAMS] = {{7, 9, 16, 21, -50},  {1, 1, 1, 1, 0},          {1, 5, 3, 1, 0},
                                       {14, 28, 30, 61, 12}, {14, 28, 14, 28, 0},      {9, 14, 5, 15, -100},
                                       {6, 7, 9, 16, 5},     {6, 7, 9, 17, 5},         {37, 66, 131, 233, 2},
                                       {2, 130, 3, 257, 0},  {518, 924, 1080, 1920, 1}};

static void build(ck_case *c)
{
    static const char *const names[] = {"p[0]", "p[1]", "r[0]", "r[1]"};
    const int *p = c->p;
    ck_name(c, "%dx%d to %dx%d shift %.2f", p[0], p[1], p[2], p[3], p[4] / 100.0);
    for (int i = 0; i < 4; i++) ck_fill(c, ck_add(c, names[i], IB_F32, 0, CK_GAP0, 2, p[0], p[1], 1, 1), 0.6, 0.6);
    c->hosts = 5;
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode;
    ib_fit_sums_args a = {{t[0], t[1]}, {t[2], t[3]}, 1.0371f, (float)c->p[4] / 100.0f, c->p[2], c->p[3], host};
    return ib_fit_sums(b, &a);
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_fit_sums = {"fit_sums",     CK_COUNTS(cases, 1), .build = build, .call = call,
                              .bound = bound, .plant_nan = 15,     .plant_inf = 15};
