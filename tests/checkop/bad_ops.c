/* Faulty kernels of the other ops, most of them the reference with one argument or one step changed. */
#include "backend/ref/ref.h"
#include "bad.h"

#include <math.h>
#include <stdlib.h>

/* ---- norms ----------------------------------------------------------------------------------------------------------
 */

static isobath_status layernorm_rows(const ib_layernorm_args *a, int one_pass, int with_pos)
{
    int64_t rows = a->x.dim[0] * a->x.dim[1], channels = a->x.dim[2];
    for (int64_t r = 0; r < rows; r++) {
        int64_t t = r / a->x.dim[1], n = r % a->x.dim[1], from = ib_ref_row(&a->x, t, n), to = ib_ref_row(&a->y, t, n);
        float sum = 0, squares = 0, count = (float)channels;
        for (int64_t c = 0; c < channels; c++) sum += ib_ref_get(&a->x, from + c);
        float mean = sum / count;
        for (int64_t c = 0; c < channels; c++) {
            float d = ib_ref_get(&a->x, from + c) - (one_pass ? 0 : mean);
            squares += d * d;
        }
        float var = squares / count - (one_pass ? mean * mean : 0);
        if (one_pass && var < 0) var = 0;
        for (int64_t c = 0; c < channels; c++) {
            float v = (ib_ref_get(&a->x, from + c) - mean) / sqrtf(var + a->eps);
            v = v * ib_ref_get(&a->weight, c) + ib_ref_get(&a->bias, c);
            if (with_pos && ib_tensor_present(&a->pos)) v += ib_ref_get(&a->pos, t * a->pos.stride[0] + c);
            ib_ref_set(&a->y, to + c, (double)v);
        }
    }
    return ISOBATH_OK;
}

static isobath_status layernorm_one_pass(ib_backend *b, const ib_layernorm_args *a)
{
    (void)b;
    return layernorm_rows(a, 1, 1);
}
CK_INSTALL(layernorm, layernorm_one_pass)

static isobath_status layernorm_no_pos(ib_backend *b, const ib_layernorm_args *a)
{
    (void)b;
    return layernorm_rows(a, 0, 0);
}
CK_INSTALL(layernorm, layernorm_no_pos)

static isobath_status layernorm_wrong_eps(ib_backend *b, const ib_layernorm_args *a)
{
    ib_layernorm_args changed = *a;
    changed.eps = 1e-5f;
    return ib_ref_layernorm(b, &changed);
}
CK_INSTALL(layernorm, layernorm_wrong_eps)

/* The variance times n/(n-1), through weights scaled by its root. */
static isobath_status groupnorm_unbiased(ib_backend *b, const ib_groupnorm_args *a)
{
    float weight[4096];
    double n = (double)a->x.dim[1] * (double)(a->x.dim[2] / a->groups);
    for (int64_t c = 0; c < a->x.dim[2]; c++)
        weight[c] = (float)((double)ib_ref_get(&a->weight, c) * sqrt(n > 1 ? (n - 1) / n : 1));
    ib_groupnorm_args changed = *a;
    changed.weight.data = weight;
    return ib_ref_groupnorm(b, &changed);
}
CK_INSTALL(groupnorm, groupnorm_unbiased)

static isobath_status groupnorm_one_group(ib_backend *b, const ib_groupnorm_args *a)
{
    ib_groupnorm_args changed = *a;
    changed.groups = 1;
    return ib_ref_groupnorm(b, &changed);
}
CK_INSTALL(groupnorm, groupnorm_one_group)

/* ---- attention
 * ------------------------------------------------------------------------------------------------------- */

enum { NO_MAXIMUM = 1, LAST_KEY_LOST };

static isobath_status attention_rows(const ib_attention_args *a, int fault)
{
    int64_t tokens = a->qkv.dim[1], channels = a->y.dim[2];
    for (int64_t i = 0; i < a->qkv.dim[0] * tokens * a->heads; i++) {
        int64_t h = i % a->heads, n = i / a->heads % tokens, t = i / a->heads / tokens;
        int64_t q = ib_ref_row(&a->qkv, t, n) + h * 64, keys = tokens - (fault == LAST_KEY_LOST && tokens > 64);
        float max = -INFINITY, total = 0, sum[64] = {0};
        for (int pass = fault == NO_MAXIMUM; pass < 2; pass++) {
            for (int64_t j = 0; j < keys; j++) {
                int64_t k = ib_ref_row(&a->qkv, t, j) + channels + h * 64;
                float s = 0;
                for (int d = 0; d < 64; d++) s += ib_ref_get(&a->qkv, q + d) * ib_ref_get(&a->qkv, k + d);
                s *= 0.125f;
                if (pass == 0) max = s > max ? s : max;
                if (pass == 0) continue;
                float p = expf(fault == NO_MAXIMUM ? s : s - max);
                total += p;
                for (int d = 0; d < 64; d++) sum[d] += p * ib_ref_get(&a->qkv, k + channels + d);
            }
        }
        for (int d = 0; d < 64; d++) ib_ref_set(&a->y, ib_ref_row(&a->y, t, n) + h * 64 + d, (double)(sum[d] / total));
    }
    return ISOBATH_OK;
}

