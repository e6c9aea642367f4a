/* Video Depth Anything; see vda.h. */
#include "model/vda_internal.h"

#include "backend/backend.h"
#include "model/lanes.h"
#include "op/graph.h"
#include "op/transfer.h"
#include <stdlib.h>
#include <string.h>

isobath_status ib_vda_take_features(ib_vda *v)
{
    const ib_dpt_shape *s = &v->maps;
    ib_arena *a = &v->features_arena;
    ib_dtype act = v->backend->act;
    int64_t F = v->config->features;
    for (int i = 0; i < 2; i++)
        IB_TRY(ib_arena_4d(a, act, v->slots, s->h[i], s->w[i], F, &v->features.skip[i]));
    for (int i = 0; i < 2; i++)
        IB_TRY(ib_arena_4d(a, act, v->slots, s->h[i + 2], s->w[i + 2], v->config->out_channels[i + 2], &v->features.layer[i]));
    for (int i = 0; i < v->shape.depth_slots; i++)
        IB_TRY(ib_arena_3d(a, IB_F32, v->slots, v->shape.height, v->shape.width, &v->depth[i]));
    return ISOBATH_OK;
}

static isobath_status upload_positions(ib_vda *v)
{
    int h = v->shape.height / IB_PATCH, w = v->shape.width / IB_PATCH, C = v->config->width;
    int64_t count = (1 + (int64_t)h * w) * C;
    float *host = NULL;
    if (v->vit.pos_grid) {
        host = malloc((size_t)count * sizeof *host);
        if (!host) return ib_fail(v->diag, ISOBATH_ERR_MEMORY, "out of memory for the position embedding");
        ib_vit_positions(v->vit.pos_grid, v->config->grid, C, h, w, host);
    }
    isobath_status st = ib_params_upload(&v->params, host, count, &v->pos);
    free(host);
    if (st == ISOBATH_OK) v->pos = ib_tensor_2d(v->pos.data, IB_F32, 1 + (int64_t)h * w, C);
    return st;
}

isobath_status ib_vda_create_network(ib_vda *v, const ib_checkpoint *checkpoint)
{
    v->maps = ib_dpt_shape_for(v->shape.height / IB_PATCH, v->shape.width / IB_PATCH);
    ib_params_init(&v->params, v->backend, checkpoint, v->shape.budget, v->diag);
    IB_TRY(ib_vit_create(&v->params, v->config, &v->vit));
    IB_TRY(ib_dpt_create(&v->params, v->config, &v->dpt));
    return upload_positions(v);
}

typedef struct encode_job {
    ib_vda *v;
    const ib_tensor *input;
    int64_t first_slot;
} encode_job;

static isobath_status encode_piece(void *ctx, int64_t first, int64_t T)
{
    const encode_job *job = ctx;
    ib_vda *v = job->v;
    ib_backend *be = v->backend;
    ib_tensor input = ib_tensor_slice(job->input, first, T);
    int64_t first_slot = job->first_slot + first, N = (int64_t)(v->shape.height / IB_PATCH) * (v->shape.width / IB_PATCH);
    ib_tensor taps[4];
    for (int i = 0; i < 4; i++) IB_TRY(ib_arena_3d(&v->arena, be->act, T, N, v->config->width, &taps[i]));
    IB_TRY(ib_vit_encode(&v->vit, be, &v->arena, &input, &v->pos, taps, &v->tap, first_slot));
    ib_dpt_features out = {
        .skip = {ib_tensor_slice(&v->features.skip[0], first_slot, T), ib_tensor_slice(&v->features.skip[1], first_slot, T)},
        .layer = {ib_tensor_slice(&v->features.layer[0], first_slot, T), ib_tensor_slice(&v->features.layer[1], first_slot, T)}};
    return ib_dpt_features_forward(&v->dpt, be, &v->arena, taps, &v->maps, &out, &v->tap, first_slot);
}

static isobath_status encode_all(void *ctx)
{
    const encode_job *job = ctx;
    ib_vda *v = job->v;
    return ib_lanes_run(v->backend, &v->arena, job->input->dim[0], v->shape.encode_batch, ib_lanes_gain(v->config->width),
                        encode_piece, ctx);
}

/* Names of sequences: what an encoding reads and where it leaves its features; below 0x10000 the others. */
enum { ADVANCE = 1, DEPTH = 0x100 };
static uint64_t encode_name(const ib_tensor *input, int first_slot)
{
    return (uint64_t)(uintptr_t)input->data << 16 | (uint64_t)first_slot << 8 | (uint64_t)input->dim[0];
}

/* A sequence, and where the arena is when it begins: a recording may be broken off anywhere. */
typedef struct kept {
    ib_vda *v;
    size_t mark;
    ib_graph_fn fn;
    void *ctx;
} kept;

