/* Frames by reference: what a device makes of a picture's planes is what the decoder's side makes of it as RGB, thumbnails
 * included, for every layout of samples; and what needs more than colour conversion is refused. */
#include "backend/backend.h"
#include "media/media.h"
#include "media/planes.h"
#include "model/staging.h"
#include "model/vda.h"
#include "pipeline/shots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libavutil/hwcontext.h>

#include <cmocka.h>

enum { W = 37, H = 29, FRAMES = 3, NET_W = 42, NET_H = 28 };

/* Y4M of random samples. */
static void write_clip(const char *path, const char *chroma, int ssx, int ssy, int bytes, int max)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    uint32_t seed = 7;
    int cw = (W + (1 << ssx) - 1) >> ssx, ch = (H + (1 << ssy) - 1) >> ssy;
    fprintf(f, "YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C%s\n", W, H, chroma);
    for (int t = 0; t < FRAMES; t++) {
        fprintf(f, "FRAME\n");
        for (int i = 0; i < W * H + 2 * cw * ch; i++) {
            seed = seed * 1664525u + 1013904223u;
            unsigned v = (seed >> 8) % (unsigned)(max + 1);
            fputc((int)(v & 255), f);
            if (bytes == 2) fputc((int)(v >> 8), f);
        }
    }
    assert_int_equal(fclose(f), 0);
}

static ib_backend *open_ref(ib_diag *diag)
{
    ib_backend *be;
    assert_int_equal(ib_ref_open(&(ib_backend_options){.act = IB_F32, .diag = diag}, &be), ISOBATH_OK);
    return be;
}

static void compare(const char *path)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_media *a, *b;
    assert_int_equal(ib_media_open(path, NULL, &diag, &a), ISOBATH_OK);
    assert_int_equal(ib_media_open(path, NULL, &diag, &b), ISOBATH_OK);
    assert_true(ib_media_has_planes(b));
    ib_backend *be = open_ref(&diag);
    ib_staging staging = {0};
    static uint8_t rgb[FRAMES][W * H * 3];
    static float want[FRAMES][NET_H * NET_W * 3], got[FRAMES][NET_H * NET_W * 3];
    ib_media_viewer *viewer = NULL;
    ib_media_picture *pictures[FRAMES];
    ib_vda_frame plain[FRAMES], by_reference[FRAMES];
    for (int t = 0; t < FRAMES; t++) {
        ib_media_frame m, n;
        ib_yuv_planes look;
        ib_thumb thumb, same;
        int more = 0;
        assert_int_equal(ib_media_read(a, rgb[t], &m, &more), ISOBATH_OK);
        assert_int_equal(ib_media_read_picture(b, &pictures[t], &n, &more), ISOBATH_OK);
        assert_true(more);
        assert_true(m.index == n.index && m.pts_us == n.pts_us && m.repeated == n.repeated);
        assert_int_equal(ib_media_look(&viewer, pictures[t], &diag, &look), ISOBATH_OK);
        memset(&thumb, 0, sizeof thumb);
        ib_thumb_make(rgb[t], W, H, &thumb);
        ib_thumb_make_planes(&look, &same);
        assert_memory_equal(&thumb, &same, sizeof thumb);
        plain[t] = (ib_vda_frame){.rgb = rgb[t], .height = H, .width = W};
        by_reference[t] = (ib_vda_frame){.planes = ib_media_picture_planes(pictures[t]), .height = H, .width = W};
        assert_non_null(by_reference[t].planes);
    }
    ib_media_close(b); /* pictures outlive the object */
    ib_tensor x = ib_tensor_4d(want, IB_F32, FRAMES, NET_H, NET_W, 3), y = ib_tensor_4d(got, IB_F32, FRAMES, NET_H, NET_W, 3);
    assert_int_equal(ib_staging_preprocess(&staging, be, NULL, plain, FRAMES, FRAMES, &x), ISOBATH_OK);
    assert_int_equal(ib_staging_preprocess(&staging, be, NULL, by_reference, FRAMES, FRAMES, &y), ISOBATH_OK);
    assert_memory_equal(want, got, sizeof want);
    for (int t = 0; t < FRAMES; t++) ib_media_picture_free(pictures[t]);
    ib_media_viewer_free(viewer);
    ib_staging_free(&staging, be, NULL);
    ib_backend_close(be);
    ib_media_close(a);
}