static isobath_status attention_no_maximum(ib_backend *b, const ib_attention_args *a)
{
    (void)b;
    return attention_rows(a, NO_MAXIMUM);
}
CK_INSTALL(attention, attention_no_maximum)

static isobath_status attention_lost_key(ib_backend *b, const ib_attention_args *a)
{
    (void)b;
    return attention_rows(a, LAST_KEY_LOST);
}
CK_INSTALL(attention, attention_lost_key)

static isobath_status temporal_one_head(ib_backend *b, const ib_temporal_attention_args *a)
{
    ib_temporal_attention_args changed = *a;
    changed.heads = 4;
    return ib_ref_temporal_attention(b, &changed);
}
CK_INSTALL(temporal_attention, temporal_one_head)

/* Frame t sees frames up to t only. */
static isobath_status temporal_causal(ib_backend *b, const ib_temporal_attention_args *a)
{
    for (int64_t t = 0; t < a->q.dim[0]; t++) {
        ib_temporal_attention_args changed = *a;
        int64_t keys = t < a->k.dim[0] ? t + 1 : a->k.dim[0];
        changed.q = ib_tensor_slice(&a->q, t, 1);
        changed.y = ib_tensor_slice(&a->y, t, 1);
        changed.k = ib_tensor_slice(&a->k, 0, keys);
        changed.v = ib_tensor_slice(&a->v, 0, keys);
        IB_TRY(ib_ref_temporal_attention(b, &changed));
    }
    return ISOBATH_OK;
}
CK_INSTALL(temporal_attention, temporal_causal)

static isobath_status temporal_swapped(ib_backend *b, const ib_temporal_attention_args *a)
{
    ib_temporal_attention_args changed = *a;
    changed.k = a->v;
    changed.v = a->k;
    return ib_ref_temporal_attention(b, &changed);
}
CK_INSTALL(temporal_attention, temporal_swapped)

/* ---- convolutions
 * ---------------------------------------------------------------------------------------------------- */

enum { BORDER_REPLICATED = 1, RELU_HIDES_NAN, EVEN_PHASE };

static isobath_status conv_pixels(const ib_conv3x3_args *a, int fault)
{
    const ib_ref_weight *w = ib_ref_weight_of(a->w);
    int64_t in = w->base.in_channels, out = w->base.out_channels, height = a->x.dim[1], width = a->x.dim[2];
    for (int64_t i = 0; i < a->y.dim[0] * a->y.dim[1] * a->y.dim[2] * out; i++) {
        int64_t o = i % out, ox = i / out % a->y.dim[2], oy = i / out / a->y.dim[2] % a->y.dim[1];
        int64_t t = i / out / a->y.dim[2] / a->y.dim[1];
        double sum = ib_tensor_present(&a->bias) ? (double)ib_ref_get(&a->bias, o) : 0;
        for (int tap = 0; tap < 9; tap++) {
            int64_t y = oy * a->stride + tap / 3 - 1, x = ox * a->stride + tap % 3 - 1;
            if (fault == EVEN_PHASE && a->stride == 2) y++, x++;
            int inside = y >= 0 && y < height && x >= 0 && x < width;
            if (!inside && fault != BORDER_REPLICATED) continue;
            y = y < 0 ? 0 : y >= height ? height - 1 : y;
            x = x < 0 ? 0 : x >= width ? width - 1 : x;
            for (int64_t c = 0; c < in; c++) {
                float v = ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y, x) + c);
                if (a->relu_in) v = fault == RELU_HIDES_NAN ? fmaxf(v, 0) : v < 0 ? 0 : v;
                sum += (double)v * (double)w->data[(tap * in + c) * w->pitch + o];
            }
        }
        if (a->relu_out) sum = sum < 0 ? 0 : sum;
        if (ib_tensor_present(&a->residual))
            sum += (double)ib_ref_get(&a->residual, ib_ref_pixel(&a->residual, t, oy, ox) + o);
        if (ib_tensor_present(&a->residual2))
            sum += (double)ib_ref_get(&a->residual2, ib_ref_pixel(&a->residual2, t, oy, ox) + o);
        ib_ref_set(&a->y, ib_ref_pixel(&a->y, t, oy, ox) + o, sum);
    }
    return ISOBATH_OK;
}

