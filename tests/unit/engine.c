/* Sessions that share a device: the model is read once, other sizes keep its weights, and every result is that of a session alone. */
#include "support/clips.h"
#include "support/synth.h"
#include "base/hash.h"

#include <isobath/batch.h>
#include <isobath/session.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[256], model[2][512];

/* Runs clip.mkv at a size and gives the digest of the result; engine NULL: alone. */
static const char *devices = "cpu";

static isobath_status run(isobath_engine *engine, const char *which, int size, const char *out, char hex[65])
{
    char input[600], folder[600], result[700];
    isobath_run_options o;
    isobath_session *s;
    snprintf(input, sizeof input, "%s/clip.mkv", dir);
    snprintf(folder, sizeof folder, "%s/%s", dir, out);
    snprintf(result, sizeof result, "%s/clip_depths.npz", folder);
    isobath_run_options_init(&o);
    o.input = input;
    o.output = folder;
    o.model = which;
    o.input_size = size;
    o.devices = devices;
    o.program = ISOBATH_BINARY;
    o.threads = 2;
    o.formats = "npz";
    o.overwrite = 1;
    o.engine = engine;
    isobath_status st = isobath_session_create(&o, &s);
    if (st == ISOBATH_OK) st = isobath_session_run(s);
    if (st != ISOBATH_OK) print_error("%s\n", isobath_session_error(s));
    isobath_session_destroy(s);
    hex[0] = 0;
    if (st == ISOBATH_OK) assert_int_equal(ib_sha256_file(result, NULL, hex), ISOBATH_OK);
    return st;
}

static void one_model_many_sizes(void **state)
{
    (void)state;
    static const int sizes[] = {28, 28, 42, 28, 14};
    isobath_engine *engine = isobath_engine_create();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char shared[65], alone[65];
        assert_int_equal(run(engine, model[0], sizes[i], "shared", shared), ISOBATH_OK);
        assert_int_equal(run(NULL, model[0], sizes[i], "alone", alone), ISOBATH_OK);
        assert_string_equal(shared, alone);
        assert_int_equal(isobath_engine_loads(engine), 1);
    }
    isobath_engine_destroy(engine);
}

/* Another model is read, and a session that fails does not spoil the next. */
static void other_models_and_failures(void **state)
{
    (void)state;
    isobath_engine *engine = isobath_engine_create();
    char a[65], b[65], alone[65], nothing[65], path[600];
    assert_int_equal(run(engine, model[0], 28, "a", a), ISOBATH_OK);
    snprintf(path, sizeof path, "%s/file", dir);
    assert_int_equal(clip_write_file(path, "x", 1), 0);
    assert_int_equal(run(engine, model[0], 28, "file/inside", nothing), ISOBATH_ERR_IO);
    assert_int_equal(run(engine, model[1], 28, "b", b), ISOBATH_OK);
    assert_int_equal(isobath_engine_loads(engine), 2);
    assert_int_equal(run(NULL, model[1], 28, "alone", alone), ISOBATH_OK);
    assert_string_equal(b, alone);
    assert_string_not_equal(a, b);
    assert_int_equal(run(engine, model[1], 28, "b", b), ISOBATH_OK);
    assert_int_equal(isobath_engine_loads(engine), 2);
    assert_string_equal(b, alone);
    isobath_engine_destroy(engine);
}

/* Worker processes rest between runs; one that was killed meanwhile is replaced. */
static void workers_stay(void **state)
{
    (void)state;
    static const int sizes[] = {28, 42, 42, 14};
    isobath_engine *engine = isobath_engine_create();
    devices = "cpu,cpu";
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char shared[65], alone[65];
        assert_int_equal(run(engine, model[0], sizes[i], "shared", shared), ISOBATH_OK);
        devices = "cpu";
        assert_int_equal(run(NULL, model[0], sizes[i], "alone", alone), ISOBATH_OK);
        devices = "cpu,cpu";
        assert_string_equal(shared, alone);
        assert_int_equal(isobath_engine_loads(engine), 2);
    }
    char command[64], hex[65];
    snprintf(command, sizeof command, "kill -9 $(ps -o pid= --ppid %d | head -1)", (int)getpid());
    if (system(command) == 0) assert_int_equal(run(engine, model[0], 28, "shared", hex), ISOBATH_OK);
    assert_int_equal(run(engine, model[1], 28, "other", hex), ISOBATH_OK);
    devices = "cpu";
    isobath_engine_destroy(engine);
}

static int setup(void **state)
{
    (void)state;
    char path[600];
    if (clip_make_dir(dir, sizeof dir) != 0) return -1;
    snprintf(path, sizeof path, "%s/clip.mkv", dir);
    for (int i = 0; i < 2; i++) {
        snprintf(model[i], sizeof model[i], "%s/tiny%d.safetensors", dir, i);
        if (synth_checkpoint_write("tiny", i + 1, model[i]) != 0) return -1;
    }
    clip c = {.encoder = "mpeg4", .frames = 30, .width = 64, .height = 48};
    return clip_write(path, &c);
}

static int teardown(void **state)
{
    (void)state;
    clip_remove_dir(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_model_many_sizes), cmocka_unit_test(other_models_and_failures),
                                       cmocka_unit_test(workers_stay)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
