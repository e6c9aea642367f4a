/* Jumping to a frame whose time an earlier reading gave: the frames are those of that reading, from there on, whatever the stream. And
 * the times that packets alone give. */
#include "media/index.h"
#include "media/media.h"
#include "media_helper.h"

#define FRAMES 260

typedef struct reading {
    int64_t count, times[FRAMES + 1];
    uint64_t hash[FRAMES + 1]; /* of the pictures */
} reading;

static const clip kinds[] = {
    {.encoder = "mpeg4", .gop = 30, .b_frames = 2},
    {.encoder = "mpeg4", .gop = 25, .variable = 1},
    {.encoder = "ffv1", .gop = 1},
    {.encoder = "mpeg2video", .gop = 15, .b_frames = 2},
    {.encoder = "libx264", .gop = 40, .b_frames = 3, .options = "preset=ultrafast"},
    {.encoder = "libx264", .gop = 12, .b_frames = 2, .options = "preset=ultrafast"},
    {.encoder = "libx264", .gop = 40, .b_frames = 3, .options = "preset=ultrafast:x264-params=open-gop=1"},
    {.encoder = "libx264", .gop = 500, .options = "preset=ultrafast:x264-params=intra-refresh=1"},
    {.encoder = "libx265", .gop = 50, .options = "preset=ultrafast:x265-params=log-level=none"},
    {.encoder = "libx265", .gop = 24, .b_frames = 3, .options = "preset=ultrafast:x265-params='open-gop=1:bframes=3:log-level=none'"},
    {.encoder = "libx264", .gop = 30, .b_frames = 3, .options = "preset=ultrafast:x264-params='open-gop=1:b-pyramid=2:ref=4'"},
    {.encoder = "libx265", .gop = 20, .b_frames = 2, .options = "preset=ultrafast:x265-params='open-gop=0:bframes=2:log-level=none'"},
};

static ib_media *open_clip(const char *path, const ib_media_options *o)
{
    ib_media *m;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_media_open(path, o, &diag, &m) != ISOBATH_OK) fail_msg("%s", diag.text);
    return m;
}

static int next(ib_media *m, int64_t *time, uint64_t *hash, int64_t *index)
{
    static uint8_t rgb[64 * 48 * 3];
    ib_media_frame f;
    int got;
    assert_int_equal(ib_media_read(m, rgb, &f, &got), ISOBATH_OK);
    if (!got) return 0;
    *hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof rgb; i++) *hash = (*hash ^ rgb[i]) * 0x100000001b3u;
    *time = f.pts_us;
    *index = f.index;
    return 1;
}

static void read_all(const char *path, const ib_media_options *o, reading *r)
{
    ib_media *m = open_clip(path, o);
    int64_t index;
    r->count = 0;
    while (r->count <= FRAMES && next(m, &r->times[r->count], &r->hash[r->count], &index)) assert_int_equal(index, r->count++);
    ib_media_close(m);
}

/* To every 13th frame, some after frame 0 was read, as a segment's task does; then on to the end. */
static void jumps_of(const char *path, const ib_media_options *o)
{
    reading all;
    read_all(path, o, &all);
    assert_true(all.count > 10);
    for (int64_t to = 1; to < all.count; to += 13) {
        ib_media *m = open_clip(path, o);
        int64_t time, index;
        uint64_t hash;
        if (to % 2) assert_int_equal(next(m, &time, &hash, &index), 1);
        assert_int_equal(ib_media_jump(m, to, all.times[to]), ISOBATH_OK);
        for (int64_t i = to; i < all.count; i++) {
            if (!next(m, &time, &hash, &index)) fail_msg("%s: ends at %lld", path, (long long)i);
            if (index != i || time != all.times[i] || hash != all.hash[i])
                fail_msg("%s: to %lld: frame %lld is %lld at %lld us, expected %lld us", path, (long long)to, (long long)i, (long long)index,
                         (long long)time, (long long)all.times[i]);
        }
        assert_int_equal(next(m, &time, &hash, &index), 0);
        ib_media_close(m);
    }
    /* a time that the stream does not have: by decoding, then */
    ib_media *m = open_clip(path, o);
    int64_t time, index;
    uint64_t hash;
    assert_int_equal(ib_media_jump(m, 9, all.times[9] + 1), ISOBATH_OK);
    assert_int_equal(next(m, &time, &hash, &index), 1);
    assert_true(index == 9 && time == all.times[9] && hash == all.hash[9]);
    ib_media_close(m);
}

/* Every entry of the index of what is kept; their number. */
static int64_t read_index(const char *path, const ib_media_options *o, ib_media_entry entries[FRAMES + 1])
{
    ib_media_index *x;
    ib_diag diag = IB_DIAG_INIT;
    int64_t n = 0;
    int got = 1;
    ib_media *m = open_clip(path, o);
    int stride = ib_media_get_info(m)->stride;
    ib_media_close(m);
    if (ib_media_index_open(path, o, stride, &diag, &x) != ISOBATH_OK) fail_msg("%s", diag.text);
    for (; n <= FRAMES && got; n += got)
        if (ib_media_index_next(x, &entries[n], &got) != ISOBATH_OK) fail_msg("%s", diag.text);
    ib_media_index_close(x);
    return n;
}

