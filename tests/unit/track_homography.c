/* Homographies: turns are found again, the ground is met where it is, anything else is refused. */
#include "sink_helper.h"

#include "track/homography.h"
#include <isobath/track.h>

/* Rotation about y, then x. */
static void turn(double yaw, double pitch, double r[9])
{
    double a = cos(yaw), b = sin(yaw), c = cos(pitch), s = sin(pitch);
    double m[9] = {a, b * s, b * c, 0, c, -s, -b, a * s, a * c};
    memcpy(r, m, sizeof m);
}

/* K R K^-1 times `factor`. */
static void homography(const double r[9], const ib_lens *l, double factor, double h[9])
{
    double a[9];
    for (int i = 0; i < 3; i++) {
        a[3 * i] = r[3 * i] / l->fx;
        a[3 * i + 1] = r[3 * i + 1] / l->fy;
        a[3 * i + 2] = r[3 * i + 2] - r[3 * i] * l->cx / l->fx - r[3 * i + 1] * l->cy / l->fy;
    }
    for (int j = 0; j < 3; j++) {
        h[j] = factor * (l->fx * a[j] + l->cx * a[6 + j]);
        h[3 + j] = factor * (l->fy * a[3 + j] + l->cy * a[6 + j]);
        h[6 + j] = factor * a[6 + j];
    }
}

static void rotations(void **state)
{
    (void)state;
    ib_lens lens = {.fx = 554, .fy = 560, .cx = 320, .cy = 178};
    for (int i = -6; i <= 6; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            double r[9], h[9], back[9];
            turn(0.1 * i, 0.03 * i, r);
            homography(r, &lens, 3.7 * sign, h);
            assert_int_equal(ib_homography_rotation(h, &lens, back), 1);
            for (int k = 0; k < 9; k++) assert_true(fabs(back[k] - r[k]) < 1e-9);
            for (int k = 0; k < 9; k++) h[k] *= 1 + 0.002 * noise(i, k, 0); /* as it is measured: still a rotation */
            if (ib_homography_rotation(h, &lens, back))
                for (int k = 0; k < 9; k++) {
                    double dot = 0;
                    for (int m = 0; m < 3; m++) dot += back[k / 3 * 3 + m] * back[k % 3 * 3 + m];
                    assert_true(fabs(dot - (k / 3 == k % 3)) < 1e-9);
                }
        }
    double back[9], zoom[9] = {2, 0, 0, 0, 2, 0, 0, 0, 1}, shift[9] = {1, 0, 300, 0, 1, 0, 0, 0, 1};
    assert_int_equal(ib_homography_rotation(zoom, &lens, back), 0);
    assert_int_equal(ib_homography_rotation(shift, &lens, back), 0); /* a camera that moves sideways */
}

static void ground(void **state)
{
    (void)state;
    /* a camera 1.6 m above the ground that looks straight ahead: z = f * 1.6 / (y - cy), x = (x - cx) * z / f */
    double f = 500, cx = 319.5, cy = 179.5, h[9] = {1.6, 0, -1.6 * cx, 0, 0, 1.6 * f, 0, 1, -cy};
    double point[2];
    for (double v = 200; v < 360; v += 7) {
        assert_int_equal(ib_homography_ground(h, 100.5, v + 0.5, 640, 360, point), 1);
        double z = f * 1.6 / (v - cy);
        assert_true(fabs(point[1] - z) < 1e-9 && fabs(point[0] - (100 - cx) * z / f) < 1e-9);
    }
    assert_int_equal(ib_homography_ground(h, 100, 180, 640, 360, point), 0); /* the horizon */
    assert_int_equal(ib_homography_ground(h, 100, 90, 640, 360, point), 0);  /* above it */
}

static void refuse(const char *text, const char *says)
{
    ib_homographies h;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_homographies_parse(text, strlen(text), "h", &diag, &h), ISOBATH_ERR_INPUT);
    if (!strstr(diag.text, says)) fail_msg("%s", diag.text);
    ib_homographies_free(&h);
}

static void files(void **state)
{
    (void)state;
    refuse("", "no homographies");
    refuse("{\"frame\": 0, \"ground_from_image\": [1,2,3]}", "line 1: expected frame and");
    refuse("{\"frame\": 0, \"ground_from_image\": [1,2,3,2,4,6,0,0,1]}", "not singular");
    refuse("{\"frame\": 0, \"ground_from_image\": [1,0,0,0,1,0,0,0,1]}\n\n{\"frame\": 1, \"reference_from_image\": "
           "[1,0,0,0,1,0,0,0,1]}",
           "line 3: expected frame and ground_from_image");
    refuse("{\"frame\": 3, \"ground_from_image\": [1,0,0,0,1,0,0,0,1]}\n{\"frame\": 3, \"ground_from_image\": "
           "[1,0,0,0,1,0,0,0,1]}",
           "line 2: frame 3 comes twice");
    refuse("{\"frame\": -1, \"ground_from_image\": [1,0,0,0,1,0,0,0,1]}", "line 1");
    assert_int_equal(ib_homographies_are("{\"frame\": 0, \"fx\": 1}", 21), 0);
}

