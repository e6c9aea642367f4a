/* Front ends of the ops: every rule of op.h about shapes, types, strides, aliasing and NULL is checked here (of single tensors in fields.c),
 * once, so that backends may trust their arguments. A check_<op> function returns the rule that is broken, or NULL. */
#include "op/fields.h"

#include <math.h>

/* Short names for the tables below (fields.h). */
enum {
    OPTIONAL = IB_FIELD_OPTIONAL,
    OUTPUT = IB_FIELD_OUTPUT,
    SAME_VIEW = IB_FIELD_SAME_VIEW,
    CONTIGUOUS = IB_FIELD_CONTIGUOUS,
    DENSE_FRAME = IB_FIELD_DENSE_FRAME
};
enum { F32 = 1 << IB_F32, U8 = 1 << IB_U8, FLOATS = 1 << IB_F32 | 1 << IB_F16 | 1 << IB_BF16 };

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

static unsigned act_of(const ib_backend *b) { return 1u << b->act; }

static int dims2(const ib_tensor *t, int64_t d0, int64_t d1) { return t->dim[0] == d0 && t->dim[1] == d1; }

static int dims3(const ib_tensor *t, int64_t d0, int64_t d1, int64_t d2) { return dims2(t, d0, d1) && t->dim[2] == d2; }

static int dims4(const ib_tensor *t, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    return dims3(t, d0, d1, d2) && t->dim[3] == d3;
}

/* Returns the broken rule when `cond` does not hold. */
#define NEED(cond, rule)            \
    do {                            \
        if (!(cond)) return (rule); \
    } while (0)

/* ---- rules between the arguments of one op (each field by itself is in order already) ------------------------------
 */

static const char *check_patchify(const ib_patchify_args *a)
{
    NEED(a->x.dim[1] % IB_PATCH == 0 && a->x.dim[2] % IB_PATCH == 0 && a->x.dim[3] == 3, "x must be (T,14h,14w,3)");
    int64_t rows = (a->x.dim[1] / IB_PATCH) * (a->x.dim[2] / IB_PATCH);
    NEED(dims3(&a->y, a->x.dim[0], rows, IB_PATCH_KPAD), "y must be (T,h*w,592)");
    return NULL;
}

static const char *check_embed_tokens(const ib_embed_tokens_args *a)
{
    int64_t n = a->x.dim[1], c = a->x.dim[2];
    NEED(a->cls.dim[0] == c, "cls must be (C)");
    NEED(dims2(&a->pos, n + 1, c), "pos must be (N+1,C)");
    NEED(dims3(&a->y, a->x.dim[0], n + 1, c), "y must be (T,N+1,C)");
    return NULL;
}

static const char *check_layernorm(const ib_layernorm_args *a)
{
    int64_t t = a->x.dim[0], c = a->x.dim[2];
    NEED(a->weight.dim[0] == c && a->bias.dim[0] == c, "weight and bias must be (C)");
    NEED(!a->pos.data || dims2(&a->pos, t, c), "pos must be (T,C)");
    NEED(a->eps > 0, "eps must be positive");
    NEED(dims3(&a->y, t, a->x.dim[1], c), "y must have the shape of x");
    return NULL;
}

static const char *check_add_pos(const ib_add_pos_args *a)
{
    NEED(dims2(&a->pos, a->x.dim[0], a->x.dim[2]), "pos must be (T,C)");
    NEED(dims3(&a->y, a->x.dim[0], a->x.dim[1], a->x.dim[2]), "y must have the shape of x");
    return NULL;
}

static const char *check_linear(const ib_linear_args *a)
{
    NEED(a->w, "w is NULL");
    NEED((unsigned)a->act <= IB_ACT_GEGLU, "unknown activation");
    NEED(a->w->kind == (a->act == IB_ACT_GEGLU ? IB_WEIGHT_GEGLU : IB_WEIGHT_LINEAR),
         "the weight must be LINEAR, or GEGLU with act GEGLU");
    int64_t k = a->x.dim[2], m = a->w->out_channels;
    NEED(k == a->w->in_channels || (k == IB_PATCH_KPAD && a->w->in_channels == IB_PATCH_K),
         "x must have the weight's K columns");
    NEED(!a->bias.data || a->bias.dim[0] == (a->act == IB_ACT_GEGLU ? 2 * m : m),
         "bias must be (M), or (2M) for GEGLU");
    NEED(!a->residual.data || dims3(&a->residual, a->x.dim[0], a->x.dim[1], m), "residual must be (T,N,M)");
    NEED(dims3(&a->y, a->x.dim[0], a->x.dim[1], m), "y must be (T,N,M)");
    return NULL;
}

