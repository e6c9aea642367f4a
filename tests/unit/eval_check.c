/* `check`: silent about good results, and it names each of the things that can be wrong. */
#include "sink_helper.h"

#include "base/hash.h"
#include "sink/manifest.h"
#include <isobath/check.h>

enum { W = 40, H = 30, N = 12 };

/* A result with a manifest, as a run leaves it. */
static char *make_result(void)
{
    char *folder = scratch_folder();
    ib_sink_config config = test_config(folder, W, H);
    config.png16_present = 1;
    static const char *const names[] = {"png16", "npz", "preview"};
    ib_sink *sinks[3];
    for (int k = 0; k < 3; k++)
        assert_int_equal(ib_sink_format_find(names[k])->open(&config, NULL, &sinks[k]), ISOBATH_OK);
    json_t *times = json_array(), *outputs = json_array(),
           *windows = json_pack("[{s:f,s:f},{s:f,s:f,s:s}]", "scale", 1.0, "shift", 0.0, "scale", 0.5, "shift", 0.1,
                                "guard", "kept");
    for (int i = 0; i < N; i++) {
        ib_depth_frame *f = make_frame(i, W, H, test_max(i));
        json_array_append_new(times, json_integer(f->pts_us));
        for (int k = 0; k < 3; k++) assert_int_equal(ib_sink_format_find(names[k])->push(sinks[k], f), ISOBATH_OK);
        ib_depth_frame_unref(f);
    }
    for (int k = 0; k < 3; k++) {
        const ib_sink_format *format = ib_sink_format_find(names[k]);
        assert_int_equal(format->finish(sinks[k]), ISOBATH_OK);
        json_array_append_new(outputs, format->describe(sinks[k]));
        format->close(sinks[k]);
    }
    json_t *m = json_pack("{s:s, s:i, s:s, s:o, s:o, s:o}", "format", "isobath-manifest-1", "frames", N, "unit",
                          "relative disparity", "times_us", times, "outputs", outputs, "windows", windows);
    char *path = ib_text("%s/clip_isobath.json", folder);
    assert_int_equal(ib_manifest_write(path, m, NULL), ISOBATH_OK);
    free(path);
    json_decref(m);
    return folder;
}

/* Checks a path; `bad` is a part of the finding that is expected, NULL: none. */
static void expect(const char *path, int quick, const char *bad)
{
    isobath_check_options options = {.quick = quick, .threads = 2};
    isobath_check *check;
    assert_int_equal(isobath_check_run(path, &options, &check), ISOBATH_OK);
    int found = bad == NULL;
    for (size_t i = 0; i < isobath_check_count(check); i++) {
        isobath_check_item item = isobath_check_get(check, i);
        if (item.level != ISOBATH_CHECK_BAD) continue;
        if (!bad) fail_msg("%s: %s", item.path, item.text);
        if (strstr(item.text, bad)) found = 1;
    }
    if (!found) fail_msg("no finding says \"%s\"", bad);
    assert_int_equal(isobath_check_passed(check), bad == NULL);
    isobath_check_destroy(check);
}

static void good_results(void **state)
{
    (void)state;
    char *folder = make_result();
    static const char *const parts[] = {"", "/clip_isobath.json", "/clip_depths_png16", "/clip_depths.npz",
                                        "/clip_vis.mp4"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *path = ib_text("%s%s", folder, parts[i]);
        expect(path, 0, NULL);
        expect(path, 1, NULL);
        free(path);
    }
    /* the fired guard is a note */
    isobath_check *check;
    assert_int_equal(isobath_check_run(folder, NULL, &check), ISOBATH_OK);
    int notes = 0;
    for (size_t i = 0; i < isobath_check_count(check); i++)
        notes += isobath_check_get(check, i).level == ISOBATH_CHECK_NOTE;
    assert_int_equal(notes, 1);
    isobath_check_destroy(check);
    remove_folder(folder);
}

static void flip(const char *path, long offset)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, offset, SEEK_SET);
    int c = fgetc(f);
    fseek(f, offset, SEEK_SET);
    fputc(c ^ 0x55, f);
    fclose(f);
}

