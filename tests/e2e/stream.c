/* Streams: counts, times and bytes of files and pipes; what happens when the consumer is slow, the source breaks off, the
 * reader goes away, values are not finite. */
#include "session.h"

#include "depthio/depth_reader.h"
#include "sink/manifest.h"
#include "support/synth.h"
#include "weights/checkpoint.h"

#include <isobath/stream.h>

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static isobath_stream_options options(e2e *e, const char *input, const char *out, const char *formats)
{
    isobath_stream_options o;
    isobath_stream_options_init(&o);
    o.run = e2e_options(e, input, out);
    o.run.formats = formats;
    o.run.overwrite = 1;
    return o;
}

static isobath_status run_stream(e2e *e, const isobath_stream_options *o, isobath_stream_summary *summary)
{
    isobath_stream *s;
    isobath_status st = isobath_stream_create(o, &s);
    if (st == ISOBATH_OK) st = isobath_stream_run(s);
    if (summary) isobath_stream_summarize(s, summary);
    snprintf(e->error, sizeof e->error, "%s", isobath_stream_error(s));
    isobath_stream_destroy(s);
    return st;
}

static json_t *manifest(e2e *e, const char *out)
{
    char path[2048];
    json_t *m = NULL;
    snprintf(path, sizeof path, "%s/clip_isobath.json", e2e_path(e, out));
    assert_int_equal(ib_json_read(path, NULL, &m), ISOBATH_OK);
    return m;
}

static void frames_out_are_frames_in(void **state)
{
    e2e *e = *state;
    static const int counts[] = {1, 2, 32, 45, 300};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int n = counts[i];
        e2e_clip(e, "n.mkv", n, 1);
        isobath_stream_options o = options(e, "n.mkv", "n", "png16,npz,preview");
        if (n == 300) o.run.devices = "null"; /* the network's values do not matter for the count */
        isobath_stream_summary m;
        if (run_stream(e, &o, &m) != ISOBATH_OK) fail_msg("%d frames: %s", n, e->error);
        assert_int_equal(m.frames, n);
        assert_int_equal(m.dropped, 0);
        assert_true(m.latency_p50_ms > 0 && m.latency_p50_ms <= m.latency_p99_ms && m.latency_p99_ms <= m.latency_max_ms);
        assert_int_equal(e2e_count_files(e2e_path(e, "n/clip_depths_png16"), ".png"), n);
        ib_depth_reader *r;
        assert_int_equal(ib_depth_reader_open(e2e_path(e, "n/clip_depths.npz"), NULL, &r), ISOBATH_OK);
        assert_int_equal(ib_depth_reader_get_info(r)->frames, n);
        json_t *j = manifest(e, "n");
        assert_string_equal(json_string_value(json_object_get(j, "mode")), "stream");
        clip c = {.fps = 25, .variable = 1};
        for (int f = 0; f < n; f++) {
            assert_int_equal(ib_depth_reader_time_us(r, f), clip_time_us(&c, f));
            assert_int_equal(json_integer_value(json_array_get(json_object_get(j, "times_us"), (size_t)f)), clip_time_us(&c, f));
        }
        ib_depth_reader_close(r);
        json_decref(j);
    }
}

static void same_bytes_for_any_threads(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "t.mkv", 45, 0);
    static const char *const precisions[] = {"fp32", "bf16"};
    for (int p = 0; p < 2; p++) {
        char first[2][65] = {{0}}, hex[65];
        for (int threads = 1; threads <= 3; threads++) {
            isobath_stream_options o = options(e, "t.mkv", "t", "npz");
            o.run.threads = threads;
            o.run.precision = precisions[p];
            isobath_status st = run_stream(e, &o, NULL);
            if (st == ISOBATH_ERR_UNSUPPORTED) {
                print_message("SKIPPED on this machine: %s: %s\n", precisions[p], e->error);
                break;
            }
            if (st != ISOBATH_OK) fail_msg("%s, %d threads: %s", precisions[p], threads, e->error);
            for (int i = 0; i < 2; i++) {
                e2e_digest(e2e_path(e, i ? "t/clip_isobath.json" : "t/clip_depths.npz"), hex);
                if (threads == 1) strcpy(first[i], hex);
                assert_string_equal(hex, first[i]);
            }
        }
    }
}

