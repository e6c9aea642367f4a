/* The head; see dpt.h. out_conv runs before the bilinear resize that it follows in the paper's code: both are linear and
 * the resize's weights sum to one, so the value is the same and the product is four times smaller. Where the backend wants
 * it, so does output_conv1, whose products are four times fewer then (resize_taps), and layer1_rn and layer2_rn are one with
 * the transposed convolutions before them (overlap_add). */
#include "model/dpt.h"

#include "model/compose.h"
#include "model/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ib_dpt_shape ib_dpt_shape_for(int64_t rows, int64_t columns)
{
    return (ib_dpt_shape){.h = {4 * rows, 2 * rows, rows, (rows + 1) / 2},
                          .w = {4 * columns, 2 * columns, columns, (columns + 1) / 2},
                          .out_h = IB_PATCH * rows,
                          .out_w = IB_PATCH * columns};
}

static isobath_status create_rcu(ib_params *p, const char *head, int level, int unit, int64_t F, ib_rcu *r)
{
    ib_params_prefix(p, "%s.scratch.refinenet%d.resConfUnit%d.", head, level + 1, unit);
    IB_TRY(ib_params_weight(p, "conv1.weight", IB_WEIGHT_CONV3X3, F, F, 0, &r->conv1));
    IB_TRY(ib_params_vector(p, "conv1.bias", F, &r->conv1_b));
    IB_TRY(ib_params_weight(p, "conv2.weight", IB_WEIGHT_CONV3X3, F, F, 0, &r->conv2));
    return ib_params_vector(p, "conv2.bias", F, &r->conv2_b);
}

/* output_conv2: [32,F/2,3,3] and the 1x1's 32 weights as one HEAD weight, 33 biases. */
static isobath_status create_output2(ib_params *p, const ib_vda_config *m, ib_dpt *d)
{
    int64_t F = m->features, n = 32 * (F / 2) * 9;
    float *w = NULL, *v = NULL, *b = NULL, *c = NULL, *all = NULL;
    isobath_status st;
    IB_TRY_GOTO(st, ib_params_read(p, "output_conv2.0.weight", n, &w), done);
    IB_TRY_GOTO(st, ib_params_read(p, "output_conv2.2.weight", 32, &v), done);
    IB_TRY_GOTO(st, ib_params_read(p, "output_conv2.0.bias", 32, &b), done);
    IB_TRY_GOTO(st, ib_params_read(p, "output_conv2.2.bias", 1, &c), done);
    float bias[33] = {0};
    if (w) {
        all = malloc((size_t)(n + 32) * sizeof *all);
        if (!all) {
            st = ib_fail(p->diag, ISOBATH_ERR_MEMORY, "out of memory for output_conv2");
            goto done;
        }
        memcpy(all, w, (size_t)n * sizeof *all);
        for (int i = 0; i < 32; i++) all[n + i] = v[i] * m->metre_scale;
        memcpy(bias, b, sizeof bias - sizeof *bias);
        bias[32] = c[0] * m->metre_scale;
    }
    IB_TRY_GOTO(st, ib_params_pack(p, all, IB_WEIGHT_HEAD, 32, F / 2, 0, &d->output2), done);
    st = ib_params_upload(p, all ? bias : NULL, 33, &d->output2_b);
done:
    free(w);
    free(v);
    free(b);
    free(c);
    free(all);
    return st;
}

/* A composed weight and its bias on the device. */
static isobath_status upload_composed(ib_params *p, isobath_status st, const float *w, const float *b, int64_t rows,
                                      int64_t K, ib_weight **weight, ib_tensor *bias)
{
    IB_TRY(st);
    IB_TRY(ib_params_pack(p, w, IB_WEIGHT_LINEAR, rows, K, 0, weight));
    return ib_params_upload(p, b, rows, bias);
}

/* Tensors first (out_conv or resize_layers, M x K values a place) and second (a 3x3 of C channels) as one LINEAR; `k` of the
 * transposed convolution, 1: of a 1x1. */
