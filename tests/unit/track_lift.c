/* Lifting: measuring boxes and masks, the scale fit, smoothing, the sample clip against its truth, and the speed of many tracks. */
#include "sink_helper.h"

#include "track/lift.h"
#include <isobath/track.h>
#include <time.h>

enum { W = 160, H = 90 };

static ib_detection box(double x1, double y1, double x2, double y2)
{
    return (ib_detection){.id = 1, .class_index = -1, .confidence = 1, .box = {x1, y1, x2, y2}};
}

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static void test_median(void **state)
{
    (void)state;
    double v[300], sorted[300];
    for (int round = 0; round < 2000; round++) {
        size_t n = 1 + (size_t)round % 299;
        for (size_t i = 0; i < n; i++) sorted[i] = v[i] = floor(noise(round, (int)i, 0) * (round % 3 ? 10 : 1000)); /* many equal ones */
        qsort(sorted, n, sizeof *sorted, ascending);
        double expected = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
        assert_true(ib_median(v, n) == expected);
    }
}

/* A wall at 10 m, a far figure at 8 m whose lower part stands behind a near figure at 4 m. */
static void test_measure(void **state)
{
    (void)state;
    static float depth[W * H];
    for (int i = 0; i < W * H; i++) depth[i] = 10;
    for (int y = 20; y < 60; y++)
        for (int x = 40; x < 60; x++) depth[y * W + x] = 8;
    for (int y = 38; y < 80; y++)
        for (int x = 38; x < 62; x++) depth[y * W + x] = 4;
    ib_measure_setup s = {.width = W, .height = H, .video_width = 4 * W, .video_height = 4 * H, .metric = 1};
    ib_tracks t = {0};
    ib_detection far = box(4 * 40, 4 * 20, 4 * 60, 4 * 60), near = box(4 * 38, 4 * 38, 4 * 62, 4 * 80), nowhere = box(-40, -40, -1, -1);
    ib_tracks_add(&t, &far);
    ib_tracks_add(&t, &near);
    ib_tracks_add(&t, &nowhere);
    ib_measure m[4];
    ib_measure_frame(&s, depth, &t, 0, 3, m);
    assert_true(fabs(1 / m[0].disparity - 8) < 1e-6); /* more than half of its central half shows the near figure */
    assert_true(m[0].hidden_share > 0.5 && m[0].spread == 0 && m[0].valid_share == 1);
    assert_true(fabs(1 / m[1].disparity - 4) < 1e-6 && m[1].hidden_share == 0);
    assert_int_equal(m[2].reason, IB_LIFT_OUTSIDE);
    ib_measure_frame(&s, depth, &t, 0, 1, m); /* alone, the same box sees what is there: the near figure */
    assert_true(fabs(1 / m[0].disparity - 4) < 1e-6);
    /* a mask over the far figure's head and shoulders, in a box that is mostly something else */
    ib_detection masked = box(4 * 40, 4 * 20, 4 * 60, 4 * 80);
    masked.polygon = 0;
    masked.points = 4;
    const double corner[4][2] = {{40, 20}, {60, 20}, {60, 38}, {40, 38}};
    for (int k = 0; k < 4; k++) ib_tracks_add_point(&t, 4 * corner[k][0], 4 * corner[k][1]);
    ib_tracks_add(&t, &masked);
    ib_measure_frame(&s, depth, &t, 3, 1, m);
    assert_true(fabs(1 / m[0].disparity - 8) < 1e-6);
    /* no depth, and only behind others */
    for (int i = 0; i < W * H; i++) depth[i] = i % W < 80 ? 0 : NAN;
    ib_measure_frame(&s, depth, &t, 0, 2, m);
    assert_int_equal(m[1].reason, IB_LIFT_INVALID);
    for (int i = 0; i < W * H; i++) depth[i] = 5;
    t.list[1] = box(0, 0, 4 * W, 4 * H);
    ib_measure_frame(&s, depth, &t, 0, 2, m);
    assert_int_equal(m[0].reason, IB_LIFT_HIDDEN);
    t.list[0] = box(10, 10, 10, 20);
    ib_measure_frame(&s, depth, &t, 0, 1, m);
    assert_int_equal(m[0].reason, IB_LIFT_EMPTY);
    t.list[0] = box(10, 10, 10.5, 10.5); /* smaller than a pixel of the depth */
    ib_measure_frame(&s, depth, &t, 0, 1, m);
    assert_int_equal(m[0].reason, IB_LIFT_OK);
    ib_tracks_free(&t);
}

/* Figures on a flat ground, seen from 1.6 m, before a wall at 40 m; `lean` of 1: sharp depth, less: their disparity is that share
 * of the truth. Every fifth is cut by the lower border. 12 detections of 2 tracks; distances into z. */
