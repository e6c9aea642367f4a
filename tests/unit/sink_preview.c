/* The preview: same bytes for any thread count and with or without png16, frames and times exact, colours right. */
#include "sink_helper.h"

#include "media/media.h"
#include "sink/colormap.h"
#include "sink/video_writer.h"

#include <stdatomic.h>

enum { W = 63, H = 45, N = 100 };

static char *vis_path(const char *folder) { return ib_text("%s/clip_vis.mp4", folder); }

/* The test video at nearly constant largest values, so that colours can be seen; the step doubles after two frames. */
static ib_depth_frame *preview_frame(int i) { return make_frame(i, W, H, 0.9f + 0.05f * (float)(i % 7)); }

static isobath_status run_preview(const ib_sink_config *base, int with_png16)
{
    ib_sink_config config = *base;
    config.png16_present = with_png16;
    const ib_sink_format *formats[2] = {ib_sink_format_find("png16"), ib_sink_format_find("preview")};
    ib_sink *sinks[2] = {NULL, NULL};
    int first = with_png16 ? 0 : 1;
    for (int k = first; k < 2; k++) assert_int_equal(formats[k]->open(&config, NULL, &sinks[k]), ISOBATH_OK);
    for (int i = 0; i < N; i++) {
        ib_depth_frame *f = preview_frame(i);
        for (int k = first; k < 2; k++) assert_int_equal(formats[k]->push(sinks[k], f), ISOBATH_OK);
        ib_depth_frame_unref(f);
    }
    isobath_status st = ISOBATH_OK;
    for (int k = first; k < 2 && st == ISOBATH_OK; k++) st = formats[k]->finish(sinks[k]);
    for (int k = first; k < 2; k++) formats[k]->close(sinks[k]);
    return st;
}

static void same_bytes(void **state)
{
    (void)state;
    char *first = scratch_folder(), *a = vis_path(first);
    ib_sink_config config = test_config(first, W, H);
    config.threads = 1;
    assert_int_equal(run_preview(&config, 0), ISOBATH_OK);
    for (int threads = 1; threads <= 4; threads++)
        for (int with_png16 = 0; with_png16 < 2; with_png16++) {
            char *folder = scratch_folder(), *b = vis_path(folder);
            config.folder = folder;
            config.threads = threads;
            assert_int_equal(run_preview(&config, with_png16), ISOBATH_OK);
            assert_same_file(a, b);
            assert_int_equal(count_files(folder, ".png"), with_png16 ? N : 0);
            assert_int_equal(count_files(folder, "_spool"), 0);
            assert_int_equal(count_files(folder, ".tmp"), 0);
            free(b);
            remove_folder(folder);
        }
    free(a);
    remove_folder(first);
}

static void frames_times_and_colours(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = vis_path(folder);
    ib_sink_config config = test_config(folder, W, H);
    config.colormap = "viridis";
    assert_int_equal(run_preview(&config, 0), ISOBATH_OK);
    float min = INFINITY, max = 0;
    for (int i = 0; i < N; i++) {
        ib_depth_frame *f = preview_frame(i);
        if (f->min < min) min = f->min;
        if (f->max > max) max = f->max;
        ib_depth_frame_unref(f);
    }
    uint8_t map[768], rgb[64 * 46 * 3];
    assert_true(ib_colormap_find("viridis", map));
    ib_media *media;
    ib_media_options options = {.threads = 1};
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_media_open(path, &options, &diag, &media), ISOBATH_OK);
    assert_int_equal(ib_media_get_info(media)->width, 64); /* odd sizes are completed to even */
    assert_int_equal(ib_media_get_info(media)->height, 46);
    int got = 1, n = 0;
    for (ib_media_frame frame; got; n += got) {
        assert_int_equal(ib_media_read(media, rgb, &frame, &got), ISOBATH_OK);
        if (!got) break;
        ib_depth_frame *f = preview_frame(n);
        assert_int_equal(frame.pts_us, f->pts_us);
        double error = 0;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < 3; c++) {
                    int index = (int)((f->depth[y * W + x] - min) / (max - min) * 255);
                    error += abs(map[3 * index + c] - rgb[(y * 64 + x) * 3 + c]);
                }
        assert_true(error / (W * H * 3) < 6);
        ib_depth_frame_unref(f);
    }
    assert_int_equal(n, N);
    ib_media_close(media);
    free(path);
    remove_folder(folder);
}

