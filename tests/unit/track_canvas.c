/* Drawing: the right pixels and no others, also at and beyond the borders; the overlay says where, how far and in which
 * unit. */
#include "sink_helper.h"

#include "track/canvas.h"
#include "track/overlay.h"

enum { W = 160, H = 96 };

static uint8_t pixels[W * H * 3 + 64];
static ib_canvas canvas = {W, H, pixels};
static const ib_colour red = {255, 0, 0};

static void clear(void)
{
    memset(pixels, 0, W * H * 3);
    memset(pixels + W * H * 3, 0x5a, 64);
}

/* Pixels that are not black, in a rectangle. */
static int count(int x0, int y0, int x1, int y1)
{
    int n = 0;
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            n += pixels[3 * (y * W + x)] || pixels[3 * (y * W + x) + 1] || pixels[3 * (y * W + x) + 2];
    return n;
}

static int all(void)
{
    for (int i = 0; i < 64; i++) assert_int_equal(pixels[W * H * 3 + i], 0x5a);
    return count(0, 0, W, H);
}

static void shapes(void **state)
{
    (void)state;
    clear();
    ib_canvas_fill(&canvas, 10, 20, 15, 23, red, 1);
    assert_true(all() == 15 && count(10, 20, 15, 23) == 15 && pixels[3 * (20 * W + 10)] == 255 &&
                pixels[3 * (20 * W + 10) + 1] == 0);
    clear();
    ib_canvas_fill(&canvas, -5, -5, 3, 2, red, 0.5);
    assert_true(all() == 6 && pixels[0] == 128);
    clear();
    ib_canvas_box(&canvas, 20, 30, 60, 50, 2, red, 0);
    assert_int_equal(all(), 2 * (40 * 2) + 2 * (20 * 2) - 4 * 4);
    assert_int_equal(count(22, 32, 58, 48), 0);
    clear();
    ib_canvas_box(&canvas, 20, 30, 60, 50, 2, red, 1);
    assert_true(all() > 60 && all() < 200); /* dashes */
    clear();
    ib_canvas_line(&canvas, 10, 40.5, 50, 40.5, 1, red);
    assert_true(count(10, 40, 50, 41) == 40 && all() <= 42);
    clear();
    ib_canvas_disc(&canvas, 50, 50, 6, red);
    assert_true(abs(all() - 113) < 40 && count(44, 44, 56, 56) > 100 && !count(0, 0, 42, H));
    clear(); /* far away, huge, empty, not finite */
    ib_canvas_box(&canvas, -1e9, -1e9, 1e9, 1e9, 2, red, 1);
    ib_canvas_line(&canvas, -1e6, 1e6, 1e6, 2e6, 3, red);
    ib_canvas_fill(&canvas, 5, 5, 5, 5, red, 1);
    ib_canvas_fill(&canvas, NAN, 0, 5, 5, red, 1);
    assert_true(all() <= 25);
}

static void letters(void **state)
{
    (void)state;
    clear();
    ib_canvas_text(&canvas, 10, 10, 1, "1", red);
    assert_true(all() == 10 && count(10, 10, 15, 17) == 10); /* a stem of 7, a serif and a foot of two more */
    clear();
    ib_canvas_text(&canvas, 10, 10, 1, "L", red);
    assert_true(count(10, 10, 11, 17) == 7 && count(11, 10, 15, 16) == 0 && count(10, 16, 15, 17) == 5);
    clear();
    ib_canvas_text(&canvas, 10, 10, 3, "1", red);
    assert_true(all() == 90 && count(10, 10, 25, 31) == 90);
    /* no two of the letters that labels are made of look alike, and all look like something */
    const char set[] = "0123456789#.?/ mrelsncoordiatsk-ABCXYZ";
    uint8_t seen[64][5 * 7];
    for (size_t i = 0; set[i]; i++) {
        char text[2] = {set[i], 0};
        clear();
        ib_canvas_text(&canvas, 0, 0, 1, text, red);
        assert_true(set[i] == ' ' ? all() == 0 : all() > 2);
        for (int p = 0; p < 35; p++) seen[i][p] = pixels[3 * (p / 5 * W + p % 5)];
        for (size_t k = 0; k < i; k++)
            if (set[k] != set[i]) assert_true(memcmp(seen[k], seen[i], 35) != 0);
    }
    clear();
    ib_canvas_text(&canvas, W - 3, H - 3, 2, "W\x80\xff", red); /* cut, and not ASCII */
    all();
    assert_int_equal(ib_canvas_text_width("12345", 2), 60);
}

