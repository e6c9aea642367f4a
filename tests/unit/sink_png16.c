/* The png16 sink: one scale, bytes that depend on the depth only, round trip within half a step. */
#include "sink_helper.h"

#include "sink/png_store.h"

enum { W = 61, H = 37, N = 20 };

static char *frame_path(const char *folder, int i) { return ib_text("%s/clip_depths_png16/frame_%05d.png", folder, i); }

/* Quantises all frames with the final step at once: what the sink must equal. */
static void write_direct(const ib_sink_config *config, int *exponent)
{
    char *folder = ib_text("%s/clip_depths_png16", config->folder);
    ib_png_store *store;
    ib_depth_frame *frames[N];
    assert_int_equal(ib_png_store_open(config, folder, 1, NULL, &store), ISOBATH_OK);
    for (int i = 0; i < N; i++) {
        frames[i] = make_frame(i, W, H, test_max(i));
        assert_int_equal(ib_png_store_announce(store, frames[i]), ISOBATH_OK);
    }
    *exponent = ib_png_store_exponent(store);
    for (int i = 0; i < N; i++) {
        assert_int_equal(ib_png_store_write(store, frames[i], 0), ISOBATH_OK);
        ib_depth_frame_unref(frames[i]);
    }
    ib_png_store_close(store);
    free(folder);
}

static void check_kind(ib_depth_kind kind)
{
    char *direct = scratch_folder(), *first = NULL;
    ib_sink_config config = test_config(direct, W, H);
    config.kind = kind;
    int exponent;
    write_direct(&config, &exponent);
    /* 105 is the largest: the smallest power of two that holds it is 2^-9; 105 m needs steps of 2 mm */
    assert_int_equal(exponent, kind == IB_DEPTH_METRIC ? 1 : -9);
    for (int threads = 1; threads <= 4; threads++) {
        for (int hurry = 0; hurry < 3; hurry++) {
            char *folder = scratch_folder();
            config.folder = folder;
            config.threads = threads;
            config.queue_bytes = hurry == 2 ? 1 : 0; /* one frame at a time, or all of them */
            assert_int_equal(run_sink("png16", &config, N, hurry, NULL, NULL), ISOBATH_OK);
            for (int i = 0; i < N; i++) {
                char *a = frame_path(direct, i), *b = frame_path(folder, i);
                assert_same_file(a, b);
                free(a);
                free(b);
            }
            assert_int_equal(count_files(folder, ".tmp"), 0);
            assert_int_equal(count_files(folder, ".png"), N);
            char *a = ib_text("%s/clip_depths_png16/depth.json", first ? first : folder);
            char *b = ib_text("%s/clip_depths_png16/depth.json", folder);
            assert_same_file(a, b);
            free(a);
            free(b);
            if (first)
                remove_folder(folder);
            else
                first = folder;
        }
    }
    remove_folder(first);
    remove_folder(direct);
}

static void disparity_equals_direct_quantisation(void **state)
{
    (void)state;
    check_kind(IB_DEPTH_DISPARITY);
}

static void metric_equals_direct_quantisation(void **state)
{
    (void)state;
    check_kind(IB_DEPTH_METRIC);
}

static void check_round_trip(ib_depth_kind kind, double a, double b)
{
    char *folder = scratch_folder();
    ib_sink_config config = test_config(folder, W, H);
    config.kind = kind;
    config.range_min = a;
    config.range_max = b;
    config.start_number = 7;
    json_t *described;
    assert_int_equal(run_sink("png16", &config, N, 2, NULL, &described), ISOBATH_OK);
    double scale = json_real_value(json_object_get(described, "scale"));
    double offset = json_real_value(json_object_get(described, "offset"));
    assert_string_equal(json_string_value(json_object_get(described, "unit")),
                        kind == IB_DEPTH_METRIC ? "metre" : "relative");
    for (int i = 0; i < N; i++) {
        char *path = frame_path(folder, i + 7);
        ib_png_image image;
        assert_int_equal(ib_png_read(path, NULL, &image), ISOBATH_OK);
        assert_int_equal(image.bits, 16);
        assert_true(strtod(ib_png_image_text(&image, "isobath:scale"), NULL) == scale);
        assert_true(strtod(ib_png_image_text(&image, "isobath:offset"), NULL) == offset);
        ib_depth_frame *f = make_frame(i, W, H, test_max(i));
        for (int k = 0; k < W * H; k++) {
            double d = f->depth[k], back = (image.q[k] + offset) * scale;
            if (kind == IB_DEPTH_METRIC && image.q[k] == 0) {
                assert_true(d < scale);
            } else {
                if (b > a && d < a) d = a;
                if (b > a && d > b) d = b;
                assert_true(fabs(back - d) <= 0.5 * scale * (1 + 1e-9));
            }
        }
        ib_depth_frame_unref(f);
        ib_png_image_free(&image);
        free(path);
    }
    json_decref(described);
    remove_folder(folder);
}

