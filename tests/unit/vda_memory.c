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

static void test_every_plan_gives_the_same_bytes(void **state)
{
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *ckpt;
    ib_vda_config config;
    ib_backend *be;
    assert_int_equal(synth_checkpoint_write("tiny", 1, "vda_memory.safetensors"), 0);
    assert_int_equal(ib_checkpoint_open("vda_memory.safetensors", &diag, &ckpt), ISOBATH_OK);
    assert_int_equal(ib_vda_config_read(ckpt, -1, &diag, &config), ISOBATH_OK);
    assert_int_equal(ib_cpu_open(&(ib_backend_options){.act = IB_F32, .diag = &diag}, &be), ISOBATH_OK);
    for (int i = 0; i < IB_WINDOW; i++) synth_frames(i, 1, SRC_H, SRC_W, 3, frames[i]);
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
        assert_int_equal(ib_vda_plan(&config, &shape, IB_F32, &diag, &memory), ISOBATH_OK);
        assert_true(memory.total <= before);
        before = memory.total;
        budget.limit = (size_t)1 << 40;
        assert_int_equal(ib_vda_create(be, ckpt, &config, &shape, &diag, &vda), ISOBATH_OK);
        size_t created = atomic_load(&budget.used);
        window(vda, got);
        size_t used = atomic_load(&budget.used);
        ib_vda_destroy(vda);
        assert_int_equal(atomic_load(&budget.used), 0);
        budget.limit = created - 1; /* a byte too little */
        assert_int_equal(ib_vda_create(be, ckpt, &config, &shape, &diag, &vda), ISOBATH_ERR_MEMORY);
        assert_non_null(strstr(diag.text, "MiB"));
        assert_int_equal(atomic_load(&budget.used), 0);
        ib_diag_reset(&diag);
        budget.limit = used; /* just enough */
        assert_int_equal(ib_vda_create(be, ckpt, &config, &shape, &diag, &vda), ISOBATH_OK);
        window(vda, plans ? got : want);
        if (plans) assert_memory_equal(want, got, bytes);
        ib_vda_unload(vda);
        assert_int_equal(atomic_load(&budget.used), 0);
        assert_int_equal(ib_vda_reload(vda, ckpt), ISOBATH_OK);
        window(vda, got);
        assert_memory_equal(want, got, bytes);
        ib_vda_destroy(vda);
        assert_int_equal(atomic_load(&budget.used), 0);
        plans++;
    } while (ib_vda_shape_shrink(&shape));
    assert_true(plans >= 4);
    free(want);
    free(got);
    ib_backend_close(be);
    ib_checkpoint_close(ckpt);
    unlink("vda_memory.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_plan_gives_the_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