#define CONV(name, fault)                                               \
    static isobath_status name(ib_backend *b, const ib_conv3x3_args *a) \
    {                                                                   \
        (void)b;                                                        \
        return conv_pixels(a, fault);                                   \
    }                                                                   \
    CK_INSTALL(conv3x3, name)
CONV(conv_replicated, BORDER_REPLICATED)
CONV(conv_relu_hides_nan, RELU_HIDES_NAN)
CONV(conv_even_phase, EVEN_PHASE)

static isobath_status conv_no_residual2(ib_backend *b, const ib_conv3x3_args *a)
{
    ib_conv3x3_args changed = *a;
    changed.residual2.data = NULL;
    return ib_ref_conv3x3(b, &changed);
}
CK_INSTALL(conv3x3, conv_no_residual2)

/* Takes the frames of x as contiguous. */
static isobath_status conv_dense_frames(ib_backend *b, const ib_conv3x3_args *a)
{
    ib_conv3x3_args changed = *a;
    changed.x.stride[0] = a->x.dim[1] * a->x.dim[2] * a->x.dim[3];
    return ib_ref_conv3x3(b, &changed);
}
CK_INSTALL(conv3x3, conv_dense_frames)

/* Pixels of y k apart in x come out transposed within their k x k block. */
static isobath_status convt_transposed(ib_backend *b, const ib_conv_transpose_args *a)
{
    IB_TRY(ib_ref_conv_transpose(b, a));
    int64_t k = a->w->kernel;
    for (int64_t i = 0; i < a->y.dim[0] * a->y.dim[1] * a->y.dim[2]; i++) {
        int64_t x = i % a->y.dim[2], y = i / a->y.dim[2] % a->y.dim[1], t = i / a->y.dim[2] / a->y.dim[1];
        if (y % k >= x % k) continue;
        int64_t from = ib_ref_pixel(&a->y, t, y, x), to = ib_ref_pixel(&a->y, t, y - y % k + x % k, x - x % k + y % k);
        for (int64_t c = 0; c < a->y.dim[3]; c++) {
            float v = ib_ref_get(&a->y, from + c);
            ib_ref_set(&a->y, from + c, (double)ib_ref_get(&a->y, to + c));
            ib_ref_set(&a->y, to + c, (double)v);
        }
    }
    return ISOBATH_OK;
}
CK_INSTALL(conv_transpose, convt_transposed)

/* ---- images and maps
 * -------------------------------------------------------------------------------------------------- */

static float half_pixel(int64_t dst, int64_t in, int64_t out, int64_t *i0, int64_t *i1)
{
    float s = ((float)dst + 0.5f) * (float)in / (float)out - 0.5f;
    s = s < 0 ? 0 : s;
    *i0 = (int64_t)s < in - 1 ? (int64_t)s : in - 1;
    *i1 = *i0 + (*i0 < in - 1);
    return s - (float)*i0;
}

static isobath_status resize_half_pixel(ib_backend *b, const ib_resize_bilinear_args *a)
{
    (void)b;
    for (int64_t i = 0; i < a->y.dim[0] * a->y.dim[1] * a->y.dim[2]; i++) {
        int64_t x = i % a->y.dim[2], y = i / a->y.dim[2] % a->y.dim[1], t = i / a->y.dim[2] / a->y.dim[1];
        int64_t y0, y1, x0, x1;
        float wy = half_pixel(y, a->x.dim[1], a->y.dim[1], &y0, &y1);
        float wx = half_pixel(x, a->x.dim[2], a->y.dim[2], &x0, &x1);
        for (int64_t c = 0; c < a->x.dim[3]; c++)
            ib_ref_set(&a->y, ib_ref_pixel(&a->y, t, y, x) + c,
                       (double)ib_ref_lerp2(ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y0, x0) + c),
                                            ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y0, x1) + c),
                                            ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y1, x0) + c),
                                            ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y1, x1) + c), wy, wx));
    }
    return ISOBATH_OK;
}
CK_INSTALL(resize_bilinear, resize_half_pixel)