/* A camera that only turns, over the sample's boxes: what stands still in the reference's axes does so in the result.
 */
static void whole_run(void **state)
{
    (void)state;
    enum { N = 40, DW = 64, DH = 36 };
    char *folder = scratch_folder(), *poses = ib_text("%s/h.jsonl", folder), *tracks = ib_text("%s/t.json", folder),
         error[1024];
    ib_lens lens = {.fx = 554.256, .fy = 554.256, .cx = 319.5, .cy = 179.5};
    FILE *p = fopen(poses, "w"), *t = fopen(tracks, "w");
    double still[3] = {1, 0.5, 8};
    fprintf(t, "{\"width\": 640, \"height\": 360, \"frames\": [");
    for (int i = 0; i < N; i++) {
        double r[9], h[9], c[3];
        turn(0.005 * i, 0, r);
        homography(r, &lens, 1, h);
        fprintf(p,
                "{\"frame\": %d, \"reference_from_image\": [%.12g, %.12g, %.12g, %.12g, %.12g, %.12g, %.12g, %.12g, "
                "%.12g]}\n",
                i, h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]);
        for (int k = 0; k < 3; k++) c[k] = r[k] * still[0] + r[3 + k] * still[1] + r[6 + k] * still[2];
        double u = lens.fx * c[0] / c[2] + lens.cx + 0.5, v = lens.fy * c[1] / c[2] + lens.cy + 0.5;
        fprintf(t, "%s{\"frame_index\": %d, \"detections\": [{\"bbox\": [%.6f, %.6f, %.6f, %.6f], \"track_id\": 4}]}",
                i ? ", " : "", i, u - 20, v - 40, u + 20, v + 40);
    }
    fprintf(t, "]}\n");
    fclose(p);
    fclose(t);
    ib_sink_config config = test_config(folder, DW, DH);
    const ib_sink_format *npz = ib_sink_format_find("npz");
    ib_sink *sink;
    assert_int_equal(npz->open(&config, NULL, &sink), ISOBATH_OK);
    for (int i = 0; i < N; i++) {
        double r[9];
        turn(0.005 * i, 0, r);
        ib_depth_frame *f;
        assert_int_equal(ib_depth_frame_create(DW, DH, 0, 0, 0, NULL, &f), ISOBATH_OK);
        f->index = i;
        f->pts_us = i * 33333;
        double z = r[2] * still[0] + r[5] * still[1] + r[8] * still[2];
        for (int k = 0; k < DW * DH; k++) f->depth[k] = (float)(1 / z);
        f->min = f->max = f->depth[0];
        assert_int_equal(npz->push(sink, f), ISOBATH_OK);
        ib_depth_frame_unref(f);
    }
    assert_int_equal(npz->finish(sink), ISOBATH_OK);
    npz->close(sink);
    char *depth = ib_text("%s/clip_depths.npz", folder), *csv = ib_text("%s/t_tracks3d.csv", folder);
    isobath_track_options o;
    isobath_track_summary s;
    isobath_track_options_init(&o);
    o.depth = depth;
    o.tracks = tracks;
    o.output = folder;
    o.poses = poses;
    o.hfov_deg = 60;
    o.smooth = 0;
    o.formats = "csv";
    if (isobath_track_run(&o, &s, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
    assert_int_equal(s.lifted, N);
    assert_string_equal(s.coordinates, "world");
    assert_string_equal(s.unit, "relative"); /* turning needs no metres */
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(csv, 1 << 20, NULL, &data, &size), ISOBATH_OK);
    int rows = 0;
    char *save = NULL;
    for (char *line = strtok_r((char *)data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        double x, y, z;
        if (sscanf(line, "%*d,%*d,\"\",%*f,%*f,%*f,%*f,%*f,%lf,%lf,%lf", &x, &y, &z) != 3) continue;
        assert_true(fabs(x - still[0]) < 2e-3 && fabs(y - still[1]) < 2e-3 && fabs(z - still[2]) < 2e-3);
        rows++;
    }
    assert_int_equal(rows, N);
    free(data);
    /* with another focal length these are no turns */
    o.hfov_deg = 100;
    o.overwrite = 1;
    assert_int_equal(isobath_track_run(&o, &s, error, sizeof error), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(error, "not that of a camera that only turns"));
    free(csv);
    free(depth);
    free(poses);
    free(tracks);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rotations), cmocka_unit_test(ground), cmocka_unit_test(files),
                                       cmocka_unit_test(whole_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