static void test_layouts(void **state)
{
    (void)state;
    static const struct {
        const char *chroma;
        int ssx, ssy, bytes, max;
    } layouts[] = {{"420jpeg", 1, 1, 1, 255}, {"422", 1, 0, 1, 255},      {"444", 0, 0, 1, 255},
                   {"411", 2, 0, 1, 255},     {"420p10", 1, 1, 2, 1023}, {"444p12", 0, 0, 2, 4095}};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        write_clip("planes.y4m", layouts[i].chroma, layouts[i].ssx, layouts[i].ssy, layouts[i].bytes, layouts[i].max);
        compare("planes.y4m");
    }
    unlink("planes.y4m");
}

/* A crop, a reduction or deinterlacing is the decoder side's work. */
static void test_more_than_colour(void **state)
{
    (void)state;
    write_clip("planes_more.y4m", "420jpeg", 1, 1, 1, 255);
    const ib_media_options options[] = {{.max_res = 20},
                                        {.deinterlace = 1},
                                        {.crop = IB_CROP_RECT, .crop_rect = {2, 2, 20, 20}}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        ib_diag diag = IB_DIAG_INIT;
        ib_media *m;
        assert_int_equal(ib_media_open("planes_more.y4m", &options[i], &diag, &m), ISOBATH_OK);
        assert_false(ib_media_has_planes(m));
        ib_media_close(m);
    }
    unlink("planes_more.y4m");
}

/* A frame on a card is described by what it holds, not by the card: without a stated range it is limited, as in software. */
static void test_card_frame(void **state)
{
    (void)state;
    AVBufferRef *device = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA);
    AVBufferRef *frames = device ? av_hwframe_ctx_alloc(device) : NULL;
    if (!frames) {
        print_message("SKIPPED: this libavutil knows no CUDA\n");
        av_buffer_unref(&device);
        skip();
    }
    ((AVHWFramesContext *)(void *)frames->data)->sw_format = AV_PIX_FMT_NV12;
    static uint8_t somewhere[1280 * 720 * 3 / 2];
    AVFrame *card = av_frame_alloc(), *host = av_frame_alloc();
    assert_true(card && host);
    for (int i = 0; i < 2; i++) {
        AVFrame *f = i ? host : card;
        f->format = i ? AV_PIX_FMT_NV12 : AV_PIX_FMT_CUDA;
        f->width = 1280;
        f->height = 720;
        f->data[0] = somewhere;
        f->data[1] = somewhere + 1280 * 720;
        f->linesize[0] = f->linesize[1] = 1280;
    }
    card->hw_frames_ctx = av_buffer_ref(frames);
    ib_yuv_planes a, b;
    for (int range = 0; range < 3; range++) {
        card->color_range = host->color_range = range == 0 ? AVCOL_RANGE_UNSPECIFIED : range == 1 ? AVCOL_RANGE_MPEG : AVCOL_RANGE_JPEG;
        assert_true(ib_planes_from_frame(card, 0, &a) && ib_planes_from_frame(host, 0, &b));
        assert_true(a.on_device && !b.on_device);
        assert_memory_equal(&a.k, &b.k, sizeof a.k);
        assert_int_equal(a.k.y_offset, range == 2 ? 0 : 16);
        assert_int_equal(a.c[2].offset, 1);
        assert_int_equal(a.c[2].step, 2);
    }
    av_frame_free(&card);
    av_frame_free(&host);
    av_buffer_unref(&frames);
    av_buffer_unref(&device);
}

/* A machine without a card: auto decodes in software and says why, cuda is an error. */
static void test_no_card(void **state)
{
    (void)state;
    write_clip("planes_card.y4m", "420jpeg", 1, 1, 1, 255);
    ib_diag diag = IB_DIAG_INIT;
    ib_media *m;
    /* raw video is in no card's list, so this holds on machines with a card too */
    assert_int_equal(ib_media_open("planes_card.y4m", &(ib_media_options){.decoder = IB_DECODER_AUTO}, &diag, &m), ISOBATH_OK);
    assert_true(strlen(ib_media_get_info(m)->decoder_note) > 0);
    assert_null(strstr(ib_media_get_info(m)->decoder, "nvdec"));
    ib_media_close(m);
    assert_int_equal(ib_media_open("planes_card.y4m", &(ib_media_options){.decoder = IB_DECODER_CUDA}, &diag, &m),
                     ISOBATH_ERR_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "--decoder cuda"));
    unlink("planes_card.y4m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts), cmocka_unit_test(test_more_than_colour),
                                       cmocka_unit_test(test_card_frame),
                                       cmocka_unit_test(test_no_card)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