/* From the key frame that the index names: it always arrives, after no more frames than the index says. */
static void jumps_from_keys(const char *path, const ib_media_options *o)
{
    static ib_media_entry entries[FRAMES + 1];
    reading all;
    int64_t time, index;
    uint64_t hash;
    int arrived;
    read_all(path, o, &all);
    int64_t n = read_index(path, o, entries);
    assert_int_equal(n, all.count);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(entries[i].pts_us, all.times[i]);
        assert_true(entries[i].lead >= 0 && entries[i].key_us <= entries[i].pts_us && (entries[i].lead == 0) == (entries[i].key_us == entries[i].pts_us));
    }
    for (int64_t to = 1; to < n; to += 23) {
        ib_media *m = open_clip(path, o);
        assert_int_equal(ib_media_jump_from(m, to, entries[to].pts_us, entries[to].key_us, &arrived), ISOBATH_OK);
        if (!arrived) fail_msg("%s: not at frame %lld", path, (long long)to);
        for (int64_t i = to; i < to + 40 && i < n; i++) {
            if (!next(m, &time, &hash, &index)) fail_msg("%s: ends at %lld", path, (long long)i);
            if (index != i || time != all.times[i] || hash != all.hash[i]) fail_msg("%s: from a key frame to %lld: frame %lld differs", path, (long long)to, (long long)i);
        }
        ib_media_close(m);
    }
}

/* One reading that jumps on and on, as a worker's does that leaves every second segment to another: a decoder in the middle of its work, with
 * pictures that nobody wants any more. */
static void jumps_on_and_on(const char *path, const ib_media_options *o)
{
    static ib_media_entry entries[FRAMES + 1];
    static const int ahead[] = {9, 41, 12, 27, 64, 3, 18};
    reading all;
    int64_t time, index;
    uint64_t hash;
    int arrived;
    read_all(path, o, &all);
    ib_media *m = open_clip(path, o);
    int64_t n = read_index(path, o, entries);
    for (int64_t to = 0, jump = 0; to < n; to += 5 + ahead[jump++ % 7]) {
        if (to && ib_media_jump_from(m, to, entries[to].pts_us, entries[to].key_us, &arrived) != ISOBATH_OK) fail_msg("%s: jump to %lld", path, (long long)to);
        if (to && !arrived) fail_msg("%s: not at frame %lld", path, (long long)to);
        for (int64_t i = to; i < to + 5 && i < n; i++) {
            if (!next(m, &time, &hash, &index)) fail_msg("%s: ends at %lld", path, (long long)i);
            if (index != i || time != all.times[i] || hash != all.hash[i])
                fail_msg("%s: on to %lld: frame %lld is %lld at %lld us, expected %lld us", path, (long long)to, (long long)i, (long long)index,
                         (long long)time, (long long)all.times[i]);
        }
    }
    ib_media_close(m);
}

static void packets_of(const char *path, const ib_media_options *o)
{
    reading all;
    int64_t *times, count;
    ib_diag diag = IB_DIAG_INIT;
    read_all(path, o, &all);
    ib_media *m = open_clip(path, o);
    int stride = ib_media_get_info(m)->stride;
    ib_media_close(m);
    if (ib_media_packet_times(path, o, stride, &diag, &times, &count) != ISOBATH_OK) fail_msg("%s", diag.text);
    assert_int_equal(count, all.count);
    assert_memory_equal(times, all.times, (size_t)count * sizeof *times);
    free(times);
}

static void every_stream(void **state)
{
    (void)state;
    static const ib_media_options options[] = {{.threads = 1}, {.threads = 3, .target_fps = 9}, {.threads = 2, .start_frame = 31, .end_frame = 200},
                                               {.threads = 2, .start_s = 1.5, .end_s = 6, .max_frames = 77}};
    static const char *const extensions[] = {"mkv", "mp4"};
    int made = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int e = 0; e < 2; e++) {
            clip c = kinds[k];
            char path[128];
            c.frames = FRAMES;
            if (!clip_have_encoder(c.encoder) || (e && (strcmp(c.encoder, "ffv1") == 0 || c.variable))) continue;
            snprintf(path, sizeof path, "%s/%zu.%s", dir, k, extensions[e]);
            assert_int_equal(clip_write(path, &c), 0);
            for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
                if (e == 0 || o == 0) jumps_of(path, &options[o]);
                packets_of(path, &options[o]);
                if (e == 0 || o == 0) jumps_from_keys(path, &options[o]);
                jumps_on_and_on(path, &options[o]);
            }
            made++;
        }
    print_message("%d streams\n", made);
    assert_true(made >= 6);
}

static void images_too(void **state)
{
    (void)state;
    char path[160];
    clip c = {.pix_fmt = "rgb24"};
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "%s/f%03d.png", dir, i);
        assert_int_equal(clip_write_image(path, &c, i), 0);
    }
    ib_media_options o = {.threads = 1};
    snprintf(path, sizeof path, "%s/f%%03d.png", dir);
    jumps_of(path, &o);
    packets_of(path, &o);
    jumps_from_keys(path, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_stream), cmocka_unit_test(images_too)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
