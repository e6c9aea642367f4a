/* The streaming network; see stream.h. Encoder and head are those of windows (vda_internal.h), with one slot of features. */
#include "model/stream.h"

#include "backend/backend.h"
#include "base/half.h"
#include "model/vda_internal.h"
#include <stdlib.h>
#include <string.h>

#define MODULES 4
#define SLOTS (IB_STREAM_RING + 1) /* slot 0 is frame 0's, for ever; the rest is a ring */

struct ib_stream {
    ib_vda net;
    ib_tensor kept;               /* act (SLOTS,1,values): everything that is kept of a frame, end to end */
    ib_temporal_past past[MODULES]; /* views into `kept` */
    int context[IB_STREAM_CONTEXT];
    int64_t next;                 /* number of the next frame */
};

static int slot_of(int64_t frame) { return frame == 0 ? 0 : 1 + (int)(frame % IB_STREAM_RING); }

void ib_stream_context(int64_t n, int64_t frames[IB_STREAM_CONTEXT])
{
    frames[0] = 0;
    frames[1] = n > 41 ? n - 41 : 0;
    for (int j = 0; j < IB_STREAM_CONTEXT - 2; j++) frames[2 + j] = n - 29 + j > 0 ? n - 29 + j : 0;
}

/* Channels and pixels of temporal module i. */
static void module_size(const ib_vda *v, int i, int64_t *channels, int64_t *pixels)
{
    const int *oc = v->config->out_channels;
    const int64_t c[MODULES] = {oc[2], oc[3], v->config->features, v->config->features};
    static const int level[MODULES] = {2, 3, 2, 1};
    *channels = c[i];
    *pixels = v->maps.h[level[i]] * v->maps.w[level[i]];
}

/* What lasts: one slot of features, 43 frames' keys and values, the positions' shares of q | k | v. */
static isobath_status take_state(ib_stream *s)
{
    ib_vda *v = &s->net;
    ib_dtype act = v->backend->act;
    int64_t C, P, values = 0;
    IB_TRY(ib_vda_take_features(v));
    if (!v->config->temporal) return ISOBATH_OK; /* nothing is remembered */
    for (int i = 0; i < MODULES; i++) {
        module_size(v, i, &C, &P);
        values += 2 * P * 2 * C;
    }
    IB_TRY(ib_arena_3d(&v->features_arena, act, SLOTS, 1, values, &s->kept));
    char *at = s->kept.data;
    for (int i = 0; i < MODULES; i++) {
        ib_temporal_past *p = &s->past[i];
        module_size(v, i, &C, &P);
        p->context = s->context;
        for (int a = 0; a < 2; a++) {
            p->kv[a] = ib_tensor_3d(at, act, SLOTS, P, 2 * C);
            p->kv[a].stride[0] = values;
            at += (size_t)(P * 2 * C) * ib_dtype_size(act);
            ib_tensor pos;
            IB_TRY(ib_arena_3d(&v->features_arena, IB_F32, 1, IB_WINDOW, 3 * C, &pos));
            p->pos[a] = ib_tensor_2d(pos.data, IB_F32, IB_WINDOW, 3 * C);
            IB_TRY(ib_temporal_positions(&v->dpt.motion[i], v->backend, &v->arena, a, &p->pos[a]));
        }
    }
    return ISOBATH_OK;
}

/* Points the modules at what frame n sees. */
static void look_back(ib_stream *s, int64_t n)
{
    int64_t frames[IB_STREAM_CONTEXT];
    int count = n > 0 ? IB_STREAM_CONTEXT : 0;
    ib_stream_context(n, frames);
    for (int j = 0; j < count; j++) s->context[j] = slot_of(frames[j]);
    for (int i = 0; i < MODULES; i++) {
        s->past[i].count = count;
        s->past[i].slot = slot_of(n);
    }
}