static const char *check_attention(const ib_attention_args *a)
{
    NEED(a->heads >= 1 && a->qkv.dim[2] == (int64_t)a->heads * 64 * 3, "qkv must be (T,N,3*64*heads)");
    NEED(dims3(&a->y, a->qkv.dim[0], a->qkv.dim[1], a->qkv.dim[2] / 3), "y must be (T,N,C)");
    return NULL;
}

static const char *check_temporal_attention(const ib_temporal_attention_args *a)
{
    int64_t tk = a->k.dim[0], p = a->q.dim[1], c = a->q.dim[2];
    NEED(a->heads >= 1 && c % a->heads == 0 && c / a->heads % 4 == 0, "C/heads must be a multiple of 4");
    NEED(tk <= 32, "more than 32 frames of k");
    NEED(dims3(&a->k, tk, p, c) && dims3(&a->v, tk, p, c), "k and v must be (Tk,P,C) with the P and C of q");
    NEED(dims3(&a->y, a->q.dim[0], p, c), "y must have the shape of q");
    return NULL;
}

static const char *check_groupnorm(const ib_groupnorm_args *a)
{
    int64_t c = a->x.dim[2];
    NEED(a->groups >= 1 && c % a->groups == 0, "C must be a multiple of groups");
    NEED(a->weight.dim[0] == c && a->bias.dim[0] == c, "weight and bias must be (C)");
    NEED(a->eps > 0, "eps must be positive");
    NEED(dims3(&a->y, a->x.dim[0], a->x.dim[1], c), "y must have the shape of x");
    return NULL;
}

static const char *check_conv3x3(const ib_conv3x3_args *a)
{
    NEED(a->w && a->w->kind == IB_WEIGHT_CONV3X3, "the weight must be CONV3X3");
    NEED(a->x.dim[3] == a->w->in_channels, "x must have the weight's Ci channels");
    NEED(a->stride == 1 || a->stride == 2, "stride must be 1 or 2");
    int64_t t = a->x.dim[0], h = (a->x.dim[1] - 1) / a->stride + 1, w = (a->x.dim[2] - 1) / a->stride + 1;
    int64_t co = a->w->out_channels;
    NEED(!a->bias.data || a->bias.dim[0] == co, "bias must be (Co)");
    NEED(!a->residual.data || dims4(&a->residual, t, h, w, co), "residual must be (T,Ho,Wo,Co)");
    NEED(!a->residual2.data || dims4(&a->residual2, t, h, w, co), "residual2 must be (T,Ho,Wo,Co)");
    NEED(dims4(&a->y, t, h, w, co), "y must be (T,Ho,Wo,Co)");
    return NULL;
}

static const char *check_conv_transpose(const ib_conv_transpose_args *a)
{
    NEED(a->w && a->w->kind == IB_WEIGHT_CONVT, "the weight must be CONVT");
    NEED(a->x.dim[3] == a->w->in_channels, "x must have the weight's Ci channels");
    int64_t k = a->w->kernel, co = a->w->out_channels;
    NEED(a->bias.dim[0] == co, "bias must be (Co)");
    NEED(dims4(&a->y, a->x.dim[0], k * a->x.dim[1], k * a->x.dim[2], co), "y must be (T,kH,kW,Co)");
    return NULL;
}

static const char *check_resize_bilinear(const ib_resize_bilinear_args *a)
{
    NEED(a->y.dim[0] == a->x.dim[0] && a->y.dim[3] == a->x.dim[3], "y must be (T,H,W,C) with the T and C of x");
    return NULL;
}

static const char *check_resize_taps(const ib_resize_taps_args *a)
{
    int64_t c = a->y.dim[3];
    NEED(a->y.dim[0] == a->x.dim[0] && a->x.dim[3] == 9 * c, "x must be (T,h,w,9C) with the T and C of y");
    NEED(a->bias.dim[0] == c, "bias must be (C)");
    return NULL;
}

static const char *check_overlap_add(const ib_overlap_add_args *a)
{
    int64_t k = a->kernel, c = a->y.dim[3];
    NEED(k >= 2 && k <= 64, "kernel must be at least 2");
    NEED(a->x.dim[3] == (k + 2) * (k + 2) * c, "x must be (T,h,w,(k+2)^2 C) with the C of y");
    NEED(dims4(&a->y, a->x.dim[0], k * a->x.dim[1], k * a->x.dim[2], c), "y must be (T,kh,kw,C)");
    return NULL;
}

