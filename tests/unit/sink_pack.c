/* Frames that are packed where they are rendered (ib_sink_format.pack) give the files of frames that are pushed with their depth: whatever order and
 * step they are packed in, on every instruction path. And which sets of formats pack. */
#include "sink_helper.h"

#include "backend/backend.h"
#include "pipeline/align.h"

#include <pthread.h>

enum { H = 131, W = 233, SMALL_H = 37, SMALL_W = 66, N = 20 };

typedef struct video {
    ib_backend *backend[2]; /* one a thread */
    const ib_sink_format *format;
    ib_sink *sink;
    ib_depth_frame *frame[N];
    isobath_status status;
    int first, end; /* that thread `1` packs */
    float *map[N];
    ib_diag diag;
} video;

/* Frame i, every third one in the middle of a cross-fade with the one before. */
static ib_plan_render how(int i) { return (ib_plan_render){.slot = 5, .fade = i % 3 == 1, .fade_slot = 27, .weight = 3 / 7.}; }
static ib_alignment alignment(int i) { return (ib_alignment){.scale = test_max(i) * 1.3f, .shift = -0.1f * test_max(i)}; }

static void open_backends(video *v, const char *isa)
{
    for (int i = 0; i < 2; i++) assert_int_equal(ib_cpu_open(&(ib_backend_options){.act = IB_F32, .isa = isa, .diag = &v->diag}, &v->backend[i]), ISOBATH_OK);
}

static void make_maps(video *v)
{
    for (int i = 0; i < N; i++) {
        v->map[i] = malloc(SMALL_H * SMALL_W * sizeof(float));
        for (int k = 0; k < SMALL_H * SMALL_W; k++) v->map[i][k] = 0.3f + 0.2f * sinf((float)k * 0.013f + (float)i) + 0.2f * noise(i, k, 0);
    }
}

static void render(const video *v, int i)
{
    ib_depth_frame *f = v->frame[i];
    ib_plan_render p = how(i);
    ib_alignment now = alignment(i), before = alignment(i ? i - 1 : 0);
    assert_int_equal(ib_align_render(v->backend[0], &p, v->map[i], &now, p.fade ? v->map[i - 1] : NULL, &before, SMALL_H, SMALL_W, f->depth, H, W, &f->min, &f->max), ISOBATH_OK);
}

static isobath_status pack(video *v, int i, int thread)
{
    ib_plan_render p = how(i);
    ib_alignment now = alignment(i), before = alignment(i ? i - 1 : 0);
    return ib_align_pack(v->backend[thread], &p, v->map[i], &now, p.fade ? v->map[i - 1] : NULL, &before, SMALL_H, SMALL_W, v->format, v->sink, thread,
                         v->frame[i]);
}

static void *pack_some(void *ctx)
{
    video *v = ctx;
    for (int i = v->end; i-- > v->first && v->status == ISOBATH_OK;) v->status = pack(v, i, 1);
    return NULL;
}

/* The whole video to a folder: with depth, or packed, frames [split, N) backwards beside the others. */
static json_t *write_video(video *v, ib_sink_config *config, int packed, int split)
{
    json_t *described;
    v->format = ib_sink_format_find("png16");
    assert_int_equal(v->format->open(config, &v->diag, &v->sink), ISOBATH_OK);
    ib_depth_frame_pool *pool;
    assert_int_equal(ib_depth_frame_pool_create(NULL, &pool), ISOBATH_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(ib_depth_frame_take(pool, W, H, !packed, 0, 0, 0, NULL, &v->frame[i]), ISOBATH_OK);
        v->frame[i]->index = i;
        v->frame[i]->pts_us = i * 33367;
        assert_true(packed ? !v->frame[i]->depth : v->frame[i]->depth != NULL);
        if (!packed) render(v, i);
    }
    if (packed) {
        pthread_t other;
        v->first = split;
        v->end = N;
        v->status = ISOBATH_OK;
        assert_int_equal(pthread_create(&other, NULL, pack_some, v), 0);
        for (int i = 0; i < split; i++) assert_int_equal(pack(v, i, 0), ISOBATH_OK);
        pthread_join(other, NULL);
        assert_int_equal(v->status, ISOBATH_OK);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(v->format->push(v->sink, v->frame[i]), ISOBATH_OK);
        ib_depth_frame_unref(v->frame[i]);
    }
    assert_int_equal(v->format->finish(v->sink), ISOBATH_OK);
    assert_non_null(described = v->format->describe(v->sink));
    v->format->close(v->sink);
    ib_depth_frame_pool_close(pool);
    return described;
}

