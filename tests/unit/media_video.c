/* Video files in: counts, times, lossless pictures, rotation, selection, and damage. */
#include "media/media.h"
#include "media/owed.h"
#include "media/yuv.h"
#include "media_helper.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

/* Everything that came out of one input. */
typedef struct result {
    isobath_status status;
    char text[IB_DIAG_TEXT];
    ib_media_info info;
    int64_t count;
    ib_media_frame frames[600];
    uint8_t *rgb; /* of all frames, or NULL */
    size_t frame_bytes;
} result;

static result out; /* large: one at a time */

static void read_all(const char *path, const ib_media_options *options, int keep)
{
    ib_diag diag;
    ib_diag_init(&diag);
    free(out.rgb);
    memset(&out, 0, sizeof out);
    ib_media *m = NULL;
    out.status = ib_media_open(path, options, &diag, &m);
    if (out.status == ISOBATH_OK) {
        out.info = *ib_media_get_info(m);
        out.frame_bytes = (size_t)out.info.width * (size_t)out.info.height * 3;
        size_t capacity = 600;
        out.rgb = malloc(out.frame_bytes * (keep ? capacity : 1));
        int got = 1;
        while (out.status == ISOBATH_OK && got) {
            assert_true(out.count < (int64_t)capacity);
            out.status = ib_media_read(m, out.rgb + (keep ? (size_t)out.count * out.frame_bytes : 0),
                                       &out.frames[out.count], &got);
            if (out.status == ISOBATH_OK && got) assert_int_equal(out.frames[out.count].index, out.count);
            out.count += out.status == ISOBATH_OK && got;
        }
    }
    snprintf(out.text, sizeof out.text, "%s", diag.text);
    assert_int_equal(out.status == ISOBATH_OK, diag.text[0] == '\0');
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

static void expect_times(const clip *c, int frames)
{
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    assert_int_equal(out.count, frames);
    for (int i = 0; i < frames; i++) assert_int_equal(out.frames[i].pts_us, clip_time_us(c, i));
}

/* Frames in = frames out, with the very times, for the lengths around windows: constant and variable rate, B-frames. */
static void test_counts(void **state)
{
    (void)state;
    static const int lengths[] = {1, 2, 3, 21, 22, 23, 24, 31, 32, 33, 34, 43, 44, 45, 66, 500};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (int kind = 0; kind < 6; kind++) {
            clip c = {.frames = lengths[i], .variable = kind % 2, .width = 32, .height = 32};
            c.encoder = kind < 2 ? "mpeg4" : kind < 4 ? "ffv1" : "libx264";
            if (kind < 2) c.b_frames = 2;
            if (kind >= 4) c.options = "preset=ultrafast:bf=3:b-pyramid=2";
            if (!clip_have_encoder(c.encoder)) continue;
            const char *path = path_of(kind < 2 || kind >= 4 ? "count.mp4" : "count.mkv");
            assert_int_equal(clip_write(path, &c), 0);
            read_all(path, &(ib_media_options){.threads = 1 + kind % 3}, 0);
            expect_times(&c, lengths[i]);
            if (!c.variable) assert_int_equal(out.info.frames_hint, lengths[i]);
        }
    }
}

/* RGB without loss: bit for bit, whatever the size and the threads. */
static void test_lossless_rgb(void **state)
{
    (void)state;
    static const int sizes[][2] = {{64, 48}, {65, 47}, {17, 3}, {1, 1}, {160, 120}};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        clip c = {.encoder = n == 4 ? "utvideo" : "ffv1",
                  .pix_fmt = n == 4 ? "gbrp" : "bgr0",
                  .frames = 5,
                  .width = sizes[n][0],
                  .height = sizes[n][1]};
        assert_int_equal(clip_write(path_of("rgb.mkv"), &c), 0);
        ib_pool *pool = NULL;
        if (n % 2) assert_int_equal(ib_pool_create(3, NULL, &pool), 0);
        read_all(path_of("rgb.mkv"), &(ib_media_options){.pool = pool}, 1);
        ib_pool_destroy(pool);
        expect_times(&c, 5);
        assert_int_equal(out.info.width, c.width);
        for (int f = 0; f < 5; f++)
            for (int y = 0; y < c.height; y++)
                for (int x = 0; x < c.width; x++)
                    for (int k = 0; k < 3; k++)
                        assert_int_equal(out.rgb[(size_t)f * out.frame_bytes + (size_t)((y * c.width + x) * 3 + k)],
                                         clip_rgb(f, x, y, k));
    }
}

