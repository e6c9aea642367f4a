/* Hard inputs: interlaced, open GOPs, streams cut anywhere, edit lists, clocks that jump, HDR, pixel aspect, bars. */
#include "media/compat.h"
#include "media/media.h"
#include "media/tonemap.h"
#include "media/yuv.h"
#include "media_helper.h"

#include <math.h>

typedef struct result {
    isobath_status status;
    char text[IB_DIAG_TEXT];
    ib_media_info info;
    int count, repeated;
    uint64_t hash; /* of all pixels */
    int64_t pts_us[600];
    uint8_t rgb[4][320 * 320 * 3]; /* the first frames */
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
    static uint8_t rest[320 * 320 * 3];
    for (int got = 1; out.status == ISOBATH_OK && got;) {
        ib_media_frame f;
        assert_true(out.count < 600 && out.info.width * out.info.height <= 320 * 320);
        out.status = ib_media_read(m, out.count < 4 ? out.rgb[out.count] : rest, &f, &got);
        if (out.status == ISOBATH_OK && got) {
            if (out.count) assert_true(f.pts_us > out.pts_us[out.count - 1]);
            out.repeated += f.repeated;
            const uint8_t *rgb = out.count < 4 ? out.rgb[out.count] : rest;
            for (int i = 0; i < out.info.width * out.info.height * 3; i++)
                out.hash = (out.hash ^ rgb[i]) * 0x100000001b3u;
            out.pts_us[out.count++] = f.pts_us;
        }
    }
    snprintf(out.text, sizeof out.text, "%s", diag.text);
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

static void expect_ok(void)
{
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
}

/* The frames that libavcodec itself puts out, by the plainest loop there is, with one thread. */
static int plain_count(const char *path)
{
    AVFormatContext *format = NULL;
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(format, NULL) >= 0);
    int s = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0), n = 0;
    AVCodecContext *codec = avcodec_alloc_context3(avcodec_find_decoder(format->streams[s]->codecpar->codec_id));
    avcodec_parameters_to_context(codec, format->streams[s]->codecpar);
    codec->pkt_timebase = format->streams[s]->time_base;
    assert_int_equal(avcodec_open2(codec, NULL, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    for (int end = 0; !end;) {
        end = av_read_frame(format, packet) < 0;
        if (!end && packet->stream_index == s) avcodec_send_packet(codec, packet);
        if (end) avcodec_send_packet(codec, NULL);
        while (avcodec_receive_frame(codec, frame) == 0) n++;
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&codec);
    avformat_close_input(&format);
    return n;
}

/* Writes whole.ts (of our folder) without its first part/of, rounded down to transport packets, and `more` bytes. */
static void cut_start(const char *name, size_t part, size_t of, size_t more)
{
    size_t size;
    uint8_t *data = clip_read_file(path_of("whole.ts"), &size);
    assert_non_null(data);
    size_t from = size * part / of / 188 * 188 + more;
    assert_int_equal(clip_write_file(path_of(name), data + from, size - from), 0);
    free(data);
}

/* Interlaced 4:2:0 without loss: each line takes the chroma of its own field. */
static void test_interlaced_chroma(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    clip c = {.encoder = "libx264",
              .options = "qp=0:preset=ultrafast:bf=0",
              .frames = 3,
              .width = 64,
              .height = 64,
              .interlaced = 1};
    assert_int_equal(clip_write(path_of("i.mp4"), &c), 0);
    read_all(path_of("i.mp4"), NULL);
    expect_ok();
    assert_int_equal(out.count, 3);
    ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT601, 0, 8);
    for (int f = 0; f < 3; f++)
        for (int y = 0; y < 64; y++)
            for (int x = 0; x < 64; x++) {
                uint8_t want[3];
                int cy = y / 4 * 2 + y % 2;
                ib_yuv_pixel(&k, clip_yuv(f, x, y, 0), clip_yuv(f, x / 2, cy, 1), clip_yuv(f, x / 2, cy, 2), want);
                assert_memory_equal(out.rgb[f] + (y * 64 + x) * 3, want, 3);
            }
    /* on request the bottom field is made from the top one */
    static uint8_t before[64 * 64 * 3];
    memcpy(before, out.rgb[0], sizeof before);
    read_all(path_of("i.mp4"), &(ib_media_options){.deinterlace = 1});
    for (int y = 0; y < 64; y++)
        for (int i = 0; i < 64 * 3; i++) {
            int up = before[(y & ~1) * 192 + i], down = y < 63 ? before[((y + 1) & ~1) * 192 + i] : up;
            assert_int_equal(out.rgb[0][y * 192 + i], y % 2 ? (up + down + 1) / 2 : up);
        }
}

