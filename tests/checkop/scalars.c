/* Refusals that the shapes of a case do not reach: numbers, host pointers, and views that alias in part. */
#include "checkop.h"

#include <math.h>

typedef struct context {
    ck_tally *tally;
    ib_backend *b;
    char *memory; /* of the null backend: only its address is used */
} context;

static ib_tensor at(const context *x, int slot, ib_dtype dtype, int rank, int64_t d0, int64_t d1, int64_t d2,
                    int64_t d3)
{
    ib_tensor t = ib_tensor_4d(x->memory + 65536 * slot, dtype, d0, d1, d2, d3);
    int64_t stride = 1;
    t.rank = rank;
    for (int d = rank - 1; d >= 0; d--) {
        t.stride[d] = stride;
        stride *= t.dim[d];
    }
    return t;
}

static void expect(context *x, const char *what, isobath_status got, isobath_status wanted)
{
    if (got == wanted)
        ck_pass(x->tally);
    else
        ck_fail(x->tally, "%s: %s: \"%s\"", what, got == ISOBATH_OK ? "was not refused" : "was refused",
                x->b->diag->text);
    ib_diag_reset(x->b->diag);
}

/* The good arguments pass; each change to them is refused. */
#define GOOD(op, a) expect(x, #op, ib_##op(x->b, &(a)), ISOBATH_OK)
#define BAD(op, a, change)                                                              \
    do {                                                                                \
        ib_##op##_args changed = a;                                                     \
        changed.change;                                                                 \
        expect(x, #op " with " #change, ib_##op(x->b, &changed), ISOBATH_ERR_INTERNAL); \
    } while (0)

static void norms_and_attention(context *x)
{
    ib_dtype act = x->b->act;
    ib_layernorm_args ln = {at(x, 0, IB_F32, 3, 2, 3, 8, 1), at(x, 1, IB_F32, 1, 8, 1, 1, 1),
                            at(x, 2, IB_F32, 1, 8, 1, 1, 1), .eps = 1e-6f, .y = at(x, 3, act, 3, 2, 3, 8, 1)};
    GOOD(layernorm, ln);
    BAD(layernorm, ln, eps = 0);
    BAD(layernorm, ln, eps = NAN);
    ib_groupnorm_args gn = {
        at(x, 0, act, 3, 2, 3, 32, 1), at(x, 1, IB_F32, 1, 32, 1, 1, 1), at(x, 2, IB_F32, 1, 32, 1, 1, 1), 16, 1e-6f,
        at(x, 3, act, 3, 2, 3, 32, 1)};
    GOOD(groupnorm, gn);
    BAD(groupnorm, gn, groups = 0);
    BAD(groupnorm, gn, groups = 5);
    BAD(groupnorm, gn, eps = -1);
    ib_attention_args at1 = {at(x, 0, act, 3, 1, 4, 384, 1), 2, at(x, 1, act, 3, 1, 4, 128, 1)};
    GOOD(attention, at1);
    BAD(attention, at1, heads = 0);
    BAD(attention, at1, heads = 1);
    BAD(attention, at1, heads = -2);
    ib_temporal_attention_args ta = {at(x, 0, act, 3, 2, 4, 64, 1), at(x, 1, act, 3, 32, 4, 64, 1),
                                     at(x, 2, act, 3, 32, 4, 64, 1), 8, at(x, 3, act, 3, 2, 4, 64, 1)};
    GOOD(temporal_attention, ta);
    BAD(temporal_attention, ta, heads = 0);
    BAD(temporal_attention, ta, heads = 3);
    BAD(temporal_attention, ta, heads = 32); /* heads of size 2 */
    ta.k.dim[0] = ta.v.dim[0] = 33;
    BAD(temporal_attention, ta, heads = 8); /* 33 frames */
}

static void products(context *x)
{
    ib_dtype act = x->b->act;
    ib_weight linear = {IB_WEIGHT_LINEAR, 16, 8, 0, 0}, conv = {IB_WEIGHT_CONV3X3, 8, 8, 0, 0};
    ib_linear_args li = {.x = at(x, 0, act, 3, 2, 3, 8, 1), .w = &linear, .y = at(x, 1, IB_F32, 3, 2, 3, 16, 1)};
    GOOD(linear, li);
    BAD(linear, li, act = (ib_act)4);
    BAD(linear, li, act = IB_ACT_GEGLU);
    BAD(linear, li, residual = li.x);
    /* The residual at the address of the result: the same view or nothing. */
    li.residual = li.y;
    GOOD(linear, li);
    BAD(linear, li, residual.stride[0] = 64);
    BAD(linear, li, residual.stride[1] = 17);
    linear.out_channels = 8;
    li.y = li.residual = at(x, 1, IB_F32, 3, 2, 3, 8, 1);
    if (act != IB_F32) BAD(linear, li, residual.dtype = act);
    ib_conv3x3_args cv = {
        .x = at(x, 0, act, 4, 1, 4, 4, 8), .w = &conv, .stride = 1, .y = at(x, 1, act, 4, 1, 4, 4, 8)};
    GOOD(conv3x3, cv);
    BAD(conv3x3, cv, stride = 0);
    BAD(conv3x3, cv, stride = 2);
    cv.x = at(x, 0, act, 4, 1, 1, 1, 8);
    cv.y = at(x, 1, act, 4, 1, 1, 1, 8); /* any stride would give this shape */
    BAD(conv3x3, cv, stride = 3);
    BAD(conv3x3, cv, stride = -1);
}

static void host_results(context *x)
{
    int64_t count;
    double sums[5];
    ib_count_nonfinite_args cn = {at(x, 0, IB_F32, 1, 8, 1, 1, 1), &count};
    GOOD(count_nonfinite, cn);
    BAD(count_nonfinite, cn, count = NULL);
    BAD(count_nonfinite, cn, x.dtype = IB_U8);
    ib_tensor f = at(x, 0, IB_F32, 2, 4, 5, 1, 1);
    ib_render_args re = {
        .a = f, .b = at(x, 1, IB_F32, 2, 4, 5, 1, 1), .weight = 1, .y = at(x, 2, IB_F32, 2, 8, 9, 1, 1)};
    GOOD(render, re);
    BAD(render, re, weight = 1.01);
    BAD(render, re, weight = -0.01);
    BAD(render, re, weight = NAN);
    ib_fit_sums_args fs = {{f, f}, {f, f}, 1, 0, 8, 9, sums};
    GOOD(fit_sums, fs);
    BAD(fit_sums, fs, sums = NULL);
    BAD(fit_sums, fs, height = 0);
    BAD(fit_sums, fs, width = -1);
}

void ck_refuse_scalars(ck_tally *t, ib_backend *null_backend)
{
    context x = {t, null_backend, NULL};
    void *memory = NULL;
    if (null_backend->ops->buffer_alloc(null_backend, 8 * 65536, &memory) != ISOBATH_OK) {
        ck_fail(t, "no addresses on null");
        return;
    }
    x.memory = memory;
    norms_and_attention(&x);
    products(&x);
    host_results(&x);
    null_backend->ops->buffer_free(null_backend, memory);
}