static void expect_yuv(const clip *c, int frames, int bits, int ssx, int ssy, ib_yuv_matrix matrix, int full)
{
    expect_times(c, frames);
    ib_yuv_coefficients k = ib_yuv_coefficients_for(matrix, full, bits);
    for (int f = 0; f < frames; f++)
        for (int y = 0; y < c->height; y++)
            for (int x = 0; x < c->width; x++) {
                uint8_t want[3];
                int s = bits - 8;
                ib_yuv_pixel(&k, clip_yuv(f, x, y, 0) << s, clip_yuv(f, x >> ssx, y >> ssy, 1) << s,
                             clip_yuv(f, x >> ssx, y >> ssy, 2) << s, want);
                assert_memory_equal(out.rgb + (size_t)f * out.frame_bytes + (size_t)((y * c->width + x) * 3), want, 3);
            }
}

/* YUV without loss: our arithmetic with the matrix and range that the file names, or the stated default. */
static void test_lossless_yuv(void **state)
{
    (void)state;
    static const struct {
        const char *pix_fmt;
        int bits, ssx, ssy, matrix, range;
        ib_yuv_matrix want;
        int full;
    } cases[] = {
        {"yuv420p", 8, 1, 1, 0, 0, IB_YUV_BT601, 0},
        {"yuv420p", 8, 1, 1, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, IB_YUV_BT709, 0},
        {"yuv422p", 8, 1, 0, AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, IB_YUV_BT601, 1},
        {"yuv444p", 8, 0, 0, AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_MPEG, IB_YUV_BT2020, 0},
        {"yuv420p10le", 10, 1, 1, AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_MPEG, IB_YUV_BT2020, 0},
        {"yuv422p10le", 10, 1, 0, AVCOL_SPC_BT709, AVCOL_RANGE_JPEG, IB_YUV_BT709, 1},
        {"yuv444p12le", 12, 0, 0, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, IB_YUV_BT709, 0},
        {"yuva420p", 8, 1, 1, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, IB_YUV_BT709, 0}, /* alpha is dropped */
        {"yuv411p", 8, 2, 0, 0, 0, IB_YUV_BT601, 0},
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        clip c = {.encoder = "ffv1",
                  .frames = 3,
                  .width = 51,
                  .height = 37,
                  .pix_fmt = cases[n].pix_fmt,
                  .matrix = cases[n].matrix,
                  .range = cases[n].range};
        assert_int_equal(clip_write(path_of("yuv.mkv"), &c), 0);
        read_all(path_of("yuv.mkv"), NULL, 1);
        expect_yuv(&c, 3, cases[n].bits, cases[n].ssx, cases[n].ssy, cases[n].want, cases[n].full);
        assert_non_null(strstr(out.info.colour, cases[n].pix_fmt));
    }
    clip c = {.encoder = "ffv1", .frames = 1, .width = 1280, .height = 16}; /* HD without metadata is BT.709 */
    assert_int_equal(clip_write(path_of("yuv.mkv"), &c), 0);
    read_all(path_of("yuv.mkv"), NULL, 1);
    expect_yuv(&c, 1, 8, 1, 1, IB_YUV_BT709, 0);
}

/* B-frames without loss: pictures come in presentation order, each with its own time. */
static void test_b_frame_order(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    clip c = {.encoder = "libx264",
              .options = "qp=0:preset=veryfast:bf=3:b_strategy=0",
              .frames = 40,
              .width = 64,
              .height = 48,
              .variable = 1};
    assert_int_equal(clip_write(path_of("b.mp4"), &c), 0);
    for (int threads = 1; threads < 4; threads += 2) {
        read_all(path_of("b.mp4"), &(ib_media_options){.threads = threads}, 1);
        expect_yuv(&c, 40, 8, 1, 1, IB_YUV_BT601, 0);
    }
}