static void compare(video *v, ib_sink_config config)
{
    char *with_depth = scratch_folder();
    config.folder = with_depth;
    json_t *want = write_video(v, &config, 0, 0);
    for (int split = 0; split <= N; split += N / 4) {
        char *packed = scratch_folder();
        config.folder = packed;
        json_t *got = write_video(v, &config, 1, split);
        assert_true(json_equal(got, want));
        json_decref(got);
        for (int i = 0; i <= N; i++) {
            char name[32];
            snprintf(name, sizeof name, i < N ? "frame_%05d.png" : "depth.json", i);
            char *a = ib_text("%s/clip_depths_png16/%s", with_depth, name), *b = ib_text("%s/clip_depths_png16/%s", packed, name);
            assert_same_file(a, b);
            free(a);
            free(b);
        }
        assert_int_equal(count_files(packed, ".tmp"), 0);
        remove_folder(packed);
    }
    json_decref(want);
    remove_folder(with_depth);
}

static void packed_frames_are_the_same_files(void **state)
{
    (void)state;
    static const char *const paths[] = {"sse4", "avx2", "avx512"};
    for (int p = 0; p < 3; p++) {
        video v = {.diag = IB_DIAG_INIT};
        ib_backend *there;
        if (ib_cpu_open(&(ib_backend_options){.act = IB_F32, .isa = paths[p], .diag = &v.diag}, &there) != ISOBATH_OK) continue;
        ib_backend_close(there);
        ib_diag_reset(&v.diag);
        open_backends(&v, paths[p]);
        make_maps(&v);
        ib_sink_config config = test_config(NULL, W, H);
        compare(&v, config);
        config.range_max = 60; /* fixed: the largest values are clamped */
        compare(&v, config);
        config.kind = IB_DEPTH_METRIC;
        compare(&v, config);
        config.range_max = 0;
        compare(&v, config);
        for (int i = 0; i < N; i++) free(v.map[i]);
        for (int i = 0; i < 2; i++) ib_backend_close(v.backend[i]);
        ib_diag_destroy(&v.diag);
    }
}

/* A NaN and an infinity, each in a first and in a last row: refused with one line, not packed, whatever the kind. */
static void impossible_depth_is_refused(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++) {
        video v = {.diag = IB_DIAG_INIT, .format = ib_sink_format_find("png16")};
        char *folder = scratch_folder();
        ib_sink_config config = test_config(folder, W, H);
        if (k & 1) config.kind = IB_DEPTH_METRIC;
        open_backends(&v, NULL);
        make_maps(&v);
        v.map[0][k & 2 ? SMALL_H * SMALL_W - 1 : 3] = k & 4 ? NAN : INFINITY;
        assert_int_equal(v.format->open(&config, &v.diag, &v.sink), ISOBATH_OK);
        assert_int_equal(ib_depth_frame_create(W, H, 0, 0, 0, NULL, &v.frame[0]), ISOBATH_OK);
        assert_int_equal(pack(&v, 0, 0), ISOBATH_ERR_INTERNAL);
        assert_non_null(strstr(v.diag.text, "frame 0 holds a depth that is negative, not finite or above its stated maximum"));
        ib_depth_frame_unref(v.frame[0]);
        v.format->close(v.sink);
        for (int i = 0; i < N; i++) free(v.map[i]);
        for (int i = 0; i < 2; i++) ib_backend_close(v.backend[i]);
        remove_folder(folder);
        ib_diag_destroy(&v.diag);
    }
}

/* Packs: png16 alone, or with formats that read its frames or none. */
static void who_packs(void **state)
{
    (void)state;
    static const struct {
        const char *format[3];
        int packs, packs_alone; /* with and without png16 in the run */
    } sets[] = {{{"png16"}, 0, 0}, {{"png16", "preview"}, 0, -1}, {{"preview", "png16", "ffv1"}, 1, -1}, {{"png16", "exr"}, -1, -1}, {{"npz", "png16"}, -1, -1},
                {{"png16", "src"}, 0, 0}, {{"preview"}, -1, -1}, {{"exr"}, -1, -1}, {{"png16", "none"}, -1, -1}, {{"ply", "png16"}, -1, -1}};
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const ib_sink_format *formats[3];
        ib_sink *sinks[3], *some = (ib_sink *)(void *)&sets;
        int count = 0;
        for (; count < 3 && sets[s].format[count]; count++) {
            assert_non_null(formats[count] = ib_sink_format_find(sets[s].format[count]));
            sinks[count] = some;
        }
        ib_sink_config config = test_config(NULL, W, H);
        assert_int_equal(ib_sink_packs(&config, formats, sinks, count, 2), sets[s].packs_alone);
        config.png16_present = 1;
        assert_int_equal(ib_sink_packs(&config, formats, sinks, count, 2), sets[s].packs);
        assert_int_equal(ib_sink_packs(&config, formats, sinks, count, 3), -1); /* more threads than the sink has */
        for (int i = 0; i < count; i++)
            if (formats[i]->pack) sinks[i] = NULL;
        assert_int_equal(ib_sink_packs(&config, formats, sinks, count, 2), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(packed_frames_are_the_same_files), cmocka_unit_test(impossible_depth_is_refused), cmocka_unit_test(who_packs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