/* Interlaced MPEG-2 in a transport stream: one frame per picture, at the frame rate. */
static void test_interlaced_mpeg2(void **state)
{
    (void)state;
    clip c = {.encoder = "mpeg2video",
              .format = "mpegts",
              .frames = 40,
              .width = 64,
              .height = 64,
              .interlaced = 1,
              .b_frames = 2};
    assert_int_equal(clip_write(path_of("i.ts"), &c), 0);
    read_all(path_of("i.ts"), NULL);
    expect_ok();
    assert_int_equal(out.count, 40);
    for (int i = 0; i < 40; i++) assert_int_equal(out.pts_us[i], i * 40000);
}

/* Open-GOP HEVC: whole, and cut so that it begins with leading pictures that cannot be decoded. */
static void test_open_gop_hevc(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx265")) skip();
    clip c = {.encoder = "libx265", .format = "mpegts", .frames = 45, .width = 64, .height = 64};
    c.options = "preset=ultrafast:x265-params='open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:log-level=none:"
                "pools=none'";
    assert_int_equal(clip_write(path_of("whole.ts"), &c), 0);
    read_all(path_of("whole.ts"), NULL);
    expect_ok();
    assert_int_equal(out.count, 45);
    for (int i = 0; i < 45; i++) assert_int_equal(out.pts_us[i], i * 40000);
    for (int part = 1; part < 5; part++) {
        cut_start("o.ts", (size_t)part, 5, 0);
        int want = plain_count(path_of("o.ts"));
        for (int threads = 1; threads <= 4; threads += 3) {
            read_all(path_of("o.ts"), &(ib_media_options){.threads = threads});
            expect_ok();
            assert_int_equal(out.count, want);
            assert_true(want > 0 && out.pts_us[0] == 0);
        }
    }
}

/* A transport stream that begins in mid-GOP and in mid-packet: what the decoder makes of it. */
static void test_cut_transport_stream(void **state)
{
    (void)state;
    static const struct {
        const char *encoder, *options;
    } cases[] = {{"mpeg2video", NULL}, {"libx264", "preset=ultrafast:bf=2"}, {"mpeg4", NULL}};
    for (int i = 0; i < 3; i++) {
        if (!clip_have_encoder(cases[i].encoder)) continue;
        clip c = {.encoder = cases[i].encoder,
                  .options = cases[i].options,
                  .format = "mpegts",
                  .frames = 60,
                  .width = 64,
                  .height = 64,
                  .b_frames = 2,
                  .gop = 15};
        assert_int_equal(clip_write(path_of("whole.ts"), &c), 0);
        for (int part = 1; part < 4; part++) {
            cut_start("c.ts", (size_t)part, 7, 50); /* in the middle of a packet */
            int want = plain_count(path_of("c.ts"));
            for (int threads = 1; threads <= 4; threads += 3) {
                read_all(path_of("c.ts"), &(ib_media_options){.threads = threads, .on_error = IB_ON_ERROR_REPEAT});
                expect_ok();
                assert_int_equal(out.count, want);
                assert_true(want > 20 && want < 60 && out.pts_us[0] == 0);
            }
        }
    }
}

/* The end is missing, in the middle of a picture: the same frames, pixels, times and message at any number of threads,
 * although libavcodec's threads lose the flag of such a picture. */
