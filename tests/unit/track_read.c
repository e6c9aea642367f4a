/* Every track format: what is read, and the line of each mistake. */
#include "sink_helper.h"

#include "track/tracks.h"

static const ib_tracks_options by_content = {.first_frame = -1, .video_id = -1};

static void check_box(const ib_detection *d, int64_t frame, int64_t id, double x1, double y1, double x2, double y2)
{
    assert_int_equal(d->frame, frame);
    assert_int_equal(d->id, id);
    const double expected[4] = {x1, y1, x2, y2};
    for (int k = 0; k < 4; k++) assert_true(fabs(d->box[k] - expected[k]) < 1e-9);
}

static void parse(const char *text, const ib_tracks_options *o, const char *format, ib_tracks *tracks)
{
    ib_diag diag = IB_DIAG_INIT;
    if (ib_tracks_parse(text, strlen(text), "t", o, 4, &diag, tracks) != ISOBATH_OK) fail_msg("%s", diag.text);
    assert_string_equal(tracks->format, format);
}

static void refuse(const char *text, const ib_tracks_options *o, const char *expected)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_tracks tracks;
    isobath_status st = ib_tracks_parse(text, strlen(text), "t", o, 4, &diag, &tracks);
    assert_true(st == ISOBATH_ERR_INPUT || st == ISOBATH_ERR_USAGE);
    if (!strstr(diag.text, expected)) fail_msg("\"%s\" is not in: %s", expected, diag.text);
    assert_null(strchr(diag.text, '\n'));
    ib_tracks_free(&tracks);
}

static void test_lines(void **state)
{
    (void)state;
    ib_tracks t;
    parse("2,7,10,20,30,40,0.5,-1,-1,-1\n\n1,8,1,2,3,4,1,-1,-1,-1,\r\n", &by_content, "mot", &t);
    assert_int_equal(t.count, 2);
    check_box(&t.list[0], 0, 8, 1, 2, 4, 6); /* sorted by frame */
    check_box(&t.list[1], 1, 7, 10, 20, 40, 60);
    assert_true(t.list[1].confidence == 0.5);
    ib_tracks_free(&t);
    parse("3 1 10 20 30 40 0.5 2 -1\n", &by_content, "boxmot", &t);
    check_box(&t.list[0], 2, 1, 10, 20, 40, 60);
    assert_string_equal(t.class_names[t.list[0].class_index], "2");
    ib_tracks_free(&t);
    parse("0 1 Car 0 0 -1.5 10 20 30 40 1 1 1 1 1 9 0\n1 -1 DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1 -1 -1 -1\n", &by_content, "kitti", &t);
    assert_int_equal(t.count, 1);
    check_box(&t.list[0], 0, 1, 10, 20, 30, 40);
    assert_string_equal(t.class_names[0], "Car");
    ib_tracks_free(&t);
}

static void test_labels(void **state)
{
    (void)state;
    ib_tracks_options o = by_content;
    o.format = "ultralytics-txt";
    ib_tracks t;
    parse("0 0.5 0.5 0.25 0.5 0.75 3\n", &o, "ultralytics-txt", &t); /* class, box, confidence, id */
    ib_tracks_to_pixels(&t, 64, 32);
    check_box(&t.list[0], 4, 3, 24, 8, 40, 24);
    assert_true(t.list[0].confidence == 0.75);
    ib_tracks_free(&t);
    refuse("0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.25 0.5 0.75\n", &o, "t: line 2: the sixth column may be a confidence or an id: say --columns");
    o.columns = "box,id";
    parse("0 0.5 0.5 0.25 0.5 7\n", &o, "ultralytics-txt", &t);
    assert_int_equal(t.list[0].id, 7);
    ib_tracks_free(&t);
    o.columns = "box,conf";
    parse("0 0.5 0.5 0.25 0.5 0.7\n", &o, "ultralytics-txt", &t);
    assert_int_equal(t.list[0].id, -1);
    ib_tracks_free(&t);
    o.columns = "seg,conf,id";
    parse("0 0.25 0.5 0.5 0.25 0.75 1 0.5 12\n", &o, "ultralytics-txt", &t);
    ib_tracks_to_pixels(&t, 64, 32);
    check_box(&t.list[0], 4, 12, 16, 8, 48, 32);
    assert_int_equal(t.list[0].points, 3);
    assert_true(t.xy[4] == 48 && t.xy[5] == 32);
    ib_tracks_free(&t);
    refuse("0 0.25 0.5 0.5 0.25 0.75 1 0.5\n", &o, "line 1: 8 columns; expected class, x and y of at least 3 points, confidence, id");
    o.columns = "id";
    refuse("", &o, "--columns id: expected");
    o.columns = NULL;
    refuse("0 0.25 0.5 0.5 0.25 0.75 1 0.5 0.5\n", &o, "say what they are with --columns");
    refuse("0 25 0.5 0.5 0.25\n", &o, "column 2 is \"25\"; expected a share");
}