/* Opens dir/NAME for a pipe's bytes; the options get the descriptor. */
static void pipe_to_file(e2e *e, isobath_stream_options *o, isobath_stream_pipe form, const char *name)
{
    o->pipe = form;
    o->pipe_fd = open(e2e_path(e, name), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(o->pipe_fd >= 0);
}

static void pipe_says_what_the_file_says(void **state)
{
    e2e *e = *state;
    enum { N = 7, W = 64, H = 48 };
    e2e_clip(e, "p.mkv", N, 0);
    int64_t n;
    int h, w;
    isobath_stream_options o = options(e, "p.mkv", "p", "npz");
    pipe_to_file(e, &o, ISOBATH_STREAM_PIPE_F32, "p.f32"); /* a pipe and files */
    if (run_stream(e, &o, NULL) != ISOBATH_OK) fail_msg("%s", e->error);
    close(o.pipe_fd);
    float *depth = e2e_read_depth(e2e_path(e, "p/clip_depths.npz"), &n, &h, &w);
    assert_true(depth && n == N && h == H && w == W);
    size_t size;
    uint8_t *bytes = clip_read_file(e2e_path(e, "p.f32"), &size);
    assert_int_equal(size, (size_t)N * W * H * 4);
    assert_memory_equal(bytes, depth, size);
    free(bytes);
    float largest = 0;
    for (int i = 0; i < W * H; i++) largest = depth[i] > largest ? depth[i] : largest;
    assert_true(largest > 0);
    double step = ldexp(1, (int)floor(log2((double)largest * 4)) + 1 - 16);

    o.run.output = NULL; /* a pipe alone */
    o.run.formats = NULL;
    for (int y4m = 0; y4m < 2; y4m++) {
        pipe_to_file(e, &o, y4m ? ISOBATH_STREAM_PIPE_Y4M : ISOBATH_STREAM_PIPE_U16, "p.16");
        if (run_stream(e, &o, NULL) != ISOBATH_OK) fail_msg("%s", e->error);
        close(o.pipe_fd);
        bytes = clip_read_file(e2e_path(e, "p.16"), &size);
        char header[96];
        snprintf(header, sizeof header, "YUV4MPEG2 W64 H48 F25000:1000 Ip A1:1 Cmono16 XSTEP=2^%d\n", (int)lround(log2(step)));
        size_t start = y4m ? strlen(header) : 0, frame = y4m ? 6 : 0;
        assert_int_equal(size, start + N * (frame + W * H * 2));
        assert_memory_equal(bytes, header, start);
        for (int f = 0; f < N; f++) {
            const uint8_t *at = bytes + start + (size_t)f * (frame + W * H * 2);
            assert_memory_equal(at, "FRAME\n", frame);
            for (int i = 0; i < W * H; i++) {
                double q = at[frame + 2 * (size_t)i] + 256 * at[frame + 2 * (size_t)i + 1], d = depth[f * W * H + i];
                double top = step * 65536;
                if (fabs((q + 0.5) * step - (d < top ? d : top)) > 0.5001 * step) fail_msg("frame %d, pixel %d: %g is not %g", f, i, (q + 0.5) * step, d);
            }
        }
        free(bytes);
    }
    free(depth);
}

static void reader_gone_is_an_error(void **state)
{
    e2e *e = *state;
    int ends[2];
    e2e_clip(e, "r.mkv", 5, 0);
    isobath_stream_options o = options(e, "r.mkv", "r", NULL);
    o.run.output = NULL;
    o.pipe = ISOBATH_STREAM_PIPE_F32;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    o.pipe_fd = ends[1];
    assert_int_equal(run_stream(e, &o, NULL), ISOBATH_ERR_IO);
    assert_non_null(strstr(e->error, "reader is gone"));
    close(ends[1]);
    o.pipe = ISOBATH_STREAM_PIPE_NONE;
    assert_int_equal(run_stream(e, &o, NULL), ISOBATH_ERR_USAGE);
}

static void be_slow(void *ctx, const isobath_stream_summary *m)
{
    (void)ctx, (void)m;
    usleep(100000); /* the clip has 25 frames a second */
}

static void slow_consumer_drops_or_blocks(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "d.mkv", 20, 0);
    isobath_stream_options o = options(e, "d.mkv", "d", "npz");
    o.run.devices = "null";
    o.progress = be_slow;
    isobath_stream_summary m;
    assert_int_equal(run_stream(e, &o, &m), ISOBATH_OK);
    assert_int_equal(m.frames, 20);
    assert_int_equal(m.dropped, 0);
    o.drop = 1;
    assert_int_equal(run_stream(e, &o, &m), ISOBATH_OK);
    assert_int_equal(m.frames + m.dropped, 20);
    assert_true(m.dropped >= 4 && m.frames >= 2);
    json_t *j = manifest(e, "d"), *times = json_object_get(j, "times_us");
    assert_int_equal(json_integer_value(json_object_get(j, "dropped")), m.dropped);
    assert_int_equal(json_array_size(times), m.frames);
    assert_int_equal(json_integer_value(json_array_get(times, 0)), 0);
    assert_int_equal(json_integer_value(json_array_get(times, (size_t)m.frames - 1)), 19 * 40000); /* the last one is the newest */
    json_decref(j);
}

