/* Decoding on a card without a card: libavcodec's NVDEC with stand-ins for the driver's libraries (tests/stub), which tell pictures
 * apart but do not decode them. Frames, their order and times are those of software; damage that the driver reports sends the decoder
 * back to software; what cannot be seen is said. */
#include "media/hw_watch.h"
#include "media/index.h"
#include "media/media.h"
#include "stub/nvcuvid.h"
#include "support/clips.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libavutil/hwcontext.h>

#include <cmocka.h>

enum { FRAMES = 60, LONG = 640, W = 64, H = 48 };

static const char *const path = "card.mkv", *const long_path = "card_long.mkv", *const raw_path = "card_raw.h264";
static stub_nvcuvid *stub;

typedef struct frame {
    int64_t pts_us;
    int on_card;
    uint8_t y[4]; /* the first samples: on the stub's card the picture's name */
} frame;

/* All frames of a clip, `most` at most; returns their number. */
static int read_file(const char *file, ib_decoder_kind kind, int sessions, int most, frame *frames, ib_media_info *info)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_media *m;
    ib_media_viewer *viewer = NULL;
    int n = 0, got = 1;
    isobath_status st = ib_media_open(file, &(ib_media_options){.decoder = kind, .sessions = sessions}, &diag, &m);
    assert_string_equal(diag.text, "");
    assert_int_equal(st, ISOBATH_OK);
    *info = *ib_media_get_info(m);
    while (st == ISOBATH_OK && got) {
        ib_media_picture *p;
        ib_media_frame f;
        st = ib_media_read_picture(m, &p, &f, &got);
        if (st != ISOBATH_OK || !got) break;
        assert_true(n < most);
        assert_int_equal(f.index, n);
        ib_yuv_planes planes;
        frames[n].pts_us = f.pts_us;
        frames[n].on_card = ib_media_picture_planes(p)->on_device;
        assert_int_equal(ib_media_look(&viewer, p, &diag, &planes), ISOBATH_OK);
        memcpy(frames[n++].y, planes.plane[0], 4);
        ib_media_picture_free(p);
    }
    assert_string_equal(diag.text, "");
    assert_int_equal(st, ISOBATH_OK);
    ib_media_viewer_free(viewer);
    ib_media_close(m);
    ib_diag_destroy(&diag);
    return n;
}

static int read_all(ib_decoder_kind kind, frame *frames, ib_media_info *info)
{
    return read_file(path, kind, 0, FRAMES, frames, info);
}

static void test_clean(void **state)
{
    (void)state;
    frame card[FRAMES], soft[FRAMES];
    ib_media_info info;
    stub->polls = 2;
    assert_int_equal(read_all(IB_DECODER_SOFTWARE, soft, &info), FRAMES);
    assert_int_equal(read_all(IB_DECODER_AUTO, card, &info), FRAMES);
    assert_non_null(strstr(info.decoder, "nvdec"));
    assert_null(strstr(info.decoder, "not seen"));
    assert_string_equal(info.decoder_note, "");
    for (int i = 0; i < FRAMES; i++) {
        assert_int_equal(card[i].pts_us, soft[i].pts_us);
        assert_true(card[i].on_card && !soft[i].on_card);
        for (int k = 0; k < i; k++) assert_memory_not_equal(card[i].y, card[k].y, 4);
    }
    assert_int_equal(stub->decoders, 0);
    stub->polls = 0;
}

/* Concealed or not: from there on it is software's, and the frames before stay as they are. */
static void test_damage(void **state)
{
    (void)state;
    frame card[FRAMES], soft[FRAMES];
    ib_media_info info;
    assert_int_equal(read_all(IB_DECODER_SOFTWARE, soft, &info), FRAMES);
    for (int status = 8; status <= 9; status++) {
        stub->damaged_picture = 41;
        stub->status_of_damage = status;
        assert_int_equal(read_all(IB_DECODER_CUDA, card, &info), FRAMES);
        int first = 0;
        while (first < FRAMES && card[first].on_card) first++;
        assert_true(first > 36 && first <= 41); /* B-frames are decoded after frames that are shown later */
        for (int i = 0; i < FRAMES; i++) {
            assert_int_equal(card[i].pts_us, soft[i].pts_us);
            assert_int_equal(card[i].on_card, i < first);
            if (i >= first) assert_memory_equal(card[i].y, soft[i].y, 4);
        }
    }
    stub->damaged_picture = -1;
    assert_int_equal(stub->decoders, 0);
}

