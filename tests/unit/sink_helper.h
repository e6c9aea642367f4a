/* What the sink tests share: a scratch folder, made-up depth, running a sink, comparing files. */
#ifndef TEST_SINK_HELPER_H
#define TEST_SINK_HELPER_H

#include "sink/file.h"
#include "sink/sink.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A fresh folder below TMPDIR or /tmp; the caller frees the string and removes the folder. */
static inline char *scratch_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = ib_text("%s/isobath_sink_XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline int remove_entry(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb, (void)flag, (void)ftw;
    return remove(path);
}

static inline void remove_folder(char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* A hash of its arguments in [0, 1): smooth enough noise is not needed here. */
static inline float noise(int64_t frame, int x, int y)
{
    uint64_t h = (uint64_t)frame * 0x9e3779b97f4a7c15ull + (uint64_t)x * 0xbf58476d1ce4e5b9ull +
                 (uint64_t)y * 0x94d049bb133111ebull;
    h ^= h >> 31;
    h *= 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    return (float)(h >> 40) / 16777216.0f;
}

/* Frame i: a slope plus a little noise, with the given largest value reached exactly. */
static inline ib_depth_frame *make_frame(int64_t i, int width, int height, float max)
{
    ib_depth_frame *f;
    assert_int_equal(ib_depth_frame_create(width, height, 0, 0, 0, NULL, &f), ISOBATH_OK);
    f->index = i;
    f->pts_us = i * 33367 + (i % 3) * 100;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            f->depth[y * width + x] =
                max * (0.1f + 0.7f * (float)(x + y) / (float)(width + height) + 0.1f * noise(i, x, y));
    f->depth[0] = max;
    f->min = f->max = max;
    for (int k = 0; k < width * height; k++)
        if (f->depth[k] < f->min) f->min = f->depth[k];
    return f;
}

/* The largest value of frame i of the test video: doubles the step several times, goes down in between. */
static inline float test_max(int64_t i)
{
    static const float steps[] = {0.7f, 1.9f, 1.0f, 4.0f, 3.9f, 70.0f, 0.01f, 64.0f};
    return steps[i % 8] * (i >= 8 ? 1.5f : 1.0f);
}

static inline ib_sink_config test_config(const char *folder, int width, int height)
{
    return (ib_sink_config){.folder = folder,
                            .name = "clip",
                            .width = width,
                            .height = height,
                            .fps = 29.97,
                            .frames_hint = -1,
                            .npz_level = -1,
                            .threads = 2};
}

/* Opens, pushes `frames` frames of the test video with pauses that depend on `hurry`, finishes. */
static inline isobath_status run_sink(const char *name, const ib_sink_config *config, int frames, int hurry,
                                      ib_diag *diag, json_t **described)
{
    const ib_sink_format *format = ib_sink_format_find(name);
    assert_non_null(format);
    ib_sink *sink;
    isobath_status st = format->open(config, diag, &sink);
    if (st != ISOBATH_OK) return st;
    for (int i = 0; i < frames && st == ISOBATH_OK; i++) {
        ib_depth_frame *f = make_frame(i, config->width, config->height, test_max(i));
        st = format->push(sink, f);
        ib_depth_frame_unref(f);
        if (hurry == 0) usleep(2000);
        if (hurry == 1 && i % 3 == 0) usleep(5000);
    }
    if (st == ISOBATH_OK) st = format->finish(sink);
    if (st == ISOBATH_OK && described) {
        *described = format->describe(sink);
        assert_non_null(*described);
    }
    format->close(sink);
    return st;
}

static inline void assert_same_file(const char *a, const char *b)
{
    uint8_t *da, *db;
    size_t na, nb;
    assert_int_equal(ib_read_file(a, (size_t)1 << 30, NULL, &da, &na), ISOBATH_OK);
    assert_int_equal(ib_read_file(b, (size_t)1 << 30, NULL, &db, &nb), ISOBATH_OK);
    assert_int_equal(na, nb);
    assert_memory_equal(da, db, na);
    free(da);
    free(db);
}

/* Number of directory entries (without . and ..) whose name ends with `suffix`, anywhere below. */
static int counted_entries;
static const char *counted_suffix;
static inline int count_entry(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb, (void)flag;
    size_t n = strlen(path), m = strlen(counted_suffix);
    if (ftw->level > 0 && n >= m && strcmp(path + n - m, counted_suffix) == 0) counted_entries++;
    return 0;
}
static inline int count_files(const char *folder, const char *suffix)
{
    counted_entries = 0;
    counted_suffix = suffix;
    nftw(folder, count_entry, 16, FTW_PHYS);
    return counted_entries;
}

#endif