static void damaged_files(void **state)
{
    (void)state;
    char *folder = make_result();
    char *frame = ib_text("%s/clip_depths_png16/frame_00007.png", folder), *npz = ib_text("%s/clip_depths.npz", folder);
    char *sidecar = ib_text("%s/clip_depths_png16/depth.json", folder),
         *extra = ib_text("%s/clip_depths_png16/frame_00012.png", folder);
    flip(frame, 400);
    expect(folder, 0, "a file changed since it was written");
    expect(folder, 1, NULL); /* same size: the quick look cannot see it */
    flip(frame, 400);
    flip(npz, 500);
    expect(folder, 0, "changed since it was written");
    flip(npz, 500);
    flip(sidecar, 5);
    expect(folder, 0, "changed since it was written");
    flip(sidecar, 5);
    expect(folder, 0, NULL);
    assert_int_equal(truncate(npz, 5000), 0);
    expect(folder, 1, "the manifest says");
    assert_int_equal(rename(frame, extra), 0);
    expect(folder, 1, "1 of 12 files are missing or unreadable, the first is number 7");
    assert_int_equal(unlink(npz), 0);
    expect(folder, 1, "missing");
    free(frame);
    free(npz);
    free(sidecar);
    free(extra);
    remove_folder(folder);
}

/* The manifest with one value replaced. */
static void with_manifest(const char *folder, const char *key, json_t *value, const char *bad)
{
    char *path = ib_text("%s/clip_isobath.json", folder);
    json_t *good, *m;
    assert_int_equal(ib_json_read(path, NULL, &good), ISOBATH_OK);
    m = json_copy(good);
    json_object_set_new(m, key, value);
    assert_int_equal(ib_manifest_write(path, m, NULL), ISOBATH_OK);
    expect(folder, 0, bad);
    assert_int_equal(ib_manifest_write(path, good, NULL), ISOBATH_OK);
    json_decref(m);
    json_decref(good);
    free(path);
}

static void wrong_manifests(void **state)
{
    (void)state;
    char *folder = make_result();
    with_manifest(folder, "frames", json_integer(13), "12 files for 13 frames");
    with_manifest(folder, "frames", json_integer(13), "12 presentation times for 13 frames");
    with_manifest(folder, "frames", json_integer(13), "12 frames; the manifest says 13");
    with_manifest(folder, "unit", json_string("metre"), "says relative depth; the manifest says metric");
    with_manifest(folder, "format", json_string("x"), "not a manifest");
    with_manifest(folder, "outputs", json_array(), "no outputs");
    with_manifest(folder, "outputs", json_pack("[{s:s,s:s}]", "path", "../../etc/passwd", "format", "npz"),
                  "without a usable path");
    with_manifest(folder, "windows", json_pack("[{s:f,s:f}]", "scale", -1.0, "shift", 0.0), "alignment scale -1");
    json_t *times = json_array();
    for (int i = 0; i < N; i++) json_array_append_new(times, json_integer(i == 5 ? 0 : i * 40000));
    with_manifest(folder, "times_us", times, "before frame 4's");
    remove_folder(folder);
}

/* Values: NaN, negative, constant; what other tools leave in an .npy. */
static void bad_values(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/x.npy", folder);
    static const struct {
        float value;
        const char *bad;
    } cases[] = {{NAN, "1 frames hold NaN or infinity, the first is 1"},
                 {INFINITY, "hold NaN"},
                 {-1, "negative depth"},
                 {0.5f, NULL}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float values[3 * 4 * 5];
        for (int k = 0; k < 60; k++) values[k] = (float)k;
        values[25] = cases[c].value;
        char header[128];
        memset(header, ' ', sizeof header);
        memcpy(header, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5)}", 70);
        header[127] = '\n';
        uint8_t file[128 + sizeof values];
        memcpy(file, header, 128);
        memcpy(file + 128, values, sizeof values);
        assert_int_equal(ib_write_file(path, file, sizeof file, 0, NULL), ISOBATH_OK);
        expect(path, 0, cases[c].bad);
        for (int k = 20; k < 40; k++) values[k] = 3;
        memcpy(file + 128, values, sizeof values);
        assert_int_equal(ib_write_file(path, file, sizeof file, 0, NULL), ISOBATH_OK);
        expect(path, 0, "1 frames hold one value only, the first is 1");
    }
    free(path);
    remove_folder(folder);
}

static void nothing_to_check(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    isobath_check *check;
    assert_int_equal(isobath_check_run(folder, NULL, &check), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(isobath_check_error(check), folder));
    isobath_check_destroy(check);
    assert_int_equal(isobath_check_run("/nonexistent", NULL, &check), ISOBATH_ERR_INPUT);
    isobath_check_destroy(check);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_results), cmocka_unit_test(damaged_files),    cmocka_unit_test(wrong_manifests),
        cmocka_unit_test(bad_values),   cmocka_unit_test(nothing_to_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