static isobath_status grey(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3])
{
    (void)ctx, (void)thread;
    for (int y = 0; y < 32; y++) memset(planes[0] + y * strides[0], (int)(16 + 2 * i), 32);
    for (int c = 1; c < 3; c++)
        for (int y = 0; y < 16; y++) memset(planes[c] + y * strides[c], 128, 16);
    return ISOBATH_OK;
}

/* The encoder that stands in where libx264 is missing; and times that do not increase. */
static void other_encoder(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = vis_path(folder);
    int64_t times[50];
    for (int i = 0; i < 50; i++) times[i] = i == 7 ? 240000 : i * 40000 + 1000000;
    ib_video_job job = {.format = {.path = path, .width = 32, .height = 32, .fps = 25, .encoder = "mpeg4"},
                        .frames = 50,
                        .times_us = times,
                        .group = 16,
                        .threads = 3,
                        .draw = grey};
    ib_video_result result;
    assert_int_equal(ib_video_encode(&job, NULL, &result), ISOBATH_OK);
    assert_string_equal(result.encoder, "mpeg4");
    ib_media *media;
    ib_media_options options = {.threads = 1};
    assert_int_equal(ib_media_open(path, &options, NULL, &media), ISOBATH_OK);
    uint8_t rgb[32 * 32 * 3];
    int got = 1, n = 0;
    for (ib_media_frame frame; got; n += got) {
        assert_int_equal(ib_media_read(media, rgb, &frame, &got), ISOBATH_OK);
        if (got && n != 7) assert_int_equal(frame.pts_us, n * 40000);
        if (got && n == 7) assert_int_equal(frame.pts_us, 240001);
    }
    assert_int_equal(n, 50);
    ib_media_close(media);
    job.format.encoder = "no_such_encoder";
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_video_encode(&job, &diag, &result), ISOBATH_ERR_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "no_such_encoder"));
    free(path);
    remove_folder(folder);
}

typedef struct drawing {
    atomic_int drawn, checked;
    int stop_at; /* frames that may be encoded; -1: all */
} drawing;

static isobath_status draw_and_count(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3])
{
    atomic_fetch_add(&((drawing *)ctx)->drawn, 1);
    return grey(NULL, i, thread, planes, strides);
}

static int stop_drawing(void *ctx)
{
    drawing *d = ctx;
    return d->stop_at >= 0 && atomic_fetch_add(&d->checked, 1) >= d->stop_at;
}

/* One session fed by many threads, as a card's encoder is: the same frames, key frames where groups begin, and it goes on where it
 * was stopped. libx264 stands in for the card's; it looks ahead, so that packets come late. */
static void one_session(void **state)
{
    (void)state;
    enum { FRAMES = 100, GROUP = 12, STOP = 61 };
    char *folder = scratch_folder(), *path = vis_path(folder);
    int64_t times[FRAMES];
    for (int i = 0; i < FRAMES; i++) times[i] = i * 40000;
    drawing d = {.stop_at = STOP};
    ib_video_job job = {.format = {.path = path, .width = 32, .height = 32, .fps = 25, .hardware = "libx264", .resumable = 1},
                        .frames = FRAMES, .times_us = times, .group = GROUP, .threads = 3, .draw = draw_and_count, .ctx = &d,
                        .cancelled = stop_drawing, .cancel_ctx = &d};
    ib_video_result result;
    assert_int_equal(ib_video_encode(&job, NULL, &result), ISOBATH_ERR_INTERRUPTED);
    assert_int_equal(count_files(folder, ".mp4"), 0);
    int drawn = atomic_exchange(&d.drawn, 0);
    assert_in_range(drawn, STOP, FRAMES);
    d.stop_at = -1;
    assert_int_equal(ib_video_encode(&job, NULL, &result), ISOBATH_OK);
    assert_string_equal(result.encoder, "libx264");
    assert_string_equal(result.no_hardware, "");
    assert_in_range(atomic_load(&d.drawn), FRAMES - STOP, FRAMES - 2 * GROUP); /* whole groups were there */
    assert_int_equal(atomic_load(&d.drawn) % GROUP, FRAMES % GROUP);
    ib_media *media;
    assert_int_equal(ib_media_open(path, NULL, NULL, &media), ISOBATH_OK);
    uint8_t rgb[32 * 32 * 3];
    int got = 1, n = 0;
    for (ib_media_frame frame; got; n += got) {
        assert_int_equal(ib_media_read(media, rgb, &frame, &got), ISOBATH_OK);
        if (!got) break;
        assert_int_equal(frame.pts_us, times[n]);
        assert_in_range(rgb[0], 2 * n * 255 / 219 - 4 < 0 ? 0 : 2 * n * 255 / 219 - 4, 2 * n * 255 / 219 + 4);
    }
    assert_int_equal(n, FRAMES);
    ib_media_close(media);
    free(path);
    remove_folder(folder);
}

