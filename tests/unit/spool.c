/* Spool files: which maps are kept, that no bit is lost, and that every damage is seen. */
#include "pipeline/cluster/spool.h"

#include "support/clips.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every map that the rendering multiplies by something, and that the chain reads, is kept, and no other. */
static void kept_maps_are_those_that_are_read(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 200; n++)
        for (int all = 0; all < 2; all++) {
            int64_t windows = ib_plan_windows(n);
            uint32_t read[16] = {0};
            for (int64_t k = 0; k < windows; k++) {
                if (k > 0) read[k] |= 3; /* the fit: slots 0 and 1 */
                else read[0] |= 1;
                if (k < windows - 1) read[k] |= 1u << 12; /* for the next one */
            }
            for (int64_t i = 0; i < n; i++) {
                ib_plan_render how = ib_plan_frame(i, n);
                if (!how.fade || how.weight != 0 || all) read[how.window] |= 1u << how.slot;
                if (how.fade && (how.weight != 1 || all)) read[how.window - 1] |= 1u << how.fade_slot;
            }
            for (int64_t k = 0; k < windows; k++)
                if (ib_spool_slots(k, n, 1, 0, all) != read[k])
                    fail_msg("%lld frames, window %lld: %08x kept, %08x read", (long long)n, (long long)k, ib_spool_slots(k, n, 1, 0, all), read[k]);
        }
    /* without a chain slots 0 and 1 of later windows have no reader; without windows only new frames */
    assert_int_equal(ib_spool_slots(1, 1000, 1, 1, 0), 0x7ffffff8);
    assert_int_equal(ib_spool_slots(1, 1000, 1, 0, 0), 0x7ffffffb);
    assert_int_equal(ib_spool_slots(1, 1000, 0, 0, 0), 0xfffffc00);
    assert_int_equal(ib_spool_slots(1, 34, 0, 0, 0), 0x00000c00);
}

static uint32_t seed = 1;
static uint32_t noise(void) { return seed = seed * 1664525u + 1013904223u; }

/* Maps of several characters: smooth, noise over all bit patterns (NaN, infinities, denormal, negative), constant, zero; from 4 on noise
 * in the lowest 0, 1 ... 32 bits, so that tiles of every width occur; the last one noise here and there, so that tiles of no bits stand among others. */
enum { CHARACTERS = 4 + 33 + 1 };
static void fill(float *map, int width, int height, int what)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            float v = 2 + sinf((float)x * 0.05f) * cosf((float)y * 0.07f) + (float)(noise() >> 8) * 1e-9f;
            uint32_t bits = noise() ^ noise() >> 16;
            if (what == 1) memcpy(&v, &bits, sizeof v);
            if (what == 2) v = 1.5f;
            if (what == 3) v = 0;
            if (what == CHARACTERS - 1) v = noise() >> 24 ? 1.5f : v;
            else if (what > 3) {
                bits = what == 4 ? 0 : bits >> (36 - what);
                memcpy(&v, &bits, sizeof v);
            }
            map[(size_t)y * (size_t)width + (size_t)x] = v;
        }
}

/* By plain code and by each vector path: the same bytes, the same maps. */
static void packing_loses_no_bit(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 37}, {37, 1}, {3, 5}, {4, 4}, {14, 14}, {16, 9}, {126, 70}, {259, 131}, {260, 132}};
    enum { PATHS = 3 };
    ib_spool_packer *p[PATHS];
    for (int i = 0; i < PATHS; i++) assert_non_null(p[i] = ib_spool_packer_create(i));
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int what = 0; what < CHARACTERS; what++) {
            int w = sizes[s][0], h = sizes[s][1];
            size_t n = (size_t)w * (size_t)h, bound = ib_spool_bound(w, h), tiles = (size_t)((w + 3) / 4) * (size_t)((h + 3) / 4);
            float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
            uint8_t *packed = malloc(bound), *again = malloc(bound);
            fill(a, w, h, what);
            size_t size = ib_spool_pack(p[0], a, w, h, packed);
            assert_true(size > 0 && size <= bound);
            if (what == 0 && n > 1000) assert_true(size < n * 3); /* smooth maps shrink */
            if (what == 3) assert_int_equal(size, tiles);
            uint8_t *alone = malloc(size); /* whoever reads beyond it is caught */
            memcpy(alone, packed, size);
            for (int i = 0; i < PATHS; i++) {
                memset(again, 0xa5, bound);
                assert_int_equal(ib_spool_pack(p[i], a, w, h, again), size);
                assert_memory_equal(again, packed, size);
                memset(b, 0xa5, n * sizeof *b);
                assert_true(ib_spool_unpack(p[i], alone, size, w, h, b));
                assert_memory_equal(a, b, n * sizeof *a);
                for (size_t cut = 0; cut < 40 && cut < size; cut++) assert_false(ib_spool_unpack(p[i], alone, size - 1 - cut, w, h, b));
            }
            for (int width = 0; width < 256; width++) { /* of the last tile: no other can be */
                if (width == packed[tiles - 1]) continue;
                alone[tiles - 1] = (uint8_t)width;
                assert_false(ib_spool_unpack(p[0], alone, size, w, h, b));
            }
            free(alone);
            free(a);
            free(b);
            free(packed);
            free(again);
        }
    for (int i = 0; i < PATHS; i++) ib_spool_packer_destroy(p[i]);
}

