/* The temporal module; see temporal.h. */
#include "model/temporal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* to_q, to_k and to_v as one weight of 3C rows. */
static isobath_status create_qkv(ib_params *p, int64_t C, int index, ib_pair *out)
{
    static const char *const parts[] = {"to_q", "to_k", "to_v"};
    float *all = NULL;
    if (p->checkpoint) {
        all = malloc((size_t)(3 * C * C) * sizeof *all);
        if (!all) return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "out of memory for temporal attention weights");
    }
    isobath_status st = ISOBATH_OK;
    for (int i = 0; i < 3 && all; i++) {
        char name[64];
        snprintf(name, sizeof name, "attention_blocks.%d.%s.weight", index, parts[i]);
        float *part;
        IB_TRY_GOTO(st, ib_params_read(p, name, C * C, &part), done);
        memcpy(all + (size_t)i * (size_t)(C * C), part, (size_t)(C * C) * sizeof *all);
        free(part);
    }
    st = ib_pair_pack(p, all, 3 * C, C, out);
done:
    free(all);
    return st;
}

static isobath_status create_attn(ib_params *p, int64_t C, int i, ib_temporal_attn *a)
{
    char name[64];
    snprintf(name, sizeof name, "norms.%d.weight", i);
    IB_TRY(ib_params_vector(p, name, C, &a->norm_w));
    snprintf(name, sizeof name, "norms.%d.bias", i);
    IB_TRY(ib_params_vector(p, name, C, &a->norm_b));
    IB_TRY(create_qkv(p, C, i, &a->qkv));
    snprintf(name, sizeof name, "attention_blocks.%d.to_out.0.weight", i);
    IB_TRY(ib_pair_read(p, name, C, C, &a->out));
    snprintf(name, sizeof name, "attention_blocks.%d.to_out.0.bias", i);
    IB_TRY(ib_params_vector(p, name, C, &a->out_b));
    snprintf(name, sizeof name, "attention_blocks.%d.pos_encoder.pe", i);
    return ib_params_vector(p, name, IB_WINDOW * C, &a->pe);
}

isobath_status ib_temporal_create(ib_params *p, int index, int64_t C, ib_temporal *m)
{
    m->channels = C;
    ib_params_prefix(p, "head.motion_modules.%d.temporal_transformer.", index);
    IB_TRY(ib_params_vector(p, "norm.weight", C, &m->norm_w));
    IB_TRY(ib_params_vector(p, "norm.bias", C, &m->norm_b));
    IB_TRY(ib_pair_read(p, "proj_in.weight", C, C, &m->proj_in));
    IB_TRY(ib_params_vector(p, "proj_in.bias", C, &m->proj_in_b));
    IB_TRY(ib_pair_read(p, "proj_out.weight", C, C, &m->proj_out));
    IB_TRY(ib_params_vector(p, "proj_out.bias", C, &m->proj_out_b));
    ib_params_prefix(p, "head.motion_modules.%d.temporal_transformer.transformer_blocks.0.", index);
    for (int i = 0; i < 2; i++) IB_TRY(create_attn(p, C, i, &m->attn[i]));
    IB_TRY(ib_params_vector(p, "ff_norm.weight", C, &m->ff_norm_w));
    IB_TRY(ib_params_vector(p, "ff_norm.bias", C, &m->ff_norm_b));
    IB_TRY(ib_params_weight(p, "ff.net.0.proj.weight", IB_WEIGHT_GEGLU, 4 * C, C, 0, &m->ff_in));
    IB_TRY(ib_params_vector(p, "ff.net.0.proj.bias", 8 * C, &m->ff_in_b));
    IB_TRY(ib_params_weight(p, "ff.net.2.weight", IB_WEIGHT_LINEAR, C, 4 * C, 0, &m->ff_out));
    return ib_params_vector(p, "ff.net.2.bias", C, &m->ff_out_b);
}