static void test_cut_end(void **state)
{
    (void)state;
    static const char *const encoders[] = {"mpeg2video", "libx264", "mpeg4"};
    for (int i = 0; i < 9; i++) {
        if (!clip_have_encoder(encoders[i % 3])) continue;
        clip c = {.encoder = encoders[i % 3],
                  .format = "mpegts",
                  .frames = 40,
                  .width = 160,
                  .height = 96,
                  .gop = 15,
                  .b_frames = 2};
        assert_int_equal(clip_write(path_of("whole.ts"), &c), 0);
        size_t size;
        uint8_t *data = clip_read_file(path_of("whole.ts"), &size);
        clip_write_file(path_of("end.ts"), data, size * (size_t)(9 + i) / 20 + 60);
        free(data);
        for (int on_error = 0; on_error < 2; on_error++) {
            static result one;
            for (int threads = 1; threads <= 4; threads++) {
                read_all(path_of("end.ts"), &(ib_media_options){.threads = threads, .on_error = (ib_on_error)on_error});
                if (threads == 1) one = out;
                assert_string_equal(out.text, one.text);
                assert_int_equal(out.count, one.count);
                assert_int_equal(out.repeated, one.repeated);
                assert_true(out.hash == one.hash);
                assert_memory_equal(out.pts_us, one.pts_us, sizeof out.pts_us);
            }
            if (on_error == 1) assert_int_equal(out.status, ISOBATH_OK);
        }
    }
}

/* Recovery points instead of key frames (periodic intra refresh), from the start and cut. */
static void test_recovery_points(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    clip c = {.encoder = "libx264",
              .options = "preset=veryfast:intra-refresh=1:bf=0",
              .format = "mpegts",
              .frames = 80,
              .width = 96,
              .height = 64,
              .gop = 20};
    assert_int_equal(clip_write(path_of("whole.ts"), &c), 0);
    read_all(path_of("whole.ts"), NULL);
    expect_ok();
    assert_int_equal(out.count, 80);
    cut_start("r.ts", 1, 3, 0);
    int want = plain_count(path_of("r.ts"));
    read_all(path_of("r.ts"), NULL);
    expect_ok();
    assert_int_equal(out.count, want);
    assert_true(want > 10 && want < 80);
}

/* Two recordings behind each other: the second one's clock starts again, ours goes on. */
static void test_jumping_times(void **state)
{
    (void)state;
    clip c = {.encoder = "mpeg2video", .format = "mpegts", .frames = 50, .width = 64, .height = 64};
    assert_int_equal(clip_write(path_of("one.ts"), &c), 0);
    size_t size;
    uint8_t *data = clip_read_file(path_of("one.ts"), &size), *twice = malloc(2 * size);
    memcpy(twice, data, size);
    memcpy(twice + size, data, size);
    clip_write_file(path_of("two.ts"), twice, 2 * size);
    free(data);
    free(twice);
    int want = plain_count(path_of("two.ts"));
    read_all(path_of("two.ts"), &(ib_media_options){.on_error = IB_ON_ERROR_REPEAT});
    expect_ok();
    assert_int_equal(out.count, want);
    assert_true(want >= 99);
    assert_true(out.pts_us[want - 1] >= (want - 2) * 40000 && out.pts_us[want - 1] <= (want + 1) * 40000);
}

static int64_t first_pts(const char *path)
{
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    assert_true(av_read_frame(format, packet) >= 0);
    int64_t pts = packet->pts;
    av_packet_free(&packet);
    avformat_close_input(&format);
    return pts;
}

/* Times below zero: the first frame is at 0 all the same, and no frame is lost. */
static void test_negative_times(void **state)
{
    (void)state;
    clip c = {.encoder = "mpeg4", .frames = 30, .b_frames = 2, .mux_options = "avoid_negative_ts=disabled:output_ts_offset=-0.4"};
    assert_int_equal(clip_write(path_of("n.mkv"), &c), 0);
    assert_true(first_pts(path_of("n.mkv")) < 0);
    read_all(path_of("n.mkv"), NULL);
    expect_ok();
    assert_int_equal(out.count, 30);
    for (int f = 0; f < 30; f++) assert_int_equal(out.pts_us[f], f * 40000);
    read_all(path_of("n.mkv"), &(ib_media_options){.start_s = 0.8}); /* counts from the first frame */
    assert_int_equal(out.count, 10);
}

/* Rewrites the media time of an MP4's only edit. */
static void set_edit(const char *path, uint32_t media_time)
{
    size_t size;
    uint8_t *data = clip_read_file(path, &size);
    size_t at = 0;
    for (size_t i = 4; i + 4 < size && !at; i++)
        if (memcmp(data + i, "elst", 4) == 0) at = i;
    assert_true(at > 0 && data[at + 4] == 0 && data[at + 11] == 1); /* version 0, one entry */
    for (int i = 0; i < 4; i++) data[at + 16 + (size_t)i] = (uint8_t)(media_time >> (24 - 8 * i));
    clip_write_file(path, data, size);
    free(data);
}

