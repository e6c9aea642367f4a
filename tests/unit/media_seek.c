/* Starting late: the frames are those of a decoder that began at the beginning, and that is not where it began. */
#include "media/decoder.h"
#include "media/media.h"
#include "media/seek.h"
#include "media_helper.h"

#include <libavformat/avformat.h>

typedef struct reading {
    int count;
    int64_t first_us, last_us;
    uint64_t hash; /* of times and pixels */
} reading;

static reading read_all(const char *path, const ib_media_options *options)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_media *m;
    if (ib_media_open(path, options, &diag, &m) != ISOBATH_OK) fail_msg("%s", diag.text);
    const ib_media_info *info = ib_media_get_info(m);
    int bytes = info->width * info->height * 3, got = 1;
    uint8_t *rgb = malloc((size_t)bytes);
    reading r = {.hash = 0xcbf29ce484222325u};
    while (got) {
        ib_media_frame f;
        if (ib_media_read(m, rgb, &f, &got) != ISOBATH_OK) fail_msg("%s", diag.text);
        if (!got) break;
        if (r.count == 0) r.first_us = f.pts_us;
        assert_int_equal(f.index, r.count++);
        r.last_us = f.pts_us;
        r.hash = (r.hash ^ (uint64_t)f.pts_us) * 0x100000001b3u;
        for (int i = 0; i < bytes; i++) r.hash = (r.hash ^ rgb[i]) * 0x100000001b3u;
    }
    free(rgb);
    ib_media_close(m);
    return r;
}

/* Where the decoder begins for these options. */
static int64_t began_at(const char *path, const ib_media_options *options)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_decoder *d;
    ib_decoded out;
    int got, moved;
    assert_int_equal(ib_decoder_open(path, options, &diag, &d), ISOBATH_OK);
    assert_int_equal(ib_decoder_next(d, &out, &got), ISOBATH_OK);
    assert_int_equal(ib_decoder_skip(d, &moved), ISOBATH_OK);
    int64_t n = ib_decoder_began_at(d);
    ib_decoder_close(d);
    return n;
}

static void same_as_sequential(const char *path, ib_media_options o)
{
    o.sequential = 0;
    reading sought = read_all(path, &o);
    o.sequential = 1;
    reading all = read_all(path, &o);
    if (sought.count != all.count || sought.first_us != all.first_us || sought.last_us != all.last_us || sought.hash != all.hash)
        fail_msg("%s from %g s, frame %lld: %d frames %lld..%lld us, expected %d frames %lld..%lld us", path, o.start_s,
                 (long long)o.start_frame, sought.count, (long long)sought.first_us, (long long)sought.last_us, all.count,
                 (long long)all.first_us, (long long)all.last_us);
}

typedef struct seek_case {
    const char *file;
    clip clip;
    int seeks; /* 1: must not begin at the beginning */
} seek_case;

static void frames_are_the_same(void **state)
{
    (void)state;
    const seek_case cases[] = {
        {"x264.mp4", {.encoder = "libx264", .b_frames = 3, .gop = 24, .options = "preset=veryfast"}, 1},
        {"x264.mkv", {.encoder = "libx264", .b_frames = 3, .gop = 24, .options = "preset=veryfast", .variable = 1}, 1},
        {"x264.ts", {.encoder = "libx264", .b_frames = 2, .gop = 24, .options = "preset=veryfast"}, 1},
        {"open.mp4", {.encoder = "libx264", .b_frames = 3, .gop = 24, .options = "preset=veryfast:x264-params=open-gop=1"}, 1},
        {"refresh.mkv", {.encoder = "libx264", .gop = 24, .options = "preset=veryfast:x264-params=intra-refresh=1"}, 0},
        {"x265.mkv", {.encoder = "libx265", .b_frames = 3, .gop = 24, .options = "preset=ultrafast:x265-params='open-gop=1:log-level=none:pools=1'"}, 1},
        {"mpeg2.mkv", {.encoder = "mpeg2video", .b_frames = 2, .gop = 12}, 1},
        {"mpeg2.ts", {.encoder = "mpeg2video", .b_frames = 2, .gop = 12}, 1},
        {"mpeg4.mkv", {.encoder = "mpeg4", .gop = 12, .variable = 1}, 1},
        {"mpeg4.avi", {.encoder = "mpeg4", .gop = 12}, 0},
        {"ffv1.mkv", {.encoder = "ffv1", .gop = 8}, 1},
        {"mjpeg.mkv", {.encoder = "mjpeg", .pix_fmt = "yuvj420p"}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clip c = cases[i].clip;
        if (!clip_have_encoder(c.encoder)) continue;
        c.frames = 260; /* of 64x48: libx265 3.5 writes past its buffers at 48x32 */
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, cases[i].file);
        assert_int_equal(clip_write(path, &c), 0);
        const ib_media_options starts[] = {{.start_frame = 200, .threads = 1}, {.start_s = 7.3, .threads = 3}, {.start_s = 5.0, .start_frame = 190, .end_frame = 240},
                                           {.start_frame = 131, .end_frame = 150}, {.start_frame = 259}, {.start_s = 3.52, .max_frames = 9}, {.start_frame = 400}};
        for (size_t k = 0; k < sizeof starts / sizeof *starts; k++) same_as_sequential(path, starts[k]);
        int64_t n = began_at(path, &starts[0]);
        if (cases[i].seeks && (n < 150 || n > 200)) fail_msg("%s: began at frame %lld for frame 200", path, (long long)n);
        print_message("%s: frame 200 from frame %lld\n", cases[i].file, (long long)n);
    }
}

