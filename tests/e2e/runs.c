/* Whole runs: as many frames out as in with their times, the same bytes whatever the threads, honest scales. */
#include "session.h"

#include "depthio/depth_reader.h"
#include "sink/manifest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *manifest(e2e *e, const char *out)
{
    char path[2048];
    json_t *m = NULL;
    ib_diag diag = IB_DIAG_INIT;
    snprintf(path, sizeof path, "%s/clip_isobath.json", e2e_path(e, out));
    if (ib_json_read(path, &diag, &m) != ISOBATH_OK) fail_msg("%s", diag.text);
    return m;
}

static void frames_out_are_frames_in(void **state)
{
    e2e *e = *state;
    static const int counts[] = {1, 2, 21, 22, 23, 24, 31, 32, 33, 34, 43, 44, 45, 66, 500};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int variable = 0; variable < 2; variable++) {
            int n = counts[i];
            e2e_clip(e, "n.mkv", n, variable);
            isobath_run_options o = e2e_options(e, "n.mkv", "n");
            o.overwrite = 1;
            if (n == 500) o.devices = "null"; /* the network's values do not matter for the count */
            if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%d frames: %s", n, e->error);
            assert_int_equal(e2e_count_files(e2e_path(e, "n/clip_depths_png16"), ".png"), n);
            ib_depth_reader *r;
            assert_int_equal(ib_depth_reader_open(e2e_path(e, "n/clip_depths.npz"), NULL, &r), ISOBATH_OK);
            assert_int_equal(ib_depth_reader_get_info(r)->frames, n);
            json_t *m = manifest(e, "n"), *times = json_object_get(m, "times_us");
            assert_int_equal(json_integer_value(json_object_get(m, "frames")), n);
            assert_int_equal(json_array_size(times), n);
            clip c = {.fps = 25, .variable = variable};
            for (int f = 0; f < n; f++) {
                assert_int_equal(json_integer_value(json_array_get(times, (size_t)f)), clip_time_us(&c, f));
                assert_int_equal(ib_depth_reader_time_us(r, f), clip_time_us(&c, f));
            }
            assert_int_equal(json_array_size(json_object_get(m, "windows")), (n + 21) / 22);
            ib_depth_reader_close(r);
            json_decref(m);
        }
}

static void keep_note(void *ctx, const char *line)
{
    char *notes = ctx; /* 1024 bytes */
    size_t at = strlen(notes);
    snprintf(notes + at, 1024 - at, "%s\n", line);
}

/* Noise over `bytes` bytes at `at` per cent of the file. */
static void spoil(e2e *e, const char *name, size_t at, size_t bytes)
{
    size_t size;
    uint8_t *data = clip_read_file(e2e_path(e, name), &size);
    assert_non_null(data);
    for (size_t i = 0; i < bytes; i++) data[size * at / 100 + i] ^= 0x5a;
    assert_int_equal(clip_write_file(e2e_path(e, name), data, size), 0);
    free(data);
}

/* Damage stops a run with one line; --resume --on-error repeat goes on from there to the bytes of a run that repeated from the start. Which
 * frames stand in is told: to the user, in the manifest. A file that breaks off is told, too. */
