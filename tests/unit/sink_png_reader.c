/* Reading PNG depth: our folders, foreign ones, damaged ones. */
#include "sink_helper.h"

#include "depthio/depth_reader.h"
#include "sink/png_fast.h"
#include "sink/png_file.h"

#include <zlib.h>

enum { W = 40, H = 30, N = 6 };

static void our_folder(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        char *folder = scratch_folder(), *path = ib_text("%s/clip_depths_png16", folder);
        ib_sink_config config = test_config(folder, W, H);
        config.kind = kind ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
        config.start_number = 99998; /* frame_99998 before frame_100000 */
        assert_int_equal(run_sink("png16", &config, N, 2, NULL, NULL), ISOBATH_OK);
        ib_depth_reader *reader;
        ib_diag diag = IB_DIAG_INIT;
        assert_int_equal(ib_depth_reader_open(path, &diag, &reader), ISOBATH_OK);
        const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
        assert_string_equal(info->format, "png16");
        assert_true(info->frames == N && info->width == W && info->height == H && info->has_times);
        assert_true(info->kind_known && info->kind == config.kind);
        float back[W * H];
        for (int i = N - 1; i >= 0; i--) {
            ib_depth_frame *f = make_frame(i, W, H, test_max(i));
            assert_int_equal(ib_depth_reader_read(reader, i, back), ISOBATH_OK);
            assert_int_equal(ib_depth_reader_time_us(reader, i), f->pts_us);
            for (int k = 0; k < W * H; k++) { /* half a step, and the rounding to float of what the reader returns */
                double bound = 0.5 * info->scale + ldexp(f->depth[k] + info->scale, -24);
                if (!(kind && back[k] == 0)) assert_true(fabs((double)back[k] - f->depth[k]) <= bound);
            }
            ib_depth_frame_unref(f);
        }
        ib_depth_reader_close(reader);
        /* a frame is missing */
        char *gone = ib_text("%s/frame_100001.png", path);
        assert_int_equal(unlink(gone), 0);
        assert_int_equal(ib_depth_reader_open(path, &diag, &reader), ISOBATH_ERR_INPUT);
        assert_non_null(strstr(diag.text, "says 6 frames"));
        free(gone);
        free(path);
        remove_folder(folder);
    }
}

static void write_foreign(const char *folder, int number, int width, const char *scale)
{
    ib_png_encoder *encoder;
    const uint8_t *data;
    size_t size;
    uint16_t *q = calloc((size_t)width * H, 2);
    for (int k = 0; k < width * H; k++) q[k] = (uint16_t)(number * 100 + k);
    ib_png_text text = {"isobath:scale", ""};
    if (scale) strcpy(text.value, scale);
    ib_png_text texts[2] = {text, {"isobath:offset", "0.5"}};
    assert_int_equal(ib_png_encoder_create(width, H, 0, NULL, &encoder), ISOBATH_OK);
    assert_int_equal(ib_png_encode(encoder, q, texts, scale ? 2 : 0, NULL, &data, &size), ISOBATH_OK);
    char *path = ib_text("%s/%d.png", folder, number);
    assert_int_equal(ib_write_file(path, data, size, 0, NULL), ISOBATH_OK);
    free(path);
    free(q);
    ib_png_encoder_destroy(encoder);
}

static void foreign_folder_with_a_scale(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    write_foreign(folder, 8, W, NULL);
    write_foreign(folder, 10, W, NULL);
    write_foreign(folder, 9, W, NULL);
    ib_depth_reader *reader;
    assert_int_equal(ib_depth_reader_open(folder, NULL, &reader), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_get_info(reader)->frames, 3);
    assert_false(ib_depth_reader_get_info(reader)->kind_known);
    float back[W * H];
    assert_int_equal(ib_depth_reader_read(reader, 2, back), ISOBATH_OK);
    assert_true(back[3] == 1003);
    ib_depth_reader_set_scale(reader, 0.25, 0);
    assert_int_equal(ib_depth_reader_read(reader, 1, back), ISOBATH_OK);
    assert_true(back[3] == 903 * 0.25f);
    assert_int_equal(ib_depth_reader_time_us(reader, 0), -1);
    ib_depth_reader_close(reader);
    remove_folder(folder);
}

static void mixed_folders_are_refused(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    float back[W * H];
    assert_int_equal(ib_depth_reader_open(folder, &diag, &reader), ISOBATH_ERR_INPUT); /* empty */
    write_foreign(folder, 1, W, "0.5");
    write_foreign(folder, 2, W, "0.25");    /* another scale */
    write_foreign(folder, 3, W + 1, "0.5"); /* another size */
    assert_int_equal(ib_depth_reader_open(folder, NULL, &reader), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_read(reader, 0, back), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_read(reader, 1, back), ISOBATH_ERR_INPUT);
    assert_int_equal(ib_depth_reader_read(reader, 2, back), ISOBATH_ERR_INPUT);
    ib_depth_reader_close(reader);
    remove_folder(folder);
}

