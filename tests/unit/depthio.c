/* Depth readers: every format of the sinks comes back, in any order; foreign files by their scale; what is no depth is
 * refused. */
#include "sink_helper.h"

#include "depthio/depth_reader.h"
#include "sink/png_file.h"
#include "support/clips.h"

#ifdef ISOBATH_HAVE_EXR
#include <openexr.h>
#endif

enum { W = 46, H = 34, N = 9 };

static void expect_frame(ib_depth_reader *reader, int64_t i, double relative, double absolute, int times)
{
    float back[W * H];
    ib_depth_frame *f = make_frame(i, W, H, test_max(i));
    assert_int_equal(ib_depth_reader_read(reader, i, back), ISOBATH_OK);
    for (int k = 0; k < W * H; k++)
        if (!(fabs((double)back[k] - f->depth[k]) <= absolute + relative * f->depth[k]))
            fail_msg("frame %d, pixel %d: %.9g for %.9g", (int)i, k, back[k], f->depth[k]);
    assert_int_equal(ib_depth_reader_time_us(reader, i),
                     times == 1 ? f->pts_us : llrint((double)f->pts_us / 1000) * 1000);
    ib_depth_frame_unref(f);
}

static void sinks_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *format, *path, *compression;
        int half, times; /* 1: exact, 2: to the millisecond */
        double relative;
    } cases[] = {
        {"png16", "clip_depths_png16", NULL, 0, 1, 1e-6}, {"npz", "clip_depths.npz", NULL, 0, 1, 0},
        {"ffv1", "clip_depths.mkv", NULL, 0, 2, 1e-6},
#ifdef ISOBATH_HAVE_EXR
        {"exr", "clip_depths_exr", "zip", 0, 1, 0},       {"exr", "clip_depths_exr", "piz", 0, 1, 0},
        {"exr", "clip_depths_exr", "none", 0, 1, 0},      {"exr", "clip_depths_exr", "pxr24", 0, 1, 4e-5},
        {"exr", "clip_depths_exr", "zip", 1, 1, 1e-3},
#endif
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int metric = 0; metric < 2; metric++) {
            char *folder = scratch_folder(), *path = ib_text("%s/%s", folder, cases[c].path);
            ib_sink_config config = test_config(folder, W, H);
            config.kind = metric ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
            config.exr_compression = cases[c].compression;
            config.exr_half = cases[c].half;
            assert_int_equal(run_sink(cases[c].format, &config, N, 2, NULL, NULL), ISOBATH_OK);
            ib_depth_reader *reader;
            ib_diag diag = IB_DIAG_INIT;
            if (ib_depth_reader_open(path, &diag, &reader) != ISOBATH_OK)
                fail_msg("%s: %s", cases[c].format, diag.text);
            const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
            assert_true(info->frames == N && info->width == W && info->height == H && info->has_times);
            assert_true(info->kind_known && info->kind == config.kind);
            assert_true(info->scale_known == info->integers);
            double step =
                info->integers ? (metric ? 1.0 : 0.51) * info->scale : 0; /* metric: below one step is "no depth" */
            static const int order[] = {0, 1, 2, 3, 8, 7, 0, 5, 5};
            for (size_t k = 0; k < sizeof order / sizeof *order; k++)
                expect_frame(reader, order[k], cases[c].relative, step, cases[c].times);
            float *pixels = malloc(sizeof *pixels * W * H);
            assert_int_equal(ib_depth_reader_read(reader, N, pixels), ISOBATH_ERR_INPUT);
            free(pixels);
            ib_depth_reader_close(reader);
            free(path);
            remove_folder(folder);
        }
}

static void write_png(const char *folder, const char *name, const uint16_t *q)
{
    ib_png_encoder *encoder;
    const uint8_t *data;
    size_t size;
    assert_int_equal(ib_png_encoder_create(W, H, 0, NULL, &encoder), ISOBATH_OK);
    assert_int_equal(ib_png_encode(encoder, q, NULL, 0, NULL, &data, &size), ISOBATH_OK);
    char *path = ib_text("%s/%s", folder, name);
    assert_int_equal(ib_write_file(path, data, size, 0, NULL), ISOBATH_OK);
    free(path);
    ib_png_encoder_destroy(encoder);
}