/* A driver that does not tell. */
static void test_blind(void **state)
{
    (void)state;
    frame card[FRAMES];
    ib_media_info info;
    stub->no_status = 1;
    assert_int_equal(read_all(IB_DECODER_AUTO, card, &info), FRAMES);
    stub->no_status = 0;
    assert_true(card[FRAMES - 1].on_card);
    assert_non_null(strstr(info.decoder, "nvdec (damage not seen)"));
    assert_non_null(strstr(info.decoder_note, "--decoder software"));
}

/* Without the module the card still decodes. */
static void test_no_module(void **state)
{
    (void)state;
    pid_t child = fork(); /* what is loaded stays loaded */
    if (child == 0) {
        setenv("ISOBATH_NVCUVID_MODULE", "/nowhere.so", 1);
        frame card[FRAMES];
        ib_media_info info;
        int n = read_all(IB_DECODER_AUTO, card, &info);
        _exit(n == FRAMES && card[0].on_card && strstr(info.decoder_note, "does not load") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Calls that libavcodec's decoder does not make arrive at the driver, too. */
static void test_passes_on(void **state)
{
    (void)state;
    char why[160];
    ib_hw_watch watch;
    assert_true(ib_hw_watch_open(&watch, why, sizeof why));
    assert_non_null(watch.counts);
    void *library = dlopen("libnvcuvid.so.1", RTLD_LAZY | RTLD_NOLOAD);
    assert_non_null(library);
    int (*set)(void *, int), source = 0;
    *(void **)&set = dlsym(library, "cuvidSetVideoSourceState");
    assert_int_equal(set(&source, 7), 7);
    assert_int_equal(source, 7);
    dlclose(library);
    void *driver = dlopen(STUB_DRIVER "/libnvcuvid.so.1", RTLD_LAZY | RTLD_NOLOAD); /* behind the module */
    assert_non_null(driver);
    stub = dlsym(driver, "stub_nvcuvid_state");
    assert_non_null(stub);
}

/* Several sessions at a time give the frames of one, in its order. */
static void test_sessions(void **state)
{
    (void)state;
    static frame one[LONG], three[LONG];
    ib_media_info info;
    stub->most_decoders = 0;
    assert_int_equal(read_file(long_path, IB_DECODER_AUTO, 1, LONG, one, &info), LONG);
    assert_int_equal(stub->most_decoders, 1);
    stub->polls = 20; /* slow enough for everyone to get work */
    assert_int_equal(read_file(long_path, IB_DECODER_AUTO, 3, LONG, three, &info), LONG);
    stub->polls = 0;
    /* one waits, with the first frame, for the day that it is needed; libavcodec makes a new one before it drops the old one */
    assert_in_range(stub->most_decoders, 4, 8);
    for (int i = 0; i < LONG; i++) {
        assert_int_equal(three[i].pts_us, one[i].pts_us);
        assert_true(three[i].on_card && one[i].on_card);
        assert_memory_equal(three[i].y, one[i].y, 4);
    }
    assert_int_equal(stub->decoders, 0);
    stub->most_decoders = 0;
    assert_int_equal(read_file(raw_path, IB_DECODER_AUTO, 3, FRAMES, one, &info), FRAMES); /* packets without times */
    assert_int_equal(stub->decoders, 0);
}

/* Damage in a session: one decoder takes over, which meets it itself. */
static void test_sessions_damage(void **state)
{
    (void)state;
    static frame soft[LONG], three[LONG];
    ib_media_info info;
    assert_int_equal(read_file(long_path, IB_DECODER_SOFTWARE, 0, LONG, soft, &info), LONG);
    for (int damaged = 5; damaged < 400; damaged = damaged * 2 + 1) {
        stub->damaged_picture = damaged;
        assert_int_equal(read_file(long_path, IB_DECODER_AUTO, 3, LONG, three, &info), LONG);
        int on_card = 0;
        for (int i = 0; i < LONG; i++) {
            assert_int_equal(three[i].pts_us, soft[i].pts_us);
            if (three[i].on_card) assert_int_equal(on_card++, i); /* first the card, then software, never back */
            else assert_memory_equal(three[i].y, soft[i].y, 4);
        }
    }
    stub->damaged_picture = -1;
    assert_int_equal(stub->decoders, 0);
}

/* Left in the middle, and gone on with after a jump. */
static void test_sessions_end(void **state)
{
    (void)state;
    static frame one[LONG];
    ib_media_info info;
    ib_media_viewer *viewer = NULL;
    assert_int_equal(read_file(long_path, IB_DECODER_AUTO, 1, LONG, one, &info), LONG);
    for (int after = 0; after < 300; after = 2 * after + 1) {
        ib_diag diag = IB_DIAG_INIT;
        ib_media *m;
        ib_media_picture *p;
        ib_media_frame f;
        ib_yuv_planes planes;
        int got;
        assert_int_equal(ib_media_open(long_path, &(ib_media_options){.decoder = IB_DECODER_AUTO, .sessions = 4}, &diag, &m), ISOBATH_OK);
        for (int i = 0; i < after; i++) assert_int_equal(ib_media_read(m, NULL, &f, &got), ISOBATH_OK);
        if (after & 2) {
            assert_int_equal(ib_media_jump(m, 500, one[500].pts_us), ISOBATH_OK);
            assert_int_equal(ib_media_read_picture(m, &p, &f, &got), ISOBATH_OK);
            assert_true(got && f.index == 500 && f.pts_us == one[500].pts_us);
            assert_int_equal(ib_media_look(&viewer, p, &diag, &planes), ISOBATH_OK);
            assert_memory_equal(planes.plane[0], one[500].y, 4);
            ib_media_picture_free(p);
        }
        ib_media_close(m);
        assert_string_equal(diag.text, "");
    }
    ib_media_viewer_free(viewer);
    assert_int_equal(stub->decoders, 0);
}

/* One reading that jumps from segment to segment, as a worker's does that leaves every second one to another: the frames are those of one that
 * reads from the start to the end, and the card's decoder is made once, however the groups of pictures begin. */
static void test_jumps(void **state)
{
    (void)state;
    static const struct kind { const char *encoder, *options; } kinds[] = {{"libx264", "preset=ultrafast"},
                 {"libx264", "preset=ultrafast:x264-params=open-gop=1"},
                 {"libx264", "preset=ultrafast:x264-params='open-gop=1:b-pyramid=2:ref=4'"},
                 {"libx265", "preset=ultrafast:x265-params='open-gop=1:bframes=3:log-level=none'"},
                 {"libx265", "preset=ultrafast:x265-params='open-gop=1:bframes=3:repeat-headers=1:log-level=none'"},
                 {"libvpx-vp9", "deadline=realtime:cpu-used=8"},
                 {"mpeg2video", NULL}};
    static frame all[LONG];
    static ib_media_entry entries[LONG + 1];
    ib_media_info info;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (!clip_have_encoder(kinds[k].encoder)) continue;
        const char *const file = "card_jumps.mkv";
        clip c = {.encoder = kinds[k].encoder, .options = kinds[k].options, .frames = 320, .width = W, .height = H, .gop = 20, .b_frames = 3};
        assert_int_equal(clip_write(file, &c), 0);
        int n = read_file(file, IB_DECODER_CUDA, 0, LONG, all, &info), count = 0, jumps = 0, got = 1, arrived;
        assert_true(n == 320 && all[n - 1].on_card);
        ib_diag diag = IB_DIAG_INIT;
        ib_media_index *index;
        ib_media_options o = {.decoder = IB_DECODER_CUDA};
        assert_int_equal(ib_media_index_open(file, &o, 1, &diag, &index), ISOBATH_OK);
        while (count <= n && got) {
            assert_int_equal(ib_media_index_next(index, &entries[count], &got), ISOBATH_OK);
            count += got;
        }
        ib_media_index_close(index);
        assert_int_equal(count, n);
        ib_media *m;
        ib_media_viewer *viewer = NULL;
        stub->made = stub->most_decoders = 0;
        assert_int_equal(ib_media_open(file, &o, &diag, &m), ISOBATH_OK);
        for (int to = 0; to < n; to += 31 + jumps % 3, jumps++) {
            if (to) assert_int_equal(ib_media_jump_from(m, to, entries[to].pts_us, entries[to].key_us, &arrived), ISOBATH_OK);
            if (to && !arrived) fail_msg("%s %s: not at frame %d", kinds[k].encoder, kinds[k].options, to);
            for (int i = to; i < to + 8 && i < n; i++) {
                ib_media_picture *p;
                ib_media_frame f;
                ib_yuv_planes planes;
                assert_int_equal(ib_media_read_picture(m, &p, &f, &got), ISOBATH_OK);
                assert_true(got && f.index == i && f.pts_us == all[i].pts_us && ib_media_picture_planes(p)->on_device);
                assert_int_equal(ib_media_look(&viewer, p, &diag, &planes), ISOBATH_OK);
                if (memcmp(planes.plane[0], all[i].y, 4) != 0) fail_msg("%s %s: frame %d after a jump to %d", kinds[k].encoder, kinds[k].options, i, to);
                ib_media_picture_free(p);
            }
        }
        print_message("%s %s: %d jumps, %d decoders made, %d at a time\n", kinds[k].encoder, kinds[k].options ? kinds[k].options : "", jumps - 1, stub->made,
                      stub->most_decoders);
        assert_true(jumps > 8);
        assert_int_equal(stub->made, 1);
        ib_media_viewer_free(viewer);
        ib_media_close(m);
        assert_int_equal(stub->decoders, 0);
        assert_string_equal(diag.text, "");
        unlink(file);
    }
}

static int make_clip(void **state)
{
    (void)state;
    clip c = {.encoder = "libx264", .frames = LONG, .width = W, .height = H, .gop = 40, .b_frames = 2, .variable = 1};
    if (clip_write(long_path, &c) != 0) return -1;
    c.frames = FRAMES;
    if (clip_write(raw_path, &c) != 0) return -1;
    return clip_write(path, &(clip){.encoder = "libx264", .frames = FRAMES, .width = W, .height = H, .gop = 12, .b_frames = 2});
}

static int remove_clip(void **state)
{
    (void)state;
    return unlink(path) | unlink(long_path) | unlink(raw_path);
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *libraries = getenv("LD_LIBRARY_PATH");
    if (!libraries || strncmp(libraries, STUB_DRIVER, strlen(STUB_DRIVER)) != 0) {
        setenv("LD_LIBRARY_PATH", STUB_DRIVER, 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    setenv("ISOBATH_NVCUVID_MODULE", NVCUVID_MODULE, 1);
    if (!clip_have_encoder("libx264") || av_hwdevice_find_type_by_name("cuda") == AV_HWDEVICE_TYPE_NONE) {
        printf("skipped: this FFmpeg has no libx264 or no NVDEC\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_module), cmocka_unit_test(test_passes_on), cmocka_unit_test(test_clean),
                                       cmocka_unit_test(test_damage), cmocka_unit_test(test_blind), cmocka_unit_test(test_sessions),
                                       cmocka_unit_test(test_sessions_damage), cmocka_unit_test(test_sessions_end), cmocka_unit_test(test_jumps)};
    return cmocka_run_group_tests_name("media_card", tests, make_clip, remove_clip);
}