static isobath_status head(ib_stream *s)
{
    ib_vda *v = &s->net;
    ib_tensor depth = ib_tensor_slice(&v->depth[0], 0, 1);
    return ib_dpt_stream_forward(&v->dpt, v->backend, &v->arena, &v->features, &v->maps, v->shape.temporal_piece, s->past, &depth,
                                 &v->tap);
}

static isobath_status init(ib_stream *s, ib_backend *backend, const ib_checkpoint *checkpoint, const ib_vda_config *config,
                           const ib_vda_shape *shape, size_t features, size_t activations, ib_diag *diag)
{
    ib_vda *v = &s->net;
    *v = (ib_vda){.backend = backend, .diag = diag, .config = config, .shape = *shape, .slots = 1};
    v->shape.encode_batch = v->shape.depth_batch = v->shape.depth_slots = 1;
    IB_TRY(ib_vda_create_network(v, checkpoint));
    IB_TRY(ib_arena_init(&v->features_arena, backend, features, shape->budget));
    IB_TRY(ib_arena_init(&v->arena, backend, activations, shape->budget));
    return take_state(s);
}

isobath_status ib_stream_plan(const ib_vda_config *config, const ib_vda_shape *shape, ib_dtype act, ib_diag *diag,
                              ib_vda_memory *out)
{
    ib_backend *be;
    memset(out, 0, sizeof *out);
    IB_TRY(ib_null_open(&(ib_backend_options){.act = act, .diag = diag, .taps_first = shape->taps_first}, &be));
    ib_stream s = {0};
    ib_vda *v = &s.net;
    ib_tensor input;
    isobath_status st;
    ib_vda_shape unlimited = *shape;
    unlimited.budget = NULL;
    IB_TRY_GOTO(st, init(&s, be, NULL, config, &unlimited, IB_ENDLESS_ARENA, IB_ENDLESS_ARENA, diag), done);
    ib_null_reset_counts(be);
    size_t mark = ib_arena_mark(&v->arena);
    IB_TRY_GOTO(st, ib_arena_4d(&v->arena, IB_F32, 1, v->shape.height, v->shape.width, 3, &input), done);
    IB_TRY_GOTO(st, ib_vda_encode_batch(v, &input, 0), done);
    ib_arena_release(&v->arena, mark);
    out->encode_flops = ib_null_get_counts(be).flops;
    ib_null_reset_counts(be);
    look_back(&s, IB_STREAM_RING);
    IB_TRY_GOTO(st, head(&s), done);
    out->depth_flops = ib_null_get_counts(be).flops;
    out->weights = ib_params_bytes(&v->params);
    out->features = v->features_arena.peak;
    out->activations = v->arena.peak;
    out->total = out->weights + out->features + out->activations;
done:
    ib_vda_free_network(v);
    ib_backend_close(be);
    return st;
}

isobath_status ib_stream_create(ib_backend *backend, const ib_checkpoint *checkpoint, const ib_vda_config *config,
                                const ib_vda_shape *shape, ib_diag *diag, ib_stream **out)
{
    *out = NULL;
    ib_vda_memory memory;
    ib_vda_shape own = *shape;
    own.taps_first = backend->ops->taps_first;
    IB_TRY(ib_stream_plan(config, &own, backend->act, diag, &memory));
    ib_stream *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the stream");
    isobath_status st = init(s, backend, checkpoint, config, &own, memory.features, memory.activations, diag);
    if (st != ISOBATH_OK) {
        ib_stream_destroy(s);
        return st;
    }
    *out = s;
    return ISOBATH_OK;
}

void ib_stream_destroy(ib_stream *s)
{
    if (!s) return;
    ib_vda_free_network(&s->net);
    free(s);
}

void ib_stream_restart(ib_stream *s) { s->next = 0; }