/* Taps outside of the image take the border's pixel. */
static isobath_status taps_replicated(ib_backend *b, const ib_resize_taps_args *a)
{
    (void)b;
    const int64_t H = a->y.dim[1], W = a->y.dim[2], C = a->y.dim[3];
    for (int64_t i = 0; i < a->y.dim[0] * H * W * C; i++) {
        int64_t c = i % C, x = i / C % W, y = i / C / W % H, t = i / C / W / H, y0, y1, x0, x1;
        double sum = (double)ib_ref_get(&a->bias, c);
        for (int64_t tap = 0; tap < 9; tap++) {
            int64_t ty = y + tap / 3 - 1, tx = x + tap % 3 - 1, from = tap * C + c;
            float wy, wx;
            ib_bilinear_axis(ty < 0 ? 0 : ty < H ? ty : H - 1, a->x.dim[1], H, &y0, &y1, &wy);
            ib_bilinear_axis(tx < 0 ? 0 : tx < W ? tx : W - 1, a->x.dim[2], W, &x0, &x1, &wx);
            sum += (double)ib_ref_lerp2(ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y0, x0) + from),
                                        ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y0, x1) + from),
                                        ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y1, x0) + from),
                                        ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y1, x1) + from), wy, wx);
        }
        ib_ref_set(&a->y, ib_ref_pixel(&a->y, t, y, x) + c, sum);
    }
    return ISOBATH_OK;
}
CK_INSTALL(resize_taps, taps_replicated)

/* Pixels of the neighbours' margins are overwritten, not added to. */
static isobath_status overlap_not_added(ib_backend *b, const ib_overlap_add_args *a)
{
    (void)b;
    const int64_t H = a->y.dim[1], W = a->y.dim[2], C = a->y.dim[3], k = a->kernel;
    for (int64_t i = 0; i < a->y.dim[0] * H * W * C; i++) {
        int64_t c = i % C, x = i / C % W, y = i / C / W % H, t = i / C / W / H;
        ib_ref_set(&a->y, ib_ref_pixel(&a->y, t, y, x) + c,
                   (double)ib_ref_get(&a->x, ib_ref_pixel(&a->x, t, y / k, x / k) + ((y % k + 1) * (k + 2) + x % k + 1) * C + c));
    }
    return ISOBATH_OK;
}
CK_INSTALL(overlap_add, overlap_not_added)

static isobath_status head_bias_shifted(ib_backend *b, const ib_output_head_args *a)
{
    float bias[33];
    for (int i = 0; i < 33; i++) bias[i] = ib_ref_get(&a->bias, (i + 1) % 33);
    ib_output_head_args changed = *a;
    changed.bias.data = bias;
    return ib_ref_output_head(b, &changed);
}
CK_INSTALL(output_head, head_bias_shifted)

/* The map is rounded to f16 before the 3x3, in f32 mode. */
static isobath_status head_half_map(ib_backend *b, const ib_output_head_args *a)
{
    ib_output_head_args changed = *a;
    int64_t frame = a->x.dim[1] * a->x.dim[2] * a->x.dim[3];
    float *map = ck_alloc((size_t)(frame * a->x.dim[0]) * sizeof *map);
    for (int64_t i = 0; i < frame * a->x.dim[0]; i++)
        map[i] = ck_round(ib_ref_get(&a->x, i / frame * a->x.stride[0] + i % frame), IB_F16);
    changed.x = ib_tensor_4d(map, IB_F32, a->x.dim[0], a->x.dim[1], a->x.dim[2], a->x.dim[3]);
    isobath_status st = ib_ref_output_head(b, &changed);
    free(map);
    return st;
}
CK_INSTALL(output_head, head_half_map)

/* ReLU whatever was asked for. */
static isobath_status head_no_sigmoid(ib_backend *b, const ib_output_head_args *a)
{
    ib_output_head_args changed = *a;
    changed.sigmoid = 0;
    return ib_ref_output_head(b, &changed);
}
CK_INSTALL(output_head, head_no_sigmoid)

static isobath_status patchify_no_padding(ib_backend *b, const ib_patchify_args *a)
{
    uint32_t kept[IB_PATCH_KPAD - IB_PATCH_K];
    int64_t last = (ib_tensor_count(&a->y) / IB_PATCH_KPAD - 1) * IB_PATCH_KPAD + IB_PATCH_K;
    memcpy(kept, (uint32_t *)a->y.data + last, sizeof kept);
    IB_TRY(ib_ref_patchify(b, a));
    memcpy((uint32_t *)a->y.data + last, kept, sizeof kept);
    return ISOBATH_OK;
}
CK_INSTALL(patchify, patchify_no_padding)