/* The usual scales of foreign files, and the mask. */
static void input_scales(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double scale, offset;
        int metric, has_invalid; /* metric -1: not said */
    } cases[] = {{"mm", 1e-3, 0, 1, 1},
                 {"cm", 1e-2, 0, 1, 1},
                 {"m", 1, 0, 1, 1},
                 {"1/256", 1.0 / 256, 0, 1, 1},
                 {"1/5000", 1.0 / 5000, 0, 1, 1},
                 {"unit", 1.0 / 65535, 0, -1, 0},
                 {"raw", 1, 0, -1, 0},
                 {"0.5", 0.5, 0, -1, 0},
                 {"0.25,0.5", 0.25, 0.5, -1, 0},
                 {NULL, 1, 0, -1, 0}};
    char *folder = scratch_folder();
    uint16_t q[W * H];
    for (int k = 0; k < W * H; k++) q[k] = (uint16_t)(k % 7 == 0 ? 0 : 37 * k);
    write_png(folder, "a_1.png", q);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        ib_depth_reader *reader;
        assert_int_equal(ib_depth_reader_open_as(folder, cases[c].text, NULL, &reader), ISOBATH_OK);
        const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
        assert_true(info->scale == cases[c].scale && info->offset == cases[c].offset &&
                    info->has_invalid == cases[c].has_invalid);
        assert_int_equal(info->kind_known ? info->kind == IB_DEPTH_METRIC : -1, cases[c].metric);
        assert_int_equal(info->scale_known, cases[c].text != NULL);
        float depth[W * H];
        uint8_t valid[W * H];
        int64_t count;
        assert_int_equal(ib_depth_reader_read_valid(reader, 0, depth, valid, &count), ISOBATH_OK);
        int64_t zeros = 0;
        for (int k = 0; k < W * H; k++) {
            int none = cases[c].has_invalid && q[k] == 0;
            zeros += none;
            assert_int_equal(valid[k], !none);
            assert_true(depth[k] == (none ? 0 : (float)((q[k] + cases[c].offset) * cases[c].scale)));
        }
        assert_int_equal(count, W * H - zeros);
        ib_depth_reader_close(reader);
    }
    static const char *const bad[] = {"", "inch", "0", "-1", "1/0", "1/", "nan", "0.5,", "0.5,x", "2 m"};
    for (size_t c = 0; c < sizeof bad / sizeof *bad; c++) {
        ib_depth_reader *reader;
        ib_diag diag = IB_DIAG_INIT;
        assert_int_equal(ib_depth_reader_open_as(folder, bad[c], &diag, &reader), ISOBATH_ERR_USAGE);
        assert_non_null(strstr(diag.text, "--input-scale"));
        assert_null(reader);
    }
    remove_folder(folder);
}

static void write_npy(const char *folder, int number, int width, float first)
{
    char header[128], *path = ib_text("%s/depth_%d.npy", folder, number);
    int n = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", H, width);
    while ((10 + n + 1) % 64) header[n++] = ' ';
    header[n++] = '\n';
    uint8_t *file = calloc(1, (size_t)(10 + n + 4 * width * H));
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (uint8_t)n;
    memcpy(file + 10, header, (size_t)n);
    for (int k = 0; k < width * H; k++) {
        float v = first + (float)k;
        memcpy(file + 10 + n + 4 * k, &v, 4);
    }
    assert_int_equal(ib_write_file(path, file, (size_t)(10 + n + 4 * width * H), 0, NULL), ISOBATH_OK);
    free(file);
    free(path);
}

static void folder_of_arrays(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    write_npy(folder, 10, W, 1000);
    write_npy(folder, 9, W, 900);
    write_npy(folder, 100, W, 10000);
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    float depth[W * H];
    assert_int_equal(ib_depth_reader_open(folder, &diag, &reader), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_get_info(reader)->frames, 3);
    static const float first[] = {900, 1000, 10000};
    for (int k = 0; k < 5; k++) {
        int i = (2 * k) % 3;
        assert_int_equal(ib_depth_reader_read(reader, i, depth), ISOBATH_OK);
        assert_true(depth[0] == first[i] && depth[W * H - 1] == first[i] + W * H - 1);
    }
    ib_depth_reader_close(reader);
    write_npy(folder, 11, W - 1, 0);
    assert_int_equal(ib_depth_reader_open(folder, &diag, &reader), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_read(reader, 2, depth), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(diag.text, "depth_11.npy"));
    ib_depth_reader_close(reader);
    ib_diag_reset(&diag);
    uint16_t q[W * H] = {0};
    write_png(folder, "x.png", q);
    assert_int_equal(ib_depth_reader_open(folder, &diag, &reader), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(diag.text, "in one folder"));
    remove_folder(folder);
}

static void fill_ten_bits(const struct clip *c, int frame, uint8_t *const data[4], const int linesize[4])
{
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++) {
            int v = (frame * 100 + y * 7 + x) & 1023;
            data[0][y * linesize[0] + 2 * x] = (uint8_t)v;
            data[0][y * linesize[0] + 2 * x + 1] = (uint8_t)(v >> 8);
        }
}

static void foreign_video(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/depth.mkv", folder);
    clip c = {.encoder = "ffv1",
              .pix_fmt = "gray10le",
              .width = W,
              .height = H,
              .frames = 7,
              .fps = 25,
              .fill = fill_ten_bits};
    assert_int_equal(clip_write(path, &c), 0);
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_depth_reader_open_as(path, "unit", &diag, &reader) != ISOBATH_OK) fail_msg("%s", diag.text);
    const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
    assert_true(info->frames == 7 && info->full_scale == 1023 && !info->kind_known);
    float depth[W * H];
    for (int i = 6; i >= 0; i -= 2) {
        assert_int_equal(ib_depth_reader_read(reader, i, depth), ISOBATH_OK);
        for (int k = 0; k < W * H; k++)
            assert_true(depth[k] == (float)(((i * 100 + k / W * 7 + k % W) & 1023) / 1023.0));
        assert_int_equal(ib_depth_reader_time_us(reader, i), i * 40000);
    }
    ib_depth_reader_close(reader);
    clip colour = {.encoder = "mpeg4", .frames = 3};
    assert_int_equal(clip_write(path, &colour), 0);
    assert_int_equal(ib_depth_reader_open(path, &diag, &reader), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(diag.text, "yuv420p"));
    free(path);
    remove_folder(folder);
}