/* The display matrix is obeyed: the top row of the stored picture is at the right after 90 degrees clockwise. */
static void test_rotation(void **state)
{
    (void)state;
    for (int degrees = 0; degrees < 360; degrees += 90) {
        clip c = {.encoder = "png", .pix_fmt = "rgb24", .frames = 2, .width = 20, .height = 12, .rotation = degrees};
        assert_int_equal(clip_write(path_of("rot.mov"), &c), 0);
        read_all(path_of("rot.mov"), NULL, 1);
        expect_times(&c, 2);
        int w = degrees % 180 ? 12 : 20, h = degrees % 180 ? 20 : 12;
        assert_int_equal(out.info.rotation, degrees);
        assert_int_equal(out.info.width, w);
        assert_int_equal(out.info.height, h);
        assert_int_equal(out.info.coded_width, 20);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int sx = degrees == 0 ? x : degrees == 90 ? y : degrees == 180 ? 19 - x : 19 - y;
                int sy = degrees == 0 ? y : degrees == 90 ? 11 - x : degrees == 180 ? 11 - y : x;
                for (int k = 0; k < 3; k++) assert_int_equal(out.rgb[(y * w + x) * 3 + k], clip_rgb(0, sx, sy, k));
            }
    }
}

/* max_res with rotation: the same picture as reducing what was stored and turning it then. */
static void test_max_res(void **state)
{
    (void)state;
    clip c = {.encoder = "png", .pix_fmt = "rgb24", .frames = 1, .width = 60, .height = 40};
    assert_int_equal(clip_write(path_of("big.mov"), &c), 0);
    read_all(path_of("big.mov"), &(ib_media_options){.max_res = 30}, 1);
    assert_int_equal(out.info.width, 30);
    assert_int_equal(out.info.height, 20);
    uint8_t *flat = malloc(out.frame_bytes);
    memcpy(flat, out.rgb, out.frame_bytes);
    c.rotation = 90;
    assert_int_equal(clip_write(path_of("big.mov"), &c), 0);
    read_all(path_of("big.mov"), &(ib_media_options){.max_res = 30}, 1);
    assert_int_equal(out.info.width, 20);
    assert_int_equal(out.info.height, 30);
    for (int y = 0; y < 30; y++)
        for (int x = 0; x < 20; x++) assert_memory_equal(out.rgb + (y * 20 + x) * 3, flat + ((19 - x) * 30 + y) * 3, 3);
    free(flat);
}

static void test_selection(void **state)
{
    (void)state;
    clip c = {.encoder = "ffv1", .pix_fmt = "bgr0", .frames = 50, .width = 16, .height = 16};
    assert_int_equal(clip_write(path_of("sel.mkv"), &c), 0);
    /* start inclusive, end exclusive: frames 5..24 of 25 frames/s */
    read_all(path_of("sel.mkv"), &(ib_media_options){.start_s = 0.2, .end_s = 1.0}, 1);
    assert_int_equal(out.count, 20);
    assert_int_equal(out.frames[0].pts_us, 200000);
    assert_int_equal(out.frames[19].pts_us, 960000);
    assert_int_equal(out.rgb[0], clip_rgb(5, 0, 0, 0));
    assert_int_equal(out.info.frames_hint, 20);
    /* 25/10 rounds half to even: 2 */
    read_all(path_of("sel.mkv"), &(ib_media_options){.target_fps = 10}, 1);
    assert_int_equal(out.info.stride, 2);
    assert_int_equal(out.count, 25);
    assert_int_equal(out.frames[24].pts_us, 48 * 40000);
    assert_int_equal(out.rgb[24 * out.frame_bytes], clip_rgb(48, 0, 0, 0));
    assert_true(out.info.fps == 12.5);
    assert_int_equal(out.info.frames_hint, 25);
    /* the limit counts kept frames, the stride starts at the start */
    read_all(path_of("sel.mkv"), &(ib_media_options){.target_fps = 8, .start_s = 0.04, .max_frames = 7}, 1);
    assert_int_equal(out.count, 7);
    assert_int_equal(out.rgb[6 * out.frame_bytes], clip_rgb(1 + 6 * 3, 0, 0, 0));
    read_all(path_of("sel.mkv"), &(ib_media_options){.target_fps = 100}, 0);
    assert_int_equal(out.count, 50);
    read_all(path_of("sel.mkv"), &(ib_media_options){.start_s = 2.0}, 0); /* behind the end: no frames, no error */
    assert_int_equal(out.status, ISOBATH_OK);
    assert_int_equal(out.count, 0);
}

