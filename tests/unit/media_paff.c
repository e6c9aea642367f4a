/* H.264 whose fields are pictures of their own: frames, times and every pixel, one packet a frame and one a field, from the
 * start and from the middle, with a field that is missing. */
#include "media/media.h"
#include "media/yuv.h"
#include "media_helper.h"
#include "support/paff.h"

enum { W = 48, H = 56, FRAMES = 30 }; /* 56 rows: cropped */

static const char *make(const char *name, const paff *p)
{
    const char *path = path_of(name);
    if (paff_write(path, p) != 0) fail();
    return path;
}

/* Frame i as the standards and docs/MEDIA.md have it. */
static void expect_pixels(const paff *p, int frame, const uint8_t *rgb)
{
    ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT601, 0, 8);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            uint8_t want[3];
            int cy = paff_is_fields(p, frame) ? y / 4 * 2 + y % 2 : y / 2;
            ib_yuv_pixel(&k, clip_yuv(frame, x, y, 0), clip_yuv(frame, x / 2, cy, 1), clip_yuv(frame, x / 2, cy, 2), want);
            if (memcmp(rgb + (y * W + x) * 3, want, 3) != 0) fail_msg("frame %d, row %d, column %d", frame, y, x);
        }
}

/* All frames from `start` on; libavcodec shows no frame of which one field came. */
static void check(const char *path, const paff *p, int start, int threads)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_media *m;
    ib_media_options o = {.start_frame = start, .threads = threads};
    if (ib_media_open(path, &o, &diag, &m) != ISOBATH_OK) fail_msg("%s: %s", path, diag.text);
    const ib_media_info *info = ib_media_get_info(m);
    assert_true(info->width == W && info->height == H);
    static uint8_t rgb[W * H * 3];
    int frame = start;
    for (int got = 1;; frame++) {
        ib_media_frame f;
        if (ib_media_read(m, rgb, &f, &got) != ISOBATH_OK) fail_msg("%s, frame %d: %s", path, frame, diag.text);
        if (!got) break;
        if (p->lone_field && frame == p->lone_field) frame++;
        if (f.pts_us != frame * 40000)
            fail_msg("%s: %d packets a frame, frame %d from %d: %lld us", path, 1 + p->fields_as_packets, frame, start, (long long)f.pts_us);
        expect_pixels(p, frame, rgb);
    }
    assert_int_equal(frame, p->frames);
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

static const char *const names[] = {"a.mp4", "a.mkv", "a.ts", "a.h264"};
enum { NAMES = sizeof names / sizeof *names };

static void every_pixel(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES * 8; i++) {
        paff p = {.width = W, .height = H, .frames = FRAMES, .gop = 12, .frame_every = i & 1 ? 3 : 0, .bottom_first = i >> 1 & 1, .fields_as_packets = i >> 2 & 1};
        if (p.fields_as_packets && i / 8 == 0) continue; /* MP4 keeps the fields of a frame in one sample */
        const char *path = make(names[i / 8], &p);
        check(path, &p, 0, 1);
        check(path, &p, 0, 3);
    }
}

static void from_the_middle(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES * 2; i++) {
        paff p = {.width = W, .height = H, .frames = FRAMES, .gop = 5, .frame_every = 4, .fields_as_packets = i & 1};
        if (p.fields_as_packets && i / 2 == 0) continue;
        const char *path = make(names[i / 2], &p);
        for (int start = 1; start < FRAMES; start += 4) check(path, &p, start, 1 + start % 2);
    }
}

/* The frames around it stay in their places. */
static void a_field_is_missing(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES - 1; i++) { /* a raw stream has no times: there the rest moves up */
        paff p = {.width = W, .height = H, .frames = FRAMES, .gop = 6, .fields_as_packets = i >= 2, .lone_field = 10};
        check(make(names[i], &p), &p, 0, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_pixel), cmocka_unit_test(from_the_middle), cmocka_unit_test(a_field_is_missing)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
