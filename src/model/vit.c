/* The encoder; see vit.h. Beside each line stands the line of the paper's code that it is. */
#include "model/vit.h"

#include "base/diffuse.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Row m of a [M,K] matrix times gamma[m], in place: LayerScale folded into the product before it. */
static void scale_rows(float *data, const float *gamma, int64_t rows, int64_t columns)
{
    for (int64_t m = 0; m < rows; m++)
        for (int64_t k = 0; k < columns; k++) data[m * columns + k] *= gamma[m];
}

/* ls(linear(x)) as one linear: weight and bias, each row times gamma. */
static isobath_status scaled_linear(ib_params *p, const char *linear, const char *gamma_name, int64_t out_channels,
                                    int64_t in_channels, ib_weight **weight, ib_tensor *bias)
{
    char name[64];
    float *w = NULL, *b = NULL, *gamma = NULL;
    isobath_status st;
    snprintf(name, sizeof name, "%s.weight", linear);
    IB_TRY_GOTO(st, ib_params_read(p, name, out_channels * in_channels, &w), done);
    snprintf(name, sizeof name, "%s.bias", linear);
    IB_TRY_GOTO(st, ib_params_read(p, name, out_channels, &b), done);
    IB_TRY_GOTO(st, ib_params_read(p, gamma_name, out_channels, &gamma), done);
    if (w) {
        scale_rows(w, gamma, out_channels, in_channels);
        scale_rows(b, gamma, out_channels, 1);
    }
    IB_TRY_GOTO(st, ib_params_pack(p, w, IB_WEIGHT_LINEAR, out_channels, in_channels, 0, weight), done);
    st = ib_params_upload(p, b, out_channels, bias);
done:
    free(w);
    free(b);
    free(gamma);
    return st;
}

static isobath_status create_block(ib_params *p, const ib_vda_config *m, ib_vit_block *b)
{
    int64_t C = m->width;
    IB_TRY(ib_params_vector(p, "norm1.weight", C, &b->norm1_w));
    IB_TRY(ib_params_vector(p, "norm1.bias", C, &b->norm1_b));
    IB_TRY(ib_params_weight(p, "attn.qkv.weight", IB_WEIGHT_LINEAR, 3 * C, C, 0, &b->qkv));
    IB_TRY(ib_params_vector(p, "attn.qkv.bias", 3 * C, &b->qkv_b));
    IB_TRY(scaled_linear(p, "attn.proj", "ls1.gamma", C, C, &b->proj, &b->proj_b));
    IB_TRY(ib_params_vector(p, "norm2.weight", C, &b->norm2_w));
    IB_TRY(ib_params_vector(p, "norm2.bias", C, &b->norm2_b));
    IB_TRY(ib_params_weight(p, "mlp.fc1.weight", IB_WEIGHT_LINEAR, m->mlp, C, 0, &b->fc1));
    IB_TRY(ib_params_vector(p, "mlp.fc1.bias", m->mlp, &b->fc1_b));
    return scaled_linear(p, "mlp.fc2", "ls2.gamma", C, m->mlp, &b->fc2, &b->fc2_b);
}

/* The patch convolution [C,3,14,14] as a product over patchify's rows: (c,ky,kx) becomes (ky,kx,c). */
static isobath_status create_patch(ib_params *p, int64_t C, ib_weight **out)
{
    float *w, *packed = NULL;
    IB_TRY(ib_params_read(p, "patch_embed.proj.weight", C * IB_PATCH_K, &w));
    if (w) {
        ib_diffuse_kernels(w, 3 * C, IB_PATCH, p->backend->act);
        packed = malloc((size_t)(C * IB_PATCH_K) * sizeof *packed);
        if (!packed) {
            free(w);
            return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "out of memory for the patch embedding");
        }
        for (int64_t m = 0; m < C; m++)
            for (int64_t c = 0; c < 3; c++)
                for (int64_t k = 0; k < IB_PATCH * IB_PATCH; k++)
                    packed[m * IB_PATCH_K + k * 3 + c] = w[(m * 3 + c) * IB_PATCH * IB_PATCH + k];
    }
    isobath_status st = ib_params_pack(p, packed, IB_WEIGHT_LINEAR, C, IB_PATCH_K, 0, out);
    free(packed);
    free(w);
    return st;
}