static void damage_is_told(void **state)
{
    e2e *e = *state;
    clip c = {.encoder = "mpeg4", .frames = 120, .gop = 20, .width = 64, .height = 48};
    char notes[1024] = "", want[2][65], got[2][65];
    assert_int_equal(clip_write(e2e_path(e, "hurt.mkv"), &c), 0);
    spoil(e, "hurt.mkv", 80, 60);
    isobath_run_options o = e2e_options(e, "hurt.mkv", "h");
    o.name = "clip";
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(e->error, "(--on-error repeat goes on)"));
    assert_int_equal(access(e2e_path(e, "h/clip_isobath.journal"), F_OK), 0);
    o.resume = o.on_error_repeat = 1;
    o.note = keep_note;
    o.note_ctx = notes;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    assert_non_null(strstr(notes, "the one before"));
    json_t *m = manifest(e, "h"), *list = json_object_get(m, "repeated");
    assert_int_equal(json_integer_value(json_object_get(m, "frames")), 120);
    assert_true(json_array_size(list) >= 1 && json_integer_value(json_array_get(list, 0)) > 60);
    json_decref(m);
    e2e_digest(e2e_path(e, "h/clip_isobath.json"), got[0]);
    e2e_digest(e2e_path(e, "h/clip_depths.npz"), got[1]);
    o = e2e_options(e, "hurt.mkv", "straight");
    o.name = "clip";
    o.on_error_repeat = 1;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    e2e_digest(e2e_path(e, "straight/clip_isobath.json"), want[0]);
    e2e_digest(e2e_path(e, "straight/clip_depths.npz"), want[1]);
    assert_string_equal(want[0], got[0]);
    assert_string_equal(want[1], got[1]);
    /* without damage nothing is said */
    e2e_clip(e, "hale.mkv", 30, 0);
    o = e2e_options(e, "hale.mkv", "hale");
    o.name = "clip";
    o.on_error_repeat = 1;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    m = manifest(e, "hale");
    assert_null(json_object_get(m, "repeated"));
    json_decref(m);
    /* a file that breaks off */
    size_t size;
    uint8_t *data = clip_read_file(e2e_path(e, "hale.mkv"), &size);
    assert_int_equal(clip_write_file(e2e_path(e, "cut.mkv"), data, size * 2 / 3), 0);
    free(data);
    o = e2e_options(e, "cut.mkv", "cut");
    o.name = "clip";
    o.on_error_repeat = 1;
    o.note = keep_note;
    o.note_ctx = memset(notes, 0, sizeof notes);
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    assert_non_null(strstr(notes, "the input breaks off behind frame "));
}

/* Contract 2 as far as one process goes: threads change no byte of any file but previews' and the log's. */
static void same_bytes_for_any_threads(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "t.mkv", 45, 0);
    static const char *const paths[] = {"clip_depths_png16", "clip_depths.npz", "clip_isobath.json", "clip_vis.mp4"};
    static const char *const precisions[] = {"fp32", "bf16"};
    for (int p = 0; p < 2; p++) {
        char first[4][65] = {{0}};
        for (int threads = 1; threads <= 8; threads += threads < 3 ? 1 : 5) { /* with 8 more is decoded ahead */
            isobath_run_options o = e2e_options(e, "t.mkv", "t");
            o.formats = "png16,npz,preview";
            o.overwrite = 1;
            o.threads = threads;
            o.precision = precisions[p];
            isobath_status st = e2e_run(e, &o);
            if (st == ISOBATH_ERR_UNSUPPORTED) {
                print_message("SKIPPED on this machine: %s: %s\n", precisions[p], e->error);
                break;
            }
            if (st != ISOBATH_OK) fail_msg("%s, %d threads: %s", precisions[p], threads, e->error);
            for (int i = 0; i < 4; i++) {
                char hex[65], rel[128];
                snprintf(rel, sizeof rel, "t/%s", paths[i]);
                e2e_digest(e2e_path(e, rel), hex);
                if (threads == 1) memcpy(first[i], hex, sizeof hex);
                else if (strcmp(first[i], hex)) fail_msg("%s differs between 1 and %d threads (%s)", paths[i], threads, precisions[p]);
            }
        }
    }
}

/* png16 read back is within half a step of npz; its scale is one power of two. */
static void png16_has_one_honest_scale(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "s.mkv", 30, 0);
    isobath_run_options o = e2e_options(e, "s.mkv", "s");
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    int64_t n1, n2;
    int h1, w1, h2, w2, exponent;
    float *a = e2e_read_depth(e2e_path(e, "s/clip_depths_png16"), &n1, &h1, &w1);
    float *b = e2e_read_depth(e2e_path(e, "s/clip_depths.npz"), &n2, &h2, &w2);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(n1 == 30 && n2 == 30 && h1 == 48 && h2 == 48 && w1 == 64 && w2 == 64);
    ib_depth_reader *r;
    assert_int_equal(ib_depth_reader_open(e2e_path(e, "s/clip_depths_png16"), NULL, &r), ISOBATH_OK);
    double step = ib_depth_reader_get_info(r)->scale, top = 0;
    ib_depth_reader_close(r);
    assert_true(frexp(step, &exponent) == 0.5);
    for (int64_t i = 0; i < n1 * h1 * w1; i++) {
        assert_true(fabs(a[i] - b[i]) <= 0.5 * step * 1.0001);
        if (b[i] > top) top = b[i];
    }
    assert_true(top / step < 65536 && top / step >= 32768); /* the smallest power of two that holds it */
    free(a);
    free(b);
}