static isobath_status run_from_mark(void *ctx)
{
    const kept *k = ctx;
    ib_arena_release(&k->v->arena, k->mark);
    return k->fn(k->ctx);
}

/* fn(ctx) as a sequence that the device may keep; somebody who looks at inner values wants it called. */
static isobath_status run_kept(ib_vda *v, uint64_t name, ib_graph_fn fn, void *ctx)
{
    return v->tap.fn ? fn(ctx) : ib_graph_run(v->backend, v, name, run_from_mark, &(kept){v, ib_arena_mark(&v->arena), fn, ctx});
}

isobath_status ib_vda_encode_batch(ib_vda *v, const ib_tensor *input, int first_slot)
{
    if (first_slot < v->fresh) v->fresh = first_slot;
    return run_kept(v, encode_name(input, first_slot), encode_all, &(encode_job){v, input, first_slot});
}

/* What a call of the public functions does at most; for planning, and for sizing the arena. */
static isobath_status rehearse(ib_vda *v, double *encode_flops, double *depth_flops)
{
    int T = v->shape.encode_batch;
    ib_tensor input;
    size_t mark = ib_arena_mark(&v->arena);
    ib_null_reset_counts(v->backend);
    IB_TRY(ib_arena_4d(&v->arena, IB_F32, T, v->shape.height, v->shape.width, 3, &input));
    IB_TRY(ib_vda_encode_batch(v, &input, 0));
    ib_arena_release(&v->arena, mark);
    *encode_flops = ib_null_get_counts(v->backend).flops / T;
    ib_null_reset_counts(v->backend);
    IB_TRY(ib_dpt_depth_forward(&v->dpt, v->backend, &v->arena, &v->features, &v->maps, v->shape.depth_batch,
                                v->shape.temporal_piece, &v->depth[0], NULL));
    *depth_flops = ib_null_get_counts(v->backend).flops / IB_WINDOW;
    return ISOBATH_OK;
}

void ib_vda_free_network(ib_vda *v)
{
    ib_graph_forget(v->backend, v);
    ib_staging_free(&v->staging, v->backend, v->shape.budget);
    ib_params_free(&v->params);
    ib_vit_free(&v->vit);
    ib_arena_free(&v->features_arena);
    ib_arena_free(&v->arena);
}

isobath_status ib_vda_plan(const ib_vda_config *config, const ib_vda_shape *shape, ib_dtype act, ib_diag *diag,
                           ib_vda_memory *out)
{
    ib_backend *null_backend;
    memset(out, 0, sizeof *out);
    ib_backend_options options = {.act = act, .diag = diag, .taps_first = shape->taps_first};
    IB_TRY(ib_null_open(&options, &null_backend));
    ib_vda v = {.backend = null_backend, .diag = diag, .config = config, .shape = *shape, .slots = IB_WINDOW};
    isobath_status st;
    v.shape.budget = NULL;
    IB_TRY_GOTO(st, ib_vda_create_network(&v, NULL), done);
    IB_TRY_GOTO(st, ib_arena_init(&v.features_arena, null_backend, IB_ENDLESS_ARENA, NULL), done);
    IB_TRY_GOTO(st, ib_arena_init(&v.arena, null_backend, IB_ENDLESS_ARENA, NULL), done);
    IB_TRY_GOTO(st, ib_vda_take_features(&v), done);
    IB_TRY_GOTO(st, rehearse(&v, &out->encode_flops, &out->depth_flops), done);
    out->weights = ib_params_bytes(&v.params);
    out->features = v.features_arena.peak;
    out->activations = v.arena.peak;
    out->total = out->weights + out->features + out->activations;
done:
    ib_vda_free_network(&v);
    ib_backend_close(null_backend);
    return st;
}

/* Takes everything on the device; on failure nothing is left there. */
static isobath_status load(ib_vda *v, const ib_checkpoint *checkpoint)
{
    ib_vda_memory memory;
    v->shape.taps_first = v->backend->ops->taps_first;
    IB_TRY(ib_vda_plan(v->config, &v->shape, v->backend->act, v->diag, &memory));
    /* the large pieces first: what does not fit is told before the weights are read */
    isobath_status st = ib_arena_init(&v->features_arena, v->backend, memory.features, v->shape.budget);
    if (st == ISOBATH_OK) st = ib_arena_init(&v->arena, v->backend, memory.activations, v->shape.budget);
    if (st == ISOBATH_OK) st = ib_vda_create_network(v, checkpoint);
    if (st == ISOBATH_OK) st = ib_vda_take_features(v);
    if (st != ISOBATH_OK) ib_vda_unload(v);
    return st;
}