static void expect_error(isobath_status status, const char *part)
{
    assert_int_equal(out.status, status);
    if (!strstr(out.text, part)) fail_msg("\"%s\" does not say \"%s\"", out.text, part);
}

static void test_errors(void **state)
{
    (void)state;
    read_all("no/such/file.mp4", NULL, 0);
    expect_error(ISOBATH_ERR_INPUT, "no/such/file.mp4: No such file");
    clip_write_file(path_of("text.mp4"), "hello, this is no video at all\n", 31);
    read_all(path_of("text.mp4"), NULL, 0);
    expect_error(ISOBATH_ERR_INPUT, "text.mp4");
    clip_write_file(path_of("empty.mp4"), "", 0);
    read_all(path_of("empty.mp4"), NULL, 0);
    expect_error(ISOBATH_ERR_INPUT, "empty.mp4");
    read_all(path_of("x.mp4"), &(ib_media_options){.start_s = 2, .end_s = 1}, 0);
    expect_error(ISOBATH_ERR_USAGE, "end (1 s)");
    read_all("", NULL, 0);
    expect_error(ISOBATH_ERR_USAGE, "no input");
    read_all("/dev/null", NULL, 0); /* a character device should be a camera */
    expect_error(ISOBATH_ERR_INPUT, "/dev/null: a device, but no camera");
    clip c = {.encoder = "ffv1", .frames = 2, .width = 64, .height = 64};
    clip_write(path_of("large.mkv"), &c);
    read_all(path_of("large.mkv"), &(ib_media_options){.max_pixels = 64 * 63}, 0);
    assert_int_equal(out.status, ISOBATH_ERR_INPUT);
}

/* ---- damage -------------------------------------------------------------------------------------------------------
 */

/* Where packet n of the video lies in the file. */
static void locate(const char *path, int n, int64_t *pos, int *size)
{
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    for (int i = 0; i <= n; i++) {
        av_packet_unref(packet);
        assert_int_equal(av_read_frame(format, packet), 0);
    }
    *pos = packet->pos;
    *size = packet->size;
    av_packet_free(&packet);
    avformat_close_input(&format);
}

/* Overwrites packet n with noise. */
static int64_t spoil(const char *path, int n)
{
    int64_t pos;
    int packet_size;
    size_t size;
    locate(path, n, &pos, &packet_size);
    uint8_t *data = clip_read_file(path, &size);
    assert_true(pos > 0 && (size_t)pos + (size_t)packet_size <= size);
    for (int i = 0; i < packet_size; i++) data[pos + i] = (uint8_t)(i * 151 + 7);
    clip_write_file(path, data, size);
    free(data);
    return pos;
}

/* Packets that cannot be decoded: one line with the position, or stand-ins that keep count and times. The same at any
 * number of threads. */