/* The end of the block over the residual stream s; s, n and hidden are scratch; x receives the result. */
static isobath_status end_forward(const ib_temporal *m, ib_backend *be, const ib_tensor *s, const ib_tensor *n,
                                  const ib_tensor *hidden, const ib_tensor *x)
{
    /* hidden_states = ff(ff_norm(hidden_states)) + hidden_states, in the activation type for the last product */
    IB_TRY(ib_layernorm(be, &(ib_layernorm_args){.x = *s, .weight = m->ff_norm_w, .bias = m->ff_norm_b, .eps = 1e-5f, .y = *n}));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = *n, .w = m->ff_in, .bias = m->ff_in_b, .act = IB_ACT_GEGLU, .y = *hidden}));
    IB_TRY(ib_linear(be, &(ib_linear_args){.x = *hidden, .w = m->ff_out, .bias = m->ff_out_b, .residual = *s, .y = *n}));
    /* output = proj_out(hidden_states) + residual */
    ib_linear_args last = {.x = *n, .w = m->proj_out.w, .bias = m->proj_out_b, .residual = *x, .y = *x};
    if (m->proj_out.rest) { /* the sum so far in f32, where the stream is not needed any more */
        IB_TRY(ib_linear(be, &(ib_linear_args){.x = *n, .w = m->proj_out.rest, .residual = *x, .y = *s}));
        last.residual = *s;
    }
    return ib_linear(be, &last);
}

