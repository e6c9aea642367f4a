/* Weights as a sum of two; see pair.h. */
#include "model/pair.h"

#include "base/half.h"

#include <math.h>
#include <stdlib.h>

/* What a half type does not hold of w; 0 where it does not hold w at all. */
static float rest_of(float w, ib_dtype type)
{
    float held = type == IB_F16 ? ib_f16_to_f32(ib_f32_to_f16(w)) : ib_bf16_to_f32(ib_f32_to_bf16(w));
    return isfinite(held) ? w - held : 0.0f;
}

isobath_status ib_pair_pack(ib_params *p, const float *data, int64_t M, int64_t K, ib_pair *out)
{
    const ib_dtype type = p->backend->act;
    float *rest = NULL;
    *out = (ib_pair){0};
    IB_TRY(ib_params_pack(p, data, IB_WEIGHT_LINEAR, M, K, 0, &out->w));
    if (type == IB_F32 || K > IB_PAIR_INPUTS) return ISOBATH_OK;
    if (data) {
        rest = malloc((size_t)(M * K) * sizeof *rest);
        if (!rest) return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "out of memory for a weight");
        for (int64_t i = 0; i < M * K; i++) rest[i] = rest_of(data[i], type);
    }
    isobath_status st = ib_params_pack(p, rest, IB_WEIGHT_LINEAR, M, K, 0, &out->rest);
    free(rest);
    return st;
}

isobath_status ib_pair_read(ib_params *p, const char *name, int64_t M, int64_t K, ib_pair *out)
{
    float *data;
    IB_TRY(ib_params_read(p, name, M * K, &data));
    isobath_status st = ib_pair_pack(p, data, M, K, out);
    free(data);
    return st;
}

isobath_status ib_pair_linear(ib_backend *be, const ib_pair *pair, const ib_linear_args *args)
{
    ib_linear_args a = *args;
    if (pair->rest) {
        IB_TRY(ib_linear(be, &(ib_linear_args){.x = a.x, .w = pair->rest, .residual = a.residual, .y = a.y}));
        a.residual = a.y;
    }
    a.w = pair->w;
    return ib_linear(be, &a);
}
