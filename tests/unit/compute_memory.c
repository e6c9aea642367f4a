/* A device that runs out of memory in the middle of a run: the network gives back what it has, comes back as a smaller plan, and every
 * window has the bytes of an undisturbed run. On the CPU; `unit_compute_memory cuda [f16|bf16|f32]` does the same on the first card,
 * where the memory is taken by allocations of its own until nothing is left. */
#include "backend/backend.h"
#include "op/transfer.h"
#include "pipeline/compute.h"
#include "support/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__ /* takes eight times as long */
#define FAULTS 2
#else
#define FAULTS 6
#endif

enum { SRC_W = 90, SRC_H = 80, WINDOWS = 3, FRAMES = 22 * WINDOWS - 3, HOGS = 4096 };

static int on_card, W = 182, H = 168; /* larger on a card, so that plans differ by more than what its memory is dealt in */
static ib_dtype act = IB_F32;

typedef struct rig {
    ib_diag diag;
    ib_checkpoint *checkpoint;
    ib_vda_config config;
    ib_backend *backend;
    const ib_op_table *own;
    ib_op_table table;
    ib_budget budget;
    ib_vda_shape shape;
    ib_vda *vda;
    ib_compute *compute;
    ib_source_frame *frames[FRAMES];
    float *raw[2];
    int calls, fail_at; /* of `linear`: the call that finds no memory; 0: none */
    int reloads, crowd_at; /* before this reload others take what the network had */
    int crowd_before;      /* this window others take all that is free; 0: no */
    size_t leave;
    void *hog[HOGS];
    int hogs;
} rig;

static rig *current; /* of the wrapped op */

static isobath_status scarce_linear(ib_backend *be, const ib_linear_args *args)
{
    if (++current->calls == current->fail_at) return ib_fail(be->diag, ISOBATH_ERR_MEMORY, "no memory at call %d", current->calls);
    return current->own->linear(be, args);
}

/* From here on only `leave` bytes are free. */
static void crowd(rig *r, size_t leave)
{
    if (!on_card) {
        r->budget.limit = atomic_load(&r->budget.used) + leave;
        return;
    }
    void *room = NULL, *p;
    assert_int_equal(r->own->buffer_alloc(r->backend, leave, &room), ISOBATH_OK);
    for (size_t piece = (size_t)4 << 30; piece >= (size_t)1 << 20; piece /= 2)
        while (r->hogs < HOGS && r->own->buffer_alloc(r->backend, piece, &p) == ISOBATH_OK) r->hog[r->hogs++] = p;
    ib_diag_reset(r->backend->diag);
    r->own->buffer_free(r->backend, room);
}

static isobath_status reload(void *ctx, ib_vda *vda, int smaller)
{
    rig *r = ctx;
    (void)smaller;
    if (++r->reloads == r->crowd_at) crowd(r, r->leave);
    return ib_vda_reload(vda, r->checkpoint);
}

static void open_rig(rig *r)
{
    memset(r, 0, sizeof *r);
    ib_diag_init(&r->diag);
    assert_int_equal(ib_checkpoint_open("compute_memory.safetensors", &r->diag, &r->checkpoint), ISOBATH_OK);
    assert_int_equal(ib_vda_config_read(r->checkpoint, -1, &r->diag, &r->config), ISOBATH_OK);
    ib_backend_options o = {.act = act, .diag = &r->diag};
    isobath_status st = on_card ? ib_cuda_open(&o, &r->backend) : ib_cpu_open(&o, &r->backend);
    if (st != ISOBATH_OK) fail_msg("%s", r->diag.text);
    r->own = r->backend->ops;
    r->table = *r->own;
    r->table.linear = scarce_linear;
    r->backend->ops = &r->table;
    r->budget.limit = (size_t)1 << 40;
    r->shape = (ib_vda_shape){.height = H, .width = W, .encode_batch = 11, .depth_batch = 4, .depth_slots = 2, .budget = &r->budget};
    ib_vda_memory memory;
    current = r;
    r->shape.taps_first = r->backend->ops->taps_first;
    assert_int_equal(ib_vda_plan(&r->config, &r->shape, act, &r->diag, &memory), ISOBATH_OK);
    assert_int_equal(ib_vda_create(r->backend, r->checkpoint, &r->config, &r->shape, &r->diag, &r->vda), ISOBATH_OK);
    ib_compute_options c = {.vda = r->vda, .backend = r->backend, .shape = &r->shape, .memory = &memory, .redo = {NULL, reload, r}, .diag = &r->diag};
    assert_int_equal(ib_compute_create(&c, &r->compute), ISOBATH_OK);
    for (int i = 0; i < FRAMES; i++) {
        assert_non_null(r->frames[i] = ib_source_frame_create(SRC_W, SRC_H));
        r->frames[i]->index = i;
        synth_frames(i, 1, SRC_H, SRC_W, 3, r->frames[i]->rgb);
    }
    for (int i = 0; i < 2; i++) {
        void *p;
        assert_int_equal(ib_host_alloc(r->backend, sizeof(float) * IB_PLAN_WINDOW * (size_t)H * (size_t)W, &p), ISOBATH_OK);
        r->raw[i] = p;
    }
    r->calls = 0;
}

static void close_rig(rig *r)
{
    ib_compute_destroy(r->compute);
    ib_vda_destroy(r->vda);
    assert_int_equal(atomic_load(&r->budget.used), 0);
    while (r->hogs) r->own->buffer_free(r->backend, r->hog[--r->hogs]);
    for (int i = 0; i < 2; i++) ib_host_free(r->backend, r->raw[i]);
    for (int i = 0; i < FRAMES; i++) ib_source_frame_unref(r->frames[i]);
    r->backend->ops = r->own;
    ib_backend_close(r->backend);
    ib_checkpoint_close(r->checkpoint);
    ib_diag_destroy(&r->diag);
}

