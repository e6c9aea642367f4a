/* yuv_to_rgb: equal bytes everywhere (op.h). */
#include "checkop.h"

/* H, W, bits, shift, ssx, ssy, interlaced, full range */
static const int cases[][CK_PARAMS] = {
    {1, 1, 8, 0, 0, 0, 0, 0},   {2, 3, 8, 0, 1, 1, 0, 0},   {9, 13, 8, 0, 1, 1, 1, 1},   {31, 33, 8, 0, 1, 0, 0, 0},
    {8, 65, 8, 0, 2, 0, 0, 1},  {17, 7, 8, 0, 2, 2, 0, 0},  {16, 40, 10, 6, 1, 1, 0, 0}, {7, 21, 10, 0, 1, 1, 1, 0},
    {5, 9, 12, 4, 0, 0, 0, 1},  {11, 34, 16, 0, 1, 1, 0, 0}, {720, 1280, 8, 0, 1, 1, 0, 0}};

static void build(ck_case *c)
{
    const int *p = c->p;
    int bytes = p[2] + p[3] > 8 ? 2 : 1, h = (p[0] + (1 << p[5]) - 1) >> p[5], w = (p[1] + (1 << p[4]) - 1) >> p[4];
    ck_name(c, "%dx%d %d bits >> %d, chroma %d %d%s%s", p[0], p[1], p[2], p[3], p[4], p[5], p[6] ? " interlaced" : "",
            p[7] ? " full" : "");
    ck_arg *in[3] = {ck_add(c, "luma", IB_U8, CK_FREE, CK_GAP0 | CK_GAP1, 3, p[0], p[1], bytes, 1)};
    in[1] = ck_add(c, "u", IB_U8, CK_FREE, CK_GAP0 | CK_GAP1, 3, h, w, bytes, 1);
    in[2] = ck_add(c, "v", IB_U8, CK_FREE, CK_GAP0 | CK_GAP1, 3, h, w, bytes, 1);
    for (int i = 0; i < 3; i++) {
        in[i] = &c->arg[i];
        ck_fill(c, in[i], 127.75, 128);
        for (int64_t j = 0; j < ck_elements(in[i]); j++) {
            int v = (int)in[i]->value[j];
            in[i]->value[j] = (float)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
    ck_add(c, "y", IB_U8, CK_OUT | CK_FREE, CK_GAP0 | CK_GAP1, 3, p[0], p[1], 3, 1);
}

static isobath_status call(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host)
{
    (void)w, (void)mode, (void)host;
    const int *p = c->p;
    /* BT.709 at 8 bits, scaled to the depth of the case */
    int extra = p[2] - 8, scale = p[2] <= 12 ? 16 : 12 - extra;
    ib_yuv_coefficients k = {p[7] ? 0 : 16 << extra, 128 << extra, 76309 >> (16 - scale), 117489 >> (16 - scale),
                             13975 >> (16 - scale), 34925 >> (16 - scale), 138438 >> (16 - scale), scale + extra};
    return ib_yuv_to_rgb(b, &(ib_yuv_to_rgb_args){t[0], t[1], t[2], p[2], p[3], p[4], p[5], p[6], k, t[3]});
}

static void bound(ck_case *c) { c->exact = 1; }

const ck_op ck_op_yuv_to_rgb = {"yuv_to_rgb", CK_COUNTS(cases, 1), .build = build, .call = call, .bound = bound};