static const char *check_output_head(const ib_output_head_args *a)
{
    NEED(a->w && a->w->kind == IB_WEIGHT_HEAD && a->w->out_channels == 32, "the weight must be HEAD with 32 channels");
    NEED(a->x.dim[3] == a->w->in_channels, "x must have the weight's Ci channels");
    NEED(a->bias.dim[0] == 33, "bias must be (33)");
    NEED(a->sigmoid >= 0 && isfinite(a->sigmoid), "sigmoid must be 0 or a positive factor");
    NEED(a->y.dim[0] == a->x.dim[0], "y must be (T,H,W) with the T of x");
    return NULL;
}

static const char *check_copy(const ib_copy_args *a)
{
    NEED(dims3(&a->y, a->x.dim[0], a->x.dim[1], a->x.dim[2]), "y must have the shape of x");
    return NULL;
}

static const char *check_add(const ib_add_args *a)
{
    int64_t t = a->a.dim[0], n = a->a.dim[1], c = a->a.dim[2];
    NEED(dims3(&a->b, t, n, c) && dims3(&a->y, t, n, c), "a, b and y must have one shape");
    return NULL;
}

static const char *check_count_nonfinite(const ib_count_nonfinite_args *a)
{
    NEED(a->count, "count is NULL");
    return NULL;
}

static const char *check_yuv_to_rgb(const ib_yuv_to_rgb_args *a)
{
    int64_t h = a->luma.dim[0], w = a->luma.dim[1], bytes = a->bits + a->shift > 8 ? 2 : 1;
    NEED(a->bits >= 8 && a->bits <= 16 && a->shift >= 0 && a->bits + a->shift <= 16, "bits must be 8 to 16, with shift at most 16");
    NEED(a->ssx >= 0 && a->ssx <= 2 && a->ssy >= 0 && a->ssy <= 2, "ssx and ssy must be 0 to 2");
    NEED(a->k.shift >= 8 && a->k.shift <= 20, "coefficients are scaled by 2^8 to 2^20");
    int64_t ch = (h + (1 << a->ssy) - 1) >> a->ssy, cw = (w + (1 << a->ssx) - 1) >> a->ssx;
    NEED(a->luma.dim[2] == bytes && dims3(&a->u, ch, cw, bytes) && dims3(&a->v, ch, cw, bytes),
         "luma, u and v must be planes of one picture, with 1 or 2 bytes a sample");
    NEED(dims3(&a->y, h, w, 3), "y must be (H,W,3)");
    return NULL;
}

static const char *check_preprocess(const ib_preprocess_args *a)
{
    const ib_tensor *x = &a->x;
    NEED(x->dim[3] == 3, "x must be (T,H,W,3)");
    NEED((x->dim[2] == 1 || x->stride[2] == 3) && (x->dim[1] == 1 || x->stride[1] >= 3 * x->dim[2]),
         "pixels of x must be contiguous in a row and rows at least 3W apart");
    NEED(a->y.dim[0] == x->dim[0] && a->y.dim[3] == 3, "y must be (T,h,w,3) with the T of x");
    return NULL;
}

static const char *check_render(const ib_render_args *a)
{
    NEED(!a->b.data || dims2(&a->b, a->a.dim[0], a->a.dim[1]), "b must have the shape of a");
    NEED(!a->b.data || (a->weight >= 0 && a->weight <= 1), "weight must be in [0, 1]");
    return NULL;
}

static const char *check_fit_sums(const ib_fit_sums_args *a)
{
    int64_t h = a->p[0].dim[0], w = a->p[0].dim[1];
    NEED(dims2(&a->p[1], h, w) && dims2(&a->r[0], h, w) && dims2(&a->r[1], h, w), "all frames must be of one size");
    NEED(a->height >= 1 && a->width >= 1, "the output size must be positive");
    NEED(a->sums, "sums is NULL");
    return NULL;
}

/* ---- the front ends ------------------------------------------------------------------------------------------------
 */

/* ib_<op>: the tensors by themselves (in the order of their fields, the output last), then the rules between them, then
 * the backend. `packed` is the weight, for the error line. */
