/* Splitting: ranges that add up, chunks that hold exactly their frames, plans that are read again or refused in one
 * line. */
#include "sink_helper.h"

#include "media/media.h"
#include "split/plan.h"
#include "support/clips.h"
#include <isobath/split.h>

static int64_t frames_in_chunks(int64_t frames, int64_t chunks, int64_t chunk_frames, int64_t overlap, int64_t *count)
{
    ib_split_plan plan = {.frames = frames, .overlap = overlap};
    assert_int_equal(ib_split_plan_make(&plan, chunks, chunk_frames, NULL), ISOBATH_OK);
    assert_int_equal(ib_split_plan_check(&plan, "plan", NULL), ISOBATH_OK);
    int64_t sum = 0;
    for (int64_t k = 0; k < plan.count; k++) {
        sum += plan.chunks[k].frames;
        if (k) assert_int_equal(plan.chunks[k - 1].first + plan.chunks[k - 1].frames - plan.chunks[k].first, overlap);
    }
    assert_int_equal(plan.chunks[plan.count - 1].first + plan.chunks[plan.count - 1].frames, frames);
    *count = plan.count;
    ib_split_plan_free(&plan);
    return sum;
}

static void ranges(void **state)
{
    (void)state;
    int64_t count;
    assert_int_equal(frames_in_chunks(6553, 5, 0, 32, &count), 6681);
    assert_int_equal(frames_in_chunks(6553, 1, 0, 32, &count), 6553);
    assert_int_equal(frames_in_chunks(100, 7, 0, 0, &count), 100);
    for (int64_t n = 70; n < 700; n += 7)
        for (int64_t size = 64; size < 200; size += 13) {
            int64_t sum = frames_in_chunks(n, 0, size, 32, &count);
            assert_int_equal(sum, n + (count - 1) * 32);
        }
    static const struct {
        int64_t frames, chunks, chunk_frames, overlap;
    } bad[] = {{100, 5, 0, 32},  {100, 0, 32, 32}, {100, 0, 0, 32}, {100, 2, 60, 32},
               {100, 101, 0, 0}, {100, 2, 0, -1},  {0, 1, 0, 0},    {100, 0, 40, 32}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ib_split_plan plan = {.frames = bad[i].frames, .overlap = bad[i].overlap};
        assert_int_equal(ib_split_plan_make(&plan, bad[i].chunks, bad[i].chunk_frames, NULL), ISOBATH_ERR_USAGE);
        ib_split_plan_free(&plan);
    }
}

/* All frames of a video, RGB, into fresh memory. */
static uint8_t *decode(const char *path, int64_t *count, size_t *bytes)
{
    ib_media_options options = {.threads = 1};
    ib_media *media;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_media_open(path, &options, &diag, &media) != ISOBATH_OK) fail_msg("%s", diag.text);
    *bytes = (size_t)ib_media_get_info(media)->width * (size_t)ib_media_get_info(media)->height * 3;
    uint8_t *all = NULL;
    int got = 1;
    for (*count = 0; got; *count += got) {
        ib_media_frame frame;
        all = realloc(all, (size_t)(*count + 1) * *bytes);
        assert_int_equal(ib_media_read(media, all + (size_t)*count * *bytes, &frame, &got), ISOBATH_OK);
    }
    ib_media_close(media);
    return all;
}

/* Splits a clip and compares every frame of every chunk. Returns how many chunks are copies. */
static int64_t split_and_compare(const clip *c, const char *file, const char *codec, int64_t chunk_frames,
                                 int64_t overlap)
{
    char *folder = scratch_folder(), *path = ib_text("%s/%s", folder, file), *out = ib_text("%s/chunks", folder);
    assert_int_equal(clip_write(path, c), 0);
    isobath_split_options o;
    isobath_split_options_init(&o);
    o.input = path;
    o.output = out;
    o.codec = codec;
    o.chunk_frames = chunk_frames;
    o.overlap = overlap;
    isobath_split_summary s;
    char error[1024];
    if (isobath_split_run(&o, &s, error, sizeof error) != ISOBATH_OK) fail_msg("%s: %s", file, error);
    assert_int_equal(s.frames, c->frames);
    assert_int_equal(s.copied + s.encoded, s.chunks);
    assert_int_equal(s.frames_in_chunks, c->frames + (s.chunks - 1) * overlap);
    ib_split_plan plan;
    assert_int_equal(ib_split_plan_read(s.plan, NULL, &plan), ISOBATH_OK);
    assert_int_equal(plan.frames, c->frames);
    for (int i = 0; i < c->frames; i++)
        assert_true(llabs(plan.times_us[i] - clip_time_us(c, i)) <= 1000); /* the clip's own container may round */
    int64_t n, part;
    size_t bytes, part_bytes;
    uint8_t *all = decode(path, &n, &bytes);
    assert_int_equal(n, c->frames);
    for (int64_t k = 0; k < plan.count; k++) {
        char *chunk = ib_text("%s/%s", out, plan.chunks[k].path);
        uint8_t *frames = decode(chunk, &part, &part_bytes);
        assert_int_equal(part, plan.chunks[k].frames);
        assert_int_equal(part_bytes, bytes);
        assert_memory_equal(frames, all + (size_t)plan.chunks[k].first * bytes, (size_t)part * bytes);
        free(frames);
        free(chunk);
    }
    assert_int_equal(count_files(out, ".json"), 1);
    assert_int_equal(count_files(out, ""), plan.count + 1); /* nothing else is left */
    /* again: it exists */
    int64_t copied = s.copied;
    assert_int_equal(isobath_split_run(&o, &s, error, sizeof error), ISOBATH_ERR_EXISTS);
    free(all);
    ib_split_plan_free(&plan);
    free(path);
    free(out);
    remove_folder(folder);
    return copied;
}