static isobath_status create_composed(ib_params *p, const char *first, const char *second, int64_t C, int64_t M, int64_t K,
                                      int k, ib_weight **weight, ib_tensor *bias)
{
    const int64_t rows = (k + 2) * (k + 2) * C;
    char name[80];
    float *w0 = NULL, *b0 = NULL, *w1 = NULL, *w = NULL, *b = NULL;
    isobath_status st;
    snprintf(name, sizeof name, "%s.weight", first);
    IB_TRY_GOTO(st, ib_params_read(p, name, M * K * k * k, &w0), done);
    snprintf(name, sizeof name, "%s.bias", first);
    IB_TRY_GOTO(st, ib_params_read(p, name, M, &b0), done);
    snprintf(name, sizeof name, "%s.weight", second);
    IB_TRY_GOTO(st, ib_params_read(p, name, C * M * 9, &w1), done);
    if (!w0) { /* the null backend */
        st = upload_composed(p, ISOBATH_OK, NULL, NULL, rows, K, weight, bias);
        goto done;
    }
    w = malloc((size_t)(rows * K) * sizeof *w);
    b = malloc((size_t)rows * sizeof *b);
    st = !w || !b ? ib_fail(p->diag, ISOBATH_ERR_MEMORY, "out of memory for %s", first)
         : k == 1 ? ib_compose_taps(C, M, K, p->backend->act, w0, b0, w1, w, b, p->diag)
                  : ib_compose_overlap(C, M, K, k, w0, b0, w1, w, b, p->diag);
    st = upload_composed(p, st, w, b, rows, K, weight, bias);
done:
    free(w0);
    free(b0);
    free(w1);
    free(w);
    free(b);
    return st;
}

/* refinenet1's out_conv and output_conv1. */
static isobath_status create_output1(ib_params *p, const char *head, int64_t F, ib_dpt *d)
{
    ib_params_prefix(p, "%s.scratch.", head);
    IB_TRY(ib_params_vector(p, "output_conv1.bias", F / 2, &d->output1_b));
    if (p->backend->ops->taps_first)
        return create_composed(p, "refinenet1.out_conv", "output_conv1", F / 2, F, F, 1, &d->taps, &d->taps_b);
    IB_TRY(ib_pair_read(p, "refinenet1.out_conv.weight", F, F, &d->refine[0].out));
    IB_TRY(ib_params_vector(p, "refinenet1.out_conv.bias", F, &d->refine[0].out_b));
    return ib_params_weight(p, "output_conv1.weight", IB_WEIGHT_CONV3X3, F / 2, F, 0, &d->output1);
}

/* resize_layers[i] and layer(i+1)_rn: one after the other, or as one for the transposed ones of backends that want it so. */
static isobath_status create_resize(ib_params *p, const char *head, int i, int oc, int64_t F, ib_dpt *d)
{
    static const int kernels[4] = {4, 2, 0, 0};
    char name[64], other[64];
    if (kernels[i] && p->backend->ops->taps_first) {
        ib_params_prefix(p, "%s.", head);
        snprintf(name, sizeof name, "resize_layers.%d", i);
        snprintf(other, sizeof other, "scratch.layer%d_rn", i + 1);
        return create_composed(p, name, other, F, oc, oc, kernels[i], &d->overlap[i], &d->overlap_b[i]);
    }
    ib_params_prefix(p, "%s.resize_layers.%d.", head, i);
    if (i != 2) {
        IB_TRY(ib_params_weight(p, "weight", kernels[i] ? IB_WEIGHT_CONVT : IB_WEIGHT_CONV3X3, oc, oc, kernels[i], &d->resize[i]));
        IB_TRY(ib_params_vector(p, "bias", oc, &d->resize_b[i]));
    }
    ib_params_prefix(p, "%s.scratch.", head);
    snprintf(name, sizeof name, "layer%d_rn.weight", i + 1);
    return ib_params_weight(p, name, IB_WEIGHT_CONV3X3, F, oc, 0, &d->layer_rn[i]);
}