/* Does the canvas hold this text, in white, anywhere? */
static int shows(const char *text, int scale)
{
    static uint8_t picture[W * H * 3];
    ib_canvas own = {W, H, picture};
    memset(picture, 0, sizeof picture);
    int width = ib_canvas_text_width(text, scale) - scale;
    ib_canvas_text(&own, 0, 0, scale, text, (ib_colour){255, 255, 255});
    for (int y0 = 0; y0 + 7 * scale <= H; y0++)
        for (int x0 = 0; x0 + width <= W; x0++) {
            int same = 1;
            for (int y = 0; y < 7 * scale && same; y++)
                for (int x = 0; x < width && same; x++) {
                    const uint8_t *p = pixels + 3 * ((y0 + y) * W + x0 + x);
                    same = picture[3 * (y * W + x)] == (p[0] == 255 && p[1] == 255 && p[2] == 255 ? 255 : 0);
                }
            if (same) return 1;
        }
    return 0;
}

static void overlays(void **state)
{
    (void)state;
    char *names[] = {"dog"};
    ib_tracks tracks = {.class_names = names, .class_count = 1};
    isobath_track_summary summary = {.unit = "metre", .coordinates = "camera", .frames = 9};
    ib_result r = {.tracks = &tracks, .summary = &summary, .metric = 1, .video_width = 320, .video_height = 192};
    ib_row rows[2] = {{.id = 12,
                       .box = {40, 60, 120, 120},
                       .class_index = 0,
                       .has_position = 1,
                       .has_speed = 1,
                       .distance = 8.44,
                       .velocity = {3, 0, 4}},
                      {.id = 3, .box = {200, -20, 500, 100}, .class_index = -1}};
    clear();
    ib_overlay_draw(&r, rows, 2, 7, &canvas); /* the picture has half the video's size */
    assert_true(shows("#12 dog 8.4 m 5.0 m/s", 1));
    assert_true(shows("#3 ?", 1)); /* refused: at the upper border */
    assert_true(shows("frame 7, camera", 1));
    ib_colour own = ib_track_colour(12, 0.42);
    const uint8_t *edge = pixels + 3 * (45 * W + 20);
    assert_true(edge[0] == own.r && edge[1] == own.g && edge[2] == own.b);
    assert_int_equal(count(24, 34, 56, 56), 0); /* the inside of the box is left alone */
    rows[1] = (ib_row){.id = 5, .box = {44, 62, 124, 130}, .class_index = -1, .has_position = 1, .distance = 9};
    clear();
    ib_overlay_draw(&r, rows, 2, 7, &canvas);
    assert_true(shows("#12 dog 8.4 m 5.0 m/s", 1) && shows("#5 9.0 m", 1)); /* labels keep clear of each other */
    r.metric = 0;
    clear();
    ib_overlay_draw(&r, rows, 1, 7, &canvas);
    assert_true(shows("#12 dog 8.44 rel", 1) && !shows("8.4 m", 1));
    all();
    for (int a = 0; a < 40; a++) /* neighbours in number differ in colour */
        for (int b = a + 1; b < a + 6; b++) {
            ib_colour p = ib_track_colour(a, 0.42), q = ib_track_colour(b, 0.42);
            assert_true(abs(p.r - q.r) + abs(p.g - q.g) + abs(p.b - q.b) > 30);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(letters), cmocka_unit_test(overlays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