static void test_damaged_packets(void **state)
{
    (void)state;
    clip c = {.encoder = "png", .pix_fmt = "rgb24", .frames = 20, .width = 48, .height = 32, .variable = 0};
    for (int threads = 1; threads <= 4; threads++) {
        assert_int_equal(clip_write(path_of("png.mov"), &c), 0);
        int64_t pos = spoil(path_of("png.mov"), 7);
        spoil(path_of("png.mov"), 8);
        spoil(path_of("png.mov"), 19);
        char where[64];
        snprintf(where, sizeof where, "frame 7: packet 7 at byte %lld", (long long)pos);
        read_all(path_of("png.mov"), &(ib_media_options){.threads = threads}, 1);
        expect_error(ISOBATH_ERR_INPUT, where);
        assert_int_equal(out.count, 7);
        read_all(path_of("png.mov"), &(ib_media_options){.threads = threads, .on_error = IB_ON_ERROR_REPEAT}, 1);
        expect_times(&c, 20);
        for (int i = 0; i < 20; i++) {
            int from = i == 7 || i == 8 ? 6 : i == 19 ? 18 : i;
            assert_int_equal(out.frames[i].repeated, from != i);
            assert_int_equal(out.rgb[(size_t)i * out.frame_bytes], clip_rgb(from, 0, 0, 0));
        }
    }
}

/* A stream that only begins with rubbish: what a cut stream looks like. The good part comes out. */
static void test_damaged_start(void **state)
{
    (void)state;
    clip c = {.encoder = "png", .pix_fmt = "rgb24", .frames = 5, .width = 48, .height = 32};
    assert_int_equal(clip_write(path_of("start.mov"), &c), 0);
    for (int i = 0; i < 2; i++) spoil(path_of("start.mov"), i);
    read_all(path_of("start.mov"), NULL, 1);
    assert_int_equal(out.status, ISOBATH_OK);
    assert_int_equal(out.count, 3);
    assert_int_equal(out.info.passed_over, 2);
    assert_int_equal(out.frames[0].pts_us, 0);
    assert_int_equal(out.rgb[0], clip_rgb(2, 0, 0, 0));
    for (int i = 2; i < 5; i++) spoil(path_of("start.mov"), i);
    read_all(path_of("start.mov"), NULL, 1);
    expect_error(ISOBATH_ERR_INPUT, "no frame could be decoded: packet 0");
}

/* H.264 with a packet of noise: concealed or dropped, it is damage; with repeat the count and the times are right. */
static void test_damaged_h264(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    clip c = {.encoder = "libx264", .options = "bf=0:preset=veryfast", .frames = 30, .width = 64, .height = 48};
    assert_int_equal(clip_write(path_of("h.mp4"), &c), 0);
    spoil(path_of("h.mp4"), 14);
    int64_t stop_count = -1;
    for (int threads = 1; threads <= 4; threads += 3) {
        read_all(path_of("h.mp4"), &(ib_media_options){.threads = threads}, 0);
        expect_error(ISOBATH_ERR_INPUT, "h.mp4: damaged at frame 14");
        if (stop_count >= 0) assert_int_equal(out.count, stop_count);
        stop_count = out.count;
        read_all(path_of("h.mp4"), &(ib_media_options){.threads = threads, .on_error = IB_ON_ERROR_REPEAT}, 0);
        expect_times(&c, 30);
        assert_int_equal(out.frames[14].repeated, 1);
    }
}

/* Damage anywhere behind the first frame, of whole packets and of single bytes, in streams whose frames lean on each other: what the
 * decoder then drops without a word is found missing, so count and times are right. */