enum { FIGURES = 12 };
static void measure_figures(double lean, double z[FIGURES], ib_tracks *t, ib_measure m[FIGURES])
{
    static float depth[W * H];
    ib_measure_setup s = {.width = W, .height = H, .video_width = 4 * W, .video_height = 4 * H, .metric = 1};
    for (int i = 0; i < FIGURES; i++) {
        double focal = 80, foot = i % 5 == 4 ? H + 5 : 52 + 2.5 * i, tall; /* rows; the horizon is at 30 */
        z[i] = 1.6 * focal / (foot - 30);
        tall = 1.7 * focal / z[i];
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                int body = y + 0.5 >= foot - tall && y + 0.5 < foot && x >= 80 && x + 0.5 < 80 + tall / 3;
                double ground = y >= 31 ? fmin(1.6 * focal / (y + 0.5 - 30), 40) : 40;
                depth[y * W + x] = (float)(body && y + 0.5 < foot - 0.1 * tall ? z[i] / lean : ground);
            }
        ib_detection d = box(4 * 80, 4 * (foot - tall), 4 * (80 + tall / 3), fmin(4 * foot, 4 * H));
        d.id = i % 2;
        d.frame = i;
        ib_tracks_add(t, &d);
        ib_measure_frame(&s, depth, t, (size_t)i, 1, &m[i]);
    }
}

static void test_feet(void **state)
{
    (void)state;
    for (int blurred = 0; blurred < 2; blurred++) {
        double z[FIGURES], lean = blurred ? 0.7 : 1;
        ib_measure m[FIGURES], kept[FIGURES];
        ib_tracks t = {0};
        ib_feet f;
        measure_figures(lean, z, &t, m);
        memcpy(kept, m, sizeof m);
        int cut = 0;
        for (int i = 0; i < FIGURES; i++) {
            assert_true(fabs(1 / m[i].disparity - z[i] / lean) < 0.01 * z[i]);
            cut += m[i].feet == 0;
            if (m[i].feet > 0) assert_true(fabs(1 / m[i].feet - z[i]) < 0.06 * z[i]);
        }
        assert_int_equal(cut, 2);
        assert_int_equal(ib_measure_feet(&t, IB_DEPTH_AT_BODY, m, &f), 1);
        assert_true(!f.used && f.pairs == FIGURES - 2 && fabs(f.lean - lean) < 0.05 && memcmp(m, kept, sizeof m) == 0);
        assert_int_equal(ib_measure_feet(&t, IB_DEPTH_AT_AUTO, m, &f), 1);
        assert_int_equal(f.used, blurred);
        for (int i = 0; i < FIGURES; i++) /* also the two whose feet are not in the picture */
            assert_true(fabs(1 / m[i].disparity - z[i]) < 0.07 * z[i]);
        memcpy(m, kept, sizeof m);
        assert_int_equal(ib_measure_feet(&t, IB_DEPTH_AT_FEET, m, &f), 1);
        assert_int_equal(f.used, 1);
        t.count = 3; /* too few to conclude anything */
        memcpy(m, kept, sizeof m);
        assert_int_equal(ib_measure_feet(&t, IB_DEPTH_AT_AUTO, m, &f), 1);
        assert_true(!f.used && memcmp(m, kept, sizeof m) == 0);
        ib_tracks_free(&t);
    }
}

static void test_fit(void **state)
{
    (void)state;
    ib_known k[200];
    double scale, shift;
    for (int n = 20; n <= 200; n += 180) { /* all pairs, and drawn ones; a third is wrong */
        for (int i = 0; i < n; i++) {
            double d = 0.2 + 3 * noise(n, i, 1), z = 1 / (0.08 * d + 0.02);
            k[i] = (ib_known){.disparity = d, .metres = i % 3 ? z * (1 + 0.004 * (noise(n, i, 2) - 0.5)) : z * 3};
        }
        assert_int_equal(ib_scale_fit(k, (size_t)n, &scale, &shift), 1);
        assert_true(fabs(scale - 0.08) < 0.0004 && fabs(shift - 0.02) < 0.0004);
        for (int i = 0; i < n; i++) assert_int_equal(k[i].inlier, i % 3 != 0);
        double fitted = 0, truth = 0; /* least squares: over its inliers nothing is better, the truth neither */
        for (int i = 0; i < n; i++) {
            double d = k[i].disparity, z = k[i].metres, e = (scale * d + shift) * z - 1, e0 = (0.08 * d + 0.02) * z - 1;
            fitted += k[i].inlier ? e * e : 0;
            truth += k[i].inlier ? e0 * e0 : 0;
        }
        assert_true(fitted <= truth);
        assert_true(fabs(k[0].residual + 2 * k[0].metres / 3) < 0.02 * k[0].metres);
    }
    k[0] = (ib_known){.disparity = 2, .metres = 5}; /* one point: scale only */
    assert_int_equal(ib_scale_fit(k, 1, &scale, &shift), 1);
    assert_true(fabs(scale - 0.1) < 1e-12 && shift == 0);
    k[1] = (ib_known){.disparity = 3, .metres = 9}; /* nearer, but with the larger distance */
    assert_int_equal(ib_scale_fit(k, 2, &scale, &shift), 0);
}

