/* Image sequences in: order, formats, depth, and what is wrong with them. */
#include "media/images.h"
#include "media/media.h"
#include "media_helper.h"

#include <libavcodec/codec_id.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FRAMES 400
typedef struct result {
    isobath_status status;
    char text[IB_DIAG_TEXT];
    ib_media_info info;
    int count;
    ib_media_frame frames[MAX_FRAMES];
    uint8_t first[MAX_FRAMES];  /* R of the first pixel */
    uint8_t rgb[100 * 100 * 3]; /* the last frame */
} result;
static result out;

static void read_all(const char *path, const ib_media_options *options)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(&out, 0, sizeof out);
    ib_media *m = NULL;
    out.status = ib_media_open(path, options, &diag, &m);
    if (m) out.info = *ib_media_get_info(m);
    for (int got = 1; out.status == ISOBATH_OK && got;) {
        assert_true(out.count < MAX_FRAMES && out.info.width * out.info.height <= 10000);
        out.status = ib_media_read(m, out.rgb, &out.frames[out.count], &got);
        if (out.status == ISOBATH_OK && got) out.first[out.count++] = out.rgb[0];
    }
    snprintf(out.text, sizeof out.text, "%s", diag.text);
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

static void expect_error(isobath_status status, const char *part)
{
    assert_int_equal(out.status, status);
    if (!strstr(out.text, part)) fail_msg("\"%s\" does not say \"%s\"", out.text, part);
}

/* Frames `from` .. `to` - 1 of the synthetic content. */
static void expect_frames(int from, int to)
{
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    assert_int_equal(out.count, to - from);
    for (int i = 0; i < out.count; i++) assert_int_equal(out.first[i], clip_rgb(from + i, 0, 0, 0));
}

static void test_natural_order(void **state)
{
    (void)state;
    static const char *const sorted[] = {"a",     "a0",  "a01", "a1",   "a2",    "a10", "a10b",
                                         "a010c", "a11", "b",   "b9x1", "b9x12", "c"};
    for (size_t i = 0; i < sizeof sorted / sizeof *sorted; i++)
        for (size_t j = 0; j < sizeof sorted / sizeof *sorted; j++) {
            int d = ib_natural_compare(sorted[i], sorted[j]), d2 = ib_natural_compare(sorted[j], sorted[i]);
            assert_true(i < j ? d < 0 && d2 > 0 : i > j ? d > 0 && d2 < 0 : d == 0);
        }
}

/* A pattern, a folder, a glob: the same frames; other files in the folder do not matter. */
static void test_ways_to_name(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "rgb24", .width = 24, .height = 16};
    char name[64];
    mkdir(path_of("seq"), 0755);
    for (int i = 0; i < 120; i++) {
        snprintf(name, sizeof name, "seq/f_%03d.png", i + 5);
        assert_int_equal(clip_write_image(path_of(name), &c, i), 0);
    }
    clip_write_file(path_of("seq/notes.txt"), "x", 1);
    clip_write_file(path_of("seq/.hidden.png"), "x", 1);
    static const char *const ways[] = {"seq",          "seq/",      "seq/f_%03d.png",
                                       "seq/f_%d.png", "seq/*.png", "s?q/f_[0-9]*.png"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(ways[i], "seq/f_%d.png") == 0) continue; /* names with leading zeros are not %d's */
        for (int threads = 1; threads <= 3; threads += 2) {
            read_all(path_of(ways[i]), &(ib_media_options){.image_fps = 24, .threads = threads});
            expect_frames(0, 120);
            assert_int_equal(out.info.frames_hint, 120);
            assert_true(out.info.fps == 24);
            assert_int_equal(out.frames[7].pts_us, llrint(7e6 / 24));
        }
    }
    char all[65], one[65];
    assert_int_equal(ib_media_hash(path_of("seq"), NULL, all), 0);
    assert_int_equal(ib_media_hash(path_of("seq/f_%03d.png"), NULL, one), 0);
    assert_string_equal(all, one);
    assert_int_equal(strlen(all), 64);
    read_all(path_of("seq/f_005.png"), NULL); /* one image is a sequence of one */
    expect_frames(0, 1);
    read_all(path_of("seq/*.exr"), NULL);
    expect_error(ISOBATH_ERR_INPUT, "no images");
    read_all(path_of("seq"), &(ib_media_options){.max_frames = 3});
    expect_frames(0, 3);
}