/* An encoder that FFmpeg does not have, and the card's, which does not open without a card that has one: what software would have made, and
 * the reason. */
static void no_hardware(void **state)
{
    (void)state;
    static const char *const encoders[] = {NULL, "no_such_encoder", "h264_nvenc"};
    char *folder[3], *path[3];
    int64_t times[50];
    for (int i = 0; i < 50; i++) times[i] = i * 40000;
    for (int k = 0; k < 3; k++) {
        folder[k] = scratch_folder();
        path[k] = vis_path(folder[k]);
        ib_video_job job = {.format = {.path = path[k], .width = 32, .height = 32, .fps = 25, .hardware = encoders[k]},
                            .frames = 50, .times_us = times, .group = 16, .threads = 2, .draw = grey};
        ib_video_result result;
        assert_int_equal(ib_video_encode(&job, NULL, &result), ISOBATH_OK);
        int by_card = k == 2 && !result.no_hardware[0];
        if (by_card) print_message("h264_nvenc works here\n");
        assert_int_equal(strstr(result.encoder, "nvenc") != NULL, by_card);
        if (by_card) continue;
        assert_int_equal(k > 0 && strstr(result.no_hardware, encoders[k]) != NULL, k > 0);
        assert_null(strchr(result.no_hardware, '\n'));
        assert_same_file(path[0], path[k]);
    }
    for (int k = 0; k < 3; k++) {
        free(path[k]);
        remove_folder(folder[k]);
    }
}

static int stop_after(void *ctx) { return --*(int *)ctx < 0; }

/* Stopped in the finishing pass: nothing half-done is left. */
static void cancelled(void **state)
{
    (void)state;
    static const char *const names[] = {"preview", "ffv1", "png16"};
    for (int k = 0; k < 3; k++) {
        char *folder = scratch_folder();
        int left = 3;
        ib_sink_config config = test_config(folder, W, H);
        config.cancelled = stop_after;
        config.cancel_ctx = &left;
        config.threads = 1;
        ib_diag diag = IB_DIAG_INIT;
        assert_int_equal(run_sink(names[k], &config, 30, 2, &diag, NULL), ISOBATH_ERR_INTERRUPTED);
        assert_int_equal(count_files(folder, ".tmp") + count_files(folder, ".mp4") + count_files(folder, ".mkv"), 0);
        assert_int_equal(count_files(folder, "_spool") + count_files(folder, "depth.json"), 0);
        remove_folder(folder);
    }
}

static void colour_maps(void **state)
{
    (void)state;
    uint8_t map[768];
    static const struct {
        const char *name;
        uint8_t first[3], middle[3], last[3];
    } known[] = {
        {"inferno", {0, 0, 3}, {187, 55, 84}, {252, 254, 164}}, /* published end points and middle */
        {"viridis", {68, 1, 84}, {32, 144, 140}, {253, 231, 36}}, {"magma", {0, 0, 3}, {182, 54, 121}, {251, 252, 191}},
        {"plasma", {12, 7, 134}, {203, 71, 119}, {239, 248, 33}}, {"turbo", {48, 18, 59}, {163, 252, 60}, {122, 4, 2}},
        {"gray", {0, 0, 0}, {128, 128, 128}, {255, 255, 255}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_true(ib_colormap_find(known[i].name, map));
        for (int c = 0; c < 3; c++) {
            assert_in_range(map[c] + 1, known[i].first[c], known[i].first[c] + 2);
            assert_in_range(map[128 * 3 + c] + 2, known[i].middle[c], known[i].middle[c] + 4);
            assert_in_range(map[255 * 3 + c] + 1, known[i].last[c], known[i].last[c] + 2);
        }
    }
    assert_false(ib_colormap_find("jet", map));
    char *folder = scratch_folder();
    ib_sink_config config = test_config(folder, W, H);
    config.colormap = "jet";
    ib_diag diag = IB_DIAG_INIT;
    ib_sink *sink;
    assert_int_equal(ib_sink_format_find("preview")->open(&config, &diag, &sink), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(diag.text, "inferno"));
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colour_maps),   cmocka_unit_test(same_bytes), cmocka_unit_test(frames_times_and_colours),
        cmocka_unit_test(other_encoder), cmocka_unit_test(cancelled),  cmocka_unit_test(one_session), cmocka_unit_test(no_hardware),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