static void test_damaged_anywhere(void **state)
{
    (void)state;
    enum { FRAMES = 48, TRIALS = 20 };
    static const char *const encoders[] = {"libx264", "mpeg4", "mpeg2video"};
    uint32_t seed = 1;
    int repeated = 0;
    for (int e = 0; e < 3; e++) {
        if (!clip_have_encoder(encoders[e])) continue;
        clip c = {.encoder = encoders[e], .frames = FRAMES, .width = 96, .height = 64, .b_frames = 2, .gop = 12};
        if (e == 0) c.options = "preset=veryfast:bf=2:g=12";
        assert_int_equal(clip_write(path_of("whole.mkv"), &c), 0);
        size_t size;
        uint8_t *data = clip_read_file(path_of("whole.mkv"), &size);
        for (int trial = 0; trial < TRIALS; trial++) {
            uint8_t *bad = malloc(size);
            memcpy(bad, data, size);
            for (int hit = 0; hit < 3; hit++) {
                int64_t pos;
                int bytes, n = 1 + (int)((seed = seed * 1664525u + 1013904223u) >> 8) % (FRAMES - 1);
                locate(path_of("whole.mkv"), n, &pos, &bytes);
                /* the container's own bytes stay; and MPEG's picture headers: without them there is no picture, and no complaint */
                for (int i = e ? 64 : 16; i < bytes; i++)
                    if (trial % 2 || i % 97 == 20 + trial) bad[pos + i] ^= (uint8_t)(seed >> 24 | 1);
            }
            clip_write_file(path_of("bad.mkv"), bad, size);
            free(bad);
            for (int threads = 1; threads <= 3; threads += 2) {
                read_all(path_of("bad.mkv"), &(ib_media_options){.threads = threads, .on_error = IB_ON_ERROR_REPEAT}, 0);
                if (out.count != FRAMES) print_message("%s, trial %d, %d threads: %d frames\n", encoders[e], trial, threads, (int)out.count);
                expect_times(&c, FRAMES);
            }
            for (int i = 0; i < FRAMES; i++) repeated += out.frames[i].repeated;
        }
        free(data);
    }
    assert_true(repeated > TRIALS);
}

/* Behind a whole first picture that the decoder still holds back: damage there is damage, no cut start. */
static void test_damaged_early(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    clip c = {.encoder = "libx264", .options = "preset=veryfast:bf=3:g=30", .frames = 30, .width = 96, .height = 64, .b_frames = 3};
    for (int n = 1; n <= 4; n++) {
        assert_int_equal(clip_write(path_of("early.mp4"), &c), 0);
        spoil(path_of("early.mp4"), n);
        for (int threads = 1; threads <= 3; threads += 2) {
            read_all(path_of("early.mp4"), &(ib_media_options){.threads = threads}, 0);
            expect_error(ISOBATH_ERR_INPUT, "early.mp4: damaged at frame ");
            read_all(path_of("early.mp4"), &(ib_media_options){.threads = threads, .on_error = IB_ON_ERROR_REPEAT}, 0);
            expect_times(&c, 30);
        }
    }
}

/* A key frame of zeros upsets the order of pictures around it: one that comes after its stand-in is dropped. */
static void test_damaged_order(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    static const char *const options[] = {"preset=medium:bf=2:g=30:keyint_min=30:sc_threshold=0", "preset=medium:bf=3:g=30:keyint_min=30:sc_threshold=0"};
    for (int k = 0; k < 2; k++) {
        clip c = {.encoder = "libx264", .options = options[k], .frames = 60, .width = 96, .height = 64, .b_frames = 2 + k};
        assert_int_equal(clip_write(path_of("order.mp4"), &c), 0);
        int64_t pos;
        int bytes;
        size_t size;
        locate(path_of("order.mp4"), 30, &pos, &bytes);
        uint8_t *data = clip_read_file(path_of("order.mp4"), &size);
        memset(data + pos + 5, 0, (size_t)bytes - 5);
        clip_write_file(path_of("order.mp4"), data, size);
        free(data);
        read_all(path_of("order.mp4"), &(ib_media_options){.on_error = IB_ON_ERROR_REPEAT}, 0);
        expect_times(&c, 60);
    }
}

/* A packet that gives no picture and no error is remarkable where each one before it gave a picture in its turn, and at the very end. */
static void test_silent_packet(void **state)
{
    (void)state;
    for (int lost = 3; lost <= 40; lost++) {
        ib_owed o = {0};
        for (int i = 0; i <= 40; i++) {
            ib_owed_sent(&o, 10 * i, i, 100 * i);
            if (i >= 2 && i - 2 != lost) ib_owed_came(&o, 10 * (i - 2)); /* the decoder keeps two */
        }
        for (int i = 39; i <= 40; i++)
            if (i != lost) ib_owed_came(&o, 10 * i);
        ib_owed_end(&o);
        assert_int_equal(o.has_silent, lost >= IB_OWED_TURNS);
        if (o.has_silent) assert_int_equal(o.silent.packet, lost);
    }
}