isobath_status ib_vit_create(ib_params *p, const ib_vda_config *m, ib_vit *vit)
{
    int64_t C = m->width;
    *vit = (ib_vit){.config = m};
    vit->blocks = calloc((size_t)m->depth, sizeof *vit->blocks);
    if (!vit->blocks) return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "out of memory for %d blocks", m->depth);
    ib_params_prefix(p, "pretrained.");
    IB_TRY(create_patch(p, C, &vit->patch));
    IB_TRY(ib_params_vector(p, "patch_embed.proj.bias", C, &vit->patch_b));
    IB_TRY(ib_params_vector(p, "cls_token", C, &vit->cls));
    IB_TRY(ib_params_read(p, "pos_embed", (1 + (int64_t)m->grid * m->grid) * C, &vit->pos_grid));
    IB_TRY(ib_params_vector(p, "norm.weight", C, &vit->norm_w));
    IB_TRY(ib_params_vector(p, "norm.bias", C, &vit->norm_b));
    for (int i = 0; i < m->depth; i++) {
        ib_params_prefix(p, "pretrained.blocks.%d.", i);
        IB_TRY(create_block(p, m, &vit->blocks[i]));
    }
    return ISOBATH_OK;
}

void ib_vit_free(ib_vit *vit)
{
    free(vit->blocks);
    free(vit->pos_grid);
    *vit = (ib_vit){0};
}

/* Weights of the four taps around `t` in [0,1): Keys' cubic with a = -0.75. */
static void cubic_weights(double t, double w[4])
{
    const double a = -0.75;
    double d[4] = {1 + t, t, 1 - t, 2 - t};
    for (int i = 0; i < 4; i++) {
        double x = d[i];
        w[i] = x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    }
}

/* One axis: first source index (may be out of range, clamp) and weights for each of n destinations. */
static void cubic_axis(int n, int grid, int *first, double *weights)
{
    double scale = ((double)n + 0.1) / grid;
    for (int i = 0; i < n; i++) {
        double s = (i + 0.5) / scale - 0.5, f = floor(s);
        first[i] = (int)f - 1;
        cubic_weights(s - f, weights + 4 * i);
    }
}

static int clamp_index(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

void ib_vit_positions(const float *grid_pos, int grid, int C, int h, int w, float *dst)
{
    memcpy(dst, grid_pos, (size_t)C * sizeof *dst); /* the class token's row is never resized */
    if (h * w == grid * grid && h == w) {
        memcpy(dst + C, grid_pos + C, (size_t)h * (size_t)w * (size_t)C * sizeof *dst);
        return;
    }
    enum { MAX_SIDE = 4096 };
    int fy[MAX_SIDE], fx[MAX_SIDE];
    static _Thread_local double wy[4 * MAX_SIDE], wx[4 * MAX_SIDE];
    cubic_axis(h, grid, fy, wy);
    cubic_axis(w, grid, fx, wx);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float *out = dst + ((size_t)1 + (size_t)y * (size_t)w + (size_t)x) * (size_t)C;
            for (int c = 0; c < C; c++) {
                double sum = 0;
                for (int j = 0; j < 4; j++) {
                    const float *row = grid_pos + (1 + (size_t)clamp_index(fy[y] + j, grid) * (size_t)grid) * (size_t)C;
                    double r = 0;
                    for (int i = 0; i < 4; i++)
                        r += wx[4 * x + i] * row[(size_t)clamp_index(fx[x] + i, grid) * (size_t)C + (size_t)c];
                    sum += wy[4 * y + j] * r;
                }
                out[c] = (float)sum;
            }
        }
}

