/* attention: the bound follows the error of every score through the softmax (README.md). */
#include "checkop.h"

/* T, N, heads, amplitude (40: scores in the hundreds, beyond the range of exp) */
static const int cases[][CK_PARAMS] = {
    {2, 5, 2, 2},   {1, 1, 1, 1},   {1, 2, 1, 3},   {3, 15, 2, 1},  {1, 16, 6, 2},   {1, 33, 1, 40}, {1, 17, 1, 2},
    {1, 31, 3, 2},  {2, 32, 1, 4},  {1, 33, 2, 2},  {1, 63, 2, 1},  {1, 64, 1, 3},   {1, 65, 2, 2},  {1, 127, 1, 8},
    {1, 128, 1, 2}, {1, 129, 1, 2}, {1, 181, 6, 2}, {1, 257, 1, 5}, {1, 1370, 6, 2}, {1, 2443, 2, 2}};

static void build(ck_case *c)
{
    const int *p = c->p;
    int64_t channels = 64 * p[2];
    ck_name(c, "T%d N%d heads %d amplitude %d", p[0], p[1], p[2], p[3]);
    ck_arg *qkv = ck_add(c, "qkv", c->act, CK_T, CK_GAP0 | CK_GAP1, 3, p[0], p[1], 3 * channels, 1);
    ck_fill(c, qkv, 0, p[3]);
    ck_add(c, "y", c->act, CK_OUT | CK_T, CK_GAP0 | CK_GAP1, 3, p[0], p[1], channels, 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode, (void)host;
    return ib_attention(b, &(ib_attention_args){t[0], c->p[2], t[1]});
}

static void bound(ck_case *c)
{
    int64_t frames = c->p[0], tokens = c->p[1], heads = c->p[2], channels = 64 * heads;
    for (int64_t t = 0; t < frames; t++) {
        for (int64_t i = 0; i < tokens; i++) {
            for (int64_t h = 0; h < heads; h++) {
                const float *frame = c->arg[0].value + t * tokens * 3 * channels + h * 64;
                int64_t to = (t * tokens + i) * channels + h * 64;
                ck_bound_attention(frame + i * 3 * channels, frame + channels, frame + 2 * channels, tokens,
                                   3 * channels, 64, 0.125, ck_unit(c->act), c->peak + to, c->rms + to);
            }
        }
    }
}

static double flops(const ck_case *c) { return 4.0 * c->p[0] * c->p[1] * c->p[1] * c->p[2] * 64; }

const ck_op ck_op_attention = {"attention",    CK_COUNTS(cases, 2), .build = build, .call = call,
                               .bound = bound, .flops = flops,      .plant_nan = 1, .plant_inf = 1};
