/* The comparison with expected values itself: it must see a single wrong, missing or non-finite value, whatever the
 * order of axes. The actual values are built from the samples, so only the machinery is tested here. */
#include "support/expect.h"

#include "weights/checkpoint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CASE "tiny_2_20_90_160_98"

/* A full array (the file's order) whose sampled elements are the expected ones, and its number of elements. */
static float *expand(const expect_case *c, const char *key, int64_t *total)
{
    int64_t dim[8];
    char name[96];
    int rank = expect_shape(c, key, dim);
    assert_true(rank > 0);
    *total = 1;
    for (int i = 0; i < rank; i++) *total *= dim[i];
    snprintf(name, sizeof name, "stride.%s", key);
    int64_t stride = atoll(ib_checkpoint_metadata(c->file, name));
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c->file, key);
    float *samples = malloc((size_t)t->count * 4), *full = calloc((size_t)*total, 4);
    assert_true(samples && full);
    ib_checkpoint_read_f32(t, samples);
    for (int64_t j = 0; j < t->count; j++) full[j * stride] = samples[j];
    free(samples);
    return full;
}

static void opens(void **state)
{
    (void)state;
    expect_case c;
    assert_int_equal(expect_open(CASE, &c), 0);
    assert_string_equal(c.kind, "tiny");
    assert_int_equal(c.seed, 2);
    assert_int_equal(c.frames, 20);
    assert_int_equal(c.height, 90);
    assert_int_equal(c.width, 160);
    assert_int_equal(c.input_size, 98);
    assert_false(c.metric || c.stream);
    int64_t dim[8];
    assert_int_equal(expect_shape(&c, "depth", dim), 3);
    assert_true(dim[0] == 20 && dim[1] == 90 && dim[2] == 160);
    assert_int_equal(expect_shape(&c, "tap.none", dim), 0);
    assert_true(expect_range(&c, "depth") > 0);
    assert_null(expect_begin(&c, "tap.none", 0));
    expect_close(&c);
    assert_int_equal(expect_open("tiny_6_50_120_160_98_metric_ckpt", &c), 0);
    assert_true(c.metric && !c.stream);
    expect_close(&c);
    assert_int_equal(expect_open("tiny_5_60_120_160_98_stream", &c), 0);
    assert_true(c.stream && !c.metric);
    expect_close(&c);
    assert_int_equal(expect_open("no_such_case", &c), -1);
}

static void compares(void **state)
{
    (void)state;
    expect_case c;
    assert_int_equal(expect_open(CASE, &c), 0);
    int64_t total;
    float *full = expand(&c, "depth", &total);
    double range = expect_range(&c, "depth");
    expect_error e = expect_compare(&c, "depth", full, total, 0);
    assert_true(e.worst == 0 && e.missing == 0 && e.count == ib_checkpoint_find(c.file, "depth")->count);
    assert_true(expect_within("exact", &e, 0, 0, 0));
    full[0] += (float)(0.01 * range);
    e = expect_compare(&c, "depth", full, total, 0);
    assert_true(fabs(e.worst - 0.01) < 1e-5 && e.median == 0);
    assert_false(expect_within("one off", &e, 0, 1, 0.009));
    e = expect_compare(&c, "depth", full, total, 10 * range);
    assert_true(fabs(e.worst - 0.001) < 1e-6);
    full[0] = NAN;
    e = expect_compare(&c, "depth", full, total, 0);
    assert_true(isinf(e.worst) && e.nonfinite == 1);
    assert_false(expect_within("NaN", &e, INFINITY, INFINITY, INFINITY));
    e = expect_compare(&c, "depth", full, total - 1, 0);
    assert_true(isinf(e.median));
    expect_check *k = expect_begin(&c, "depth", 0); /* the first sample is left out */
    assert_int_equal(expect_add(k, 1, total - 1, full + 1), 0);
    assert_int_equal(expect_add(k, 1, total, full), -1);
    e = expect_end(k);
    assert_int_equal(e.missing, 1);
    assert_true(isinf(e.worst));
    assert_false(expect_within("missing", &e, INFINITY, INFINITY, INFINITY));
    free(full);
    expect_close(&c);
}

/* Frames in isobath's order, in two pieces: moved from the file's order by index arithmetic written out per layout. */
static void orders(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int frame_axis, channel_axis; /* of the file's shape; positions are the other axes but leading ones of 1 */
    } cases[] = {{"tap.block0", 0, 2}, {"tap.layer1_rn", 0, 1}, {"tap.motion1", 2, 1}, {"tap.network_input", 1, 2}};
    expect_case c;
    assert_int_equal(expect_open(CASE, &c), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t total, dim[8];
        float *full = expand(&c, cases[i].key, &total), *moved = malloc((size_t)total * 4);
        assert_non_null(moved);
        int rank = expect_shape(&c, cases[i].key, dim);
        int64_t frames = dim[cases[i].frame_axis], channels = dim[cases[i].channel_axis];
        int64_t positions = total / frames / channels;
        for (int64_t at = 0; at < total; at++) {
            int64_t rest = at, index[8] = {0};
            for (int d = rank - 1; d >= 0; d--) {
                index[d] = rest % dim[d];
                rest /= dim[d];
            }
            int64_t t = index[cases[i].frame_axis], ch = index[cases[i].channel_axis], p = 0;
            for (int d = 0; d < rank; d++)
                if (d != cases[i].frame_axis && d != cases[i].channel_axis) p = p * dim[d] + index[d];
            moved[(t * positions + p) * channels + ch] = full[at];
        }
        expect_check *k = expect_begin(&c, cases[i].key, 0);
        int64_t half = frames / 2, frame_values = positions * channels;
        assert_int_equal(expect_add_frames(k, half, frames - half, positions, channels, moved + half * frame_values),
                         0);
        assert_int_equal(expect_add_frames(k, 0, half, positions, channels, moved), 0);
        assert_int_equal(expect_add_frames(k, 0, half, positions + 1, channels, moved), -1);
        expect_error e = expect_end(k);
        assert_true(e.missing == 0 && e.worst == 0);
        k = expect_begin(&c, cases[i].key, 0); /* frames swapped: seen */
        assert_int_equal(expect_add_frames(k, 0, frames - half, positions, channels, moved + half * frame_values), 0);
        assert_int_equal(expect_add_frames(k, frames - half, half, positions, channels, moved), 0);
        e = expect_end(k);
        assert_true(e.missing == 0 && e.worst > 0.1);
        free(full);
        free(moved);
    }
    expect_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens), cmocka_unit_test(compares), cmocka_unit_test(orders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