/* x += ls1 * attn(norm1 x); x += ls2 * mlp(norm2 x) */
static isobath_status block_forward(const ib_vit_block *b, ib_backend *be, const ib_vda_config *m, const ib_tensor *x,
                                    const ib_tensor *n, const ib_tensor *qkv, const ib_tensor *hidden)
{
    IB_TRY(ib_layernorm(be, &(ib_layernorm_args){.x = *x, .weight = b->norm1_w, .bias = b->norm1_b, .eps = 1e-6f, .y = *n}));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = *n, .w = b->qkv, .bias = b->qkv_b, .y = *qkv}));
    IB_TRY(ib_attention(be, &(ib_attention_args){.qkv = *qkv, .heads = m->heads, .y = *n}));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = *n, .w = b->proj, .bias = b->proj_b, .residual = *x, .y = *x}));
    IB_TRY(ib_layernorm(be, &(ib_layernorm_args){.x = *x, .weight = b->norm2_w, .bias = b->norm2_b, .eps = 1e-6f, .y = *n}));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = *n, .w = b->fc1, .bias = b->fc1_b, .act = IB_ACT_GELU, .y = *hidden}));
    return ib_linear(be, &(ib_linear_args){.x = *hidden, .w = b->fc2, .bias = b->fc2_b, .residual = *x, .y = *x});
}

isobath_status ib_vit_encode(const ib_vit *vit, ib_backend *be, ib_arena *arena, const ib_tensor *frames,
                             const ib_tensor *pos, ib_tensor tap_tokens[4], const ib_tap *tap, int64_t first)
{
    const ib_vda_config *m = vit->config;
    int64_t T = frames->dim[0], N = (frames->dim[1] / IB_PATCH) * (frames->dim[2] / IB_PATCH), C = m->width;
    size_t mark = ib_arena_mark(arena);
    ib_tensor x, n, qkv, hidden, patches, embedded;
    IB_TRY(ib_arena_3d(arena, IB_F32, T, N + 1, C, &x));
    IB_TRY(ib_arena_3d(arena, be->act, T, N + 1, C, &n));
    size_t inner = ib_arena_mark(arena);
    IB_TRY(ib_arena_3d(arena, be->act, T, N, IB_PATCH_KPAD, &patches)); /* patch_embed(x) */
    IB_TRY(ib_arena_3d(arena, IB_F32, T, N, C, &embedded));
    IB_TRY(ib_patchify(be, &(ib_patchify_args){*frames, patches}));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = patches, .w = vit->patch, .bias = vit->patch_b, .y = embedded}));
    ib_tap_show(tap, "patch_embed", &embedded, first);
    IB_TRY(ib_embed_tokens(be, &(ib_embed_tokens_args){embedded, vit->cls, *pos, x})); /* cat(cls, x) + pos_embed */
    ib_arena_release(arena, inner); /* the patches' memory serves the blocks: qkv and hidden share theirs in turn */
    IB_TRY(ib_arena_3d(arena, be->act, T, N + 1, 3 * C, &qkv));
    ib_arena_release(arena, inner);
    IB_TRY(ib_arena_3d(arena, be->act, T, N + 1, m->mlp, &hidden));
    for (int i = 0, next = 0; i < m->depth && next < 4; i++) {
        IB_TRY(block_forward(&vit->blocks[i], be, m, &x, &n, &qkv, &hidden));
        if (tap && tap->fn) {
            char name[16];
            snprintf(name, sizeof name, "block%d", i);
            ib_tap_show(tap, name, &x, first);
        }
        if (i == m->taps[next]) { /* norm(x)[:, 1:] */
            ib_tensor tokens = ib_tensor_narrow(&x, 1, 1, N);
            IB_TRY(ib_layernorm(be, &(ib_layernorm_args){.x = tokens, .weight = vit->norm_w, .bias = vit->norm_b,
                                                         .eps = 1e-6f, .y = tap_tokens[next]}));
            next++;
        }
    }
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}
