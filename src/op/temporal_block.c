/* Front end of temporal_block: see op.h. */
#include "op/op.h"

static int same_shape(const ib_tensor *a, const ib_tensor *b)
{
    return a->rank == 3 && b->rank == 3 && a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1] && a->dim[2] == b->dim[2];
}

static int is_vector(const ib_tensor *t, int64_t count)
{
    return t->data && t->dtype == IB_F32 && t->rank == 1 && t->dim[0] == count;
}

static int is_weight(const ib_weight *w, ib_weight_kind kind, int64_t out, int64_t in)
{
    return w && w->kind == kind && w->out_channels == out && w->in_channels == in;
}

/* The rule that is broken, or NULL. */
static const char *broken(const ib_backend *b, const ib_temporal_block_args *a)
{
    const int64_t C = a->y.rank == 3 ? a->y.dim[2] : 0;
    if (!same_shape(&a->x, &a->y) || !same_shape(&a->residual, &a->y)) return "x, residual and y must have one shape";
    if (a->x.dtype != b->act || a->residual.dtype != b->act || a->y.dtype != b->act) return "x, residual and y must have the activation type";
    if (a->y.dim[0] > 32) return "at most 32 frames";
    if (a->heads < 1 || C % a->heads != 0) return "channels must divide into heads";
    if (!is_weight(a->proj_in, IB_WEIGHT_LINEAR, C, C) || !is_weight(a->proj_out, IB_WEIGHT_LINEAR, C, C) ||
        !is_weight(a->ff_in, IB_WEIGHT_GEGLU, 4 * C, C) || !is_weight(a->ff_out, IB_WEIGHT_LINEAR, C, 4 * C))
        return "a weight has another shape";
    if (!is_vector(&a->proj_in_bias, C) || !is_vector(&a->proj_out_bias, C) || !is_vector(&a->ff_norm_weight, C) ||
        !is_vector(&a->ff_norm_bias, C) || !is_vector(&a->ff_in_bias, 8 * C) || !is_vector(&a->ff_out_bias, C))
        return "a vector has another shape";
    for (int i = 0; i < 2; i++) {
        if (!is_weight(a->attn[i].qkv, IB_WEIGHT_LINEAR, 3 * C, C) || !is_weight(a->attn[i].out, IB_WEIGHT_LINEAR, C, C))
            return "an attention's weight has another shape";
        if (!is_vector(&a->attn[i].norm_weight, C) || !is_vector(&a->attn[i].norm_bias, C) ||
            !is_vector(&a->attn[i].out_bias, C) || !is_vector(&a->attn[i].pos, 32 * C))
            return "an attention's vector has another shape";
    }
    return NULL;
}

isobath_status ib_temporal_block(ib_backend *b, const ib_temporal_block_args *a, int *done)
{
    *done = 0;
    if (!b->ops->temporal_block) return ISOBATH_OK;
    const char *rule = broken(b, a);
    if (rule)
        return ib_fail(b->diag, ISOBATH_ERR_INTERNAL, "temporal_block (%lld,%lld,%lld): %s", (long long)a->y.dim[0],
                       (long long)a->y.dim[1], (long long)a->y.dim[2], rule);
    return b->ops->temporal_block(b, a, done);
}