static void test_smooth(void **state)
{
    (void)state;
    ib_sample s[120];
    double raw = 0, smooth = 0, velocity = 0;
    for (int i = 0; i < 120; i++) {
        double t = i / 30.0, e = 0.2 * (noise(1, i, 5) - 0.5);
        s[i] = (ib_sample){.t_s = t, .value = 3 + 1.5 * t + e, .variance = i >= 50 && i < 60 ? -1 : 0.0033};
        raw += e * e;
    }
    s[30].value += 5; /* a wild one */
    assert_int_equal(ib_smooth(s, 120, 0.25, 5), 1);
    for (int i = 0; i < 120; i++) {
        double t = i / 30.0, e = s[i].position - (3 + 1.5 * t);
        smooth += e * e;
        velocity += fabs(s[i].velocity - 1.5) / 120;
        assert_true(fabs(e) < 0.1); /* also in the gap and at the wild one */
    }
    assert_true(smooth < 0.2 * raw);
    assert_true(velocity < 0.15);
}

/* Median 3-D error, as a share of the distance, of a MOT result against walk_tracks.txt. */
static double sample_error(const char *result, int *count)
{
    uint8_t *a, *b;
    size_t size;
    double errors[1024];
    size_t n = 0;
    assert_int_equal(ib_read_file(ISOBATH_SOURCE_DIR "/assets/sample/walk_tracks.txt", 1 << 20, NULL, &a, &size), ISOBATH_OK);
    assert_int_equal(ib_read_file(result, 1 << 20, NULL, &b, &size), ISOBATH_OK);
    char *save_a, *save_b;
    for (char *l = strtok_r((char *)a, "\n", &save_a); l; l = strtok_r(NULL, "\n", &save_a)) {
        int frame, id, f, i;
        double x, y, z, p[3];
        assert_int_equal(sscanf(l, "%d,%d,%*f,%*f,%*f,%*f,%*f,%lf,%lf,%lf", &frame, &id, &x, &y, &z), 5);
        uint8_t *copy = (uint8_t *)strdup((char *)b);
        for (char *m = strtok_r((char *)copy, "\n", &save_b); m; m = strtok_r(NULL, "\n", &save_b))
            if (sscanf(m, "%d,%d,%*f,%*f,%*f,%*f,%*f,%lf,%lf,%lf", &f, &i, &p[0], &p[1], &p[2]) == 5 && f == frame && i == id && p[2] != -1)
                errors[n++] = sqrt((p[0] - x) * (p[0] - x) + (p[1] - y) * (p[1] - y) + (p[2] - z) * (p[2] - z)) / sqrt(x * x + y * y + z * z);
        free(copy);
    }
    free(a);
    free(b);
    *count = (int)n;
    return ib_median(errors, n);
}

