/* The doctor and the benchmark: facts, self-tests, rates, and that they notice what is wrong. */
#include "support/clips.h"
#include "support/synth.h"
#include "weights/checkpoint.h"

#include <isobath/doctor.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], model[128], video[128];
static isobath_doctor_report report;
static char error[1024];

static void write_clip(const char *path, int frames)
{
    FILE *f = fopen(path, "wb");
    uint8_t planes[64 * 48 * 3 / 2];
    assert_non_null(f);
    fprintf(f, "YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n");
    for (int t = 0; t < frames; t++) {
        for (size_t i = 0; i < sizeof planes; i++) planes[i] = (uint8_t)(i < 64 * 48 ? i * 5 + i / 64 * 3 + (size_t)t * 9 : 128);
        fprintf(f, "FRAME\n");
        assert_int_equal(fwrite(planes, 1, sizeof planes, f), sizeof planes);
    }
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/isobath-doctor-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(model, sizeof model, "%s/tiny.safetensors", folder);
    snprintf(video, sizeof video, "%s/clip.y4m", folder);
    write_clip(video, 30);
    return synth_checkpoint_write("tiny", 1, model);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(model);
    unlink(video);
    return rmdir(folder); /* fails when anything was written */
}

static void count_line(void *ctx, isobath_doctor_level level, const char *topic, const char *text)
{
    assert_true(level >= ISOBATH_DOCTOR_FACT && level <= ISOBATH_DOCTOR_BAD);
    assert_non_null(topic);
    assert_null(strchr(text, '\n'));
    ++*(int *)ctx;
}

static void a_clip(void **state)
{
    (void)state;
    int lines = 0;
    isobath_doctor_options o = {.input = video, .model = model, .output = folder, .input_size = 42, .threads = 2, .devices = "cpu", .seconds = 2,
                                .line = count_line, .ctx = &lines};
    if (isobath_doctor_run(&o, &report, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
    assert_true(lines >= 8);
    assert_true(report.cpus >= 1 && report.memory_bytes > report.memory_available && report.memory_available > 0);
    assert_true(report.disk_available > 0);
    assert_non_null(strstr(report.ffmpeg, "libavcodec"));
    assert_true(report.decoder[0] && report.decode_frames_per_s > 0);
    assert_int_equal(report.plan.source_width, 64);
    assert_int_equal(report.plan.network_height, 42);
    assert_true(report.plan.host_bytes > 0 && report.plan.flops_per_frame > 0);
    const isobath_doctor_trial *t = &report.trials[0];
    assert_int_equal(report.trial_count, 2);
    assert_int_equal(t->status, ISOBATH_OK);
    assert_string_equal(t->precision, "fp32");
    assert_true(t->sane && t->nonfinite == 0 && t->min < t->max && t->worst_error == 0);
    assert_int_equal(t->values, 32 * t->width * t->height);
    assert_true(t->frames_per_s > 0 && t->hours > 0);
    double slower = fmin(t->frames_per_s, report.decode_frames_per_s);
    if (report.plan.frames_hint > 0) assert_true(fabs(t->hours * 3600 * slower / (double)report.plan.frames_hint - 1) < 1e-9);
    t = &report.trials[1]; /* bf16: there, or the processor lacks it */
    if (t->status == ISOBATH_OK) assert_true(t->sane && t->median_error > 0 && t->median_error <= t->p9999_error && t->p9999_error <= t->worst_error);
    else assert_true(t->reason[0]);
}

/* A checkpoint that is finite in fp32 and gives NaN in bf16: channel 0 of a norm is zero, a weight that reads it 3.4e38. */
static void nan_is_counted(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float value;
    } patches[] = {{"pretrained.blocks.1.norm1.weight", 0}, {"pretrained.blocks.1.norm1.bias", 0}, {"pretrained.blocks.1.attn.qkv.weight", 3.4e38f}};
    char path[160];
    size_t size;
    ib_checkpoint *c;
    snprintf(path, sizeof path, "%s/nan.safetensors", folder);
    uint8_t *data = clip_read_file(model, &size);
    assert_non_null(data);
    assert_int_equal(ib_safetensors_parse(data, size, path, NULL, &c), ISOBATH_OK);
    for (int i = 0; i < 3; i++) memcpy((uint8_t *)(uintptr_t)ib_checkpoint_find(c, patches[i].name)->data, &patches[i].value, 4);
    ib_checkpoint_close(c);
    assert_int_equal(clip_write_file(path, data, size), 0);
    free(data);
    isobath_doctor_options o = {.model = path, .width = 64, .height = 48, .input_size = 28, .threads = 1, .devices = "cpu", .seconds = 1};
    isobath_status st = isobath_doctor_run(&o, &report, error, sizeof error);
    unlink(path);
    if (st != ISOBATH_OK) fail_msg("%s", error);
    assert_true(report.trials[0].sane && report.trials[0].nonfinite == 0);
    if (report.trials[1].status == ISOBATH_ERR_UNSUPPORTED) {
        print_message("SKIPPED on this machine: %s\n", report.trials[1].reason);
        skip();
    }
    assert_true(report.trials[1].nonfinite > 0);
    assert_int_equal(report.trials[1].sane, 0);
}

static void problems_are_told(void **state)
{
    (void)state;
    isobath_doctor_options o = {.input = "/no/such/clip.mp4", .model = model};
    assert_int_equal(isobath_doctor_run(&o, &report, error, sizeof error), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(error, "/no/such/clip.mp4"));
    o.input = "-";
    assert_int_equal(isobath_doctor_run(&o, &report, error, sizeof error), ISOBATH_ERR_USAGE);
    o.input = video;
    o.model = "/no/such/model.pth";
    assert_int_equal(isobath_doctor_run(&o, &report, error, sizeof error), ISOBATH_ERR_MODEL);
    assert_true(report.decode_frames_per_s > 0); /* what can be looked at is */
    o.model = model;
    o.devices = "tpu";
    assert_int_equal(isobath_doctor_run(&o, &report, error, sizeof error), ISOBATH_ERR_USAGE);
    o.input = NULL;
    o.width = 64;
    o.height = 48;
    o.input_size = 28;
    o.devices = "cuda:99"; /* no machine has that */
    isobath_status st = isobath_doctor_run(&o, &report, error, sizeof error);
    assert_true(st == ISOBATH_ERR_UNSUPPORTED || st == ISOBATH_ERR_DEVICE);
    assert_non_null(strstr(error, "cuda"));
    o.devices = "cpu";
    o.precision = "fp8";
    assert_int_equal(isobath_doctor_run(&o, &report, error, sizeof error), ISOBATH_ERR_USAGE);
}

static void bench(void **state)
{
    (void)state;
    isobath_bench_result r;
    isobath_bench_options o = {.model = model, .width = 64, .height = 48, .input_size = 28, .threads = 1, .seconds = 0.1};
    if (isobath_bench_network(&o, &r, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
    assert_true(r.frames_per_s > 0 && r.flops_per_frame > 0 && r.memory_bytes > 0 && r.nonfinite == 0);
    assert_int_equal(r.network_height, 28);
    o.input_size = 5000;
    assert_int_equal(isobath_bench_network(&o, &r, error, sizeof error), ISOBATH_ERR_USAGE);
    o.input_size = 28;
    o.precision = "fp16";
    assert_int_equal(isobath_bench_network(&o, &r, error, sizeof error), ISOBATH_ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_clip), cmocka_unit_test(nan_is_counted), cmocka_unit_test(problems_are_told),
                                       cmocka_unit_test(bench)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