/* 2 comes before 10, whatever the shell says. */
static void test_unpadded(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "rgb24", .width = 8, .height = 8};
    mkdir(path_of("un"), 0755);
    for (int i = 0; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "un/%d.png", i);
        clip_write_image(path_of(name), &c, i);
    }
    static const char *const ways[] = {"un", "un/%d.png", "un/*"};
    for (int i = 0; i < 3; i++) {
        read_all(path_of(ways[i]), NULL);
        expect_frames(0, 12);
    }
}

static void test_gap(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "rgb24", .width = 8, .height = 8};
    mkdir(path_of("gap"), 0755);
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "gap/%02d.png", i);
        if (i != 3) clip_write_image(path_of(name), &c, i);
    }
    read_all(path_of("gap/%02d.png"), NULL);
    expect_error(ISOBATH_ERR_INPUT, "image 3 is missing before");
    read_all(path_of("gap"), NULL);
    assert_int_equal(out.count, 5);
}

/* Depths and formats: 16-bit PNG and TIFF are rounded to 8 bits, grey is grey, JPEG and BMP and PPM are read. */
static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *name, *pix_fmt;
        int exact;
    } cases[] = {
        {"a.png", "rgb24", 1},   {"a.png", "rgba", 1},     {"a.png", "rgb48be", 1},  {"a.png", "rgba64be", 1},
        {"a.tif", "rgb24", 1},   {"a.tif", "rgb48le", 1},  {"a.bmp", "bgr24", 1},    {"a.ppm", "rgb24", 1},
        {"a.ppm", "rgb48be", 1}, {"a.jpg", "yuvj420p", 0}, {"a.jpg", "yuvj444p", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clip c = {.pix_fmt = cases[i].pix_fmt, .width = 33, .height = 21};
        assert_int_equal(clip_write_image(path_of(cases[i].name), &c, 4), 0);
        read_all(path_of(cases[i].name), NULL);
        if (out.status != ISOBATH_OK) fail_msg("%s %s: %s", cases[i].name, cases[i].pix_fmt, out.text);
        assert_int_equal(out.count, 1);
        assert_int_equal(out.info.width, 33);
        for (int y = 0; y < 21 && cases[i].exact; y++)
            for (int x = 0; x < 33; x++)
                for (int k = 0; k < 3; k++) assert_int_equal(out.rgb[(y * 33 + x) * 3 + k], clip_rgb(4, x, y, k));
    }
    static const char *const grey[] = {"gray", "gray16be", "ya8"};
    for (int i = 0; i < 3; i++) {
        clip c = {.pix_fmt = grey[i], .width = 33, .height = 21};
        assert_int_equal(clip_write_image(path_of("g.png"), &c, 2), 0);
        read_all(path_of("g.png"), NULL);
        assert_int_equal(out.count, 1);
        for (int k = 0; k < 3; k++) {
            int v = clip_yuv(2, 5, 6, 0);
            assert_int_equal(out.rgb[(6 * 33 + 5) * 3 + k], i == 1 ? (int)floor((v << 8) / 257.0 + 0.5) : v);
        }
    }
}

/* Palettes go through libswscale, which copies the palette's colours. */
static void fill_palette(const clip *c, int frame, uint8_t *const data[4], const int linesize[4])
{
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++) data[0][y * linesize[0] + x] = (uint8_t)(x + y + frame);
    for (uint32_t i = 0; i < 256; i++)
        ((uint32_t *)(void *)data[1])[i] = 0xff000000u | (i * 3 % 256) << 16 | (255 - i) << 8 | i;
}

static void test_palette(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "pal8", .width = 30, .height = 20, .fill = fill_palette};
    assert_int_equal(clip_write_image(path_of("p.png"), &c, 1), 0);
    read_all(path_of("p.png"), NULL);
    assert_int_equal(out.count, 1);
    assert_non_null(strstr(out.info.colour, "pal8 - full transfer unknown libswscale "));
    for (int y = 0; y < 20; y++)
        for (int x = 0; x < 30; x++) {
            int i = x + y + 1;
            uint8_t want[3] = {(uint8_t)(i * 3), (uint8_t)(255 - i), (uint8_t)i};
            assert_memory_equal(out.rgb + (y * 30 + x) * 3, want, 3);
        }
}