#define FRONT_END(op, packed, ...)                                                       \
    isobath_status ib_##op(ib_backend *b, const ib_##op##_args *a)                       \
    {                                                                                    \
        const ib_field fields[] = {__VA_ARGS__};                                         \
        const ib_field *bad = NULL;                                                      \
        const char *why = ib_fields_check(fields, COUNT(fields), &bad);                  \
        if (!why) why = check_##op(a);                                                   \
        if (why) return ib_fields_fail(b, #op, why, bad, fields, COUNT(fields), packed); \
        return b->ops->op(b, a);                                                         \
    }

FRONT_END(patchify, NULL, {"x", &a->x, F32, 4, CONTIGUOUS}, {"y", &a->y, act_of(b), 3, CONTIGUOUS | OUTPUT})

FRONT_END(embed_tokens, NULL, {"x", &a->x, F32, 3, 0}, {"cls", &a->cls, F32, 1, 0}, {"pos", &a->pos, F32, 2, 0},
          {"y", &a->y, F32, 3, OUTPUT})

FRONT_END(layernorm, NULL, {"x", &a->x, F32, 3, 0}, {"weight", &a->weight, F32, 1, 0}, {"bias", &a->bias, F32, 1, 0},
          {"pos", &a->pos, F32, 2, OPTIONAL}, {"y", &a->y, act_of(b) | F32, 3, OUTPUT})

FRONT_END(add_pos, NULL, {"x", &a->x, act_of(b) | F32, 3, 0}, {"pos", &a->pos, F32, 2, 0},
          {"y", &a->y, act_of(b), 3, OUTPUT})

FRONT_END(linear, a->w, {"x", &a->x, act_of(b), 3, 0}, {"bias", &a->bias, F32, 1, OPTIONAL},
          {"residual", &a->residual, act_of(b) | F32, 3, OPTIONAL | SAME_VIEW},
          {"y", &a->y, act_of(b) | F32, 3, OUTPUT})

FRONT_END(attention, NULL, {"qkv", &a->qkv, act_of(b), 3, 0}, {"y", &a->y, act_of(b), 3, OUTPUT})

FRONT_END(temporal_attention, NULL, {"q", &a->q, act_of(b), 3, 0}, {"k", &a->k, act_of(b), 3, 0},
          {"v", &a->v, act_of(b), 3, 0}, {"y", &a->y, act_of(b), 3, OUTPUT})

FRONT_END(groupnorm, NULL, {"x", &a->x, act_of(b), 3, DENSE_FRAME}, {"weight", &a->weight, F32, 1, 0},
          {"bias", &a->bias, F32, 1, 0}, {"y", &a->y, act_of(b), 3, OUTPUT})

FRONT_END(conv3x3, a->w, {"x", &a->x, act_of(b), 4, DENSE_FRAME}, {"bias", &a->bias, F32, 1, OPTIONAL},
          {"residual", &a->residual, act_of(b), 4, OPTIONAL | SAME_VIEW},
          {"residual2", &a->residual2, act_of(b), 4, OPTIONAL}, {"y", &a->y, act_of(b), 4, OUTPUT})

FRONT_END(conv_transpose, a->w, {"x", &a->x, act_of(b), 4, DENSE_FRAME}, {"bias", &a->bias, F32, 1, 0},
          {"y", &a->y, act_of(b), 4, OUTPUT})

FRONT_END(resize_bilinear, NULL, {"x", &a->x, act_of(b), 4, 0}, {"y", &a->y, act_of(b), 4, OUTPUT})

FRONT_END(resize_taps, NULL, {"x", &a->x, act_of(b), 4, 0}, {"bias", &a->bias, F32, 1, 0}, {"y", &a->y, act_of(b), 4, OUTPUT})

FRONT_END(overlap_add, NULL, {"x", &a->x, act_of(b), 4, 0}, {"y", &a->y, act_of(b), 4, OUTPUT})

FRONT_END(output_head, a->w, {"x", &a->x, act_of(b) | F32, 4, DENSE_FRAME}, {"bias", &a->bias, F32, 1, 0},
          {"y", &a->y, F32, 3, OUTPUT})

FRONT_END(copy, NULL, {"x", &a->x, act_of(b) | F32, 3, 0}, {"y", &a->y, act_of(b) | F32, 3, OUTPUT})

FRONT_END(add, NULL, {"a", &a->a, act_of(b) | F32, 3, SAME_VIEW}, {"b", &a->b, act_of(b) | F32, 3, 0},
          {"y", &a->y, act_of(b) | F32, 3, OUTPUT})

FRONT_END(count_nonfinite, NULL, {"x", &a->x, FLOATS, 0, CONTIGUOUS})

FRONT_END(yuv_to_rgb, NULL, {"luma", &a->luma, U8, 3, 0}, {"u", &a->u, U8, 3, 0}, {"v", &a->v, U8, 3, 0},
          {"y", &a->y, U8, 3, OUTPUT})

FRONT_END(preprocess, NULL, {"x", &a->x, U8, 4, 0}, {"y", &a->y, F32, 4, CONTIGUOUS | OUTPUT})

FRONT_END(render, NULL, {"a", &a->a, F32, 2, 0}, {"b", &a->b, F32, 2, OPTIONAL}, {"y", &a->y, F32, 2, OUTPUT})

FRONT_END(fit_sums, NULL, {"p[0]", &a->p[0], F32, 2, 0}, {"p[1]", &a->p[1], F32, 2, 0}, {"r[0]", &a->r[0], F32, 2, 0},
          {"r[1]", &a->r[1], F32, 2, 0})
