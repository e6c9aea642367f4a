/* What must not happen: NaN in a result, half-written files, a result overwritten unasked. */
#include "session.h"

#include "sink/manifest.h"
#include "support/synth.h"
#include "weights/checkpoint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sets values [first, first + count) of an f32 tensor in a safetensors file. */
static void patch_tensor(const char *path, const char *name, int64_t first, int64_t count, int64_t step, float value)
{
    size_t size;
    uint8_t *data = clip_read_file(path, &size);
    ib_checkpoint *c;
    ib_diag diag = IB_DIAG_INIT;
    assert_non_null(data);
    if (ib_safetensors_parse(data, size, path, &diag, &c) != ISOBATH_OK) fail_msg("%s", diag.text);
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c, name);
    assert_non_null(t);
    for (int64_t i = 0; i < count; i++) memcpy((uint8_t *)(uintptr_t)t->data + 4 * (first + i * step), &value, sizeof value);
    ib_checkpoint_close(c);
    assert_int_equal(clip_write_file(path, data, size), 0);
    free(data);
}

/* A checkpoint that bf16 cannot run: channel 0 of a LayerNorm's output is always zero, and a weight that reads it is 3.4e38:
 * finite in f32, infinite in bf16, and infinity times zero is NaN. */
static void redone_by(e2e *e, const char *devices)
{
    char model[512];
    snprintf(model, sizeof model, "%s", e2e_path(e, "nan.safetensors"));
    assert_int_equal(synth_checkpoint_write("tiny", 1, model), 0);
    patch_tensor(model, "pretrained.blocks.1.norm1.weight", 0, 1, 1, 0.0f);
    patch_tensor(model, "pretrained.blocks.1.norm1.bias", 0, 1, 1, 0.0f);
    patch_tensor(model, "pretrained.blocks.1.attn.qkv.weight", 0, 1, 1, 3.4e38f);
    e2e_clip(e, "g.mkv", 40, 0);
    isobath_run_options o = e2e_options(e, "g.mkv", "g32");
    o.model = model;
    o.formats = "npz";
    o.overwrite = 1;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("fp32: %s", e->error);
    o.output = e2e_path(e, "gb16");
    o.precision = "bf16";
    o.devices = devices;
    o.program = ISOBATH_BINARY;
    isobath_status st = e2e_run(e, &o);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        print_message("SKIPPED on this machine: %s\n", e->error);
        skip();
    }
    if (st != ISOBATH_OK) fail_msg("bf16, %s: %s", devices, e->error);
    int64_t n, n2;
    int h, w;
    float *a = e2e_read_depth(e2e_path(e, "g32/clip_depths.npz"), &n, &h, &w);
    float *b = e2e_read_depth(e2e_path(e, "gb16/clip_depths.npz"), &n2, &h, &w);
    assert_true(a && b && n == 40 && n2 == 40);
    assert_memory_equal(a, b, (size_t)n * (size_t)h * (size_t)w * sizeof *a); /* the fp32 answer, to the bit */
    free(a);
    free(b);
    json_t *m;
    assert_int_equal(ib_json_read(e2e_path(e, "gb16/clip_isobath.json"), NULL, &m), ISOBATH_OK);
    json_t *first = json_array_get(json_object_get(m, "windows"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "redone")), "fp32");
    assert_true(json_integer_value(json_object_get(first, "nonfinite")) > 0);
    json_decref(m);
}

static void nan_is_redone_in_fp32(void **state) { redone_by(*state, "cpu"); }
static void nan_is_redone_by_worker_processes(void **state) { redone_by(*state, "cpu,cpu"); }

/* The same with memory for one of the two networks only: the fast one makes room and comes back; and the least memory that will
 * do gives the same bytes, while less is one line. */