isobath_status ib_vda_create(ib_backend *backend, const ib_checkpoint *checkpoint, const ib_vda_config *config,
                             const ib_vda_shape *shape, ib_diag *diag, ib_vda **out)
{
    *out = NULL;
    ib_vda *v = calloc(1, sizeof *v);
    if (!v) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the network");
    *v = (ib_vda){.backend = backend, .diag = diag, .config = config, .shape = *shape, .slots = IB_WINDOW};
    isobath_status st = load(v, checkpoint);
    if (st != ISOBATH_OK) {
        free(v);
        return st;
    }
    *out = v;
    return ISOBATH_OK;
}

void ib_vda_unload(ib_vda *v)
{
    ib_vda_free_network(v);
    ib_vda_shape shape = v->shape;
    ib_tap tap = v->tap;
    *v = (ib_vda){.backend = v->backend, .diag = v->diag, .config = v->config, .shape = shape, .slots = IB_WINDOW, .tap = tap};
}

isobath_status ib_vda_reshape(ib_vda *v, const ib_vda_shape *shape)
{
    ib_vda_memory memory;
    ib_vda_shape own = *shape;
    own.taps_first = v->backend->ops->taps_first;
    IB_TRY(ib_vda_plan(v->config, &own, v->backend->act, v->diag, &memory));
    ib_graph_forget(v->backend, v);
    ib_staging_free(&v->staging, v->backend, v->shape.budget);
    ib_arena_free(&v->features_arena);
    ib_arena_free(&v->arena);
    ib_params_drop(&v->params, &v->pos);
    v->shape = own;
    v->maps = ib_dpt_shape_for(shape->height / IB_PATCH, shape->width / IB_PATCH);
    v->staging = (ib_staging){.next = 0};
    IB_TRY(ib_arena_init(&v->features_arena, v->backend, memory.features, shape->budget));
    IB_TRY(ib_arena_init(&v->arena, v->backend, memory.activations, shape->budget));
    IB_TRY(upload_positions(v));
    return ib_vda_take_features(v);
}

void ib_vda_lend(ib_vda *v, const ib_vda_config *config, ib_diag *diag)
{
    ib_graph_forget(v->backend, v);
    v->config = v->vit.config = v->dpt.config = config;
    ib_vda_set_diag(v, diag);
}

isobath_status ib_vda_reload(ib_vda *v, const ib_checkpoint *checkpoint) { return load(v, checkpoint); }

void ib_vda_set_diag(ib_vda *v, ib_diag *diag)
{
    v->diag = v->params.diag = diag;
}

int ib_vda_shape_shrink(ib_vda_shape *shape)
{
    int64_t pixels = (int64_t)(shape->height / IB_PATCH) * (shape->width / IB_PATCH);
    int64_t piece = shape->temporal_piece > 0 && shape->temporal_piece < pixels ? shape->temporal_piece : pixels;
    if (shape->encode_batch > 4 || shape->depth_batch > 2) {
        if (shape->encode_batch > 4) shape->encode_batch = 4;
        if (shape->depth_batch > 2) shape->depth_batch = 2;
    } else if (shape->encode_batch > 1 || shape->depth_batch > 1 || piece > 1024) {
        shape->encode_batch = shape->depth_batch = 1;
        if (piece > 1024) shape->temporal_piece = 1024;
    } else if (shape->depth_slots > 1) {
        shape->depth_slots = 1;
    } else if (piece > 128) {
        shape->temporal_piece = 128;
    } else {
        return 0;
    }
    return 1;
}

int ib_vda_shrink(ib_vda *v) { return ib_vda_shape_shrink(&v->shape); }

int ib_vda_depth_slots(const ib_vda *v) { return v->shape.depth_slots; }

void ib_vda_destroy(ib_vda *v)
{
    if (!v) return;
    ib_vda_free_network(v);
    free(v);
}

isobath_status ib_vda_encode_frames(ib_vda *v, const ib_vda_frame *frames, int count, int first_slot)
{
    for (int done = 0; done < count;) {
        int T = count - done < v->shape.encode_batch ? count - done : v->shape.encode_batch;
        size_t mark = ib_arena_mark(&v->arena);
        ib_tensor input;
        IB_TRY(ib_arena_4d(&v->arena, IB_F32, T, v->shape.height, v->shape.width, 3, &input));
        IB_TRY(ib_staging_preprocess(&v->staging, v->backend, v->shape.budget, frames + done, T, v->shape.encode_batch, &input));
        ib_tap_show(&v->tap, "network_input", &input, first_slot + done);
        IB_TRY(ib_vda_encode_batch(v, &input, first_slot + done));
        ib_arena_release(&v->arena, mark);
        done += T;
    }
    return ISOBATH_OK;
}