isobath_status ib_stream_frame(ib_stream *s, const uint8_t *rgb, int src_height, int src_width, float *depth, int64_t *nonfinite)
{
    ib_vda *v = &s->net;
    look_back(s, s->next);
    IB_TRY(ib_vda_encode_rgb(v, &rgb, src_height, src_width, 1, 0));
    IB_TRY(head(s));
    const ib_tensor *all[6] = {&v->depth[0]};
    ib_tensor kept;
    int count = 1;
    if (v->config->temporal) {
        kept = ib_tensor_slice(&s->kept, slot_of(s->next), 1);
        all[count++] = &kept;
    }
    if (v->backend->act != IB_F32) { /* a half type's infinity may hide behind a ReLU, so features are looked at too */
        for (int i = 0; i < 2; i++) all[count++] = &v->features.skip[i];
        for (int i = 0; i < 2; i++) all[count++] = &v->features.layer[i];
    }
    IB_TRY(ib_fetch_begin(v->backend, 0, all, count, depth));
    IB_TRY(ib_fetch_end(v->backend, 0, nonfinite));
    s->next++;
    return ISOBATH_OK;
}

static float to_f32(ib_dtype type, const void *src, int64_t i)
{
    if (type == IB_F32) return ((const float *)src)[i];
    uint16_t h = ((const uint16_t *)src)[i];
    return type == IB_F16 ? ib_f16_to_f32(h) : ib_bf16_to_f32(h);
}

static void from_f32(ib_dtype type, float x, void *dst, int64_t i)
{
    float largest = type == IB_F16 ? 65504.0f : ib_bf16_to_f32(0x7f7f);
    if (type == IB_F32) {
        ((float *)dst)[i] = x;
        return;
    }
    if (x > largest) x = largest;
    if (x < -largest) x = -largest;
    ((uint16_t *)dst)[i] = type == IB_F16 ? ib_f32_to_f16(x) : ib_f32_to_bf16(x);
}

/* What `from` keeps of the frame in a slot, for `to`. Through `scratch` of 8 bytes per value. */
static isobath_status copy_kept(ib_stream *to, ib_stream *from, int slot, void *scratch)
{
    ib_tensor a = ib_tensor_slice(&from->kept, slot, 1), b = ib_tensor_slice(&to->kept, slot, 1);
    int64_t n = ib_tensor_count(&a);
    void *src = scratch, *dst = (float *)scratch + n;
    IB_TRY(from->net.backend->ops->download(from->net.backend, src, a.data, ib_tensor_bytes(&a)));
    for (int64_t i = 0; i < n; i++) from_f32(b.dtype, to_f32(a.dtype, src, i), dst, i);
    IB_TRY(to->net.backend->ops->upload(to->net.backend, b.data, dst, ib_tensor_bytes(&b)));
    return to->net.backend->ops->sync(to->net.backend); /* scratch is free again */
}

isobath_status ib_stream_redo(ib_stream *s, ib_stream *fp32, const uint8_t *rgb, int src_height, int src_width, float *depth,
                              int64_t *nonfinite)
{
    int64_t n = s->next - 1;
    if (!s->net.config->temporal) return ib_stream_frame(fp32, rgb, src_height, src_width, depth, nonfinite);
    void *scratch = malloc((size_t)s->kept.dim[2] * 2 * sizeof(float));
    if (!scratch) return ib_fail(s->net.diag, ISOBATH_ERR_MEMORY, "out of memory for redoing frame %lld", (long long)n);
    isobath_status st = ISOBATH_OK;
    unsigned char done[SLOTS] = {0};
    look_back(s, n);
    for (int j = 0; st == ISOBATH_OK && j < s->past[0].count; j++) {
        if (!done[s->context[j]]) st = copy_kept(fp32, s, s->context[j], scratch);
        done[s->context[j]] = 1;
    }
    fp32->next = n;
    if (st == ISOBATH_OK) st = ib_stream_frame(fp32, rgb, src_height, src_width, depth, nonfinite);
    if (st == ISOBATH_OK) st = copy_kept(s, fp32, slot_of(n), scratch);
    free(scratch);
    return st;
}

void ib_stream_set_tap(ib_stream *s, const ib_tap *tap) { s->net.tap = tap ? *tap : (ib_tap){0}; }
