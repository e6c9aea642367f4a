/* Expected values and comparisons; see expect.h. Sample j of a value is element j * stride of its C-order array. */
#include "support/expect.h"

#include "weights/checkpoint.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t number(const ib_checkpoint *file, const char *key)
{
    const char *text = ib_checkpoint_metadata(file, key);
    return text ? strtoll(text, NULL, 10) : -1;
}

static const char *keyed(char buf[96], const char *what, const char *key)
{
    snprintf(buf, 96, "%s.%s", what, key);
    return buf;
}

int expect_open(const char *name, expect_case *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/oracle/data/%s.safetensors", ISOBATH_SOURCE_DIR, name);
    memset(out, 0, sizeof *out);
    ib_diag diag = IB_DIAG_INIT;
    if (ib_checkpoint_open(path, &diag, &out->file) != ISOBATH_OK) {
        fprintf(stderr, "expect: %s\n", diag.text);
        return -1;
    }
    const char *kind = ib_checkpoint_metadata(out->file, "kind"), *seed = ib_checkpoint_metadata(out->file, "seed");
    const char *options = ib_checkpoint_metadata(out->file, "options");
    out->frames = number(out->file, "frames");
    out->height = number(out->file, "height");
    out->width = number(out->file, "width");
    out->input_size = number(out->file, "input_size");
    if (!kind || !seed || !options || out->frames < 1 || out->height < 1 || out->width < 1 || out->input_size < 1) {
        fprintf(stderr, "expect: %s: not a file of expected values\n", path);
        expect_close(out);
        return -1;
    }
    snprintf(out->kind, sizeof out->kind, "%s", kind);
    out->seed = strtoull(seed, NULL, 10);
    out->metric = strstr(options, "metric") != NULL;
    const char *most = ib_checkpoint_metadata(out->file, "max_depth");
    out->max_depth = most ? strtod(most, NULL) : 0;
    out->stream = strstr(options, "stream") != NULL;
    return 0;
}

void expect_close(expect_case *c)
{
    ib_checkpoint_close(c->file);
    c->file = NULL;
}

int expect_shape(const expect_case *c, const char *key, int64_t dim[8])
{
    char buf[96];
    const char *text = ib_checkpoint_metadata(c->file, keyed(buf, "shape", key));
    json_t *shape = text ? json_loads(text, 0, NULL) : NULL;
    int rank = json_array_size(shape) <= 8 ? (int)json_array_size(shape) : 0;
    for (int i = 0; i < rank; i++) dim[i] = json_integer_value(json_array_get(shape, (size_t)i));
    json_decref(shape);
    return rank;
}

/* All samples of a value, malloc'ed; NULL when absent. */
static float *read_samples(const expect_case *c, const char *key, int64_t *count)
{
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c->file, key);
    float *samples = t ? malloc((size_t)t->count * 4 + 1) : NULL;
    if (!samples) return NULL;
    ib_checkpoint_read_f32(t, samples);
    *count = t->count;
    return samples;
}

static double range_of(const float *samples, int64_t count)
{
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        lo = fmin(lo, samples[i]);
        hi = fmax(hi, samples[i]);
    }
    return count ? hi - lo : 0;
}

double expect_range(const expect_case *c, const char *key)
{
    int64_t count = 0;
    float *samples = read_samples(c, key, &count);
    double range = samples ? range_of(samples, count) : 0;
    free(samples);
    return range;
}

/* ---- one comparison ---- */

struct expect_check {
    char key[64];
    int rank;
    int64_t dim[8], total; /* full shape */
    int64_t count, stride; /* samples */
    float *samples;
    double *errors; /* per sample; NAN: not given yet */
    double range;
    int64_t nonfinite;
};

expect_check *expect_begin(const expect_case *c, const char *key, double range)
{
    expect_check *k = calloc(1, sizeof *k);
    char buf[96];
    if (!k) return NULL;
    snprintf(k->key, sizeof k->key, "%s", key);
    k->rank = expect_shape(c, key, k->dim);
    k->stride = number(c->file, keyed(buf, "stride", key));
    k->samples = read_samples(c, key, &k->count);
    k->errors = k->samples ? malloc((size_t)k->count * sizeof *k->errors) : NULL;
    k->total = 1;
    for (int i = 0; i < k->rank; i++) k->total *= k->dim[i];
    if (!k->errors || k->rank == 0 || k->stride < 1 || k->count != (k->total + k->stride - 1) / k->stride) {
        fprintf(stderr, "expect: no value '%s' of sound shape in this case\n", key);
        free(k->samples);
        free(k->errors);
        free(k);
        return NULL;
    }
    k->range = range > 0 ? range : range_of(k->samples, k->count);
    for (int64_t j = 0; j < k->count; j++) k->errors[j] = NAN;
    return k;
}