/* EXR is scene-linear: 8-bit sRGB of it comes out. The clip holds v/255 as linear values. */
static void test_exr(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "gbrpf32le", .width = 20, .height = 10, .options = "format=float"};
    assert_int_equal(clip_write_image(path_of("e.exr"), &c, 3), 0);
    read_all(path_of("e.exr"), NULL);
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    for (int y = 0; y < 10; y++)
        for (int x = 0; x < 20; x++)
            for (int k = 0; k < 3; k++) {
                double v = clip_rgb(3, x, y, k) / 255.0,
                       s = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
                assert_int_equal(out.rgb[(y * 20 + x) * 3 + k], (int)floor(255 * s + 0.5));
            }
}

/* The EXIF orientation of a photograph is obeyed: all eight of them, against the upright one turned by hand. */
static void test_exif(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "yuvj444p", .width = 24, .height = 16};
    static uint8_t plain[24 * 16 * 3];
    assert_int_equal(clip_write_image(path_of("photo.jpg"), &c, 1), 0);
    read_all(path_of("photo.jpg"), NULL);
    memcpy(plain, out.rgb, sizeof plain);
    size_t size;
    uint8_t *jpeg = clip_read_file(path_of("photo.jpg"), &size), *tagged = malloc(size + 36);
    for (int tag = 1; tag <= 8; tag++) {
        const uint8_t app1[36] = {0xff, 0xe1, 0, 34, 'E', 'x',  'i',  'f', 0, 0, 'M', 'M', 0, 42, 0,
                                  0,    0,    8, 0,  1,   0x01, 0x12, 0,   3, 0, 0,   0,   1, 0,  (uint8_t)tag,
                                  0,    0,    0, 0,  0,   0};
        memcpy(tagged, jpeg, 2);
        memcpy(tagged + 2, app1, sizeof app1);
        memcpy(tagged + 2 + sizeof app1, jpeg + 2, size - 2);
        clip_write_file(path_of("photo.jpg"), tagged, size + sizeof app1);
        read_all(path_of("photo.jpg"), NULL);
        if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
        int w = tag >= 5 ? 16 : 24, h = tag >= 5 ? 24 : 16;
        assert_int_equal(out.info.width, w);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                /* where the stored row 0 and column 0 are shown: EXIF's table */
                int sx = tag == 1 || tag == 4 ? x : tag == 2 || tag == 3 ? 23 - x : tag == 5 || tag == 6 ? y : 23 - y;
                int sy = tag == 1 || tag == 2 ? y : tag == 3 || tag == 4 ? 15 - y : tag == 5 || tag == 8 ? x : 15 - x;
                assert_memory_equal(out.rgb + (y * w + x) * 3, plain + (sy * 24 + sx) * 3, 3);
            }
    }
    free(jpeg);
    free(tagged);
}