static void round_trip_within_half_a_step(void **state)
{
    (void)state;
    check_round_trip(IB_DEPTH_DISPARITY, 0, 0);
    check_round_trip(IB_DEPTH_METRIC, 0, 0);
    check_round_trip(IB_DEPTH_DISPARITY, 0.5, 90);
    check_round_trip(IB_DEPTH_METRIC, 0.5, 90);
}

static void exponents(void **state)
{
    (void)state;
    ib_sink_config config = {.kind = IB_DEPTH_DISPARITY};
    ib_quant quant;
    uint16_t q[2];
    assert_int_equal(ib_quant_init(&config, NULL, &quant), ISOBATH_OK);
    assert_int_equal(ib_quant_exponent(&quant, 65536.0f), 1);
    assert_int_equal(ib_quant_exponent(&quant, nextafterf(65536.0f, 0)), 0);
    assert_int_equal(ib_quant_exponent(&quant, 1.0f), -15);
    assert_int_equal(ib_quant_exponent(&quant, 0.0f), IB_QUANT_MIN_EXPONENT);
    assert_int_equal(ib_quant_exponent(&quant, 3e38f), 112);
    float values[2] = {65535.9f, 3e38f};
    assert_int_equal(ib_quant_apply(&quant, 0, values, 1, q), 0);
    assert_int_equal(q[0], 65535);
    assert_int_equal(ib_quant_apply(&quant, 112, values, 2, q), 0);
    assert_int_equal(q[0], 0);
    float bad[3] = {NAN, -1e-3f, 65536.0f};
    for (int i = 0; i < 3; i++) assert_int_equal(ib_quant_apply(&quant, 0, bad + i, 1, q), -1);
    for (int n = 1; n <= 21; n++) { /* whole vectors and what is left over; a bad value at every place */
        float row[21];
        uint16_t got[22] = {0};
        for (int i = 0; i < n; i++) row[i] = i % 2 ? 65535.99f - 3119.7f * (float)i : 3119.7f * (float)i;
        got[n] = 77;
        assert_int_equal(ib_quant_apply(&quant, 0, row, n, got), 0);
        for (int i = 0; i < n; i++) assert_int_equal(got[i], (int)floorf(row[i]));
        assert_int_equal(got[n], 77);
        for (int i = 0; i < n; i++) {
            float kept = row[i];
            row[i] = bad[i % 3];
            assert_int_equal(ib_quant_apply(&quant, 0, row, n, got), -1);
            row[i] = kept;
        }
    }
    config.kind = IB_DEPTH_METRIC;
    assert_int_equal(ib_quant_init(&config, NULL, &quant), ISOBATH_OK);
    assert_int_equal(ib_quant_exponent(&quant, 65.535f), 0);
    assert_int_equal(ib_quant_exponent(&quant, 65.536f), 1); /* this float is above 65.536 */
    float metres[2] = {1.2345f, 0.0004f};
    assert_int_equal(ib_quant_apply(&quant, 0, metres, 2, q), 0);
    assert_int_equal(q[0], 1234);
    assert_int_equal(q[1], 0);
    config.range_min = 3;
    config.range_max = 2;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_quant_init(&config, &diag, &quant), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(diag.text, "--range 3:2"));
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    ib_sink_config config = test_config(folder, W, H);
    const ib_sink_format *format = ib_sink_format_find("png16");
    ib_diag diag = IB_DIAG_INIT;
    ib_sink *sink;
    assert_int_equal(format->open(&config, &diag, &sink), ISOBATH_OK);
    ib_depth_frame *f = make_frame(0, W, H, 1);
    f->depth[5] = NAN;
    assert_int_equal(format->push(sink, f), ISOBATH_OK);
    ib_depth_frame_unref(f);
    assert_int_equal(format->finish(sink), ISOBATH_ERR_INTERNAL);
    assert_non_null(strstr(diag.text, "frame 0"));
    format->close(sink);
    assert_int_equal(count_files(folder, ".tmp"), 0);
    assert_int_equal(count_files(folder, "depth.json"), 0);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponents),
        cmocka_unit_test(disparity_equals_direct_quantisation),
        cmocka_unit_test(metric_equals_direct_quantisation),
        cmocka_unit_test(round_trip_within_half_a_step),
        cmocka_unit_test(bad_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