/* An edit list that starts at frame 13, between key frames: frames before it are decoded but do not come out. */
static void test_edit_list(void **state)
{
    (void)state;
    if (!clip_have_encoder("libx264")) skip();
    clip c = {.encoder = "libx264",
              .options = "qp=0:preset=ultrafast:bf=0",
              .frames = 40,
              .width = 64,
              .height = 48,
              .gop = 10,
              .mux_options = "video_track_timescale=25"};
    assert_int_equal(clip_write(path_of("e.mp4"), &c), 0);
    set_edit(path_of("e.mp4"), 13);
    assert_int_equal(plain_count(path_of("e.mp4")), 27);
    for (int threads = 1; threads <= 4; threads += 3) {
        read_all(path_of("e.mp4"), &(ib_media_options){.threads = threads});
        expect_ok();
        assert_int_equal(out.count, 27);
        for (int i = 0; i < 27; i++) assert_int_equal(out.pts_us[i], i * 40000);
        ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT601, 0, 8);
        uint8_t want[3];
        ib_yuv_pixel(&k, clip_yuv(13, 9, 7, 0), clip_yuv(13, 4, 3, 1), clip_yuv(13, 4, 3, 2), want);
        assert_memory_equal(out.rgb[0] + (7 * 64 + 9) * 3, want, 3);
    }
}

/* ---- HDR ------------------------------------------------------------------------------------------------------------
 */

/* The curve as MEDIA.md states it, in double, for one linear-light value in cd/m2. */
static double tone(double nits) { return nits / 203 <= 0.5 ? nits / 203 : 1 - 0.25 * 203 / nits; }

static double srgb(double x)
{
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    return 255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055);
}

static double nits_of(int transfer, double e)
{
    if (transfer == AVCOL_TRC_SMPTE2084) {
        double p = pow(e, 1 / 78.84375);
        return 10000 * pow(fmax(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p), 1 / 0.1593017578125);
    }
    double scene = e <= 0.5 ? e * e / 3 : (exp((e - 0.55991073) / 0.17883277) + 0.28466892) / 12;
    return 1000 * pow(scene, 1.2);
}

static void test_hdr(void **state)
{
    (void)state;
    static const int transfers[] = {AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67};
    for (int t = 0; t < 2; t++) {
        clip c = {.encoder = "ffv1",
                  .frames = 2,
                  .width = 64,
                  .height = 48,
                  .pix_fmt = "yuv420p10le",
                  .transfer = transfers[t],
                  .matrix = AVCOL_SPC_BT2020_NCL,
                  .range = AVCOL_RANGE_MPEG,
                  .primaries = AVCOL_PRI_BT2020};
        assert_int_equal(clip_write(path_of("hdr.mkv"), &c), 0);
        read_all(path_of("hdr.mkv"), NULL);
        expect_ok();
        assert_int_equal(out.info.tone_mapped, 1);
        double worst = 0;
        for (int y = 0; y < 48; y++)
            for (int x = 0; x < 64; x++) {
                double luma = (clip_yuv(1, x, y, 0) - 16) / 219.0, cb = (clip_yuv(1, x / 2, y / 2, 1) - 128) / 224.0;
                double cr = (clip_yuv(1, x / 2, y / 2, 2) - 128) / 224.0;
                double e[3] = {luma + 1.4746 * cr, luma - 0.16455313 * cb - 0.57135313 * cr, luma + 1.8814 * cb}, l[3];
                for (int i = 0; i < 3; i++) l[i] = tone(nits_of(transfers[t], e[i] < 0 ? 0 : e[i] > 1 ? 1 : e[i]));
                double want[3] = {1.660491 * l[0] - 0.587641 * l[1] - 0.072850 * l[2],
                                  -0.124550 * l[0] + 1.132900 * l[1] - 0.008349 * l[2],
                                  -0.018151 * l[0] - 0.100579 * l[1] + 1.118730 * l[2]};
                for (int i = 0; i < 3; i++) worst = fmax(worst, fabs(out.rgb[1][(y * 64 + x) * 3 + i] - srgb(want[i])));
            }
        assert_true(worst < 2.5); /* steps of 8 bits; near black the curve is steep and its tables are finite */
        read_all(path_of("hdr.mkv"), &(ib_media_options){.keep_hdr = 1});
        assert_int_equal(out.info.tone_mapped, 0);
        ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT2020, 0, 10);
        uint8_t want[3];
        ib_yuv_pixel(&k, clip_yuv(0, 9, 7, 0) << 2, clip_yuv(0, 4, 3, 1) << 2, clip_yuv(0, 4, 3, 2) << 2, want);
        assert_memory_equal(out.rgb[0] + (7 * 64 + 9) * 3, want, 3);
    }
}