static void redo_without_room(void **state)
{
    e2e *e = *state;
    char model[512], input[512], output[512], want[65], got[65];
    snprintf(model, sizeof model, "%s", e2e_path(e, "room.safetensors"));
    assert_int_equal(synth_checkpoint_write("tiny", 1, model), 0);
    patch_tensor(model, "pretrained.blocks.1.norm1.weight", 0, 1, 1, 0.0f);
    patch_tensor(model, "pretrained.blocks.1.norm1.bias", 0, 1, 1, 0.0f);
    patch_tensor(model, "pretrained.blocks.1.attn.qkv.weight", 0, 1, 1, 3.4e38f);
    e2e_clip(e, "r.mkv", 50, 0);
    isobath_run_options o = e2e_options(e, "r.mkv", "room");
    snprintf(input, sizeof input, "%s", o.input); /* paths of e2e_path are short-lived */
    snprintf(output, sizeof output, "%s", o.output);
    o.input = input;
    o.output = output;
    o.model = model;
    o.formats = "npz";
    o.precision = "bf16";
    o.overwrite = 1;
    isobath_status st = e2e_run(e, &o);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        print_message("SKIPPED on this machine: %s\n", e->error);
        skip();
    }
    assert_int_equal(st, ISOBATH_OK);
    e2e_digest(e2e_path(e, "room/clip_depths.npz"), want);
    size_t low = 1, high = (size_t)64 << 20; /* high does, low does not */
    while (high - low > high / 50) {
        o.device_memory = low + (high - low) / 2;
        st = e2e_run(e, &o);
        if (st != ISOBATH_OK) {
            if (st != ISOBATH_ERR_MEMORY) fail_msg("%zu bytes: %s", o.device_memory, e->error);
            assert_non_null(strstr(e->error, "MiB"));
            low = o.device_memory;
            continue;
        }
        e2e_digest(e2e_path(e, "room/clip_depths.npz"), got);
        assert_string_equal(got, want);
        high = o.device_memory;
    }
    o.device_memory = high;
    assert_int_equal(e2e_run(e, &o), ISOBATH_OK);
    FILE *log = fopen(e2e_path(e, "room/clip_isobath.log.jsonl"), "r");
    assert_non_null(log);
    char line[1024];
    int reloaded = 0;
    while (fgets(line, sizeof line, log)) reloaded += strstr(line, "\"reloaded\"") != NULL;
    fclose(log);
    assert_true(reloaded > 0); /* the least memory is too little for both */
}

/* The device has no memory left in mid-run, in this process and in worker processes: a smaller plan, the same bytes, and a line about it;
 * and when there is no smaller plan, one line and no result. */
static void memory_runs_short(void **state)
{
    e2e *e = *state;
    char want[65], got[65], input[512], output[512];
    e2e_clip(e, "s.mkv", 40, 0); /* two windows */
    isobath_run_options o = e2e_options(e, "s.mkv", "short");
    o.input = strcpy(input, o.input);
    o.output = strcpy(output, o.output);
    o.formats = "npz";
    o.input_size = 168; /* more than the least piece of a temporal module, so that there is a smaller plan */
    o.overwrite = 1;
    o.program = ISOBATH_BINARY;
    assert_int_equal(e2e_run(e, &o), ISOBATH_OK);
    e2e_digest(e2e_path(e, "short/clip_depths.npz"), want);
    setenv("ISOBATH_WORKER_TEST", "always,window=1,short", 1);
    for (int i = 0; i < 2; i++) {
        o.devices = i ? "cpu,cpu" : "cpu";
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        e2e_digest(e2e_path(e, "short/clip_depths.npz"), got);
        assert_string_equal(got, want);
        size_t size;
        char *log = (char *)clip_read_file(e2e_path(e, "short/clip_isobath.log.jsonl"), &size);
        assert_non_null(log);
        assert_int_equal(memmem(log, size, "smaller_plan", 12) != NULL, !i);
        free(log);
    }
    o.devices = "cpu";
    setenv("ISOBATH_WORKER_TEST", "always,window=1,starved", 1); /* by no plan */
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_MEMORY);
    assert_non_null(strstr(e->error, "out of memory on purpose"));
    assert_int_equal(e2e_count_files(output, ".npz") + e2e_count_files(output, ".tmp"), 0);
    unsetenv("ISOBATH_WORKER_TEST");
}

