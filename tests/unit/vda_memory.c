/* Device memory of a network: every smaller plan gives the same bytes, a budget is kept to the byte and given back. */
#include "backend/backend.h"
#include "model/vda.h"
#include "support/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { W = 70, H = 56, SRC_W = 60, SRC_H = 50 };

static uint8_t frames[IB_WINDOW][SRC_H * SRC_W * 3];

/* The first window, its depth into out, f32 (32,H,W). */
static void window(ib_vda *vda, float *out)
{
    const uint8_t *rgb[IB_WINDOW];
    int64_t bad;
    for (int i = 0; i < IB_WINDOW; i++) rgb[i] = frames[i];
    assert_int_equal(ib_vda_encode_rgb(vda, rgb, SRC_H, SRC_W, IB_WINDOW, 0), ISOBATH_OK);
    assert_int_equal(ib_vda_depth(vda, out, &bad), ISOBATH_OK);
    assert_int_equal(bad, 0);
}

typedef struct network {
    ib_diag diag;
    ib_checkpoint *ckpt;
    ib_vda_config config;
    ib_backend *be;
} network;

/* 0: not on this processor. */
static int open_network(network *n, ib_dtype act, const char *isa)
{
    n->diag = (ib_diag)IB_DIAG_INIT;
    if (ib_cpu_open(&(ib_backend_options){.act = act, .isa = isa, .diag = &n->diag}, &n->be) != ISOBATH_OK) {
        print_message("SKIPPED on this machine: %s\n", n->diag.text);
        ib_diag_destroy(&n->diag);
        return 0;
    }
    assert_int_equal(synth_checkpoint_write("tiny", 1, "vda_memory.safetensors"), 0);
    assert_int_equal(ib_checkpoint_open("vda_memory.safetensors", &n->diag, &n->ckpt), ISOBATH_OK);
    unlink("vda_memory.safetensors");
    assert_int_equal(ib_vda_config_read(n->ckpt, -1, &n->diag, &n->config), ISOBATH_OK);
    for (int i = 0; i < IB_WINDOW; i++) synth_frames(i, 1, SRC_H, SRC_W, 3, frames[i]);
    return 1;
}

static void close_network(network *n)
{
    ib_backend_close(n->be);
    ib_checkpoint_close(n->ckpt);
    ib_diag_destroy(&n->diag);
}

static void test_every_plan_gives_the_same_bytes(void **state)
{
    (void)state;
    network n;
    assert_true(open_network(&n, IB_F32, NULL));
    size_t bytes = (size_t)IB_WINDOW * H * W * sizeof(float), before = SIZE_MAX;
    float *want = malloc(bytes), *got = malloc(bytes);
    assert_true(want && got);

    ib_budget budget = {0};
    ib_vda_shape shape = {.height = H, .width = W, .encode_batch = 11, .depth_batch = 8, .temporal_piece = 0, .depth_slots = 2,
                          .budget = &budget};
    int plans = 0;
    do {
        ib_vda_memory memory;
        ib_vda *vda;
        assert_int_equal(ib_vda_plan(&n.config, &shape, IB_F32, &n.diag, &memory), ISOBATH_OK);
        assert_true(memory.total <= before);
        before = memory.total;
        budget.limit = (size_t)1 << 40;
        assert_int_equal(ib_vda_create(n.be, n.ckpt, &n.config, &shape, &n.diag, &vda), ISOBATH_OK);
        size_t used = atomic_load(&budget.used);
        window(vda, got);
        assert_int_equal(atomic_load(&budget.used), used); /* all was taken at once: what fits at the start fits to the end */
        ib_vda_destroy(vda);
        assert_int_equal(atomic_load(&budget.used), 0);
        budget.limit = used - 1; /* a byte too little */
        assert_int_equal(ib_vda_create(n.be, n.ckpt, &n.config, &shape, &n.diag, &vda), ISOBATH_ERR_MEMORY);
        assert_non_null(strstr(n.diag.text, "MiB"));
        assert_int_equal(atomic_load(&budget.used), 0);
        ib_diag_reset(&n.diag);
        budget.limit = used; /* just enough */
        assert_int_equal(ib_vda_create(n.be, n.ckpt, &n.config, &shape, &n.diag, &vda), ISOBATH_OK);
        window(vda, plans ? got : want);
        if (plans) assert_memory_equal(want, got, bytes);
        ib_vda_unload(vda);
        assert_int_equal(atomic_load(&budget.used), 0);
        assert_int_equal(ib_vda_reload(vda, n.ckpt), ISOBATH_OK);
        window(vda, got);
        assert_memory_equal(want, got, bytes);
        ib_vda_destroy(vda);
        assert_int_equal(atomic_load(&budget.used), 0);
        plans++;
    } while (ib_vda_shape_shrink(&shape));
    assert_true(plans >= 4);
    free(want);
    free(got);
    close_network(&n);
}

/* Micro-batches are for speed alone: on every path of this processor each gives the bytes of one frame at a time. */
static void test_micro_batches_give_the_same_bytes(void **state)
{
    (void)state;
    static const struct {
        ib_dtype act;
        const char *isa;
    } paths[] = {{IB_F32, "avx512"}, {IB_F32, "avx2"}, {IB_F32, "sse4"}, {IB_BF16, "avx512"}, {IB_BF16, "amx"}, {IB_BF16, "tiles"}};
    static const int batches[][2] = {{1, 1}, {4, 4}, {3, 2}, {2, 5}, {32, 32}};
    size_t bytes = (size_t)IB_WINDOW * H * W * sizeof(float);
    float *want = malloc(bytes), *got = malloc(bytes);
    assert_true(want && got);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        network n;
        if (!open_network(&n, paths[p].act, paths[p].isa)) continue;
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            ib_vda_shape shape = {.height = H, .width = W, .encode_batch = batches[i][0], .depth_batch = batches[i][1], .depth_slots = 1};
            ib_vda *vda;
            assert_int_equal(ib_vda_create(n.be, n.ckpt, &n.config, &shape, &n.diag, &vda), ISOBATH_OK);
            window(vda, i ? got : want);
            if (i && memcmp(want, got, bytes) != 0) fail_msg("%s: batches of %d and %d", n.be->kind, batches[i][0], batches[i][1]);
            ib_vda_destroy(vda);
        }
        close_network(&n);
    }
    free(want);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_plan_gives_the_same_bytes),
                                       cmocka_unit_test(test_micro_batches_give_the_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