#ifdef ISOBATH_HAVE_EXR
static void write_tiles(const char *path, const float *depth, int tile)
{
    exr_context_t file;
    exr_context_initializer_t init = EXR_DEFAULT_CONTEXT_INITIALIZER;
    int part, started = 0;
    assert_int_equal(exr_start_write(&file, path, EXR_WRITE_FILE_DIRECTLY, &init), EXR_ERR_SUCCESS);
    assert_int_equal(exr_add_part(file, "depth", EXR_STORAGE_TILED, &part), EXR_ERR_SUCCESS);
    assert_int_equal(exr_initialize_required_attr_simple(file, 0, W, H, EXR_COMPRESSION_ZIPS), EXR_ERR_SUCCESS);
    assert_int_equal(exr_add_channel(file, 0, "camera.Z", EXR_PIXEL_FLOAT, EXR_PERCEPTUALLY_LINEAR, 1, 1),
                     EXR_ERR_SUCCESS);
    assert_int_equal(exr_add_channel(file, 0, "A", EXR_PIXEL_FLOAT, EXR_PERCEPTUALLY_LINEAR, 1, 1), EXR_ERR_SUCCESS);
    assert_int_equal(
        exr_set_tile_descriptor(file, 0, (uint32_t)tile, (uint32_t)tile, EXR_TILE_ONE_LEVEL, EXR_TILE_ROUND_DOWN),
        EXR_ERR_SUCCESS);
    assert_int_equal(exr_write_header(file), EXR_ERR_SUCCESS);
    exr_encode_pipeline_t pipeline = EXR_ENCODE_PIPELINE_INITIALIZER;
    for (int y = 0; y * tile < H; y++)
        for (int x = 0; x * tile < W; x++) {
            exr_chunk_info_t chunk;
            assert_int_equal(exr_write_tile_chunk_info(file, 0, x, y, 0, 0, &chunk), EXR_ERR_SUCCESS);
            assert_int_equal(started ? exr_encoding_update(file, 0, &chunk, &pipeline)
                                     : exr_encoding_initialize(file, 0, &chunk, &pipeline),
                             EXR_ERR_SUCCESS);
            for (int c = 0; c < pipeline.channel_count; c++) {
                exr_coding_channel_info_t *channel = &pipeline.channels[c];
                channel->encode_from_ptr = (const uint8_t *)(depth + y * tile * W + x * tile);
                channel->user_pixel_stride = 4;
                channel->user_line_stride = 4 * W;
            }
            if (!started) assert_int_equal(exr_encoding_choose_default_routines(file, 0, &pipeline), EXR_ERR_SUCCESS);
            started = 1;
            assert_int_equal(exr_encoding_run(file, 0, &pipeline), EXR_ERR_SUCCESS);
        }
    exr_encoding_destroy(file, &pipeline);
    assert_int_equal(exr_finish(&file), EXR_ERR_SUCCESS);
}

static void foreign_exr(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/render.exr", folder);
    ib_depth_frame *f = make_frame(3, W, H, 9.5f);
    write_tiles(path, f->depth, 16);
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_depth_reader_open_as(path, "m", &diag, &reader) != ISOBATH_OK) fail_msg("%s", diag.text);
    const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
    assert_true(info->frames == 1 && !info->has_times && info->kind == IB_DEPTH_METRIC && info->kind_known);
    float depth[W * H];
    assert_int_equal(ib_depth_reader_read(reader, 0, depth), ISOBATH_OK);
    assert_memory_equal(depth, f->depth, sizeof depth);
    ib_depth_reader_close(reader);
    /* cut short: one line, whatever the place */
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(path, 1 << 20, NULL, &data, &size), ISOBATH_OK);
    for (size_t n = 0; n < size; n += 37) {
        assert_int_equal(ib_write_file(path, data, n, 0, NULL), ISOBATH_OK);
        ib_diag_reset(&diag);
        isobath_status st = ib_depth_reader_open(path, &diag, &reader);
        if (st == ISOBATH_OK) st = ib_depth_reader_read(reader, 0, depth);
        assert_int_equal(st, ISOBATH_ERR_INPUT);
        assert_non_null(strstr(diag.text, "render.exr"));
        ib_depth_reader_close(reader);
    }
    free(data);
    ib_depth_frame_unref(f);
    free(path);
    remove_folder(folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sinks_come_back),  cmocka_unit_test(input_scales),
        cmocka_unit_test(folder_of_arrays), cmocka_unit_test(foreign_video),
#ifdef ISOBATH_HAVE_EXR
        cmocka_unit_test(foreign_exr),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