/* One transformer block over pixels [first, first + count) of g = GroupNorm(x); x receives the result. */
static isobath_status forward_piece(const ib_temporal *m, ib_backend *be, ib_arena *arena, const ib_tensor *g_all,
                                    const ib_tensor *x_all, int64_t first, int64_t count)
{
    int64_t T = x_all->dim[0], C = m->channels;
    ib_tensor g = ib_tensor_narrow(g_all, 1, first, count), x = ib_tensor_narrow(x_all, 1, first, count);
    size_t mark = ib_arena_mark(arena);
    ib_tensor s, n, qkv, hidden;
    IB_TRY(ib_arena_3d(arena, IB_F32, T, count, C, &s)); /* the residual stream */
    IB_TRY(ib_arena_3d(arena, be->act, T, count, C, &n));
    size_t inner = ib_arena_mark(arena);
    IB_TRY(ib_arena_3d(arena, be->act, T, count, 3 * C, &qkv));
    ib_arena_release(arena, inner); /* qkv and hidden are never alive together */
    IB_TRY(ib_arena_3d(arena, be->act, T, count, 4 * C, &hidden));
    /* hidden_states = proj_in(norm(x)) */
    IB_TRY(ib_pair_linear(be, &m->proj_in, &(ib_linear_args){.x = g, .bias = m->proj_in_b, .y = s}));
    for (int i = 0; i < 2; i++) { /* hidden_states = attention_block(norm(hidden_states) + pe) + hidden_states */
        const ib_temporal_attn *a = &m->attn[i];
        ib_tensor pe = ib_tensor_2d(a->pe.data, IB_F32, T, C);
        IB_TRY(ib_layernorm(be, &(ib_layernorm_args){.x = s, .weight = a->norm_w, .bias = a->norm_b, .pos = pe,
                                                     .eps = 1e-5f, .y = n}));
        IB_TRY(ib_pair_linear(be, &a->qkv, &(ib_linear_args){.x = n, .y = qkv}));
        ib_temporal_attention_args t = {.q = ib_tensor_narrow(&qkv, 2, 0, C), .k = ib_tensor_narrow(&qkv, 2, C, C),
                                        .v = ib_tensor_narrow(&qkv, 2, 2 * C, C), .heads = IB_TEMPORAL_HEADS, .y = n};
        IB_TRY(ib_temporal_attention(be, &t));
        IB_TRY(ib_pair_linear(be, &a->out, &(ib_linear_args){.x = n, .bias = a->out_b, .residual = s, .y = s}));
    }
    IB_TRY(end_forward(m, be, &s, &n, &hidden, &x));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

/* The whole block as one op, where the backend has it: *done. */
static isobath_status forward_at_once(const ib_temporal *m, ib_backend *be, const ib_tensor *g, const ib_tensor *x, int *done)
{
    ib_temporal_block_args a = {.x = *g, .residual = *x, .proj_in = m->proj_in.w, .proj_out = m->proj_out.w,
                                .proj_in_bias = m->proj_in_b, .proj_out_bias = m->proj_out_b,
                                .ff_norm_weight = m->ff_norm_w, .ff_norm_bias = m->ff_norm_b, .ff_in = m->ff_in,
                                .ff_out = m->ff_out, .ff_in_bias = m->ff_in_b, .ff_out_bias = m->ff_out_b,
                                .heads = IB_TEMPORAL_HEADS, .eps = 1e-5f, .y = *x};
    for (int i = 0; i < 2; i++) {
        const ib_temporal_attn *t = &m->attn[i];
        a.attn[i].norm_weight = t->norm_w;
        a.attn[i].norm_bias = t->norm_b;
        a.attn[i].pos = t->pe;
        a.attn[i].qkv = t->qkv.w;
        a.attn[i].out = t->out.w;
        a.attn[i].out_bias = t->out_b;
    }
    return ib_temporal_block(be, &a, done);
}

isobath_status ib_temporal_forward(const ib_temporal *m, ib_backend *be, ib_arena *arena, const ib_tensor *x, int64_t piece)
{
    int64_t P = x->dim[1];
    if (piece <= 0 || piece > P) piece = P;
    size_t mark = ib_arena_mark(arena);
    ib_tensor g;
    IB_TRY(ib_arena_3d(arena, be->act, x->dim[0], P, m->channels, &g));
    IB_TRY(ib_groupnorm(be, &(ib_groupnorm_args){.x = *x, .weight = m->norm_w, .bias = m->norm_b,
                                                 .groups = IB_TEMPORAL_GROUPS, .eps = 1e-6f, .y = g}));
    int done;
    IB_TRY(forward_at_once(m, be, &g, x, &done));
    for (int64_t first = done ? P : 0; first < P; first += piece)
        IB_TRY(forward_piece(m, be, arena, &g, x, first, P - first < piece ? P - first : piece));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

isobath_status ib_temporal_positions(const ib_temporal *m, ib_backend *be, ib_arena *arena, int i, const ib_tensor *pos)
{
    int64_t C = m->channels;
    size_t mark = ib_arena_mark(arena);
    ib_tensor pe, y = ib_tensor_3d(pos->data, IB_F32, 1, IB_WINDOW, 3 * C);
    IB_TRY(ib_arena_3d(arena, be->act, 1, IB_WINDOW, C, &pe));
    IB_TRY(ib_copy(be, &(ib_copy_args){ib_tensor_3d(m->attn[i].pe.data, IB_F32, 1, IB_WINDOW, C), pe}));
    IB_TRY(ib_pair_linear(be, &m->attn[i].qkv, &(ib_linear_args){.x = pe, .y = y}));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

/* y[j] = x + pos[first + j], columns from `column` of the position's q | k | v. */
static isobath_status add_positions(ib_backend *be, const ib_tensor *x, const ib_tensor *pos, int first, int64_t column,
                                    const ib_tensor *y)
{
    ib_tensor rows = ib_tensor_narrow(pos, 0, first, x->dim[0]);
    return ib_add_pos(be, &(ib_add_pos_args){*x, ib_tensor_narrow(&rows, 1, column, x->dim[2]), *y});
}

/* k | v of the past, act (slots,count,2C), with the positions of the slots that they now hold, into kv[0 .. count - 1].
 * Slots that follow each other go together. */
static isobath_status gather_past(ib_backend *be, const ib_tensor *cache, const ib_temporal_past *past, int i, const ib_tensor *kv)
{
    int64_t C = cache->dim[2] / 2;
    for (int j = 0; j < past->count;) {
        int n = 1;
        while (j + n < past->count && past->context[j + n] == past->context[j] + n) n++;
        ib_tensor from = ib_tensor_slice(cache, past->context[j], n), to = ib_tensor_slice(kv, j, n);
        IB_TRY(add_positions(be, &from, &past->pos[i], j, C, &to));
        j += n;
    }
    return ISOBATH_OK;
}

/* forward_piece for one new frame. */
static isobath_status stream_piece(const ib_temporal *m, ib_backend *be, ib_arena *arena, const ib_tensor *g_all,
                                   const ib_tensor *x_all, const ib_temporal_past *past, int64_t first, int64_t count)
{
    int64_t C = m->channels;
    ib_tensor g = ib_tensor_narrow(g_all, 1, first, count), x = ib_tensor_narrow(x_all, 1, first, count);
    size_t mark = ib_arena_mark(arena);
    ib_tensor s, n, q, qkv, kv, hidden;
    IB_TRY(ib_arena_3d(arena, IB_F32, 1, count, C, &s)); /* the residual stream */
    IB_TRY(ib_arena_3d(arena, be->act, 1, count, C, &n));
    size_t inner = ib_arena_mark(arena);
    IB_TRY(ib_arena_3d(arena, be->act, 1, count, C, &q));
    IB_TRY(ib_arena_3d(arena, be->act, 1, count, 3 * C, &qkv));
    IB_TRY(ib_arena_3d(arena, be->act, past->count + 1, count, 2 * C, &kv));
    ib_arena_release(arena, inner); /* what attention needs and hidden are never alive together */
    IB_TRY(ib_arena_3d(arena, be->act, 1, count, 4 * C, &hidden));
    IB_TRY(ib_pair_linear(be, &m->proj_in, &(ib_linear_args){.x = g, .bias = m->proj_in_b, .y = s}));
    for (int i = 0; i < 2; i++) {
        const ib_temporal_attn *a = &m->attn[i];
        ib_tensor cache = ib_tensor_narrow(&past->kv[i], 1, first, count), own = ib_tensor_slice(&cache, past->slot, 1);
        ib_tensor own_q = ib_tensor_narrow(&qkv, 2, 0, C), own_kv = ib_tensor_narrow(&qkv, 2, C, 2 * C);
        ib_tensor last = ib_tensor_slice(&kv, past->count, 1);
        IB_TRY(ib_layernorm(be, &(ib_layernorm_args){.x = s, .weight = a->norm_w, .bias = a->norm_b, .eps = 1e-5f, .y = n}));
        IB_TRY(ib_pair_linear(be, &a->qkv, &(ib_linear_args){.x = n, .y = qkv}));
        IB_TRY(ib_copy(be, &(ib_copy_args){own_kv, own}));
        IB_TRY(gather_past(be, &cache, past, i, &kv));
        IB_TRY(add_positions(be, &own_kv, &past->pos[i], past->count, C, &last));
        IB_TRY(add_positions(be, &own_q, &past->pos[i], past->count, 0, &q));
        ib_temporal_attention_args t = {.q = q, .k = ib_tensor_narrow(&kv, 2, 0, C), .v = ib_tensor_narrow(&kv, 2, C, C),
                                        .heads = IB_TEMPORAL_HEADS, .y = n};
        IB_TRY(ib_temporal_attention(be, &t));
        IB_TRY(ib_pair_linear(be, &a->out, &(ib_linear_args){.x = n, .bias = a->out_b, .residual = s, .y = s}));
    }
    IB_TRY(end_forward(m, be, &s, &n, &hidden, &x));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}

isobath_status ib_temporal_stream(const ib_temporal *m, ib_backend *be, ib_arena *arena, const ib_tensor *x, int64_t piece,
                                  const ib_temporal_past *past)
{
    int64_t P = x->dim[1];
    if (piece <= 0 || piece > P) piece = P;
    size_t mark = ib_arena_mark(arena);
    ib_tensor g;
    IB_TRY(ib_arena_3d(arena, be->act, 1, P, m->channels, &g));
    IB_TRY(ib_groupnorm(be, &(ib_groupnorm_args){.x = *x, .weight = m->norm_w, .bias = m->norm_b,
                                                 .groups = IB_TEMPORAL_GROUPS, .eps = 1e-6f, .y = g}));
    for (int64_t first = 0; first < P; first += piece)
        IB_TRY(stream_piece(m, be, arena, &g, x, past, first, P - first < piece ? P - first : piece));
    ib_arena_release(arena, mark);
    return ISOBATH_OK;
}