isobath_status ib_dpt_create(ib_params *p, const ib_vda_config *m, ib_dpt *d)
{
    int64_t F = m->features;
    const int *oc = m->out_channels;
    const char *head = ib_vda_head_name(m);
    *d = (ib_dpt){.config = m};
    for (int i = 0; i < 4; i++) {
        ib_params_prefix(p, "%s.projects.%d.", head, i);
        IB_TRY(ib_params_weight(p, "weight", IB_WEIGHT_LINEAR, oc[i], m->width, 0, &d->project[i]));
        IB_TRY(ib_params_vector(p, "bias", oc[i], &d->project_b[i]));
        IB_TRY(create_resize(p, head, i, oc[i], F, d));
        if (i != 3) IB_TRY(create_rcu(p, head, i, 1, F, &d->refine[i].rcu1));
        IB_TRY(create_rcu(p, head, i, 2, F, &d->refine[i].rcu2));
        if (i == 0) continue; /* create_output1 */
        ib_params_prefix(p, "%s.scratch.refinenet%d.out_conv.", head, i + 1);
        IB_TRY(ib_pair_read(p, "weight", F, F, &d->refine[i].out));
        IB_TRY(ib_params_vector(p, "bias", F, &d->refine[i].out_b));
    }
    IB_TRY(create_output1(p, head, F, d));
    IB_TRY(create_output2(p, m, d));
    int64_t channels[4] = {oc[2], oc[3], F, F};
    for (int i = 0; i < 4 && m->temporal; i++) IB_TRY(ib_temporal_create(p, i, channels[i], &d->motion[i]));
    return ISOBATH_OK;
}

/* y = RCU(x) [+ path]; `t` is scratch of x's shape; y may be x. */
static isobath_status rcu_forward(const ib_rcu *r, ib_backend *be, const ib_tensor *x, const ib_tensor *t,
                                  const ib_tensor *path, const ib_tensor *y)
{
    IB_TRY(ib_conv3x3(be, &(ib_conv3x3_args){.x = *x, .w = r->conv1, .bias = r->conv1_b, .stride = 1, .relu_in = 1,
                                             .relu_out = 1, .y = *t}));
    ib_conv3x3_args second = {.x = *t, .w = r->conv2, .bias = r->conv2_b, .stride = 1, .residual = *x, .y = *y};
    if (path) second.residual2 = *path;
    return ib_conv3x3(be, &second);
}

/* layerK_rn, then RCU1 of its refinenet: level 0 or 1 of the features. */
static isobath_status skip_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, int level, const ib_tensor *x,
                                   const ib_tensor *out, const ib_tap *tap, int64_t first)
{
    size_t mark = ib_arena_mark(arena);
    ib_tensor rn, t;
    IB_TRY(ib_arena_4d(arena, be->act, out->dim[0], out->dim[1], out->dim[2], out->dim[3], &rn));
    IB_TRY(ib_arena_4d(arena, be->act, out->dim[0], out->dim[1], out->dim[2], out->dim[3], &t));
    IB_TRY(ib_conv3x3(be, &(ib_conv3x3_args){.x = *x, .w = d->layer_rn[level], .stride = 1, .y = rn}));
    if (level == 0) ib_tap_show(tap, "layer1_rn", &rn, first);
    IB_TRY(rcu_forward(&d->refine[level].rcu1, be, &rn, &t, NULL, out));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

/* The same from level's projected tokens, where resize_layers and layerK_rn are one; layerK_rn lies where the result comes. */
static isobath_status overlap_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, int level, const ib_tensor *tokens,
                                      int64_t h, int64_t w, const ib_tensor *out, const ib_tap *tap, int64_t first)
{
    const int k = level == 0 ? 4 : 2;
    size_t mark = ib_arena_mark(arena);
    ib_tensor z, t;
    IB_TRY(ib_arena_3d(arena, be->act, tokens->dim[0], h * w, (k + 2) * (k + 2) * out->dim[3], &z));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = *tokens, .w = d->overlap[level], .bias = d->overlap_b[level], .y = z}));
    IB_TRY(ib_overlap_add(be, &(ib_overlap_add_args){ib_tensor_as_map(&z, h, w), k, *out}));
    if (level == 0) ib_tap_show(tap, "layer1_rn", out, first);
    ib_arena_release(arena, mark);
    IB_TRY(ib_arena_4d(arena, be->act, out->dim[0], out->dim[1], out->dim[2], out->dim[3], &t));
    IB_TRY(rcu_forward(&d->refine[level].rcu1, be, out, &t, NULL, out));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