enum { W = 28, H = 14, WINDOWS = 3 };

static void write_spool(const char *path, float *raw)
{
    ib_spool_head head = {.segment = 4, .first = 7, .count = WINDOWS, .width = W, .height = H, .kind = "cpu test f32", .decoder = "none"};
    memset(head.plan, 'a', 64);
    ib_spool_writer *w;
    int64_t bytes;
    assert_int_equal(ib_spool_create(path, &head, NULL, &w), ISOBATH_OK);
    for (int i = 0; i < WINDOWS; i++) {
        ib_spool_window about = {i == 1, i * 5};
        for (int slot = 0; slot < 32; slot++) fill(raw + ((size_t)i * 32 + (size_t)slot) * W * H, W, H, slot % 4 == 1 ? 0 : slot % 4);
        assert_int_equal(ib_spool_write(w, &about, ib_spool_slots(i, 66, 1, 0, 0), raw + (size_t)i * 32 * W * H), ISOBATH_OK);
    }
    assert_int_equal(ib_spool_commit(w, &bytes), ISOBATH_OK);
    assert_true(bytes > 1000);
}

static void what_is_written_is_read(void **state)
{
    char path[512];
    snprintf(path, sizeof path, "%s/a.raw", (char *)*state);
    float *raw = malloc(sizeof(float) * WINDOWS * 32 * W * H), map[W * H];
    write_spool(path, raw);
    ib_spool *s;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_spool_open(path, &diag, &s), ISOBATH_OK);
    const ib_spool_head *h = ib_spool_get_head(s);
    assert_true(h->segment == 4 && h->first == 7 && h->count == WINDOWS && h->width == W && h->height == H);
    assert_string_equal(h->kind, "cpu test f32");
    assert_int_equal(ib_spool_get_window(s, 8).redone, 1);
    assert_int_equal(ib_spool_get_window(s, 9).nonfinite, 10);
    for (int i = WINDOWS - 1; i >= 0; i--)
        for (int slot = 0; slot < 32; slot++) {
            if (!(ib_spool_slots(i, 66, 1, 0, 0) >> slot & 1)) continue;
            const float *want = raw + ((size_t)i * 32 + (size_t)slot) * W * H;
            float top = 0;
            assert_int_equal(ib_spool_read(s, 7 + i, slot, map), ISOBATH_OK);
            assert_memory_equal(map, want, sizeof map);
            for (int k = 0; k < W * H; k++) top = want[k] > top ? want[k] : top;
            assert_true(ib_spool_get_max(s, 7 + i, slot) == top);
        }
    assert_int_equal(ib_spool_verify(s), ISOBATH_OK);
    assert_int_equal(ib_spool_read(s, 8, 2, map), ISOBATH_ERR_INPUT); /* was not kept: weight 0 */
    assert_non_null(strstr(diag.text, "map 2 of window 8 is not in it"));
    ib_spool_close(s);
    free(raw);
}

/* A byte changed anywhere, or the file cut anywhere: seen, with one line. */
static void every_damage_is_seen(void **state)
{
    char path[512], broken[512];
    snprintf(path, sizeof path, "%s/b.raw", (char *)*state);
    snprintf(broken, sizeof broken, "%s/broken.raw", (char *)*state);
    float *raw = malloc(sizeof(float) * WINDOWS * 32 * W * H);
    write_spool(path, raw);
    free(raw);
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    uint8_t *data = malloc(size);
    rewind(f);
    assert_int_equal(fread(data, 1, size, f), size);
    fclose(f);
    for (int round = 0; round < 600; round++) {
        size_t at = round < 330 ? (size_t)round : noise() % size, keep = size;
        uint8_t was = data[at];
        if (round % 3 == 2) keep = at; /* cut */
        else data[at] ^= (uint8_t)(1u << noise() % 8);
        f = fopen(broken, "wb");
        assert_int_equal(fwrite(data, 1, keep, f), keep);
        fclose(f);
        data[at] = was;
        ib_spool *s;
        ib_diag diag = IB_DIAG_INIT;
        isobath_status st = ib_spool_open(broken, &diag, &s);
        if (st == ISOBATH_OK) st = ib_spool_verify(s);
        if (st != ISOBATH_ERR_INPUT || !strstr(diag.text, "broken.raw: damaged spool file: "))
            fail_msg("byte %zu of %zu%s: %d \"%s\"", at, size, keep < size ? " and what follows cut" : "", st, diag.text);
        ib_spool_close(s);
    }
    free(data);
}

static int setup(void **state)
{
    static char dir[256];
    *state = dir;
    return clip_make_dir(dir, sizeof dir);
}

static int teardown(void **state)
{
    clip_remove_dir(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kept_maps_are_those_that_are_read), cmocka_unit_test(packing_loses_no_bit),
                                       cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(every_damage_is_seen)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