/* A file that breaks off: what is there comes out, then one line (or, with repeat, the end). */
static void test_truncated(void **state)
{
    (void)state;
    clip c = {.encoder = "mpeg4", .frames = 50, .width = 64, .height = 48, .mux_options = "movflags=faststart"};
    assert_int_equal(clip_write(path_of("cut.mp4"), &c), 0);
    size_t size;
    uint8_t *data = clip_read_file(path_of("cut.mp4"), &size);
    clip_write_file(path_of("cut.mp4"), data, size * 2 / 3);
    free(data);
    read_all(path_of("cut.mp4"), NULL, 0);
    expect_error(ISOBATH_ERR_INPUT, "cut.mp4");
    int64_t before = out.count;
    assert_true(before > 5 && before < 50);
    read_all(path_of("cut.mp4"), &(ib_media_options){.on_error = IB_ON_ERROR_REPEAT}, 0);
    assert_int_equal(out.status, ISOBATH_OK);
    assert_true(out.count >= before && out.count < 50);
}

/* Containers that say how long they are: what is there comes out, then one line. Whole files are not suspected. */
static void test_cut_containers(void **state)
{
    (void)state;
    static const char *const names[] = {"whole.mkv", "whole.avi"};
    for (int i = 0; i < 2; i++) {
        clip c = {.encoder = "ffv1", .frames = 30, .width = 64, .height = 48};
        assert_int_equal(clip_write(path_of(names[i]), &c), 0);
        read_all(path_of(names[i]), NULL, 0);
        expect_times(&c, 30);
        size_t size;
        uint8_t *data = clip_read_file(path_of(names[i]), &size);
        clip_write_file(path_of(names[i]), data, size * 2 / 3);
        free(data);
        int64_t count = 0;
        for (int threads = 1; threads <= 3; threads++) {
            read_all(path_of(names[i]), &(ib_media_options){.threads = threads}, 0);
            expect_error(ISOBATH_ERR_INPUT, "the file is cut short: its last");
            assert_true(out.count >= 15 && out.count <= 20 && (count == 0 || out.count == count));
            count = out.count;
        }
        read_all(path_of(names[i]), &(ib_media_options){.on_error = IB_ON_ERROR_REPEAT}, 0);
        assert_int_equal(out.status, ISOBATH_OK);
        assert_int_equal(out.count, count);
    }
    clip c = {.encoder = "mpeg4", .frames = 30};
    assert_int_equal(clip_write(path_of("open.mp4"), &c), 0);
    size_t size;
    uint8_t *data = clip_read_file(path_of("open.mp4"), &size);
    clip_write_file(path_of("open.mp4"), data, size / 2);
    free(data);
    read_all(path_of("open.mp4"), NULL, 0);
    expect_error(ISOBATH_ERR_INPUT, "open.mp4: an MP4 or MOV without a usable index");
}

/* The hash is that of the file's bytes. */
static void test_hash(void **state)
{
    (void)state;
    char hex[65];
    clip_write_file(path_of("abc.mp4"), "abc", 3);
    assert_int_equal(ib_media_hash(path_of("abc.mp4"), NULL, hex), ISOBATH_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(ib_media_hash("-", NULL, hex), ISOBATH_OK);
    assert_string_equal(hex, "");
}

static int tear_down(void **state)
{
    free(out.rgb);
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_lossless_rgb),
        cmocka_unit_test(test_lossless_yuv),
        cmocka_unit_test(test_b_frame_order),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_max_res),
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_damaged_packets),
        cmocka_unit_test(test_damaged_start),
        cmocka_unit_test(test_damaged_h264),
        cmocka_unit_test(test_damaged_early),
        cmocka_unit_test(test_damaged_anywhere),
        cmocka_unit_test(test_damaged_order),
        cmocka_unit_test(test_silent_packet),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_cut_containers),
    };
    return cmocka_run_group_tests(tests, make_folder, tear_down);
}