isobath_status ib_vda_encode_rgb(ib_vda *v, const uint8_t *const *rgb, int src_height, int src_width, int count,
                                 int first_slot)
{
    ib_vda_frame frames[IB_WINDOW];
    for (int i = 0; i < count; i++) frames[i] = (ib_vda_frame){.rgb = rgb[i], .height = src_height, .width = src_width};
    return ib_vda_encode_frames(v, frames, count, first_slot);
}

isobath_status ib_vda_encode_input(ib_vda *v, const float *host, int count, int first_slot)
{
    for (int done = 0; done < count;) {
        int T = count - done < v->shape.encode_batch ? count - done : v->shape.encode_batch;
        size_t mark = ib_arena_mark(&v->arena), frame = (size_t)v->shape.height * (size_t)v->shape.width * 3;
        ib_tensor input;
        IB_TRY(ib_arena_4d(&v->arena, IB_F32, T, v->shape.height, v->shape.width, 3, &input));
        IB_TRY(v->backend->ops->upload(v->backend, input.data, host + frame * (size_t)done, frame * (size_t)T * sizeof *host));
        IB_TRY(ib_vda_encode_batch(v, &input, first_slot + done));
        ib_arena_release(&v->arena, mark);
        done += T;
    }
    return ISOBATH_OK;
}

isobath_status ib_vda_copy_slot(ib_vda *v, int from, int to)
{
    ib_tensor *all[4] = {&v->features.skip[0], &v->features.skip[1], &v->features.layer[0], &v->features.layer[1]};
    for (int i = 0; i < 4; i++) {
        ib_tensor a = ib_tensor_slice(all[i], from, 1), b = ib_tensor_slice(all[i], to, 1);
        IB_TRY(ib_copy(v->backend, &(ib_copy_args){ib_tensor_as_tokens(&a), ib_tensor_as_tokens(&b)}));
    }
    return ISOBATH_OK;
}

static isobath_status advance(void *ctx)
{
    ib_vda *v = ctx;
    IB_TRY(ib_vda_copy_slot(v, 12, 1));
    for (int i = 0; i < 8; i++) IB_TRY(ib_vda_copy_slot(v, 24 + i, 2 + i));
    return ISOBATH_OK;
}

isobath_status ib_vda_advance(ib_vda *v) { return run_kept(v, ADVANCE, advance, v); }

typedef struct head_job {
    ib_vda *v;
    ib_dpt_features f;
    ib_tensor result;
} head_job;

static isobath_status head_all(void *ctx)
{
    const head_job *job = ctx;
    ib_vda *v = job->v;
    return ib_dpt_depth_forward(&v->dpt, v->backend, &v->arena, &job->f, &v->maps, v->shape.depth_batch,
                                v->shape.temporal_piece, &job->result, &v->tap);
}

isobath_status ib_vda_depth_begin(ib_vda *v, int slot, float *depth)
{
    /* Frames that do not see each other are computed once, in the window that brings them. */
    int first = v->config->temporal ? 0 : v->fresh < IB_WINDOW ? v->fresh : IB_WINDOW - 1, count = IB_WINDOW - first;
    head_job job = {v, {.skip = {ib_tensor_slice(&v->features.skip[0], first, count),
                                 ib_tensor_slice(&v->features.skip[1], first, count)},
                        .layer = {ib_tensor_slice(&v->features.layer[0], first, count),
                                  ib_tensor_slice(&v->features.layer[1], first, count)}},
                    ib_tensor_slice(&v->depth[slot], first, count)};
    const ib_dpt_features *f = &job.f;
    const ib_tensor *all[5] = {&job.result, &f->skip[0], &f->skip[1], &f->layer[0], &f->layer[1]};
    v->fresh = IB_WINDOW;
    IB_TRY(run_kept(v, DEPTH + 256 * (uint64_t)slot + (uint64_t)first, head_all, &job));
    /* A half type's infinity may hide behind a ReLU, so features are looked at too. */
    size_t map = (size_t)v->shape.height * (size_t)v->shape.width;
    return ib_fetch_begin(v->backend, slot, all, v->backend->act == IB_F32 ? 1 : 5, depth + (size_t)first * map);
}

isobath_status ib_vda_depth_end(ib_vda *v, int slot, int64_t *nonfinite) { return ib_fetch_end(v->backend, slot, nonfinite); }

isobath_status ib_vda_depth(ib_vda *v, float *depth, int64_t *nonfinite)
{
    IB_TRY(ib_vda_depth_begin(v, 0, depth));
    return ib_vda_depth_end(v, 0, nonfinite);
}

void ib_vda_set_tap(ib_vda *v, const ib_tap *tap) { v->tap = tap ? *tap : (ib_tap){0}; }