static void stride_limit_and_sizes(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "l.mkv", 40, 0);
    isobath_run_options o = e2e_options(e, "l.mkv", "l");
    o.target_fps = 9; /* round(25/9) = 3 */
    o.max_frames = 7;
    o.output_size = "33x21";
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    int64_t n;
    int h, w;
    float *d = e2e_read_depth(e2e_path(e, "l/clip_depths.npz"), &n, &h, &w);
    assert_true(d && n == 7 && h == 21 && w == 33);
    free(d);
    json_t *m = manifest(e, "l");
    clip c = {.fps = 25};
    assert_int_equal(json_integer_value(json_array_get(json_object_get(m, "times_us"), 6)), clip_time_us(&c, 18));
    json_decref(m);
}

/* Frames of two unlike scenes: 0..29 of scene 0, then 40 of scene 1. */
static int splice_first;
static void fill_spliced(const clip *c, int frame, uint8_t *const data[4], const int linesize[4])
{
    frame += splice_first;
    int scene = frame >= 30;
    for (int p = 0; p < 3; p++)
        for (int y = 0; y < c->height; y++)
            for (int x = 0; x < c->width; x++) {
                int v = scene ? (x * x / 7 + (y + frame) * 11) % 256 : ((x + frame) * 4 + y * y / 9) % 200;
                data[p][y * linesize[p] + x] = (uint8_t)(scene ? v * (p + 1) / 3 : v * (3 - p) / 3);
            }
}

static void splice_clip(e2e *e, const char *name, int first, int frames)
{
    clip c = {.encoder = "ffv1", .pix_fmt = "yuv444p", .frames = frames, .width = 64, .height = 48, .fill = fill_spliced};
    splice_first = first;
    assert_int_equal(clip_write(e2e_path(e, name), &c), 0);
}

static float *spliced_depth(e2e *e, const char *input, const char *cuts, int frames)
{
    int64_t n;
    int h, w;
    isobath_run_options o = e2e_options(e, input, "cuts");
    o.formats = "npz";
    o.overwrite = 1;
    o.cuts = cuts;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s: %s", input, e->error);
    float *d = e2e_read_depth(e2e_path(e, "cuts/clip_depths.npz"), &n, &h, &w);
    assert_true(d && n == frames && h == 48 && w == 64);
    return d;
}

/* Two clips spliced give each clip's own result, to the bit, with the cut named and with the cut found. */
static void shots_are_their_own(void **state)
{
    e2e *e = *state;
    splice_clip(e, "a.mkv", 0, 30);
    splice_clip(e, "b.mkv", 30, 40);
    splice_clip(e, "ab.mkv", 0, 70);
    assert_int_equal(clip_write_file(e2e_path(e, "cuts.txt"), "30\n", 3), 0);
    size_t map = 64 * 48;
    float *a = spliced_depth(e, "a.mkv", NULL, 30), *b = spliced_depth(e, "b.mkv", NULL, 40);
    static const char *const modes[] = {"list", "auto"};
    for (int i = 0; i < 2; i++) {
        float *ab = spliced_depth(e, "ab.mkv", i ? "auto" : e2e_path(e, "cuts.txt"), 70);
        if (memcmp(ab, a, 30 * map * sizeof *a) || memcmp(ab + 30 * map, b, 40 * map * sizeof *b)) fail_msg("--cuts %s differs", modes[i]);
        json_t *m = manifest(e, "cuts"), *shots = json_object_get(m, "shots");
        assert_int_equal(json_array_size(shots), 2);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(shots, 1), "first")), 30);
        json_decref(m);
        free(ab);
    }
    float *off = spliced_depth(e, "ab.mkv", NULL, 70); /* off: one chain, so the second clip is not its own */
    assert_memory_not_equal(off + 30 * map, b, 40 * map * sizeof *b);
    free(off);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames_out_are_frames_in), cmocka_unit_test(damage_is_told), cmocka_unit_test(same_bytes_for_any_threads),
                                       cmocka_unit_test(png16_has_one_honest_scale), cmocka_unit_test(stride_limit_and_sizes),
                                       cmocka_unit_test(shots_are_their_own)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
