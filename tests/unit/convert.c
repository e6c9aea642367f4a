/* Conversion of checkpoints: every value, the metadata, what is refused. */
#include "base/half.h"
#include "support/synth.h"
#include "weights/checkpoint.h"

#include <isobath/convert.h>
#include <isobath/info.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *at(const char *name)
{
    static char path[8][128];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/isobath-convert-XXXXXX");
    return mkdtemp(folder) && synth_checkpoint_write("tiny", 1, at("in.safetensors")) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"in.safetensors", "out.safetensors", "metric_in.safetensors", "m.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(at(names[i]));
    return rmdir(folder); /* fails when a temporary file was left behind */
}

static float rounded(float x, ib_dtype dtype)
{
    return dtype == IB_F16 ? ib_f16_to_f32(ib_f32_to_f16(x)) : dtype == IB_BF16 ? ib_bf16_to_f32(ib_f32_to_bf16(x)) : x;
}

/* Every tensor of b is that of a, rounded to dtype. */
static void compare(const char *a, const char *b, ib_dtype dtype)
{
    ib_checkpoint *x, *y;
    assert_int_equal(ib_checkpoint_open(a, NULL, &x), ISOBATH_OK);
    assert_int_equal(ib_checkpoint_open(b, NULL, &y), ISOBATH_OK);
    assert_string_equal(ib_checkpoint_format(y), "safetensors");
    assert_int_equal(ib_checkpoint_count(x), ib_checkpoint_count(y));
    for (size_t i = 0; i < ib_checkpoint_count(x); i++) {
        const ib_checkpoint_tensor *t = ib_checkpoint_at(x, i), *u = ib_checkpoint_find(y, t->name);
        assert_non_null(u);
        assert_int_equal(u->dtype, dtype);
        assert_int_equal(u->rank, t->rank);
        assert_memory_equal(u->dim, t->dim, (size_t)t->rank * sizeof *t->dim);
        float *v = malloc((size_t)t->count * 4), *w = malloc((size_t)t->count * 4);
        assert_true(v && w);
        ib_checkpoint_read_f32(t, v);
        ib_checkpoint_read_f32(u, w);
        for (int64_t k = 0; k < t->count; k++) v[k] = rounded(v[k], dtype);
        assert_memory_equal(v, w, (size_t)t->count * 4);
        free(v);
        free(w);
    }
    ib_checkpoint_close(x);
    ib_checkpoint_close(y);
}

static void every_type(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        ib_dtype dtype;
    } types[] = {{NULL, IB_F32}, {"f16", IB_F16}, {"bf16", IB_BF16}};
    char error[1024];
    for (int i = 0; i < 3; i++) {
        isobath_convert_options o = {.dtype = types[i].name, .overwrite = i > 0};
        if (isobath_convert(at("in.safetensors"), at("out.safetensors"), &o, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
        compare(at("in.safetensors"), at("out.safetensors"), types[i].dtype);
    }
}

static void pytorch_file(void **state)
{
    (void)state;
    const char *in = ISOBATH_SOURCE_DIR "/tests/oracle/data/vda_tiny_1.pth";
    char error[1024];
    isobath_convert_options o = {.overwrite = 1};
    if (isobath_convert(in, at("out.safetensors"), &o, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
    compare(in, at("out.safetensors"), IB_F32);
}

/* What a file says by its name only ("metric_...") is kept under another name. */
static void kind_is_kept(void **state)
{
    (void)state;
    isobath_model_info info;
    assert_int_equal(rename(at("in.safetensors"), at("metric_in.safetensors")), 0);
    assert_int_equal(isobath_convert(at("metric_in.safetensors"), at("m.safetensors"), NULL, NULL, 0), ISOBATH_OK);
    assert_int_equal(isobath_model_inspect(at("m.safetensors"), &info, NULL, 0), ISOBATH_OK);
    assert_int_equal(info.metric, 1);
    assert_int_equal(rename(at("metric_in.safetensors"), at("in.safetensors")), 0);
}

static void refusals(void **state)
{
    (void)state;
    char error[1024];
    isobath_convert_options o = {.dtype = "f8", .overwrite = 1};
    const char *in = at("in.safetensors");
    assert_int_equal(isobath_convert(in, at("out.safetensors"), &o, error, sizeof error), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(error, "expected f32, f16 or bf16"));
    assert_int_equal(isobath_convert(in, at("out.pth"), NULL, error, sizeof error), ISOBATH_ERR_USAGE);
    assert_int_equal(isobath_convert(in, at("in.safetensors"), NULL, error, sizeof error), ISOBATH_ERR_EXISTS);
    assert_int_equal(isobath_convert(in, at("no/such.safetensors"), NULL, error, sizeof error), ISOBATH_ERR_IO);
    assert_int_equal(isobath_convert(at("none.pth"), at("new.safetensors"), NULL, error, sizeof error), ISOBATH_ERR_MODEL);
    assert_int_equal(access(at("new.safetensors"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_type), cmocka_unit_test(pytorch_file), cmocka_unit_test(kind_is_kept),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