/* Damage in front of the start does not matter any more; damage behind it still stops. */
static void damage(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/damage.mkv", dir);
    clip c = {.encoder = "mpeg4", .frames = 260, .gop = 12, .width = 48, .height = 32};
    assert_int_equal(clip_write(path, &c), 0);
    ib_media_options o = {.start_frame = 200, .threads = 1};
    reading whole = read_all(path, &o);
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&format, path, NULL, NULL), 0);
    for (int i = 0; i < 81; i++) {
        av_packet_unref(packet);
        assert_int_equal(av_read_frame(format, packet), 0);
    }
    size_t size;
    uint8_t *data = clip_read_file(path, &size);
    memset(data + packet->pos + packet->size / 2, 0x55, (size_t)packet->size / 2);
    av_packet_free(&packet);
    avformat_close_input(&format);
    assert_int_equal(clip_write_file(path, data, size), 0);
    free(data);
    reading cut = read_all(path, &o);
    assert_int_equal(cut.count, 60);
    assert_true(whole.hash == cut.hash);
    o.sequential = 1;
    ib_diag diag = IB_DIAG_INIT;
    ib_media *m;
    isobath_status st = ib_media_open(path, &o, &diag, &m);
    uint8_t rgb[48 * 32 * 3];
    for (int got = 1; st == ISOBATH_OK && got;) {
        ib_media_frame f;
        st = ib_media_read(m, rgb, &f, &got);
    }
    assert_int_equal(st, ISOBATH_ERR_INPUT);
    ib_media_close(m);
}

static void clean_packets(void **state)
{
    (void)state;
    static const uint8_t idr[] = {0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x65, 9, 9, 9}, gradual[] = {0, 0, 0, 1, 0x06, 1, 2, 9, 9, 6, 1, 0x58, 0x80, 0, 0, 1, 0x41, 9, 9, 9},
                         exact[] = {0, 0, 0, 1, 0x06, 1, 2, 9, 9, 6, 1, 0xc4, 0x80, 0, 0, 1, 0x41, 9, 9, 9}, cut[] = {0, 0, 1, 0x06, 6, 200, 0xc4},
                         packed[] = {0, 0, 0, 2, 0x06, 5, 0, 0, 0, 3, 0x65, 1, 2}, lies[] = {0, 0, 0, 200, 0x65, 1, 2};
    static uint8_t avcc[] = {1, 100, 0, 30, 0xff, 0xe1, 0, 0};
    AVCodecParameters h264 = {.codec_id = AV_CODEC_ID_H264}, in_mp4 = {.codec_id = AV_CODEC_ID_H264, .extradata = avcc, .extradata_size = sizeof avcc};
    AVPacket p = {.flags = AV_PKT_FLAG_KEY, .data = (uint8_t *)idr, .size = sizeof idr};
    assert_int_equal(ib_seek_is_clean(&h264, &p), 1);
    p.flags = 0;
    assert_int_equal(ib_seek_is_clean(&h264, &p), 0);
    p = (AVPacket){.flags = AV_PKT_FLAG_KEY, .data = (uint8_t *)gradual, .size = sizeof gradual};
    assert_int_equal(ib_seek_is_clean(&h264, &p), 0);
    p = (AVPacket){.flags = AV_PKT_FLAG_KEY, .data = (uint8_t *)exact, .size = sizeof exact};
    assert_int_equal(ib_seek_is_clean(&h264, &p), 1);
    p = (AVPacket){.flags = AV_PKT_FLAG_KEY, .data = (uint8_t *)cut, .size = sizeof cut};
    assert_int_equal(ib_seek_is_clean(&h264, &p), 0);
    p = (AVPacket){.flags = AV_PKT_FLAG_KEY, .data = (uint8_t *)packed, .size = sizeof packed};
    assert_int_equal(ib_seek_is_clean(&in_mp4, &p), 1);
    p = (AVPacket){.flags = AV_PKT_FLAG_KEY, .data = (uint8_t *)lies, .size = sizeof lies};
    assert_int_equal(ib_seek_is_clean(&in_mp4, &p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames_are_the_same), cmocka_unit_test(damage), cmocka_unit_test(clean_packets)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