static isobath_status embed_positions_shifted(ib_backend *b, const ib_embed_tokens_args *a)
{
    IB_TRY(ib_ref_embed_tokens(b, a));
    for (int64_t t = 0; t < a->y.dim[0]; t++)
        for (int64_t c = 0; c < a->y.dim[2]; c++)
            ib_ref_set(&a->y, ib_ref_row(&a->y, t, 0) + c, (double)ib_ref_get(&a->cls, c));
    return ISOBATH_OK;
}
CK_INSTALL(embed_tokens, embed_positions_shifted)

static isobath_status add_pos_first_only(ib_backend *b, const ib_add_pos_args *a)
{
    ib_add_pos_args changed = *a;
    changed.pos.stride[0] = 0;
    return ib_ref_add_pos(b, &changed);
}
CK_INSTALL(add_pos, add_pos_first_only)

static isobath_status copy_truncates(ib_backend *b, const ib_copy_args *a)
{
    (void)b;
    for (int64_t r = 0; r < a->x.dim[0] * a->x.dim[1]; r++) {
        int64_t t = r / a->x.dim[1], n = r % a->x.dim[1];
        for (int64_t c = 0; c < a->x.dim[2]; c++) {
            float v = ib_ref_get(&a->x, ib_ref_row(&a->x, t, n) + c);
            if (a->y.dtype == IB_BF16 && v == v) v = ib_f32_from_bits(ib_f32_bits(v) & 0xffff0000u);
            ib_ref_set(&a->y, ib_ref_row(&a->y, t, n) + c, (double)v);
        }
    }
    return ISOBATH_OK;
}
CK_INSTALL(copy, copy_truncates)

static isobath_status add_rounds_twice(ib_backend *b, const ib_add_args *a)
{
    (void)b;
    for (int64_t r = 0; r < a->y.dim[0] * a->y.dim[1]; r++) {
        int64_t t = r / a->y.dim[1], n = r % a->y.dim[1];
        for (int64_t c = 0; c < a->y.dim[2]; c++) {
            float v = ck_round(ib_ref_get(&a->a, ib_ref_row(&a->a, t, n) + c), IB_BF16);
            v += ck_round(ib_ref_get(&a->b, ib_ref_row(&a->b, t, n) + c), IB_BF16);
            ib_ref_set(&a->y, ib_ref_row(&a->y, t, n) + c, (double)v);
        }
    }
    return ISOBATH_OK;
}
CK_INSTALL(add, add_rounds_twice)

static isobath_status count_nan_only(ib_backend *b, const ib_count_nonfinite_args *a)
{
    (void)b;
    *a->count = 0;
    for (int64_t i = 0; i < ib_tensor_count(&a->x); i++) *a->count += isnan(ib_ref_get(&a->x, i)) != 0;
    return ISOBATH_OK;
}
CK_INSTALL(count_nonfinite, count_nan_only)

static isobath_status preprocess_transposed_rgb(ib_backend *b, const ib_preprocess_args *a)
{
    IB_TRY(ib_ref_preprocess(b, a));
    float *y = a->y.data;
    for (int64_t i = 0; i < ib_tensor_count(&a->y); i += 3) {
        float red = y[i];
        y[i] = y[i + 2];
        y[i + 2] = red;
    }
    return ISOBATH_OK;
}
CK_INSTALL(preprocess, preprocess_transposed_rgb)

/* ---- alignment: right but for the last bit
 * ------------------------------------------------------------------------------ */