/* All windows, two in flight, into out, f32 (WINDOWS,32,H,W). `starve`: this window finds no memory. */
static isobath_status run(rig *r, int starve, float *out)
{
    size_t map = (size_t)IB_PLAN_WINDOW * (size_t)H * (size_t)W;
    for (int k = 0, done = 0; done < WINDOWS;) {
        if (k < WINDOWS) {
            ib_source_frame *slot[IB_PLAN_WINDOW];
            int64_t index[IB_PLAN_WINDOW];
            ib_plan_window_frames(k, FRAMES, index);
            for (int i = 0; i < IB_PLAN_WINDOW; i++) slot[i] = r->frames[index[i]];
            if (k == starve) ib_compute_starve(r->compute, 1);
            if (k && k == r->crowd_before) crowd(r, 1);
            IB_TRY(ib_compute_begin(r->compute, 0, k, slot, r->raw[k % 2]));
            k++;
            if (ib_compute_in_flight(r->compute) < 2) continue;
        }
        int redone;
        int64_t nonfinite;
        IB_TRY(ib_compute_finish(r->compute, &redone, &nonfinite));
        assert_true(!redone && nonfinite == 0);
        memcpy(out + map * (size_t)done, r->raw[done % 2], map * sizeof *out);
        done++;
    }
    return ISOBATH_OK;
}

static float *want, *got;
static size_t bytes;
static int linear_calls; /* of an undisturbed run */

static void expect_bytes(const char *what, int number)
{
    if (memcmp(want, got, bytes)) fail_msg("%s %d: other bytes", what, number);
    memset(got, 0, bytes);
}

static void undisturbed(void **state)
{
    (void)state;
    static rig r;
    open_rig(&r);
    assert_int_equal(run(&r, -1, want), ISOBATH_OK);
    assert_int_equal(r.reloads, 0);
    linear_calls = r.calls;
    close_rig(&r);
}

/* At any of its ops, in the encoder and in the head, the first time and when a smaller plan is at work already. */
static void an_op_finds_no_memory(void **state)
{
    (void)state;
    static rig r;
    for (int i = 0; i < FAULTS; i++) {
        open_rig(&r);
        r.fail_at = 1 + i * (linear_calls - 1) / (FAULTS - 1);
        if (run(&r, i & 1 ? 2 : -1, got) != ISOBATH_OK) fail_msg("call %d: %s", r.fail_at, r.diag.text);
        expect_bytes("call", r.fail_at);
        assert_int_equal(r.reloads, 1 + (i & 1));
        assert_int_equal(ib_diag_status(&r.diag), ISOBATH_OK); /* nobody takes it for the end of the run */
        close_rig(&r);
    }
}

/* What the network gave back others have taken meanwhile: the next plans do not fit, one with one window in flight does. */
static void others_take_the_memory(void **state)
{
    (void)state;
    static rig r;
    ib_vda_memory memory;
    open_rig(&r);
    ib_vda_shape least = r.shape;
    while (least.depth_slots > 1) assert_true(ib_vda_shape_shrink(&least));
    assert_int_equal(ib_vda_plan(&r.config, &least, act, &r.diag, &memory), ISOBATH_OK);
    r.crowd_at = 1;
    r.leave = memory.total + memory.total / 50 + ((size_t)(on_card ? 20 : 1) << 20); /* sizes are rounded up; staged frames */
    if (run(&r, 2, got) != ISOBATH_OK) fail_msg("%s", r.diag.text);
    expect_bytes("others", 0);
    print_message("%zu MiB left: %d plans tried, windows in flight %d\n", r.leave >> 20, r.reloads, ib_vda_depth_slots(r.vda));
    assert_true(r.reloads > 1);
    assert_int_equal(ib_vda_depth_slots(r.vda), 1);
    close_rig(&r);
}

/* After the second window nothing is allocated any more: it does not matter that all that is free is gone. */
static void steady(void **state)
{
    (void)state;
    static rig r;
    open_rig(&r);
    r.crowd_before = 2;
    if (run(&r, -1, got) != ISOBATH_OK) fail_msg("%s", r.diag.text);
    expect_bytes("steady", 0);
    assert_int_equal(r.reloads, 0);
    close_rig(&r);
}

/* Nothing is left at all: one line. */
static void nothing_is_left(void **state)
{
    (void)state;
    static rig r;
    open_rig(&r);
    r.crowd_at = r.leave = 1;
    assert_int_equal(run(&r, 1, got), ISOBATH_ERR_MEMORY);
    assert_non_null(strstr(r.diag.text, "MiB"));
    assert_null(strchr(r.diag.text, '\n'));
    print_message("%s\n", r.diag.text);
    close_rig(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(undisturbed), cmocka_unit_test(an_op_finds_no_memory),
                                       cmocka_unit_test(others_take_the_memory), cmocka_unit_test(steady),
                                       cmocka_unit_test(nothing_is_left)};
    on_card = argc > 1 && strcmp(argv[1], "cuda") == 0;
    if (on_card) W = H = 518;
    if (argc > 2) act = strcmp(argv[2], "f16") == 0 ? IB_F16 : strcmp(argv[2], "bf16") == 0 ? IB_BF16 : IB_F32;
    bytes = sizeof(float) * WINDOWS * IB_PLAN_WINDOW * (size_t)H * (size_t)W;
    want = malloc(bytes);
    got = malloc(bytes);
    if (!want || !got || synth_checkpoint_write("tiny", 1, "compute_memory.safetensors") != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink("compute_memory.safetensors");
    free(want);
    free(got);
    return failed;
}