/* A size that changes, a file that is no image, a picture cut short: named by file; stand-ins on request. */
static void test_bad_files(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "rgb24", .width = 40, .height = 40};
    mkdir(path_of("bad"), 0755);
    for (int i = 0; i < 9; i++) {
        char name[64];
        snprintf(name, sizeof name, "bad/%d.png", i);
        assert_int_equal(clip_write_image(path_of(name), &c, i), 0);
    }
    clip small = {.pix_fmt = "rgb24", .width = 40, .height = 38};
    clip_write_image(path_of("bad/5.png"), &small, 5);
    for (int threads = 1; threads <= 4; threads += 3) {
        read_all(path_of("bad"), &(ib_media_options){.threads = threads});
        expect_error(ISOBATH_ERR_INPUT, "bad/5.png is 40x38 but the sequence began with 40x40");
        assert_int_equal(out.count, 5);
    }
    clip_write_image(path_of("bad/5.png"), &c, 5);
    static const char *const damage[] = {"this is no image", "", "\x89PNG\r\n\x1a\n rubbish follows here, not chunks"};
    for (int d = 0; d < 3; d++) {
        clip_write_file(path_of("bad/4.png"), damage[d], strlen(damage[d]));
        for (int threads = 1; threads <= 4; threads += 3) {
            read_all(path_of("bad"), &(ib_media_options){.threads = threads});
            expect_error(ISOBATH_ERR_INPUT, "bad/4.png");
            assert_int_equal(out.count, 4);
            read_all(path_of("bad"), &(ib_media_options){.threads = threads, .on_error = IB_ON_ERROR_REPEAT});
            if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
            assert_int_equal(out.count, 9);
            for (int i = 0; i < 9; i++) {
                assert_int_equal(out.frames[i].repeated, i == 4);
                assert_int_equal(out.first[i], clip_rgb(i == 4 ? 3 : i, 0, 0, 0));
                assert_int_equal(out.frames[i].pts_us, llrint(i * 1e6 / 30));
            }
        }
    }
    clip_write_file(path_of("bad/0.png"), "x", 1);
    read_all(path_of("bad"), &(ib_media_options){.on_error = IB_ON_ERROR_REPEAT});
    expect_error(ISOBATH_ERR_INPUT, "the first frame is damaged");
}

/* Formats may change from file to file. */
static void test_mixed(void **state)
{
    (void)state;
    mkdir(path_of("mixed"), 0755);
    for (int i = 0; i < 10; i++) {
        static const char *const kinds[][2] = {{"rgb24", "png"}, {"bgr24", "bmp"}, {"rgb48be", "png"}, {"rgb48le", "tif"}};
        clip c = {.pix_fmt = kinds[i % 4][0], .width = 12, .height = 10};
        char name[64];
        snprintf(name, sizeof name, "mixed/%d.%s", i, kinds[i % 4][1]);
        assert_int_equal(clip_write_image(path_of(name), &c, i), 0);
    }
    for (int threads = 1; threads <= 4; threads += 3) {
        read_all(path_of("mixed"), &(ib_media_options){.threads = threads});
        expect_frames(0, 10);
    }
}

/* 100,000 files: listing and opening take a moment, not minutes. */
static void test_many(void **state)
{
    (void)state;
    clip c = {.pix_fmt = "rgb24", .width = 8, .height = 8};
    mkdir(path_of("many"), 0755);
    assert_int_equal(clip_write_image(path_of("one.png"), &c, 0), 0);
    char target[256], name[256];
    snprintf(target, sizeof target, "../one.png");
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "%s/many/%d.png", dir, i);
        assert_int_equal(symlink(target, name), 0);
    }
    read_all(path_of("many/%d.png"), &(ib_media_options){.max_frames = 50});
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    assert_int_equal(out.count, 50);
    read_all(path_of("many"), &(ib_media_options){.max_frames = 50});
    assert_int_equal(out.count, 50);
    read_all(path_of("many"), &(ib_media_options){.start_s = 3330.0}); /* the last 100 of 100,000 */
    assert_int_equal(out.count, 100);
    assert_int_equal(out.frames[99].pts_us, llrint(99999 * 1e6 / 30));
}

static void test_codec_by_bytes(void **state)
{
    (void)state;
    assert_int_equal(ib_image_codec((const uint8_t *)"\x89PNG\r\n", 6, "a.jpg"), AV_CODEC_ID_PNG);
    assert_int_equal(ib_image_codec((const uint8_t *)"\x89PN", 3, "a.png"), AV_CODEC_ID_NONE);
    assert_int_equal(ib_image_codec((const uint8_t *)"RIFF\0\0\0\0WEBPVP8 ", 16, "a"), AV_CODEC_ID_WEBP);
    assert_int_equal(ib_image_codec((const uint8_t *)"", 0, "a.tga"), AV_CODEC_ID_TARGA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_natural_order), cmocka_unit_test(test_ways_to_name),
        cmocka_unit_test(test_unpadded),      cmocka_unit_test(test_gap),
        cmocka_unit_test(test_formats),       cmocka_unit_test(test_palette),
        cmocka_unit_test(test_exr),           cmocka_unit_test(test_exif),
        cmocka_unit_test(test_bad_files),     cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_many),          cmocka_unit_test(test_codec_by_bytes),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