static void source_that_breaks_off_is_reopened(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "c.mkv", 10, 0);
    isobath_stream_options o = options(e, "c.mkv", "c", "npz");
    o.run.max_frames = 25;
    o.reconnect_s = 5;
    isobath_stream_summary m;
    if (run_stream(e, &o, &m) != ISOBATH_OK) fail_msg("%s", e->error);
    assert_int_equal(m.frames, 25);
    assert_int_equal(m.reconnects, 2);
    json_t *j = manifest(e, "c"), *times = json_object_get(j, "times_us");
    for (size_t i = 1; i < 25; i++)
        assert_true(json_integer_value(json_array_get(times, i)) >= json_integer_value(json_array_get(times, i - 1)) + 40000);
    json_decref(j);
}

static void stop_after_five(void *ctx, const isobath_stream_summary *m)
{
    if (m->frames == 5) isobath_stream_stop(*(isobath_stream **)ctx);
}

static void stopped_result_is_complete(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "s.mkv", 40, 0);
    isobath_stream_options o = options(e, "s.mkv", "s", "npz,png16");
    isobath_stream *s = NULL;
    o.progress = stop_after_five;
    o.progress_ctx = &s;
    assert_int_equal(isobath_stream_create(&o, &s), ISOBATH_OK);
    assert_int_equal(isobath_stream_run(s), ISOBATH_OK);
    isobath_stream_destroy(s);
    ib_depth_reader *r;
    assert_int_equal(ib_depth_reader_open(e2e_path(e, "s/clip_depths.npz"), NULL, &r), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_get_info(r)->frames, 5);
    ib_depth_reader_close(r);
    json_t *j = manifest(e, "s");
    assert_int_equal(json_integer_value(json_object_get(j, "frames")), 5);
    json_decref(j);
}

/* Sets one value of an f32 tensor in a safetensors file. */
static void patch(const char *path, const char *name, float value)
{
    size_t size;
    uint8_t *data = clip_read_file(path, &size);
    ib_checkpoint *c;
    assert_non_null(data);
    assert_int_equal(ib_safetensors_parse(data, size, path, NULL, &c), ISOBATH_OK);
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c, name);
    assert_non_null(t);
    memcpy((uint8_t *)(uintptr_t)t->data, &value, sizeof value);
    ib_checkpoint_close(c);
    assert_int_equal(clip_write_file(path, data, size), 0);
    free(data);
}

/* A checkpoint that bf16 cannot run: channel 0 of a LayerNorm's output is always zero, and a weight that reads it is finite
 * in f32 and infinite in bf16. Every frame is redone; the first one, which sees no past, to fp32's own bits. */
static void nan_is_redone_in_fp32(void **state)
{
    e2e *e = *state;
    const char *model = e2e_path(e, "nan.safetensors");
    assert_int_equal(synth_checkpoint_write("tiny", 1, model), 0);
    patch(model, "pretrained.blocks.1.norm1.weight", 0);
    patch(model, "pretrained.blocks.1.norm1.bias", 0);
    patch(model, "pretrained.blocks.1.attn.qkv.weight", 3.4e38f);
    e2e_clip(e, "g.mkv", 6, 0);
    isobath_stream_options o = options(e, "g.mkv", "g32", "npz");
    o.run.model = model;
    isobath_stream_summary m;
    if (run_stream(e, &o, &m) != ISOBATH_OK) fail_msg("fp32: %s", e->error);
    assert_int_equal(m.redone, 0);
    o.run.output = e2e_path(e, "g16");
    o.run.precision = "bf16";
    isobath_status st = run_stream(e, &o, &m);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        print_message("SKIPPED on this machine: %s\n", e->error);
        skip();
    }
    if (st != ISOBATH_OK) fail_msg("bf16: %s", e->error);
    assert_int_equal(m.redone, 6);
    int64_t n, n2;
    int h, w;
    float *a = e2e_read_depth(e2e_path(e, "g32/clip_depths.npz"), &n, &h, &w), max = 0;
    float *b = e2e_read_depth(e2e_path(e, "g16/clip_depths.npz"), &n2, &h, &w);
    assert_true(a && b && n == 6 && n2 == 6);
    assert_memory_equal(a, b, (size_t)(h * w) * sizeof *a);
    for (int64_t i = 0; i < n * h * w; i++) max = a[i] > max ? a[i] : max;
    for (int64_t i = 0; i < n * h * w; i++) assert_true(fabsf(a[i] - b[i]) <= 5.2e-2f * max); /* the past is kept in bf16 */
    free(a);
    free(b);
    json_t *j = manifest(e, "g16"), *redone = json_object_get(j, "redone");
    assert_int_equal(json_array_size(redone), 6);
    assert_true(json_integer_value(json_object_get(json_array_get(redone, 5), "nonfinite")) > 0);
    json_decref(j);
}

/* With look-ahead every frame is there once, whatever is left for the last window; threads change no bit; a window that half
 * precision cannot compute becomes what fp32 gives. */