/* Anchors of the curve: black is black, grey stays grey, 203 cd/m2 is three quarters of the light, brighter is
 * brighter. */
static void test_tone_curve(void **state)
{
    (void)state;
    static ib_tonemap map;
    for (int t = 0; t < 2; t++) {
        ib_tonemap_init(&map, t ? IB_TRANSFER_HLG : IB_TRANSFER_PQ);
        assert_int_equal(map.linear[0], 0);
        uint8_t last = 0;
        for (int i = 0; i < IB_TONEMAP_CODES; i++) {
            uint8_t rgb[3];
            ib_tonemap_pixel(&map, (const int32_t[3]){i, i, i}, rgb);
            assert_true(rgb[0] == rgb[1] && rgb[1] == rgb[2] && rgb[0] >= last);
            last = rgb[0];
        }
        assert_true(last >= 248);
        int white = (int)lrint((t ? 0.75 : 0.58069) * 4080); /* the signal of 203 cd/m2 */
        assert_true(abs(map.linear[white] - 12288) < 60);
    }
}

/* ---- geometry -------------------------------------------------------------------------------------------------------
 */

static void test_pixel_aspect(void **state)
{
    (void)state;
    clip c = {.encoder = "mpeg4", .frames = 2, .width = 72, .height = 58, .sar_num = 16, .sar_den = 11};
    assert_int_equal(clip_write(path_of("sar.mp4"), &c), 0);
    read_all(path_of("sar.mp4"), NULL);
    expect_ok();
    assert_true(fabs(out.info.pixel_aspect - 16.0 / 11) < 1e-6);
    assert_int_equal(out.info.width, 72); /* the stored pixels by default */
    read_all(path_of("sar.mp4"), &(ib_media_options){.square_pixels = 1});
    assert_int_equal(out.info.width, 105); /* 104.7 */
    assert_int_equal(out.info.height, 58);
    c.sar_num = 8, c.sar_den = 9;
    assert_int_equal(clip_write(path_of("sar.mp4"), &c), 0);
    read_all(path_of("sar.mp4"), &(ib_media_options){.square_pixels = 1, .max_res = 36});
    assert_int_equal(out.info.width, 36);
    assert_int_equal(out.info.height, 32); /* 58*9/8 = 65.25 -> 65; 65*36/72 = 32.5 -> 32 */
}

/* Noise within black bars: 24 rows above, 26 below, 10 columns at the left; the first seconds are all black. */
static void fill_letterbox(const clip *c, int frame, uint8_t *const data[4], const int linesize[4])
{
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++)
            for (int k = 0; k < 4; k++) {
                int lit = frame >= 10 && y >= 24 && y < c->height - 26 && x >= 10;
                uint8_t noise = (uint8_t)(clip_rgb(frame, x, y, k) & 7);
                data[0][y * linesize[0] + x * 4 + k] = lit ? clip_rgb(frame, x, y, 2 - k % 3) : noise;
            }
}