static void test_json(void **state)
{
    (void)state;
    ib_tracks t;
    parse("[[], [{\"name\":\"person\",\"class\":0,\"confidence\":0.9,\"box\":{\"x1\":1,\"y1\":2,\"x2\":3.5,\"y2\":4},\"track_id\":5,"
          "\"segments\":{\"x\":[1,2,3],\"y\":[4,5,6]}}]]", &by_content, "ultralytics-json", &t);
    check_box(&t.list[0], 1, 5, 1, 2, 3.5, 4);
    assert_int_equal(t.list[0].points, 3);
    assert_string_equal(t.class_names[0], "person");
    ib_tracks_free(&t);
    static const char coco[] =
        "{\"images\":[{\"id\":5,\"video_id\":1,\"frame_index\":3,\"width\":64,\"height\":48},{\"id\":6,\"video_id\":2,\"frame_index\":0}],"
        "\"tracks\":[{\"id\":9}],\"categories\":[{\"id\":2,\"name\":\"dog\"}],"
        "\"annotations\":[{\"image_id\":5,\"track_id\":9,\"category_id\":2,\"bbox\":[1,2,3,4]},{\"image_id\":6,\"track_id\":1,\"bbox\":[0,0,1,1]}]}";
    refuse(coco, &by_content, "several videos (1, 2...): say which with --video-id");
    ib_tracks_options o = by_content;
    o.video_id = 1;
    parse(coco, &o, "coco", &t);
    assert_int_equal(t.count, 1);
    check_box(&t.list[0], 3, 9, 1, 2, 4, 6);
    assert_string_equal(t.class_names[0], "dog");
    assert_true(t.width == 64 && t.height == 48);
    ib_tracks_free(&t);
    parse("{\"frames\":[{\"frame_index\":7,\"detections\":[{\"bbox\":[1,2,3,4],\"track_id\":5,\"class\":\"cat\"}]}]}", &by_content, "json", &t);
    check_box(&t.list[0], 7, 5, 1, 2, 3, 4);
    ib_tracks_free(&t);
    refuse("{\"frames\":[\n{]}", &by_content, "t: line 2: not JSON");
    refuse("{\"frames\":[{\"frame_index\":7,\"detections\":[{\"bbox\":[1,2,3]}]}]}", &by_content, "frame_index 7: expected");
    refuse("[[{\"box\":{\"x1\":1}}]]", &by_content, "frame 0: expected a list of");
}

enum { GW = 31, GH = 23 };

/* Two discs, one with a hole. */
static int in_discs(int x, int y)
{
    int a = (x - 8) * (x - 8) + (y - 9) * (y - 9), b = (x - 24) * (x - 24) + (y - 15) * (y - 15);
    return (a < 40 && a > 6) || b < 20;
}

/* COCO's text of run lengths, and the plain list. */
static void encode_runs(char *text, char *list)
{
    int64_t counts[GW * GH + 1] = {0};
    int n = 0, inside = 0;
    for (int i = 0; i < GW * GH; i++) {
        if (in_discs(i / GH, i % GH) != inside) inside = !inside, n++;
        counts[n]++;
    }
    for (int i = 0; i <= n; i++) {
        list += sprintf(list, i ? ",%d" : "%d", (int)counts[i]);
        int64_t x = i > 2 ? counts[i] - counts[i - 2] : counts[i];
        for (int more = 1; more;) {
            int c = (int)(x & 31);
            x >>= 5;
            more = c & 16 ? x != -1 : x != 0;
            *text++ = (char)(48 + (c | (more ? 32 : 0)));
        }
    }
    *text = 0;
}

static void check_mask(const char *segmentation)
{
    ib_tracks t;
    char *json = ib_text("{\"images\":[{\"id\":5,\"frame_index\":0,\"width\":%d,\"height\":%d}],\"annotations\":[{\"image_id\":5,\"track_id\":9,"
                         "\"bbox\":[0,0,31,23],\"segmentation\":%s}]}", 2 * GW, 2 * GH, segmentation);
    parse(json, &by_content, "coco", &t);
    int wrong = 0;
    assert_true(ib_has_mask(&t.list[0]));
    for (int y = 0; y < GH; y++) /* the video has twice the mask's size */
        for (int x = 0; x < GW; x++) wrong += ib_tracks_in_mask(&t, &t.list[0], 2 * x + 1, 2 * y + 1, 2 * GW, 2 * GH) != in_discs(x, y);
    assert_int_equal(wrong, 0);
    assert_int_equal(ib_tracks_in_mask(&t, &t.list[0], -1, 5, 2 * GW, 2 * GH) + ib_tracks_in_mask(&t, &t.list[0], 2 * GW + 1, 5, 2 * GW, 2 * GH), 0);
    ib_tracks_free(&t);
    free(json);
}