static void lag_keeps_every_frame(void **state)
{
    e2e *e = *state;
    static const int counts[] = {1, 3, 4, 5, 33, 70};
    int64_t n, m2;
    int h, w;
    isobath_stream_summary m;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        e2e_clip(e, "lag.mkv", counts[i], 1);
        float *depth[2];
        for (int threads = 1; threads <= 2; threads++) {
            isobath_stream_options o = options(e, "lag.mkv", "lag", "npz");
            o.lag = 4;
            o.run.threads = threads;
            if (run_stream(e, &o, &m) != ISOBATH_OK) fail_msg("%d frames: %s", counts[i], e->error);
            assert_int_equal(m.frames, counts[i]);
            depth[threads - 1] = e2e_read_depth(e2e_path(e, "lag/clip_depths.npz"), &n, &h, &w);
            assert_true(depth[threads - 1] && n == counts[i]);
        }
        assert_memory_equal(depth[0], depth[1], (size_t)(n * h * w) * sizeof(float));
        for (int64_t p = 0; p < n * h * w; p++) assert_true(isfinite(depth[0][p]));
        ib_depth_reader *r;
        clip c = {.fps = 25, .variable = 1};
        assert_int_equal(ib_depth_reader_open(e2e_path(e, "lag/clip_depths.npz"), NULL, &r), ISOBATH_OK);
        for (int f = 0; f < n; f++) assert_int_equal(ib_depth_reader_time_us(r, f), clip_time_us(&c, f));
        ib_depth_reader_close(r);
        free(depth[0]);
        free(depth[1]);
    }
    isobath_stream_options o = options(e, "lag.mkv", "lag", "npz");
    o.lag = 17;
    assert_int_equal(run_stream(e, &o, NULL), ISOBATH_ERR_USAGE);
    o = options(e, "lag.mkv", "l32", "npz");
    char model[512];
    snprintf(model, sizeof model, "%s", e2e_path(e, "lagnan.safetensors"));
    assert_int_equal(synth_checkpoint_write("tiny", 1, model), 0);
    patch(model, "pretrained.blocks.1.norm1.weight", 0);
    patch(model, "pretrained.blocks.1.norm1.bias", 0);
    patch(model, "pretrained.blocks.1.attn.qkv.weight", 3.4e38f);
    e2e_clip(e, "lag.mkv", 6, 0);
    o.run.model = model;
    o.lag = 4;
    if (run_stream(e, &o, &m) != ISOBATH_OK) fail_msg("fp32: %s", e->error);
    float *a = e2e_read_depth(e2e_path(e, "l32/clip_depths.npz"), &n, &h, &w);
    o = options(e, "lag.mkv", "l16", "npz");
    o.run.model = model;
    o.lag = 4;
    o.run.precision = "bf16";
    isobath_status st = run_stream(e, &o, &m);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        free(a);
        print_message("SKIPPED on this machine: %s\n", e->error);
        skip();
    }
    if (st != ISOBATH_OK) fail_msg("bf16: %s", e->error);
    assert_int_equal(m.redone, 2);
    float *b = e2e_read_depth(e2e_path(e, "l16/clip_depths.npz"), &m2, &h, &w);
    assert_true(a && b && n == 6 && m2 == 6);
    assert_memory_equal(a, b, (size_t)(n * h * w) * sizeof *a);
    free(a);
    free(b);
}

static void nan_in_fp32_is_an_error(void **state)
{
    e2e *e = *state;
    const char *model = e2e_path(e, "bad.safetensors");
    assert_int_equal(synth_checkpoint_write("tiny", 1, model), 0);
    patch(model, "pretrained.norm.weight", NAN);
    e2e_clip(e, "b.mkv", 3, 0);
    isobath_stream_options o = options(e, "b.mkv", "b", "npz");
    o.run.model = model;
    assert_int_equal(run_stream(e, &o, NULL), ISOBATH_ERR_MODEL);
    assert_non_null(strstr(e->error, "not finite"));
    assert_int_equal(e2e_count_files(e2e_path(e, "b"), ".npz"), 0);
    assert_int_equal(e2e_count_files(e2e_path(e, "b"), ".tmp"), 0);
    assert_int_equal(e2e_count_files(e2e_path(e, "b"), "isobath.json"), 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_out_are_frames_in),      cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(pipe_says_what_the_file_says),  cmocka_unit_test(reader_gone_is_an_error),
        cmocka_unit_test(slow_consumer_drops_or_blocks), cmocka_unit_test(source_that_breaks_off_is_reopened),
        cmocka_unit_test(stopped_result_is_complete),    cmocka_unit_test(nan_is_redone_in_fp32),
        cmocka_unit_test(nan_in_fp32_is_an_error),       cmocka_unit_test(lag_keeps_every_frame)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
