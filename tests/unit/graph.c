/* Sequences that a backend may keep (op/graph.h): under one name the network enqueues the same ops on the same memory every time,
 * and its names are forgotten before that memory goes. Ops note what they are given. `unit_graph cuda [f16|bf16|f32]`, on the first card:
 * recordings that are broken off anywhere change nothing. */
#include "backend/backend.h"
#include "model/vda.h"
#include "op/graph.h"
#include "pipeline/plan.h"
#include "support/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SRC_H = 30, SRC_W = 50, H = 28, W = 42, MOST = 64 };

typedef struct kept {
    const void *owner;
    uint64_t name, ops;
    int runs;
} kept;

static struct {
    const ib_op_table *inner;
    uint64_t ops; /* what has been enqueued since the sequence began */
    kept all[MOST];
    int count, forgotten, outside;
    int within;
} seen;

static void note(const void *a, const void *b, const void *c, int64_t rows)
{
    const uint64_t values[4] = {(uintptr_t)a, (uintptr_t)b, (uintptr_t)c, (uint64_t)rows};
    for (int i = 0; i < 4; i++) seen.ops = (seen.ops ^ values[i]) * 0x100000001b3u;
    if (!seen.within) seen.outside++;
}

static isobath_status on_linear(ib_backend *b, const ib_linear_args *a)
{
    note(a->x.data, a->w, a->y.data, a->x.dim[0]);
    return seen.inner->linear(b, a);
}

static isobath_status on_conv3x3(ib_backend *b, const ib_conv3x3_args *a)
{
    note(a->x.data, a->w, a->y.data, a->x.dim[0]);
    return seen.inner->conv3x3(b, a);
}

static isobath_status on_copy(ib_backend *b, const ib_copy_args *a)
{
    note(a->x.data, NULL, a->y.data, a->x.dim[0]);
    return seen.inner->copy(b, a);
}

static isobath_status on_output_head(ib_backend *b, const ib_output_head_args *a)
{
    note(a->x.data, a->w, a->y.data, a->x.dim[0]);
    return seen.inner->output_head(b, a);
}

static isobath_status graph_run(ib_backend *b, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx)
{
    (void)b;
    seen.ops = 0xcbf29ce484222325u;
    seen.within = 1;
    isobath_status status = fn(ctx);
    seen.within = 0;
    for (int i = 0; i < seen.count; i++) {
        kept *k = &seen.all[i];
        if (k->owner != owner || k->name != name) continue;
        assert_true(k->ops == seen.ops);
        k->runs++;
        return status;
    }
    assert_true(seen.count < MOST);
    seen.all[seen.count++] = (kept){owner, name, seen.ops, 1};
    return status;
}

static void graph_forget(ib_backend *b, const void *owner)
{
    (void)b;
    int left = 0;
    for (int i = 0; i < seen.count; i++)
        if (seen.all[i].owner != owner) seen.all[left++] = seen.all[i];
    seen.forgotten += seen.count - left;
    seen.count = left;
}

static void windows(ib_vda *vda, int count, int frames_of_last)
{
    static uint8_t picture[SRC_H * SRC_W * 3];
    static float depth[2][(size_t)IB_WINDOW * H * W];
    const uint8_t *rgb[IB_WINDOW];
    for (int i = 0; i < IB_WINDOW; i++) rgb[i] = picture;
    int64_t bad;
    assert_int_equal(ib_vda_encode_rgb(vda, rgb, SRC_H, SRC_W, IB_WINDOW, 0), ISOBATH_OK);
    for (int k = 0; k < count; k++) {
        const int frames = k + 1 < count ? IB_PLAN_STEP : frames_of_last;
        assert_int_equal(ib_vda_advance(vda), ISOBATH_OK);
        assert_int_equal(ib_vda_encode_rgb(vda, rgb, SRC_H, SRC_W, frames, IB_PLAN_OVERLAP), ISOBATH_OK);
        assert_int_equal(ib_vda_depth_begin(vda, k % 2, depth[k % 2]), ISOBATH_OK);
        assert_int_equal(ib_vda_depth_end(vda, k % 2, &bad), ISOBATH_OK);
    }
}

/* The tiny model's checkpoint, which the file of this name holds from then on. */
static void open_tiny(const char *file, ib_diag *diag, ib_checkpoint **ckpt, ib_vda_config *config)
{
    assert_int_equal(synth_checkpoint_write("tiny", 1, file), 0);
    assert_int_equal(ib_checkpoint_open(file, diag, ckpt), ISOBATH_OK);
    assert_int_equal(ib_vda_config_read(*ckpt, -1, diag, config), ISOBATH_OK);
}

