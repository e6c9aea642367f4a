/* temporal_attention: as attention, at most 32 keys, each pixel by itself. */
#include "checkop.h"

#include <math.h>

/* Tq, Tk, P, C, heads, amplitude */
static const int cases[][CK_PARAMS] = {{3, 5, 4, 64, 8, 2},     {1, 1, 1, 32, 8, 1},      {32, 32, 5, 192, 8, 2},
                                       {32, 32, 3, 384, 8, 2},  {1, 32, 7, 64, 8, 3},     {32, 32, 11, 64, 8, 2},
                                       {31, 31, 2, 256, 8, 2},  {17, 17, 3, 1024, 8, 2},  {2, 15, 16, 96, 8, 4},
                                       {16, 16, 17, 128, 8, 2}, {1, 2, 33, 32, 8, 1},     {33, 32, 2, 64, 8, 2},
                                       {4, 32, 3, 768, 8, 2},   {32, 32, 9768, 64, 8, 2}, {32, 32, 2442, 384, 8, 2}};

static void build(ck_case *c)
{
    const int *p = c->p;
    unsigned gaps = CK_GAP0 | CK_GAP1;
    ck_name(c, "Tq%d Tk%d P%d C%d amplitude %d", p[0], p[1], p[2], p[3], p[5]);
    ck_fill(c, ck_add(c, "q", c->act, CK_T | CK_N, gaps, 3, p[0], p[2], p[3], 1), 0, p[5]);
    ck_fill(c, ck_add(c, "k", c->act, CK_N, gaps, 3, p[1], p[2], p[3], 1), 0, p[5]);
    ck_fill(c, ck_add(c, "v", c->act, CK_N, gaps, 3, p[1], p[2], p[3], 1), 0, 2);
    ck_add(c, "y", c->act, CK_OUT | CK_T | CK_N, gaps, 3, p[0], p[2], p[3], 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode, (void)host;
    return ib_temporal_attention(b, &(ib_temporal_attention_args){t[0], t[1], t[2], c->p[4], t[3]});
}

static void bound(ck_case *c)
{
    int64_t queries = c->p[0], keys = c->p[1], pixels = c->p[2], channels = c->p[3], heads = c->p[4];
    int size = (int)(channels / heads);
    for (int64_t t = 0; t < queries; t++) {
        for (int64_t n = 0; n < pixels; n++) {
            for (int64_t h = 0; h < heads; h++) {
                int64_t at = n * channels + h * size, to = t * pixels * channels + at;
                ck_bound_attention(c->arg[0].value + to, c->arg[1].value + at, c->arg[2].value + at, keys,
                                   pixels * channels, size, 1 / sqrt(size), ck_unit(c->act), c->peak + to, c->rms + to);
            }
        }
    }
}

static double flops(const ck_case *c) { return 4.0 * c->p[0] * c->p[1] * c->p[2] * c->p[3]; }

const ck_op ck_op_temporal_attention = {"temporal_attention", CK_COUNTS(cases, 2), .build = build, .call = call,
                                        .bound = bound,       .flops = flops,      .plant_nan = 7, .plant_inf = 4};