static void test_masks(void **state)
{
    (void)state;
    char text[2000], list[4000];
    encode_runs(text, list);
    char *a = ib_text("{\"size\":[%d,%d],\"counts\":[%s]}", GH, GW, list), *b = ib_text("{\"size\":[%d,%d],\"counts\":\"%s\"}", GH, GW, text);
    check_mask(a);
    /* a backslash is one of the letters: as JSON has it */
    char escaped[4000], *e = escaped;
    for (const char *p = text; *p; p++) {
        if (*p == '\\') *e++ = '\\';
        *e++ = *p;
    }
    *e = 0;
    free(b);
    b = ib_text("{\"size\":[%d,%d],\"counts\":\"%s\"}", GH, GW, escaped);
    check_mask(b);
    free(a);
    free(b);
    /* a number of COCO's own tools: 6 x 6, one pixel at (2,2) is 14 outside, 1 inside, 21 outside */
    ib_tracks t;
    parse("{\"frames\":[{\"frame_index\":0,\"detections\":[{\"bbox\":[0,0,6,6],\"segmentation\":{\"size\":[6,6],\"counts\":\">1e0\"}}]}]}", &by_content, "json", &t);
    for (int i = 0; i < 36; i++) assert_int_equal(ib_tracks_in_mask(&t, &t.list[0], i % 6 + 0.5, i / 6 + 0.5, 6, 6), i == 14);
    ib_tracks_free(&t);
    /* two polygons: in either of them, not between */
    parse("{\"frames\":[{\"frame_index\":0,\"detections\":[{\"bbox\":[0,0,9,9],\"segmentation\":[[0,0,3,0,3,9,0,9],[6,0,9,0,9,9,6,9]]}]}]}", &by_content, "json", &t);
    assert_int_equal(t.list[0].points, 9);
    assert_true(ib_tracks_in_mask(&t, &t.list[0], 1, 5, 9, 9) && ib_tracks_in_mask(&t, &t.list[0], 7, 5, 9, 9) && !ib_tracks_in_mask(&t, &t.list[0], 4, 5, 9, 9));
    ib_tracks_free(&t);
    static const char *const bad[] = {"{\"size\":[6,6],\"counts\":[1,2]}", "{\"size\":[6,6],\"counts\":[40]}", "{\"size\":[6,6],\"counts\":[-1,37]}",
                                      "{\"size\":[6],\"counts\":[36]}", "{\"size\":[6,6],\"counts\":\"o\"}", "{\"size\":[6,6],\"counts\":\"~~~~~~~~~~~~~~\"}",
                                      "{\"size\":[6,6]}", "[[1,2,3]]", "[1,2,3,4,5,6]", "7"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *json = ib_text("{\"frames\":[{\"frame_index\":0,\"detections\":[{\"bbox\":[0,0,6,6],\"segmentation\":%s}]}]}", bad[i]);
        refuse(json, &by_content, "frame_index 0: expected");
        free(json);
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    refuse("1,7,10,20,30,40\n2,7,10,2O,30,40\n", &by_content, "t: line 2: column 4 is \"2O\"; expected a number");
    refuse("1,7,10,20,30,40\n2,7,10\n", &by_content, "t: line 2: 3 columns; mot has");
    refuse("1,7,10,20,inf,40\n", &by_content, "expected a number");
    refuse("0,7,10,20,30,40\n", &by_content, "--first-frame 0 if this file counts from 0");
    refuse("1.5,7,10,20,30,40\n", &by_content, "frame and id are whole numbers");
    refuse("hello world\n", &by_content, "say --tracks-format");
    refuse("", &by_content, "say --tracks-format");
    refuse("0 0.5 0.5 0.1 0.1 0.5\n", &by_content, "say --tracks-format");
    ib_tracks_options o = by_content;
    o.format = "motchallenge";
    refuse("", &o, "--tracks-format motchallenge: expected");
    o = by_content;
    o.first_frame = 0;
    ib_tracks t;
    parse("0,7,10,20,30,40\n", &o, "mot", &t);
    assert_int_equal(t.list[0].frame, 0);
    ib_tracks_free(&t);
}

static void test_folder(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    static const char *const files[][2] = {{"clip_10.txt", "0 0.5 0.5 0.2 0.2 0.9 1\n"}, {"clip_2.txt", "0 0.25 0.5 0.2 0.2 0.9 1\n"},
                                           {"clip_3.txt", ""}};
    for (size_t i = 0; i < 3; i++) {
        char *path = ib_text("%s/%s", folder, files[i][0]);
        assert_int_equal(ib_write_file(path, files[i][1], strlen(files[i][1]), 0, NULL), ISOBATH_OK);
        free(path);
    }
    ib_tracks t;
    assert_int_equal(ib_tracks_read(folder, &by_content, NULL, &t), ISOBATH_OK);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.list[0].frame, 1);
    assert_int_equal(t.list[1].frame, 9);
    ib_tracks_free(&t);
    char *path = ib_text("%s/clip_4.txt", folder);
    assert_int_equal(ib_write_file(path, "0 0.5 0.5 0.2 0.2 0.9\n", 22, 0, NULL), ISOBATH_OK);
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_tracks_read(folder, &by_content, &diag, &t), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(diag.text, "clip_4.txt: line 1: the sixth column"));
    ib_tracks_free(&t);
    free(path);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_labels), cmocka_unit_test(test_json), cmocka_unit_test(test_masks),
                                       cmocka_unit_test(test_mistakes), cmocka_unit_test(test_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