isobath_status ib_dpt_features_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, const ib_tensor tokens[4],
                                       const ib_dpt_shape *s, const ib_dpt_features *out, const ib_tap *tap, int64_t first)
{
    int64_t T = tokens[0].dim[0], h = s->h[2], w = s->w[2];
    for (int i = 0; i < 4; i++) {
        size_t mark = ib_arena_mark(arena);
        int64_t oc = d->config->out_channels[i];
        ib_tensor p, map, resized;
        if (i == 2) { /* projects straight into the cache: resize_layers[2] is the identity */
            ib_tensor y = ib_tensor_as_tokens(&out->layer[0]);
            IB_TRY(ib_linear(be, &(ib_linear_args){.x = tokens[i], .w = d->project[i], .bias = d->project_b[i], .y = y}));
            continue;
        }
        IB_TRY(ib_arena_3d(arena, be->act, T, h * w, oc, &p));
        IB_TRY(ib_linear(be, &(ib_linear_args){.x = tokens[i], .w = d->project[i], .bias = d->project_b[i], .y = p}));
        map = ib_tensor_as_map(&p, h, w);
        if (i == 3) {
            IB_TRY(ib_conv3x3(be, &(ib_conv3x3_args){.x = map, .w = d->resize[3], .bias = d->resize_b[3], .stride = 2,
                                                     .y = out->layer[1]}));
        } else if (i < 2 && d->overlap[i]) {
            IB_TRY(overlap_forward(d, be, arena, i, &p, h, w, &out->skip[i], tap, first));
        } else {
            IB_TRY(ib_arena_4d(arena, be->act, T, s->h[i], s->w[i], oc, &resized));
            IB_TRY(ib_conv_transpose(be, &(ib_conv_transpose_args){map, d->resize[i], d->resize_b[i], resized}));
            IB_TRY(skip_forward(d, be, arena, i, &resized, &out->skip[i], tap, first));
        }
        ib_arena_release(arena, mark);
    }
    return ISOBATH_OK;
}

