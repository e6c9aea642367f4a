/* Cameras for tracks: scaling between sizes, distortion, OpenCV and ROS files, and what is refused. */
#include "sink_helper.h"

#include "track/lens.h"

static const char opencv[] = "%YAML:1.0\n---\nimage_width: 640\nimage_height: 360\ncamera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n"
                             "   dt: d\n   data: [ 5.5e+02, 0., 320.5, 0., 551.,\n       180.25, 0., 0., 1. ]\n"
                             "distortion_coefficients: !!opencv-matrix\n   rows: 5\n   cols: 1\n   dt: d\n"
                             "   data: [ -2.0e-01, 5.0e-02, 1.0e-03, -2.0e-03, 1.0e-02 ]\n";

static void test_yaml(void **state)
{
    (void)state;
    ib_lens l;
    assert_int_equal(ib_lens_parse_yaml(opencv, strlen(opencv), "c", NULL, &l), ISOBATH_OK);
    assert_true(l.fx == 550 && l.fy == 551 && l.cx == 320.5 && l.cy == 180.25 && l.width == 640 && l.height == 360 && l.distorted);
    assert_true(l.distortion[0] == -0.2 && l.distortion[4] == 0.01);
    /* distorting the ray by the formula of OpenCV's manual gives the pixel back */
    for (int i = 0; i < 20; i++) {
        double u = 30.5 * i + 5, v = 17.25 * i + 3, ray[2];
        ib_lens_ray(&l, u, v, ray);
        const double *k = l.distortion;
        double x = ray[0], y = ray[1], r2 = x * x + y * y, radial = 1 + k[0] * r2 + k[1] * r2 * r2 + k[4] * r2 * r2 * r2;
        double xd = x * radial + 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x), yd = y * radial + k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y;
        assert_true(fabs(550 * xd + 320.5 + 0.5 - u) < 1e-6 && fabs(551 * yd + 180.25 + 0.5 - v) < 1e-6);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    ib_lenses a, b;
    ib_lens_options o = {.fx = 500, .width = 640, .height = 360};
    assert_int_equal(ib_lenses_open(&o, 1280, 720, NULL, &a), ISOBATH_OK);
    assert_true(a.lens.fx == 1000 && a.lens.fy == 1000 && a.lens.cx == 639.5 && a.lens.cy == 359.5);
    double ray[2];
    ib_lens_ray(&a.lens, 640, 360, ray); /* the middle of the picture */
    assert_true(ray[0] == 0 && ray[1] == 0);
    o = (ib_lens_options){.hfov_deg = 90};
    assert_int_equal(ib_lenses_open(&o, 640, 360, NULL, &b), ISOBATH_OK);
    ib_lens_ray(&b.lens, 640, 180, ray); /* the right edge of the picture lies at 45 degrees */
    assert_true(fabs(ray[0] - 1) < 1e-12);
}

static void refuse(const char *text, const char *expected)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_lens l;
    assert_int_equal(ib_lens_parse_yaml(text, strlen(text), "c", &diag, &l), ISOBATH_ERR_INPUT);
    if (!strstr(diag.text, expected)) fail_msg("\"%s\" is not in: %s", expected, diag.text);
}

static void test_mistakes(void **state)
{
    (void)state;
    refuse("image_width: 640\n", "c: no camera_matrix");
    refuse("camera_matrix: !!opencv-matrix\n   data: [1, 2, 3]\n", "c: line 2: camera_matrix: expected [fx, 0, cx");
    refuse("camera_matrix: !!opencv-matrix\n   data: [1, 0, 3,\n", "the list has no end");
    refuse("camera_matrix: !!opencv-matrix\n   data: [1, 0, x,\n", "c: line 2: expected a list of numbers");
    refuse("- a\n", "c: line 1: expected \"key: value\"");
    refuse("distortion_model: equidistant\n", "only the distortion models");
    refuse("distortion_coefficients: [1, 2]\n", "expected 4, 5 or 8");
    ib_diag diag = IB_DIAG_INIT;
    ib_lenses l;
    ib_lens_options o = {0};
    assert_int_equal(ib_lenses_open(&o, 64, 48, &diag, &l), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(diag.text, "no camera: give the focal length"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_yaml), cmocka_unit_test(test_sizes), cmocka_unit_test(test_mistakes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
