/* The evaluation against values that a NumPy and OpenCV re-implementation gave for the same made-up sequences. */
#include "sink_helper.h"

#include "eval/metrics.h"
#include "sink/camera.h"
#include "sink/png_file.h"
#include <isobath/eval.h>

enum { N = 5, PH = 20, PW = 24, GH = 34, GW = 47 };

static char *folder;

static void write_npy(const char *path, const float *data, int n, int h, int w)
{
    size_t bytes = (size_t)n * (size_t)h * (size_t)w * sizeof *data;
    uint8_t *file = malloc(128 + bytes);
    memset(file, ' ', 128);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    char text[118];
    int len = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }", n, h, w);
    memcpy(file + 10, text, (size_t)len);
    file[127] = '\n';
    memcpy(file + 128, data, bytes);
    assert_int_equal(ib_write_file(path, file, 128 + bytes, 0, NULL), ISOBATH_OK);
    free(file);
}

static void write_png(const char *path, const float *gt, double scale)
{
    ib_png_encoder *encoder;
    const uint8_t *data;
    size_t size;
    uint16_t q[GH * GW];
    for (int k = 0; k < GH * GW; k++) q[k] = (uint16_t)rint(gt[k] * scale);
    assert_int_equal(ib_png_encoder_create(GW, GH, 0, NULL, &encoder), ISOBATH_OK);
    assert_int_equal(ib_png_encode(encoder, q, NULL, 0, NULL, &data, &size), ISOBATH_OK);
    assert_int_equal(ib_write_file(path, data, size, 0, NULL), ISOBATH_OK);
    ib_png_encoder_destroy(encoder);
}

/* The sequences; the formulas are those of the re-implementation, in float32. */
static int setup(void **state)
{
    (void)state;
    folder = scratch_folder();
    static float pred[N * PH * PW], gt[N * GH * GW], metric[N * GH * GW];
    for (int i = 0; i < N; i++) {
        for (int y = 0; y < PH; y++)
            for (int x = 0; x < PW; x++)
                pred[(i * PH + y) * PW + x] = 0.2f + 0.02f * (float)(x + y + i) + 0.05f * noise(i, x, y);
        for (int y = 0; y < GH; y++)
            for (int x = 0; x < GW; x++) {
                float v = 12.0f / (1.0f + 0.04f * (float)(x + y)) + 0.5f * noise(i + 100, x, y);
                gt[(i * GH + y) * GW + x] = i == 3 || noise(i + 200, x, y) < 0.1f ? 0 : v;
            }
    }
    for (int k = 0; k < N * GH * GW; k++) metric[k] = gt[k] * 1.1f + 0.01f;
    char *path = ib_text("%s/pred.npy", folder), *png = ib_text("%s/png", folder);
    write_npy(path, pred, N, PH, PW);
    memcpy(strstr(path, "pred"), "true", 4);
    write_npy(path, gt, N, GH, GW);
    memcpy(strstr(path, "true"), "metr", 4);
    write_npy(path, metric, N, GH, GW);
    assert_int_equal(mkdir(png, 0777), 0);
    for (int i = 0; i < N; i++) {
        char *frame = ib_text("%s/%d.png", png, i);
        write_png(frame, gt + i * GH * GW, 256);
        free(frame);
    }
    free(png);
    free(path);
    path = ib_text("%s/cameras.jsonl", folder);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < N; i++) {
        double a = 0.02 * i;
        fprintf(f,
                "{\"frame\": %d, \"fx\": %d, \"fy\": 42, \"cx\": 23, \"cy\": 17, \"world_from_camera\": "
                "[[%.17g, 0, %.17g, %.17g], [0, 1, 0, %.17g], [%.17g, 0, %.17g, %.17g], [0, 0, 0, 1]]}\n",
                i, 40 + i, cos(a), sin(a), 0.1 * i, 0.02 * i, -sin(a), cos(a), -0.05 * i);
    }
    fclose(f);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

typedef struct expected {
    const char *pred, *gt;
    int metric, crop[4];
    double max_depth, gt_scale;
    int camera;
    int64_t frames, pixels;
    double abs_rel, rmse, delta1, tae, scale, shift;
} expected;

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want))) fail_msg("%.12g, expected %.12g", got, want);
}