/* Both writers and the reader agree, on sizes around the vector width and on noise. */
static void encode_decode(void **state)
{
    (void)state;
    static const int widths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65};
    for (int level = 0; level <= 9; level += 3)
        for (size_t s = 0; s < sizeof widths / sizeof *widths; s++)
            for (int height = 1; height <= 3; height++) {
                int width = widths[s];
                uint16_t q[65 * 3];
                for (int k = 0; k < width * height; k++) q[k] = (uint16_t)(65536 * noise(level, k, (int)s));
                ib_png_encoder *encoder;
                ib_png_image image;
                const uint8_t *data;
                size_t size;
                assert_int_equal(ib_png_encoder_create(width, height, level, NULL, &encoder), ISOBATH_OK);
                assert_int_equal(ib_png_encode(encoder, q, NULL, 0, NULL, &data, &size), ISOBATH_OK);
                assert_int_equal(ib_png_decode(data, size, "x.png", NULL, &image), ISOBATH_OK);
                assert_true(image.width == width && image.height == height && image.bits == 16);
                assert_memory_equal(image.q, q, (size_t)(width * height) * 2);
                ib_png_image_free(&image);
                ib_png_encoder_destroy(encoder);
            }
}

static size_t put_chunk(uint8_t *p, const char *type, const uint8_t *data, size_t length)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(length >> (24 - 8 * i));
    memcpy(p + 4, type, 4);
    if (length) memcpy(p + 8, data, length);
    unsigned long crc = crc32(0, p + 4, (uInt)length + 4);
    for (int i = 0; i < 4; i++) p[8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    return length + 12;
}

/* Any bytes are residuals of any filter: both decoders must make the same of them. */
static void every_filter(void **state)
{
    (void)state;
    enum { FW = 37, FH = 10, ROW = 1 + 2 * FW };
    uint8_t raw[ROW * FH], packed[2 * ROW * FH + 200], file[2][3 * ROW * FH + 600];
    for (int seed = 0; seed < 20; seed++) {
        for (int i = 0; i < ROW * FH; i++) raw[i] = (uint8_t)(noise(seed, i, 1) * (seed & 1 ? 256.0f : 4.0f));
        for (int y = 0; y < FH; y++) raw[y * ROW] = (uint8_t)((y + seed) % 5);
        uLongf n = sizeof packed;
        assert_int_equal(compress(packed, &n, raw, sizeof raw), Z_OK);
        uint8_t header[13] = {0, 0, 0, FW, 0, 0, 0, FH, 16, 0, 0, 0, 0};
        ib_png_image images[2];
        for (int k = 0; k < 2; k++) { /* with a chunk that only libpng skips, and without */
            size_t size = 8;
            memcpy(file[k], "\x89PNG\r\n\x1a\n", 8);
            size += put_chunk(file[k] + size, "IHDR", header, 13);
            size += put_chunk(file[k] + size, "tEXt", (const uint8_t *)"isobath:scale\0000.5", 17);
            if (k) size += put_chunk(file[k] + size, "prVt", header, 5);
            size += put_chunk(file[k] + size, "IDAT", packed, n);
            size += put_chunk(file[k] + size, "IEND", NULL, 0);
            ib_png_image fast;
            assert_int_equal(ib_png_decode_fast(file[k], size, &fast), k == 0);
            if (k == 0) ib_png_image_free(&fast);
            assert_int_equal(ib_png_decode(file[k], size, "x.png", NULL, &images[k]), ISOBATH_OK);
            assert_string_equal(ib_png_image_text(&images[k], "isobath:scale"), "0.5");
        }
        assert_memory_equal(images[0].q, images[1].q, FW * FH * 2);
        ib_png_image_free(&images[0]);
        ib_png_image_free(&images[1]);
    }
}

static void damaged_png(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/5.png", folder);
    write_foreign(folder, 5, 9, "0.5");
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(path, 1 << 20, NULL, &data, &size), ISOBATH_OK);
    for (size_t cut = 0; cut < size; cut++) {
        ib_png_image image;
        ib_diag diag = IB_DIAG_INIT;
        assert_int_equal(ib_png_decode(data, cut, "5.png", &diag, &image), ISOBATH_ERR_INPUT);
        assert_non_null(strstr(diag.text, "5.png"));
    }
    for (size_t i = 8; i + 12 < size; i++) { /* CRCs find every flipped byte of the chunks that matter */
        ib_png_image image;
        data[i] ^= 0x10;
        if (ib_png_decode(data, size, "5.png", NULL, &image) == ISOBATH_OK) ib_png_image_free(&image);
        data[i] ^= 0x10;
    }
    memcpy(data + 16, "\0\0\xff\xdc\0\0\xff\xdc", 8); /* a claim of 65500 x 65500 */
    ib_png_image image;
    assert_int_equal(ib_png_decode(data, size, "5.png", NULL, &image), ISOBATH_ERR_INPUT);
    free(data);
    free(path);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_folder),
        cmocka_unit_test(foreign_folder_with_a_scale),
        cmocka_unit_test(mixed_folders_are_refused),
        cmocka_unit_test(encode_decode),
        cmocka_unit_test(every_filter),
        cmocka_unit_test(damaged_png),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