static void one_name_one_sequence(void **state)
{
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *ckpt;
    ib_vda_config config;
    ib_backend *be;
    open_tiny("graph.safetensors", &diag, &ckpt, &config);
    assert_int_equal(ib_cpu_open(&(ib_backend_options){.act = IB_F32, .diag = &diag}, &be), ISOBATH_OK);
    ib_op_table table = *be->ops;
    seen.inner = be->ops;
    table.linear = on_linear;
    table.conv3x3 = on_conv3x3;
    table.copy = on_copy;
    table.output_head = on_output_head;
    table.graph_run = graph_run;
    table.graph_forget = graph_forget;
    be->ops = &table;

    ib_vda_shape shape = {.height = H, .width = W, .encode_batch = 11, .depth_batch = 8, .depth_slots = 2};
    ib_vda *vda;
    assert_int_equal(ib_vda_create(be, ckpt, &config, &shape, &diag, &vda), ISOBATH_OK);
    windows(vda, 4, 5);
    /* 11, 11 and 10 frames at the start; 11 and 11, then 5 from slot 10 on; two places for depth; the step to the next window */
    assert_int_equal(seen.count, 3 + 2 + 1 + 2 + 1);
    assert_int_equal(seen.outside, 0);
    shape.encode_batch = 4;
    assert_int_equal(ib_vda_reshape(vda, &shape), ISOBATH_OK);
    assert_int_equal(seen.forgotten, 9);
    windows(vda, 1, IB_PLAN_STEP);
    assert_int_equal(seen.outside, 0);
    ib_vda_destroy(vda);
    assert_int_equal(seen.count, 0);
    be->ops = seen.inner;
    ib_backend_close(be);
    ib_checkpoint_close(ckpt);
}

static struct {
    const ib_op_table *inner;
    int64_t products, every; /* every so many products: one in which the device is asked for memory, which ends a recording */
    int refused;
} disturbed;

static isobath_status on_disturbed_linear(ib_backend *b, const ib_linear_args *a)
{
    void *memory;
    if (disturbed.every && disturbed.products++ % disturbed.every == 0) {
        if (disturbed.inner->buffer_alloc(b, 4096, &memory) == ISOBATH_OK) disturbed.inner->buffer_free(b, memory);
        else disturbed.refused++;
    }
    return disturbed.inner->linear(b, a);
}

static ib_dtype card_act = IB_F16;

/* Depth of the last window of twelve of the tiny model. */
static void on_the_card(int64_t every, float *depth)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *ckpt;
    ib_vda_config config;
    ib_backend *be;
    ib_vda *vda;
    static uint8_t picture[IB_WINDOW][SRC_H * SRC_W * 3];
    const uint8_t *rgb[IB_WINDOW];
    int64_t bad;
    for (int i = 0; i < IB_WINDOW; i++) {
        rgb[i] = picture[i];
        for (int j = 0; j < SRC_H * SRC_W * 3; j++) picture[i][j] = (uint8_t)(i * 7 + j * 13 + j / 97);
    }
    open_tiny("graph_cuda.safetensors", &diag, &ckpt, &config);
    assert_int_equal(ib_cuda_open(&(ib_backend_options){.act = card_act, .diag = &diag}, &be), ISOBATH_OK);
    ib_op_table table = *be->ops;
    disturbed.inner = be->ops;
    disturbed.every = every;
    table.linear = on_disturbed_linear;
    be->ops = &table;
    ib_vda_shape shape = {.height = H, .width = W, .encode_batch = 11, .depth_batch = 8, .depth_slots = 2};
    assert_int_equal(ib_vda_create(be, ckpt, &config, &shape, &diag, &vda), ISOBATH_OK);
    assert_int_equal(ib_vda_encode_rgb(vda, rgb, SRC_H, SRC_W, IB_WINDOW, 0), ISOBATH_OK);
    for (int k = 0; k < 12; k++) {
        assert_int_equal(ib_vda_advance(vda), ISOBATH_OK);
        assert_int_equal(ib_vda_encode_rgb(vda, rgb, SRC_H, SRC_W, IB_PLAN_STEP, IB_PLAN_OVERLAP), ISOBATH_OK);
        assert_int_equal(ib_vda_depth_begin(vda, k % 2, depth), ISOBATH_OK);
        assert_int_equal(ib_vda_depth_end(vda, k % 2, &bad), ISOBATH_OK);
        assert_int_equal(bad, 0);
    }
    assert_int_equal(ib_diag_status(&diag), ISOBATH_OK);
    ib_vda_destroy(vda);
    be->ops = disturbed.inner;
    ib_backend_close(be);
    ib_checkpoint_close(ckpt);
}

static void a_broken_recording_changes_nothing(void **state)
{
    static const int64_t every[] = {1, 7, 53};
    size_t count = (size_t)IB_WINDOW * H * W;
    float *expected = calloc(count, sizeof *expected), *depth = calloc(count, sizeof *depth);
    (void)state;
    on_the_card(0, expected);
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        disturbed.refused = 0;
        on_the_card(every[i], depth);
        assert_memory_equal(depth, expected, count * sizeof *depth);
        assert_true(disturbed.refused > 0); /* some of them fell into a recording */
    }
    free(expected);
    free(depth);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_name_one_sequence)}, card[] = {cmocka_unit_test(a_broken_recording_changes_nothing)};
    if (argc < 2 || strcmp(argv[1], "cuda")) return cmocka_run_group_tests(tests, NULL, NULL);
    if (argc > 2) card_act = strcmp(argv[2], "f32") == 0 ? IB_F32 : strcmp(argv[2], "bf16") == 0 ? IB_BF16 : IB_F16;
    return cmocka_run_group_tests(card, NULL, NULL);
}