/* refinenet: u = path + skip; u = RCU2(u); out_conv; resize. u is overwritten. */
static isobath_status refine_forward(const ib_refinenet *r, ib_backend *be, ib_arena *arena, const ib_tensor *u,
                                     const ib_tensor *y)
{
    size_t mark = ib_arena_mark(arena);
    ib_tensor t;
    IB_TRY(ib_arena_4d(arena, be->act, u->dim[0], u->dim[1], u->dim[2], u->dim[3], &t));
    IB_TRY(rcu_forward(&r->rcu2, be, u, &t, NULL, u));
    IB_TRY(ib_pair_linear(be, &r->out, &(ib_linear_args){.x = ib_tensor_as_tokens(u), .bias = r->out_b, .y = ib_tensor_as_tokens(&t)}));
    IB_TRY(ib_resize_bilinear(be, &(ib_resize_bilinear_args){t, *y}));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

/* u = path + skip, where RCU1 is part of the cached skip already: a conv-free sum. */
static isobath_status add_forward(ib_backend *be, const ib_tensor *path, const ib_tensor *skip, const ib_tensor *u)
{
    return ib_add(be, &(ib_add_args){ib_tensor_as_tokens(path), ib_tensor_as_tokens(skip), ib_tensor_as_tokens(u)});
}

typedef struct depth_job {
    const ib_dpt *d;
    ib_backend *be;
    ib_arena *arena;
    const ib_dpt_features *f;
    const ib_dpt_shape *s;
    const ib_tensor *path3, *depth;
} depth_job;

/* path_2 = refinenet2(path_3, layer_2_rn), into u1. */
static isobath_status path2_piece(const depth_job *job, int64_t first, int64_t count, const ib_tensor *u1)
{
    ib_arena *arena = job->arena;
    size_t mark = ib_arena_mark(arena);
    ib_tensor u2, p3 = ib_tensor_slice(job->path3, first, count), skip2 = ib_tensor_slice(&job->f->skip[1], first, count);
    IB_TRY(ib_arena_4d(arena, job->be->act, count, job->s->h[1], job->s->w[1], u1->dim[3], &u2));
    IB_TRY(add_forward(job->be, &p3, &skip2, &u2));
    IB_TRY(refine_forward(&job->d->refine[1], job->be, arena, &u2, u1));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

/* The frame-wise end of the head for `count` frames from `first` on. */
static isobath_status depth_piece(void *ctx, int64_t first, int64_t count)
{
    const depth_job *job = ctx;
    const ib_dpt *d = job->d;
    ib_backend *be = job->be;
    ib_arena *arena = job->arena;
    const ib_dpt_shape *s = job->s;
    int64_t F = d->config->features;
    ib_tensor u1, p1, o, skip1 = ib_tensor_slice(&job->f->skip[0], first, count), y = ib_tensor_slice(job->depth, first, count);
    /* path_1 is the largest; what comes before it is freed as soon as it can be */
    IB_TRY(ib_arena_4d(arena, be->act, count, 2 * s->h[0], 2 * s->w[0], F, &p1));
    IB_TRY(ib_arena_4d(arena, be->act, count, s->h[0], s->w[0], F, &u1));
    IB_TRY(path2_piece(job, first, count, &u1));
    IB_TRY(add_forward(be, &u1, &skip1, &u1));
    IB_TRY(refine_forward(&d->refine[0], be, arena, &u1, &p1)); /* path_1 = refinenet1(path_2, layer_1_rn) */
    IB_TRY(ib_arena_4d(arena, be->act, count, 2 * s->h[0], 2 * s->w[0], F / 2, &o));
    IB_TRY(ib_conv3x3(be, &(ib_conv3x3_args){.x = p1, .w = d->output1, .bias = d->output1_b, .stride = 1, .y = o}));
    return ib_output_head(be, &(ib_output_head_args){o, d->output2, d->output2_b, y, d->config->max_depth});
}

/* The same with output_conv1's products first; u1 and its scratch lie where the result comes. */
static isobath_status depth_piece_taps(void *ctx, int64_t first, int64_t count)
{
    const depth_job *job = ctx;
    const ib_dpt *d = job->d;
    ib_backend *be = job->be;
    ib_arena *arena = job->arena;
    const ib_dpt_shape *s = job->s;
    int64_t F = d->config->features, h = s->h[0], w = s->w[0];
    ib_tensor o, z, skip1 = ib_tensor_slice(&job->f->skip[0], first, count), y = ib_tensor_slice(job->depth, first, count);
    IB_TRY(ib_arena_4d(arena, be->act, count, 2 * h, 2 * w, F / 2, &o));
    const size_t half = (size_t)(count * h * w * F) * ib_dtype_size(be->act);
    const ib_tensor u1 = ib_tensor_4d(o.data, be->act, count, h, w, F);
    const ib_tensor t = ib_tensor_4d((char *)o.data + half, be->act, count, h, w, F);
    IB_TRY(path2_piece(job, first, count, &u1));
    IB_TRY(add_forward(be, &u1, &skip1, &u1));
    IB_TRY(rcu_forward(&d->refine[0].rcu2, be, &u1, &t, NULL, &u1));
    IB_TRY(ib_arena_4d(arena, be->act, count, h, w, 9 * (F / 2), &z));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = ib_tensor_as_tokens(&u1), .w = d->taps, .bias = d->taps_b,
                                           .y = ib_tensor_as_tokens(&z)}));
    IB_TRY(ib_resize_taps(be, &(ib_resize_taps_args){z, d->output1_b, o}));
    return ib_output_head(be, &(ib_output_head_args){o, d->output2, d->output2_b, y, d->config->max_depth});
}

static isobath_status motion_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, int i, const ib_tensor *map,
                                     int64_t piece, const ib_temporal_past *past, const ib_tap *tap)
{
    char name[16];
    ib_tensor tokens = ib_tensor_as_tokens(map);
    if (!d->config->temporal) return ISOBATH_OK;
    if (past) IB_TRY(ib_temporal_stream(&d->motion[i], be, arena, &tokens, piece, &past[i]));
    else IB_TRY(ib_temporal_forward(&d->motion[i], be, arena, &tokens, piece));
    snprintf(name, sizeof name, "motion%d", i);
    ib_tap_show(tap, name, map, 0);
    return ISOBATH_OK;
}