static void compare_one(expect_check *k, int64_t sample, float actual)
{
    if (!isfinite(actual)) k->nonfinite++;
    double error = fabs((double)actual - (double)k->samples[sample]) / k->range;
    k->errors[sample] = isnan(error) ? INFINITY : error;
}

int expect_add(expect_check *k, int64_t first, int64_t count, const float *actual)
{
    if (!k) return -1;
    if (first < 0 || count < 0 || first + count > k->total) {
        fprintf(stderr, "expect: %s has %" PRId64 " elements, %" PRId64 " to %" PRId64 " were given\n", k->key,
                k->total, first, first + count);
        return -1;
    }
    for (int64_t j = (first + k->stride - 1) / k->stride; j < k->count && j * k->stride < first + count; j++)
        compare_one(k, j, actual[j * k->stride - first]);
    return 0;
}

/* Where frame, position and channel stand in the file's order: element strides of each, and their numbers. */
typedef struct layout {
    int64_t frames, positions, channels;
    int64_t frame_stride, position_stride, channel_stride;
} layout;

static layout find_layout(const expect_check *k)
{
    const int64_t *d = k->dim;
    if (k->rank == 3) return (layout){d[0], d[1], d[2], d[1] * d[2], d[2], 1};
    int64_t p = d[k->rank - 1] * d[k->rank - 2];
    if (k->rank == 4) return (layout){d[0], p, d[1], d[1] * p, 1, p};
    if (k->rank == 5 && strncmp(k->key, "tap.motion", 10) == 0) return (layout){d[2], p, d[1], p, 1, d[2] * p};
    if (k->rank == 5 && strcmp(k->key, "tap.network_input") == 0) return (layout){d[1], p, d[2], d[2] * p, 1, p};
    return (layout){0};
}

int expect_add_frames(expect_check *k, int64_t first, int64_t count, int64_t positions, int64_t channels,
                      const float *actual)
{
    if (!k) return -1;
    layout l = find_layout(k);
    if (positions != l.positions || channels != l.channels || first < 0 || count < 0 || first + count > l.frames) {
        fprintf(stderr,
                "expect: %s has (%" PRId64 ",%" PRId64 ",%" PRId64
                ") frames, positions, channels; given were frames %" PRId64 " to %" PRId64 " of (%" PRId64 ",%" PRId64
                ")\n",
                k->key, l.frames, l.positions, l.channels, first, first + count, positions, channels);
        return -1;
    }
    for (int64_t j = 0; j < k->count; j++) {
        int64_t at = j * k->stride, t = at / l.frame_stride % l.frames;
        if (t < first || t >= first + count) continue;
        int64_t p = at / l.position_stride % l.positions, c = at / l.channel_stride % l.channels;
        compare_one(k, j, actual[((t - first) * positions + p) * channels + c]);
    }
    return 0;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

expect_error expect_end(expect_check *k)
{
    expect_error e = {.median = INFINITY, .p9999 = INFINITY, .worst = INFINITY};
    if (!k) return e;
    e.range = k->range;
    e.nonfinite = k->nonfinite;
    for (int64_t j = 0; j < k->count; j++) {
        if (!isnan(k->errors[j])) continue;
        e.missing++;
        k->errors[j] = INFINITY;
    }
    e.count = k->count - e.missing;
    if (k->count > 0) {
        qsort(k->errors, (size_t)k->count, sizeof *k->errors, compare_doubles);
        e.median = k->errors[k->count / 2];
        e.p9999 = k->errors[(int64_t)ceil(0.9999 * (double)k->count) - 1];
        e.worst = k->errors[k->count - 1];
    }
    free(k->samples);
    free(k->errors);
    free(k);
    return e;
}

expect_error expect_compare(const expect_case *c, const char *key, const float *actual, int64_t count, double range)
{
    expect_check *k = expect_begin(c, key, range);
    if (k && count != k->total)
        fprintf(stderr, "expect: %s has %" PRId64 " elements, %" PRId64 " were given\n", key, k->total, count);
    else if (k)
        expect_add(k, 0, count, actual);
    return expect_end(k);
}

int expect_within(const char *label, const expect_error *e, double median, double p9999, double worst)
{
    int ok = e->missing == 0 && e->nonfinite == 0 && e->median <= median && e->p9999 <= p9999 && e->worst <= worst;
    printf("%-24s median %.2e  99.99%% %.2e  worst %.2e of range %.4g  (%" PRId64 " samples", label, e->median,
           e->p9999, e->worst, e->range, e->count);
    if (e->missing) printf(", %" PRId64 " MISSING", e->missing);
    if (e->nonfinite) printf(", %" PRId64 " NOT FINITE", e->nonfinite);
    printf(") %s\n", ok ? "ok" : "OUT OF BOUNDS");
    return ok;
}