static void test_crop_auto(void **state)
{
    (void)state;
    clip c = {.encoder = "ffv1",
              .pix_fmt = "bgr0",
              .frames = 80,
              .width = 160,
              .height = 120,
              .fill = fill_letterbox,
              .gop = 1};
    assert_int_equal(clip_write(path_of("bars.mkv"), &c), 0);
    ib_rect r;
    assert_int_equal(ib_media_detect_crop(path_of("bars.mkv"), NULL, NULL, &r), ISOBATH_OK);
    assert_int_equal(r.x, 10);
    assert_int_equal(r.y, 24);
    assert_int_equal(r.width, 150);
    assert_int_equal(r.height, 70);
    read_all(path_of("bars.mkv"), &(ib_media_options){.crop = IB_CROP_AUTO, .start_frame = 12});
    expect_ok();
    assert_int_equal(out.count, 68);
    assert_int_equal(out.info.width, 150);
    assert_int_equal(out.info.height, 70);
    for (int y = 0; y < 70; y++)
        for (int x = 0; x < 150; x++)
            for (int k = 0; k < 3; k++)
                assert_int_equal(out.rgb[0][(y * 150 + x) * 3 + k], clip_rgb(12, x + 10, y + 24, k));
    c.fill = NULL; /* no bars: nothing is cut */
    assert_int_equal(clip_write(path_of("bars.mkv"), &c), 0);
    assert_int_equal(ib_media_detect_crop(path_of("bars.mkv"), NULL, NULL, &r), ISOBATH_OK);
    assert_true(r.x == 0 && r.y == 0 && r.width == 160 && r.height == 120);
    assert_int_equal(ib_media_detect_crop("-", NULL, NULL, &r), ISOBATH_ERR_USAGE);
}

/* A rectangle is one of the upright picture, whatever the turn. */
static void test_crop_rect(void **state)
{
    (void)state;
    for (int degrees = 0; degrees < 360; degrees += 90) {
        clip c = {.encoder = "png", .pix_fmt = "rgb24", .frames = 1, .width = 40, .height = 24, .rotation = degrees};
        assert_int_equal(clip_write(path_of("rect.mov"), &c), 0);
        read_all(path_of("rect.mov"), NULL);
        expect_ok();
        static uint8_t whole[40 * 24 * 3];
        memcpy(whole, out.rgb[0], sizeof whole);
        int w = out.info.width;
        read_all(path_of("rect.mov"), &(ib_media_options){.crop = IB_CROP_RECT, .crop_rect = {3, 5, 17, 11}});
        expect_ok();
        assert_int_equal(out.info.width, 17);
        for (int y = 0; y < 11; y++)
            assert_memory_equal(out.rgb[0] + y * 17 * 3, whole + ((y + 5) * w + 3) * 3, 17 * 3);
    }
    read_all(path_of("rect.mov"), &(ib_media_options){.crop = IB_CROP_RECT, .crop_rect = {20, 0, 30, 10}});
    assert_int_equal(out.status, ISOBATH_ERR_USAGE);
}

static void test_frame_range(void **state)
{
    (void)state;
    clip c = {.encoder = "ffv1", .pix_fmt = "bgr0", .frames = 30, .width = 16, .height = 16};
    assert_int_equal(clip_write(path_of("range.mkv"), &c), 0);
    read_all(path_of("range.mkv"), &(ib_media_options){.start_frame = 7, .end_frame = 20});
    expect_ok();
    assert_int_equal(out.count, 13);
    assert_int_equal(out.info.frames_hint, 13);
    assert_int_equal(out.pts_us[0], 7 * 40000);
    assert_int_equal(out.rgb[0][0], clip_rgb(7, 0, 0, 0));
    read_all(path_of("range.mkv"), &(ib_media_options){.start_frame = 7, .end_frame = 7});
    assert_int_equal(out.status, ISOBATH_ERR_USAGE);
}

static int set_up(void **state)
{
    av_log_set_level(AV_LOG_FATAL);
    return make_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interlaced_chroma),
        cmocka_unit_test(test_interlaced_mpeg2),
        cmocka_unit_test(test_open_gop_hevc),
        cmocka_unit_test(test_cut_transport_stream),
        cmocka_unit_test(test_cut_end),
        cmocka_unit_test(test_recovery_points),
        cmocka_unit_test(test_negative_times), cmocka_unit_test(test_jumping_times),
        cmocka_unit_test(test_edit_list),
        cmocka_unit_test(test_hdr),
        cmocka_unit_test(test_tone_curve),
        cmocka_unit_test(test_pixel_aspect),
        cmocka_unit_test(test_crop_auto),
        cmocka_unit_test(test_crop_rect),
        cmocka_unit_test(test_frame_range),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