static void against_numpy(void **state)
{
    (void)state;
    static const expected cases[] = {
        {"pred.npy",
         "true.npy",
         0,
         {0, 0, 0, 0},
         80,
         0,
         0,
         4,
         5783,
         0.0471229277152,
         0.335933579442,
         0.999483115093,
         0,
         0.270057967543,
         0.0196698836081},
        {"pred.npy",
         "true.npy",
         0,
         {2, -3, 4, 40},
         9,
         0,
         1,
         4,
         3754,
         0.0381586456069,
         0.250208369508,
         1,
         1.48564741849,
         0.215585574154,
         0.0510252745594},
        {"metr.npy", "true.npy", 1, {0, 0, 0, 0}, 80, 0, 0, 4, 5783, 0.10203516519, 0.559253732996, 1, 0, 1, 0},
        {"pred.npy",
         "png",
         0,
         {0, 0, 0, 0},
         80,
         256,
         0,
         4,
         5783,
         0.0471259457641,
         0.335942115185,
         0.999483115093,
         0,
         0.270062417746,
         0.0196681333633},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const expected *e = &cases[c];
        char *pred = ib_text("%s/%s", folder, e->pred), *gt = ib_text("%s/%s", folder, e->gt);
        char *camera = ib_text("%s/cameras.jsonl", folder), error[512];
        isobath_eval_options o;
        isobath_eval_result r;
        isobath_eval_options_init(&o);
        o.metric = e->metric;
        o.max_depth = e->max_depth;
        o.gt_scale = e->gt_scale;
        memcpy(o.crop, e->crop, sizeof o.crop);
        if (e->camera) o.camera = camera;
        if (isobath_eval_sequence(pred, gt, &o, &r, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
        assert_int_equal(r.frames, e->frames);
        assert_int_equal(r.pixels, e->pixels);
        /* OpenCV interpolates in float32 */
        near(r.abs_rel, e->abs_rel, 2e-6);
        near(r.rmse, e->rmse, 2e-6);
        near(r.delta1, e->delta1, 1e-9);
        near(r.scale, e->scale, 2e-6);
        near(r.shift, e->shift, 2e-5);
        if (e->camera)
            near(r.tae, e->tae, 2e-6);
        else
            assert_true(isnan(r.tae));
        free(pred);
        free(gt);
        free(camera);
    }
}

/* OpenCV's values for a 2x3 picture made 3x5 and 1x2. */
static void resize_values(void **state)
{
    (void)state;
    const float in[6] = {1, 2, 4, 8, 16, 32};
    const float up[15] = {1.0f,  1.4f,  2.0f, 3.2f,  4.0f,  4.5f,  6.3f, 9.0f,
                          14.4f, 18.0f, 8.0f, 11.2f, 16.0f, 25.6f, 32.0f};
    const float down[2] = {5.625f, 15.75f};
    float out[15];
    ib_eval_resize(in, 2, 3, out, 3, 5);
    for (int i = 0; i < 15; i++) near(out[i], up[i], 1e-6);
    ib_eval_resize(in, 2, 3, out, 1, 2);
    for (int i = 0; i < 2; i++) near(out[i], down[i], 1e-6);
    ib_eval_resize(in, 2, 3, out, 2, 3);
    assert_memory_equal(out, in, sizeof in);
}

static void presets(void **state)
{
    (void)state;
    isobath_eval_options o;
    assert_int_equal(isobath_eval_preset("kitti", 1, &o), ISOBATH_OK);
    assert_true(o.gt_scale == 256 && o.max_depth == 80 && o.crop[1] == 374 && o.crop[3] == 1242 && o.frames == 110);
    assert_int_equal(isobath_eval_preset("scannet", 1, &o), ISOBATH_OK);
    assert_true(o.crop[0] == 8 && o.crop[1] == -8 && o.crop[2] == 11 && o.crop[3] == -11 && o.step == 3 &&
                o.frames == 90);
    assert_int_equal(isobath_eval_preset("bonn", 1, &o), ISOBATH_OK);
    assert_true(o.gt_scale == 5000 && o.start == 30 && o.frames == 110);
    assert_int_equal(isobath_eval_preset("nyuv2", 0, &o), ISOBATH_OK);
    assert_true(o.gt_scale == 6000 && o.crop[0] == 45 && o.crop[1] == 471 && o.crop[2] == 41 && o.crop[3] == 601 &&
                o.frames == 500);
    assert_int_equal(isobath_eval_preset("sintel", 0, &o), ISOBATH_OK);
    near(o.gt_scale, 100.82307692, 1e-9);
    assert_int_equal(isobath_eval_preset("cityscapes", 0, &o), ISOBATH_ERR_USAGE);
}

static void selection_and_errors(void **state)
{
    (void)state;
    char *pred = ib_text("%s/pred.npy", folder), *gt = ib_text("%s/true.npy", folder),
         *two = ib_text("%s/two.npy", folder);
    char error[512];
    isobath_eval_options o;
    isobath_eval_result all, r;
    float some[2 * PH * PW];
    for (int i = 0; i < 2 * PH * PW; i++) some[i] = 0.2f + 0.001f * (float)i;
    write_npy(two, some, 2, PH, PW);
    isobath_eval_options_init(&o);
    o.start = 1;
    o.step = 3; /* frames 1 and 4 */
    assert_int_equal(isobath_eval_sequence(pred, gt, &o, &all, error, sizeof error), ISOBATH_OK);
    assert_int_equal(all.frames, 2);
    assert_int_equal(isobath_eval_sequence(two, gt, &o, &r, error, sizeof error), ISOBATH_OK);
    assert_int_equal(r.frames, 2);
    o.step = 1;
    assert_int_equal(isobath_eval_sequence(two, gt, &o, &r, error, sizeof error), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(error, "2 frames; expected 5"));
    o.max_depth = 0.01;
    assert_int_equal(isobath_eval_sequence(pred, gt, &o, &r, error, sizeof error), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(error, "no valid pixel"));
    o.max_depth = 80;
    o.crop[0] = 40;
    assert_int_equal(isobath_eval_sequence(pred, gt, &o, &r, error, sizeof error), ISOBATH_ERR_USAGE);
    free(pred);
    free(gt);
    free(two);
}

static void camera_lines(void **state)
{
    (void)state;
    ib_camera_track track;
    static const char *const bad[] = {
        "",
        "\n\n",
        "x\n",
        "[]\n",
        "{\"frame\":0}\n",
        "{\"frame\":-1,\"fx\":1,\"fy\":1,\"cx\":0,\"cy\":0}\n",
        "{\"frame\":0,\"fx\":0,\"fy\":1,\"cx\":0,\"cy\":0}\n",
        "{\"frame\":0,\"fx\":1,\"fy\":1,\"cx\":0,\"cy\":0,\"world_from_camera\":[1,2]}\n",
        "{\"frame\":0,\"fx\":1,\"fy\":1,\"cx\":0,\"cy\":0}\n{\"frame\":0,\"fx\":1,\"fy\":1,\"cx\":0,\"cy\":0}\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ib_camera_parse(bad[i], strlen(bad[i]), "c.jsonl", 0, NULL, &track), ISOBATH_ERR_INPUT);
    const char *good =
        "\n{\"frame\":70,\"fx\":1.5,\"fy\":2,\"cx\":3,\"cy\":4}\r\n {\"cy\":0,\"frame\":2,\"fx\":1,\"fy\":1,\"cx\":0}";
    assert_int_equal(ib_camera_parse(good, strlen(good), "c.jsonl", 1, NULL, &track), ISOBATH_ERR_INPUT);
    assert_int_equal(ib_camera_parse(good, strlen(good), "c.jsonl", 0, NULL, &track), ISOBATH_OK);
    assert_non_null(ib_camera_of(&track, 2));
    assert_null(ib_camera_of(&track, 3));
    assert_null(ib_camera_of(&track, 1 << 30));
    assert_true(ib_camera_of(&track, 70)->fx == 1.5);
    ib_camera_free(&track);
    const char *far = "{\"frame\":99999999999,\"fx\":1,\"fy\":1,\"cx\":0,\"cy\":0}\n"; /* costs no more than a near one */
    assert_int_equal(ib_camera_parse(far, strlen(far), "c.jsonl", 0, NULL, &track), ISOBATH_OK);
    assert_true(track.count == 1 && ib_camera_of(&track, 99999999999) == track.cameras);
    ib_camera_free(&track);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_numpy),        cmocka_unit_test(resize_values), cmocka_unit_test(presets),
        cmocka_unit_test(selection_and_errors), cmocka_unit_test(camera_lines),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