static isobath_status render_fused(ib_backend *b, const ib_render_args *a)
{
    (void)b;
    float low = INFINITY, high = -INFINITY, weight = (float)a->weight;
    for (int64_t i = 0; i < a->y.dim[0] * a->y.dim[1]; i++) {
        int64_t y = i / a->y.dim[1], x = i % a->y.dim[1];
        float v = fmaf(ib_ref_upsample(&a->a, y, x, a->y.dim[0], a->y.dim[1]), a->a_scale, a->a_shift);
        v = v < 0 ? 0 : v;
        if (ib_tensor_present(&a->b)) {
            float vb = fmaf(ib_ref_upsample(&a->b, y, x, a->y.dim[0], a->y.dim[1]), a->b_scale, a->b_shift);
            vb = vb < 0 ? 0 : vb;
            v = v * (float)(1 - a->weight) + vb * weight;
        }
        ((float *)a->y.data)[y * a->y.stride[0] + x] = v;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    if (a->min_out) *a->min_out = low;
    if (a->max_out) *a->max_out = high;
    return ISOBATH_OK;
}
CK_INSTALL(render, render_fused)

static isobath_status fit_in_order(ib_backend *b, const ib_fit_sums_args *a)
{
    (void)b;
    double s[5] = {2.0 * (double)a->height * (double)a->width};
    for (int64_t i = 0; i < 2 * a->height * a->width; i++) {
        int64_t frame = i / (a->height * a->width), y = i / a->width % a->height, x = i % a->width;
        double p = (double)ib_ref_upsample(&a->p[frame], y, x, a->height, a->width);
        float r = ib_ref_upsample(&a->r[frame], y, x, a->height, a->width);
        if (frame == 1) r = ib_ref_align(r, a->r1_scale, a->r1_shift);
        s[1] += p;
        s[2] += p * p;
        s[3] += (double)r;
        s[4] += p * (double)r;
    }
    memcpy(a->sums, s, sizeof s);
    return ISOBATH_OK;
}
CK_INSTALL(fit_sums, fit_in_order)

const ck_bad ck_bad_ops[] = {
    {"layernorm", "variance as E[x^2] - mean^2 in f32", IB_F32, 0, install_layernorm_one_pass},
    {"layernorm", "ignores the position", IB_F32, 0, install_layernorm_no_pos},
    {"layernorm", "eps is always 1e-5", IB_F32, 0, install_layernorm_wrong_eps},
    {"groupnorm", "unbiased variance", IB_F32, 0, install_groupnorm_unbiased},
    {"groupnorm", "one group over all channels", IB_F32, 0, install_groupnorm_one_group},
    {"attention", "softmax without its maximum overflows", IB_F32, 0, install_attention_no_maximum},
    {"attention", "loses the last key of long rows", IB_F32, 0, install_attention_lost_key},
    {"temporal_attention", "four heads instead of eight", IB_F32, 0, install_temporal_one_head},
    {"temporal_attention", "causal mask", IB_F32, 0, install_temporal_causal},
    {"temporal_attention", "k and v swapped", IB_F32, 0, install_temporal_swapped},
    {"conv3x3", "border replicated instead of zero", IB_F32, 0, install_conv_replicated},
    {"conv3x3", "fmaxf as ReLU of the input: hides NaN", IB_F32, 0, install_conv_relu_hides_nan},
    {"conv3x3", "stride 2 starts at the wrong pixel", IB_F32, 0, install_conv_even_phase},
    {"conv3x3", "ignores the second residual", IB_F32, 0, install_conv_no_residual2},
    {"conv3x3", "takes frames as contiguous", IB_F32, 0, install_conv_dense_frames},
    {"conv_transpose", "kx and ky swapped", IB_F32, 0, install_convt_transposed},
    {"resize_bilinear", "half-pixel centres instead of align_corners", IB_F32, 0, install_resize_half_pixel},
    {"resize_taps", "border replicated instead of left out", IB_F32, 0, install_taps_replicated},
    {"overlap_add", "margins left out", IB_F32, 0, install_overlap_not_added},
    {"output_head", "bias off by one", IB_F32, 0, install_head_bias_shifted},
    {"output_head", "f16 map in f32 mode", IB_F32, 0, install_head_half_map},
    {"output_head", "ReLU for the sigmoid", IB_F32, 0, install_head_no_sigmoid},
    {"patchify", "leaves the padding columns unwritten", IB_F32, 0, install_patchify_no_padding},
    {"embed_tokens", "no position for the class token", IB_F32, 0, install_embed_positions_shifted},
    {"add_pos", "position 0 for every frame", IB_F32, 0, install_add_pos_first_only},
    {"copy", "truncates to bf16 instead of rounding", IB_BF16, 0, install_copy_truncates},
    {"add", "rounds its inputs to bf16", IB_BF16, 0, install_add_rounds_twice},
    {"count_nonfinite", "counts NaN only", IB_F32, 0, install_count_nan_only},
    {"preprocess", "BGR", IB_F32, 0, install_preprocess_transposed_rgb},
    {"render", "fused multiply-add", IB_F32, 0, install_render_fused},
    {"fit_sums", "sums in the order of pixels, without lanes", IB_F32, 0, install_fit_in_order},
    {NULL}};
