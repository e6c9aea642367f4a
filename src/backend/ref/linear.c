/* linear: y = act(x W^T + bias) + residual; GEGLU is value * gelu(gate). */
#include "backend/ref/ref.h"

/* Sums of IB_REF_LANES outputs of one row, whose weights start at column `column` and whose `count` biases at `bias`.
 */
static void products(const ib_linear_args *a, int64_t x_row, int64_t column, int64_t bias, int64_t count, double *sum)
{
    const ib_ref_weight *w = ib_ref_weight_of(a->w);
    for (int64_t m = 0; m < IB_REF_LANES; m++)
        sum[m] = ib_tensor_present(&a->bias) && m < count ? (double)ib_ref_get(&a->bias, bias + m) : 0.0;
    for (int64_t k = 0; k < w->base.in_channels; k++)
        ib_ref_madd(sum, ib_ref_get(&a->x, x_row + k), w->data + k * w->pitch + column);
}

static void row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_linear_args *a = ctx;
    int64_t t = i / a->x.dim[1], n = i % a->x.dim[1], outputs = a->w->out_channels;
    int64_t from = ib_ref_row(&a->x, t, n), to = ib_ref_row(&a->y, t, n);
    double sum[IB_REF_LANES], gate[IB_REF_LANES];
    for (int64_t first = 0; first < outputs; first += IB_REF_LANES) {
        int64_t count = outputs - first < IB_REF_LANES ? outputs - first : IB_REF_LANES;
        products(a, from, first, first, count, sum);
        if (a->act == IB_ACT_GEGLU)
            products(a, from, ib_ref_weight_of(a->w)->pitch / 2 + first, outputs + first, count, gate);
        for (int64_t m = 0; m < count; m++) {
            double y = sum[m];
            if (a->act == IB_ACT_GELU) y = ib_ref_gelu(y);
            if (a->act == IB_ACT_RELU) y = y < 0 ? 0 : y;
            if (a->act == IB_ACT_GEGLU) y *= ib_ref_gelu(gate[m]);
            if (ib_tensor_present(&a->residual))
                y += ib_ref_get(&a->residual, ib_ref_row(&a->residual, t, n) + first + m);
            ib_ref_set(&a->y, to + first + m, y);
        }
    }
}

isobath_status ib_ref_linear(ib_backend *b, const ib_linear_args *a)
{
    ib_pool_run(b->pool, a->x.dim[0] * a->x.dim[1], row, (void *)a);
    return ISOBATH_OK;
}