static void chunks_hold_their_frames(void **state)
{
    (void)state;
    clip b = {.encoder = "mpeg4", .frames = 60, .b_frames = 2, .gop = 12},
         intra = {.encoder = "ffv1", .frames = 40, .pix_fmt = "yuv422p10le"};
    clip variable = {.encoder = "mpeg4", .frames = 40, .variable = 1},
         turned = {.encoder = "mpeg4", .frames = 30, .rotation = 90};
    assert_int_equal(split_and_compare(&b, "b.mp4", "ffv1", 24, 6), 0);
    split_and_compare(&b, "b.mp4", NULL, 24, 6);
    assert_int_equal(split_and_compare(&intra, "intra.mkv", NULL, 17, 5), 3); /* chunks begin at key frames */
    split_and_compare(&variable, "vfr.mkv", NULL, 16, 4);
    split_and_compare(&turned, "turned.mp4", "ffv1", 16, 4);
    split_and_compare(&turned, "turned.mp4", NULL, 16, 4);
    if (clip_have_encoder("libx264")) {
        clip x = {.encoder = "libx264", .frames = 50, .b_frames = 3, .gop = 10};
        split_and_compare(&x, "x.mp4", NULL, 20, 10);
        split_and_compare(&x, "x.mkv", "h264", 20, 7);
    }
}

static void refusals(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/x.mp4", folder), *out = ib_text("%s/out", folder);
    clip c = {.encoder = "mpeg4", .frames = 20, .b_frames = 2};
    assert_int_equal(clip_write(path, &c), 0);
    isobath_split_options o;
    isobath_split_summary s;
    char error[1024];
    static const struct {
        const char *input, *codec;
        int64_t chunks, overlap;
        isobath_status status;
        const char *says;
    } cases[] = {{"-", NULL, 2, 4, ISOBATH_ERR_USAGE, "pipe"},
                 {NULL, "vp9", 2, 4, ISOBATH_ERR_USAGE, "--codec vp9"},
                 {NULL, NULL, 0, 4, ISOBATH_ERR_USAGE, "--chunks"},
                 {NULL, NULL, 4, 10, ISOBATH_ERR_USAGE, "too few"},
                 {"none.mp4", NULL, 2, 4, ISOBATH_ERR_INPUT, "none.mp4"},
                 {NULL, "copy", 3, 5, ISOBATH_ERR_UNSUPPORTED, "cannot be copied exactly"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        isobath_split_options_init(&o);
        o.input = cases[i].input ? cases[i].input : path;
        o.output = out;
        o.codec = cases[i].codec;
        o.chunks = cases[i].chunks;
        o.overlap = cases[i].overlap;
        assert_int_equal(isobath_split_run(&o, &s, error, sizeof error), cases[i].status);
        if (!strstr(error, cases[i].says)) fail_msg("case %zu: %s", i, error);
        assert_int_equal(count_files(folder, ""),
                         access(out, F_OK) == 0 ? 2 : 1); /* the clip, and perhaps an empty folder */
    }
    free(path);
    free(out);
    remove_folder(folder);
}

static void plans_from_strangers(void **state)
{
    (void)state;
#define HEAD "{\"format\": \"isobath-split-1\", \"frames\": 30, \"overlap\": 4, \"chunks\": "
    static const struct {
        const char *text, *says; /* NULL: good */
    } cases[] = {{HEAD "[{\"first\": 0, \"frames\": 17}, {\"first\": 13, \"frames\": 17}]}", NULL},
                 {"# chunks\n0 a.npz\n 13\tb c.npz \n", NULL},
                 {HEAD "[{\"first\": 0, \"frames\": 12}, {\"first\": 13, \"frames\": 17}]}", "are in no chunk"},
                 {HEAD "[{\"first\": 0, \"frames\": 17}, {\"first\": 13, \"frames\": 16}]}", "end at frame 29"},
                 {HEAD "[{\"first\": 1, \"frames\": 29}]}", "begins at frame 1"},
                 {HEAD
                  "[{\"first\": 0, \"frames\": 20}, {\"first\": 10, \"frames\": 15}, {\"first\": 15, \"frames\": 15}]}",
                  "three chunks"},
                 {HEAD "[]}", "chunks"},
                 {HEAD "[{\"first\": 0, \"frames\": 30}], \"times_us\": [1, 2]}", "2 times"},
                 {HEAD "[{\"first\": 0, \"frames\": -3}]}", "chunk 0"},
                 {"{\"format\": \"isobath-split-2\"}", "isobath-split-2"},
                 {"0 a.npz\nx b.npz\n", "line 2"},
                 {"0\n", "line 1"},
                 {"\n\n", "no chunks"},
                 {"", "no chunks"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ib_diag diag = IB_DIAG_INIT;
        ib_split_plan plan;
        isobath_status st = ib_split_plan_parse(cases[i].text, strlen(cases[i].text), "plan", &diag, &plan);
        assert_int_equal(st, cases[i].says ? ISOBATH_ERR_INPUT : ISOBATH_OK);
        if (cases[i].says && !strstr(diag.text, cases[i].says)) fail_msg("case %zu: %s", i, diag.text);
        if (i == 1) {
            assert_int_equal(plan.count, 2);
            assert_string_equal(plan.chunks[1].depth, "b c.npz");
            assert_int_equal(plan.chunks[1].first, 13);
        }
        ib_split_plan_free(&plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges), cmocka_unit_test(chunks_hold_their_frames),
                                       cmocka_unit_test(refusals), cmocka_unit_test(plans_from_strangers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