static void test_sample(void **state)
{
    (void)state;
    char *folder = scratch_folder(), error[512] = "";
    isobath_track_options o;
    isobath_track_summary s;
    isobath_track_options_init(&o);
    o.depth = ISOBATH_SOURCE_DIR "/assets/sample/walk_depth.npz";
    o.tracks = ISOBATH_SOURCE_DIR "/assets/sample/walk_tracks.txt";
    o.camera = ISOBATH_SOURCE_DIR "/assets/sample/walk_camera.jsonl";
    o.output = folder;
    o.formats = "mot";
    o.metric = 1;
    o.fps = 30;
    assert_int_equal(isobath_track_run(&o, &s, error, sizeof error), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(error, "say the size of the tracks' video with --video-size"));
    o.video_width = 640;
    o.video_height = 360;
    char *path = ib_text("%s/walk_tracks_mot_camera_metre.txt", folder);
    for (int smooth = 0; smooth < 2; smooth++) {
        o.smooth = smooth;
        o.overwrite = smooth;
        if (isobath_track_run(&o, &s, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
        int count;
        double e = sample_error(path, &count);
        print_message("sample clip, ground-truth depth, %s: median 3-D error %.3f%% of the distance, %d of %lld\n",
                      smooth ? "smoothed" : "not smoothed", 100 * e, count, (long long)s.read);
        assert_int_equal(s.read, 577);
        assert_true(s.lifted >= 555 && count >= 555);
        assert_true(e < 0.02);
    }
    o.overwrite = 0;
    assert_int_equal(isobath_track_run(&o, &s, error, sizeof error), ISOBATH_ERR_EXISTS);
    free(path);
    remove_folder(folder);
}

enum { FRAMES = 6553, TRACKS = 6484, LENGTH = 60, DW = 640, DH = 360 };

/* Box of track k in its f-th frame. */
static ib_detection synthetic(int k, int f)
{
    double x = 540 * noise(k, 0, 0) + f, y = 160 * noise(k, 1, 0), w = 20 + 60 * noise(k, 2, 0);
    ib_detection d = box(x, y, x + w, y + 2.4 * w);
    d.id = k;
    d.frame = k * (int64_t)(FRAMES - LENGTH) / TRACKS + f;
    return d;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check_speed(const char *what, double seconds)
{
    print_message("%d boxes of %d tracks over %d frames %s: %.2f s\n", TRACKS * LENGTH, TRACKS, FRAMES, what, seconds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(seconds < 5);
#endif
}

/* Measuring grows with the pixels: in 640x360 depth, one thread. */
static void test_speed_of_measuring(void **state)
{
    (void)state;
    float *depth = malloc(sizeof *depth * DW * DH);
    for (int i = 0; i < DW * DH; i++) depth[i] = 3 + 5 * noise(0, i % DW, i / DW);
    ib_tracks t = {0};
    for (int i = 0; i < TRACKS * LENGTH; i++) {
        ib_detection d = synthetic(i / LENGTH, i % LENGTH);
        assert_true(ib_tracks_add(&t, &d));
    }
    double start = cpu_seconds();
    ib_tracks_sort(&t);
    ib_measure_setup s = {.width = DW, .height = DH, .video_width = DW, .video_height = DH, .metric = 1};
    ib_measure *m = malloc(sizeof *m * t.count);
    for (size_t i = 0, n; i < t.count; i += n) {
        for (n = 1; i + n < t.count && t.list[i + n].frame == t.list[i].frame; n++) {
        }
        ib_measure_frame(&s, depth, &t, i, n, m + i);
    }
    check_speed("measured", cpu_seconds() - start);
    free(m);
    free(depth);
    ib_tracks_free(&t);
}

/* Everything else does not: a whole run from file to file, on small depth. */
static void test_speed_of_a_run(void **state)
{
    (void)state;
    enum { w = 16, h = 9, HEAD = 128 };
    char *folder = scratch_folder(), *depth = ib_text("%s/d.npy", folder), *tracks = ib_text("%s/t.txt", folder), error[512] = "";
    size_t bytes = sizeof(float) * FRAMES * w * h;
    uint8_t *npy = malloc(HEAD + bytes);
    memset(npy, ' ', HEAD);
    memcpy(npy, "\x93NUMPY\x01\x00\x76\x00", 10);
    char text[118];
    int len = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }", FRAMES, h, w);
    memcpy(npy + 10, text, (size_t)len);
    npy[HEAD - 1] = '\n';
    for (size_t i = 0; i < bytes / sizeof(float); i++) memcpy(npy + HEAD + 4 * i, &(float){5}, 4);
    assert_int_equal(ib_write_file(depth, npy, HEAD + bytes, 0, NULL), ISOBATH_OK);
    free(npy);
    FILE *f = fopen(tracks, "w");
    assert_non_null(f);
    for (int i = 0; i < TRACKS * LENGTH; i++) {
        ib_detection d = synthetic(i / LENGTH, i % LENGTH);
        fprintf(f, "%d,%d,%.2f,%.2f,%.2f,%.2f,1,-1,-1,-1\n", (int)d.frame + 1, (int)d.id, d.box[0], d.box[1], d.box[2] - d.box[0], d.box[3] - d.box[1]);
    }
    fclose(f);
    isobath_track_options o;
    isobath_track_summary s;
    isobath_track_options_init(&o);
    o.depth = depth;
    o.tracks = tracks;
    o.output = folder;
    o.formats = "json,csv";
    o.metric = 1;
    o.fps = 30;
    o.hfov_deg = 60;
    o.video_width = DW;
    o.video_height = DH;
    double start = cpu_seconds();
    if (isobath_track_run(&o, &s, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
    assert_int_equal(s.read, TRACKS * LENGTH);
    assert_int_equal(s.read, s.lifted + s.refused[IB_LIFT_HIDDEN]);
    check_speed("from file to file", cpu_seconds() - start);
    free(depth);
    free(tracks);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_median), cmocka_unit_test(test_measure), cmocka_unit_test(test_feet), cmocka_unit_test(test_fit),
                                       cmocka_unit_test(test_smooth), cmocka_unit_test(test_sample),
                                       cmocka_unit_test(test_speed_of_measuring), cmocka_unit_test(test_speed_of_a_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
