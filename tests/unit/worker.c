/* The worker: a range of windows has the bytes that a run of everything gives it, wherever it begins and ends. */
#include "base/hash.h"
#include "pipeline/setup.h"
#include "pipeline/worker.h"
#include "support/clips.h"
#include "support/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_WINDOWS 16

static char dir[256];

typedef struct result {
    int count;
    int64_t shot[MAX_WINDOWS], shot_first[MAX_WINDOWS], k[MAX_WINDOWS], total[MAX_WINDOWS], pts_us[MAX_WINDOWS][IB_PLAN_WINDOW];
    char digest[MAX_WINDOWS][65];
    char error[IB_DIAG_TEXT];
} result;

/* Runs `range` of a 64x48 clip of n frames with cuts at cut_list. */
static isobath_status run(int n, const int64_t *cut_list, int cut_count, ib_range range, result *out)
{
    char path[512], model[512];
    memset(out, 0, sizeof *out);
    snprintf(model, sizeof model, "%s/tiny.safetensors", dir);
    snprintf(path, sizeof path, "%s/%d.mkv", dir, n);
    isobath_run_options o;
    isobath_run_options_init(&o);
    o.input = path;
    o.output = dir;
    o.model = model;
    o.input_size = 28;
    o.devices = "cpu";
    ib_diag diag = IB_DIAG_INIT;
    ib_setup s;
    if (ib_setup_init(&s, &o, &diag) != ISOBATH_OK) fail_msg("%s", diag.text);
    ib_backend *backend;
    ib_vda *vda;
    ib_source *source;
    ib_window_stream *stream;
    assert_int_equal(ib_setup_open_network(&s, IB_F32, NULL, &diag, &backend, &vda, NULL), ISOBATH_OK);
    ib_source_cuts cuts = {.list = cut_list, .count = cut_count};
    assert_int_equal(ib_source_start(s.media, 1 << 20, &cuts, NULL, &diag, &source), ISOBATH_OK);
    ib_worker_options w = {.source = source, .vda = vda, .backend = backend, .shape = &s.shape, .memory = &s.memory, .range = range,
                           .diag = &diag};
    assert_int_equal(ib_worker_start(&w, &stream), ISOBATH_OK);
    for (ib_window *win; (win = ib_windows_next(stream));) {
        int i = out->count++;
        assert_true(i < MAX_WINDOWS);
        out->shot[i] = win->shot;
        out->shot_first[i] = win->shot_first;
        out->k[i] = win->k;
        out->total[i] = win->frames_total;
        memcpy(out->pts_us[i], win->pts_us, sizeof win->pts_us);
        ib_sha256 *hash = ib_sha256_create();
        ib_sha256_update(hash, win->raw, 32 * sizeof(float) * (size_t)s.shape.height * (size_t)s.shape.width);
        ib_sha256_finish(hash, out->digest[i]);
        ib_window_free(win);
    }
    isobath_status st = ib_diag_status(&diag);
    snprintf(out->error, sizeof out->error, "%s", diag.text);
    ib_windows_destroy(stream);
    ib_source_destroy(source);
    ib_vda_destroy(vda);
    ib_backend_close(backend);
    ib_setup_free(&s);
    return st;
}

static void expect_same(const result *all, int first, const result *part)
{
    for (int i = 0; i < part->count; i++) {
        int j = first + i;
        assert_true(part->shot[i] == all->shot[j] && part->shot_first[i] == all->shot_first[j] && part->k[i] == all->k[j]);
        assert_int_equal(part->total[i], all->total[j]);
        /* slots 0..9 are new only in window 0 */
        assert_memory_equal(part->pts_us[i], all->pts_us[j], sizeof part->pts_us[i]);
        if (strcmp(part->digest[i], all->digest[j])) fail_msg("window %d of the range differs from window %d of all", i, j);
    }
}

/* Ends of a shot that leave 1 to 10 real frames for slots 0..9 of its last window, and every range of it. */
static void a_range_has_the_bytes_of_the_whole(void **state)
{
    (void)state;
    static const int lengths[] = {23, 25, 45, 53, 54, 66, 67, 110};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int n = lengths[l], windows = (n + 21) / 22;
        char path[512];
        clip c = {.encoder = "mpeg4", .frames = n, .width = 64, .height = 48};
        snprintf(path, sizeof path, "%s/%d.mkv", dir, n);
        assert_int_equal(clip_write(path, &c), 0);
        result all, part;
        if (run(n, NULL, 0, IB_RANGE_ALL, &all) != ISOBATH_OK) fail_msg("%s", all.error);
        assert_int_equal(all.count, windows);
        for (int k = 0; k < windows; k++) {
            if (run(n, NULL, 0, (ib_range){0, 0, k, -1}, &part) != ISOBATH_OK) fail_msg("%d from %d: %s", n, k, part.error);
            assert_int_equal(part.count, windows - k);
            expect_same(&all, k, &part);
        }
        assert_int_equal(run(n, NULL, 0, (ib_range){0, 0, windows / 2, windows / 2 + 1}, &part), ISOBATH_OK);
        assert_int_equal(part.count, 1);
        expect_same(&all, windows / 2, &part);
        assert_int_equal(run(n, NULL, 0, (ib_range){0, 0, windows, -1}, &part), ISOBATH_ERR_INPUT);
        assert_non_null(strstr(part.error, "it is not the video that was planned"));
    }
}

static void a_range_may_begin_in_any_shot(void **state)
{
    (void)state;
    const int n = 110;
    static const int64_t cuts[] = {30, 31, 90}; /* shots of 30, 1, 59, 20 frames: 2, 1, 3, 1 windows */
    result all, part;
    if (run(n, cuts, 3, IB_RANGE_ALL, &all) != ISOBATH_OK) fail_msg("%s", all.error);
    assert_int_equal(all.count, 7);
    for (int i = 0; i < all.count; i++) {
        if (run(n, cuts, 3, (ib_range){all.shot[i], all.shot_first[i], all.k[i], -1}, &part) != ISOBATH_OK) fail_msg("%s", part.error);
        assert_int_equal(part.count, all.count - i);
        expect_same(&all, i, &part);
    }
    assert_int_equal(run(n, cuts, 3, (ib_range){2, 31, 1, 3}, &part), ISOBATH_OK);
    assert_int_equal(part.count, 2);
    expect_same(&all, 4, &part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_range_has_the_bytes_of_the_whole),
                                       cmocka_unit_test(a_range_may_begin_in_any_shot)};
    char model[512];
    if (clip_make_dir(dir, sizeof dir) != 0) return 1;
    snprintf(model, sizeof model, "%s/tiny.safetensors", dir);
    int bad = synth_checkpoint_write("tiny", 1, model) != 0 || cmocka_run_group_tests(tests, NULL, NULL);
    clip_remove_dir(dir);
    return bad;
}