/* `past` NULL: the frames see each other; else T = 1 and one past per temporal module. */
static isobath_status depth_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, const ib_dpt_features *f,
                                    const ib_dpt_shape *s, int64_t micro_batch, int64_t piece,
                                    const ib_temporal_past *past, const ib_tensor *depth, const ib_tap *tap)
{
    int64_t T = f->layer[0].dim[0], F = d->config->features;
    const int *oc = d->config->out_channels;
    size_t mark = ib_arena_mark(arena);
    ib_tensor path3, path4, l3, l4, rn3, rn4, u3;
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[1], s->w[1], F, &path3));
    size_t inner = ib_arena_mark(arena);
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[2], s->w[2], F, &path4));
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[2], s->w[2], F, &rn3));
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[3], s->w[3], F, &rn4));
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[2], s->w[2], oc[2], &l3));
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[3], s->w[3], oc[3], &l4));
    /* layer_3 = motion0(layer_3); layer_4 = motion1(layer_4): on copies, the cache keeps what the next window reads */
    IB_TRY(ib_copy(be, &(ib_copy_args){ib_tensor_as_tokens(&f->layer[0]), ib_tensor_as_tokens(&l3)}));
    IB_TRY(ib_copy(be, &(ib_copy_args){ib_tensor_as_tokens(&f->layer[1]), ib_tensor_as_tokens(&l4)}));
    IB_TRY(motion_forward(d, be, arena, 0, &l3, piece, past, tap));
    IB_TRY(motion_forward(d, be, arena, 1, &l4, piece, past, tap));
    IB_TRY(ib_conv3x3(be, &(ib_conv3x3_args){.x = l3, .w = d->layer_rn[2], .stride = 1, .y = rn3}));
    IB_TRY(ib_conv3x3(be, &(ib_conv3x3_args){.x = l4, .w = d->layer_rn[3], .stride = 1, .y = rn4}));
    ib_tap_show(tap, "layer4_rn", &rn4, 0);
    IB_TRY(refine_forward(&d->refine[3], be, arena, &rn4, &path4)); /* path_4 = refinenet4(layer_4_rn) */
    ib_tap_show(tap, "refinenet4", &path4, 0);
    IB_TRY(motion_forward(d, be, arena, 2, &path4, piece, past, tap));
    /* path_3 = refinenet3(path_4, layer_3_rn); l3 and l4 are done with: u3 takes l3's place when it fits */
    IB_TRY(ib_arena_4d(arena, be->act, T, s->h[2], s->w[2], F, &u3));
    IB_TRY(rcu_forward(&d->refine[2].rcu1, be, &rn3, &u3, &path4, &rn3));
    IB_TRY(refine_forward(&d->refine[2], be, arena, &rn3, &path3));
    ib_arena_release(arena, inner);
    ib_tap_show(tap, "refinenet3", &path3, 0);
    IB_TRY(motion_forward(d, be, arena, 3, &path3, piece, past, tap));
    IB_TRY(ib_lanes_run(be, arena, T, micro_batch, ib_lanes_gain(d->config->width), d->taps ? depth_piece_taps : depth_piece,
                        &(depth_job){d, be, arena, f, s, &path3, depth}));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

isobath_status ib_dpt_depth_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, const ib_dpt_features *f,
                                    const ib_dpt_shape *s, int64_t micro_batch, int64_t piece, const ib_tensor *depth,
                                    const ib_tap *tap)
{
    return depth_forward(d, be, arena, f, s, micro_batch, piece, NULL, depth, tap);
}

isobath_status ib_dpt_stream_forward(const ib_dpt *d, ib_backend *be, ib_arena *arena, const ib_dpt_features *f,
                                     const ib_dpt_shape *s, int64_t piece, const ib_temporal_past past[4],
                                     const ib_tensor *depth, const ib_tap *tap)
{
    return depth_forward(d, be, arena, f, s, 1, piece, past, depth, tap);
}