/* NaN in the weights themselves: fp32 cannot help; the run fails with a line and leaves no result. */
static void nan_in_fp32_is_an_error(void **state)
{
    e2e *e = *state;
    const char *model = e2e_path(e, "bad.safetensors");
    assert_int_equal(synth_checkpoint_write("tiny", 1, model), 0);
    patch_tensor(model, "pretrained.norm.weight", 3, 1, 1, NAN);
    e2e_clip(e, "b.mkv", 5, 0);
    isobath_run_options o = e2e_options(e, "b.mkv", "b");
    o.model = model;
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_MODEL);
    assert_non_null(strstr(e->error, "not finite"));
    assert_int_equal(e2e_count_files(e2e_path(e, "b"), ".tmp"), 0);
    assert_int_equal(e2e_count_files(e2e_path(e, "b"), ".npz"), 0);
    assert_int_equal(e2e_count_files(e2e_path(e, "b"), "isobath.json"), 0);
}

static void existing_result_is_refused(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "x.mkv", 3, 0);
    isobath_run_options o = e2e_options(e, "x.mkv", "x");
    assert_int_equal(e2e_run(e, &o), ISOBATH_OK);
    char before[65], after[65];
    e2e_digest(e2e_path(e, "x/clip_depths.npz"), before);
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_EXISTS);
    e2e_digest(e2e_path(e, "x/clip_depths.npz"), after);
    assert_string_equal(before, after);
    o.overwrite = 1;
    o.max_frames = 2;
    assert_int_equal(e2e_run(e, &o), ISOBATH_OK);
    assert_int_equal(e2e_count_files(e2e_path(e, "x/clip_depths_png16"), ".png"), 2);
}

static void cancel_leaves_complete_files_or_none(void **state)
{
    e2e *e = *state;
    char input[512], output[512];
    clip c = {.encoder = "mpeg4", .frames = 200, .width = 320, .height = 240};
    assert_int_equal(clip_write(e2e_path(e, "c.mkv"), &c), 0);
    isobath_run_options o = e2e_options(e, "c.mkv", "c");
    o.input = strcpy(input, o.input);
    o.output = strcpy(output, o.output);
    o.formats = "png16,npz,preview";
    o.input_size = 56;
    for (int64_t frames = 0; frames <= 200; frames += 50) { /* before the first one, ..., while the files are being finished */
        o.overwrite = frames > 0;
        isobath_status st = e2e_run_until(e, &o, frames, 1, NULL);
        if (st != ISOBATH_ERR_INTERRUPTED && !(st == ISOBATH_OK && frames > 100)) fail_msg("after %d frames: %d %s", (int)frames, st, e->error);
        assert_int_equal(e2e_count_files(output, ".tmp"), 0);
        assert_int_equal(e2e_count_files(e2e_path(e, "c/clip_depths_png16"), ".tmp"), 0);
        assert_int_equal(e2e_count_files(output, "isobath.json"), st == ISOBATH_OK);
        if (frames <= 100) assert_int_equal(e2e_count_files(output, ".npz") + e2e_count_files(output, ".mp4"), 0);
        if (e2e_count_files(output, ".npz") == 0) continue;
        int64_t n;
        int h, w;
        float *depth = e2e_read_depth(e2e_path(e, "c/clip_depths.npz"), &n, &h, &w);
        assert_true(depth && n == 200);
        free(depth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nan_is_redone_in_fp32),
                                       cmocka_unit_test(nan_is_redone_by_worker_processes), cmocka_unit_test(redo_without_room), cmocka_unit_test(memory_runs_short),
                                       cmocka_unit_test(nan_in_fp32_is_an_error),
                                       cmocka_unit_test(existing_result_is_refused),
                                       cmocka_unit_test(cancel_leaves_complete_files_or_none)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
