/* The plan as files: plan.json, for people and programs, and frames.bin, times and checksums of all frames; see shard.h. */
#include "base/bytes.h"
#include "base/hash.h"
#include "pipeline/cluster/shard.h"
#include "pipeline/exec/exec.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "isobath-plan-1"
#define MOST_FRAMES (INT64_C(1) << 32)
#define TASKS "_isobath.tasks"

/* The options that make the result what it is. Where and how fast it is computed is each task's own business. */
typedef enum option_type { INTEGER, LARGE, REAL, TEXT } option_type;
static const struct {
    const char *key;
    option_type type;
    size_t offset;
} fields[] = {
#define F(type, name) {#name, type, offsetof(isobath_run_options, name)}
    F(TEXT, input), F(TEXT, name), F(TEXT, model), F(INTEGER, metric), F(REAL, max_depth), F(REAL, hfov_deg), F(INTEGER, input_size), F(INTEGER, max_res),
    F(REAL, target_fps), F(LARGE, max_frames), F(REAL, start_s), F(REAL, end_s), F(LARGE, start_frame), F(LARGE, end_frame),
    F(TEXT, crop), F(INTEGER, square_pixels), F(INTEGER, deinterlace), F(INTEGER, keep_hdr), F(TEXT, precision), F(TEXT, cpu_isa),
    F(TEXT, decoder), F(TEXT, formats), F(TEXT, cuts), F(INTEGER, guard), F(TEXT, output_size), F(TEXT, upsample), F(INTEGER, on_error_repeat),
    F(INTEGER, start_number), F(REAL, range_min), F(REAL, range_max), F(INTEGER, png_max), F(INTEGER, npz_half), F(INTEGER, npz_level),
    F(INTEGER, grayscale), F(TEXT, colormap), F(INTEGER, side_by_side), F(TEXT, exr_compression), F(INTEGER, exr_half), F(INTEGER, exr_z_only),
    F(REAL, focal_px), F(REAL, focal_y_px), F(TEXT, camera), F(INTEGER, ply_stride), F(REAL, stabilize_s), F(REAL, exec_timeout_s)
#undef F
};

static json_t *options_json(const isobath_run_options *o)
{
    json_t *j = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *at = (const char *)o + fields[i].offset;
        const char *text;
        json_t *value = NULL;
        switch (fields[i].type) {
        case INTEGER: value = json_integer(*(const int *)at); break;
        case LARGE: value = json_integer(*(const int64_t *)at); break;
        case REAL: value = json_real(*(const double *)at); break;
        case TEXT:
            memcpy(&text, at, sizeof text);
            value = text ? json_string(text) : json_null();
        }
        if (json_object_set_new(j, fields[i].key, value) != 0) { /* a path that is not UTF-8 */
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

static isobath_status keep_text(ib_shard *s, const char *text, const char **out, ib_diag *diag)
{
    *out = NULL;
    if (!text) return ISOBATH_OK;
    char *copy = strdup(text);
    if (!copy || s->string_count == (int)(sizeof s->strings / sizeof *s->strings)) {
        free(copy);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    }
    s->strings[s->string_count++] = copy;
    *out = copy;
    return ISOBATH_OK;
}

static isobath_status parse_options(const json_t *j, ib_shard *s, const char *where, ib_diag *diag)
{
    isobath_run_options_init(&s->options);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char *at = (char *)&s->options + fields[i].offset;
        const json_t *v = json_object_get(j, fields[i].key);
        int64_t n = json_integer_value(v);
        const char *text = NULL;
        int right = fields[i].type == TEXT ? json_is_string(v) || json_is_null(v)
                    : fields[i].type == REAL ? json_is_number(v)
                                             : json_is_integer(v) && (fields[i].type == LARGE || (n >= INT32_MIN && n <= INT32_MAX));
        if (!right) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged plan: option %s is missing or of another type", where, fields[i].key);
        switch (fields[i].type) {
        case INTEGER: *(int *)at = (int)n; break;
        case LARGE: *(int64_t *)at = n; break;
        case REAL: *(double *)at = json_number_value(v); break;
        case TEXT:
            IB_TRY(keep_text(s, json_string_value(v), &text, diag));
            memcpy(at, &text, sizeof text);
        }
    }
    if (!s->options.input || !s->options.model || !s->options.precision || !s->options.name || !*s->options.name || strchr(s->options.name, '/'))
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged plan: input, model, precision or name is missing", where);
    snprintf(s->name, sizeof s->name, "%s", s->options.name);
    return ISOBATH_OK;
}

/* "program": beside a model exec:COMMAND, and only there. Frames are held to each other where they stand alone. */
static int get_program(const json_t *j, ib_shard *s)
{
    const char *name = json_string_value(json_object_get(j, "program"));
    int exec = strncmp(s->options.model, IB_EXEC_PREFIX, strlen(IB_EXEC_PREFIX)) == 0;
    double stabilize_s = s->options.stabilize_s;
    snprintf(s->program, sizeof s->program, "%s", name ? name : "");
    return exec == (*s->program != 0) && !(exec && s->temporal) && (stabilize_s == 0 || (stabilize_s > 0 && stabilize_s < 1e6 && !s->temporal));
}

static int get_size(const json_t *j, const char *key, int *width, int *height)
{
    const json_t *list = json_object_get(j, key);
    json_int_t w = json_integer_value(json_array_get(list, 0)), h = json_integer_value(json_array_get(list, 1));
    *width = (int)w;
    *height = (int)h;
    return w >= 1 && h >= 1 && w <= 32768 && h <= 32768;
}

static int get_digest(const json_t *j, const char *key, char out[65])
{
    const char *text = json_string_value(json_object_get(j, key));
    if (!text || (*text && (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64))) return 0;
    snprintf(out, 65, "%s", text);
    return 1;
}

/* Shots follow each other without gaps and end with the video. */
static isobath_status parse_shots(const json_t *list, ib_shard *s, const char *where, ib_diag *diag)
{
    size_t count = json_array_size(list);
    s->shots = calloc(count + 1, sizeof *s->shots);
    s->shot_window = calloc(count + 1, sizeof *s->shot_window);
    if (!s->shots || !s->shot_window) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", where);
    s->shot_count = (int64_t)count;
    int64_t next = 0;
    int sound = count > 0;
    for (size_t i = 0; i < count && sound; i++) {
        int64_t n = json_integer_value(json_array_get(list, i));
        sound = n >= 1 && n <= s->frames - next;
        s->shots[i] = (ib_shot){next, n};
        s->shot_window[i + 1] = s->shot_window[i] + ib_plan_windows(n);
        next += n;
    }
    if (!sound || next != s->frames) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged plan: its shots do not add up to its frames", where);
    s->windows = s->shot_window[count];
    return ISOBATH_OK;
}

static int64_t check_count(int64_t frames) { return (frames + IB_SHARD_CHECK_EVERY - 1) / IB_SHARD_CHECK_EVERY; }
static size_t table_bytes(int64_t frames) { return (size_t)frames * 8 + (size_t)check_count(frames) * 4; }

static isobath_status parse_table(const uint8_t *p, size_t size, const char *digest, ib_shard *s, const char *where, ib_diag *diag)
{
    char hex[65];
    if (size == table_bytes(s->frames)) IB_TRY(ib_sha256_memory(p, size, diag, hex));
    if (size != table_bytes(s->frames) || strcmp(hex, digest) != 0)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: its table of frames (frames.bin) is damaged or of another plan", where);
    s->pts_us = malloc((size_t)s->frames * sizeof *s->pts_us);
    s->checks = malloc((size_t)check_count(s->frames) * sizeof *s->checks);
    if (!s->pts_us || !s->checks) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", where);
    for (int64_t i = 0; i < s->frames; i++) {
        uint64_t t;
        p = ib_get64(p, &t);
        s->pts_us[i] = (int64_t)t;
    }
    for (int64_t i = 0; i < check_count(s->frames); i++) p = ib_get32(p, &s->checks[i]);
    return ISOBATH_OK;
}

/* "repeated": ascending numbers of frames; not there: none. */
static isobath_status parse_repeats(const json_t *list, const char *where, ib_diag *diag, ib_shard *s)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        int64_t frame = json_is_integer(v) ? json_integer_value(v) : -1;
        if (frame <= (s->repeats.count ? s->repeats.list[s->repeats.count - 1].index : 0) || frame >= s->frames)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged plan: \"repeated\" must be ascending numbers of frames", where);
        IB_TRY(ib_repeats_add(&s->repeats, &(ib_media_frame){.index = frame, .pts_us = s->pts_us[frame], .repeated = 1}, diag));
    }
    return ISOBATH_OK;
}

static isobath_status parse_plan(const json_t *j, const uint8_t *table, size_t table_size, const char *where, ib_diag *diag, ib_shard *s)
{
    const char *format = json_string_value(json_object_get(j, "format")), *program = json_string_value(json_object_get(j, "isobath"));
    char digest[65];
    if (!format || strcmp(format, FORMAT) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not a plan: expected format " FORMAT, where);
    if (!program || strcmp(program, ISOBATH_VERSION) != 0)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: planned by isobath %s, this is %s: all tasks of a run need one version", where,
                       program ? program : "(unknown)", ISOBATH_VERSION);
    IB_TRY(parse_options(json_object_get(j, "options"), s, where, diag));
    s->frames = json_integer_value(json_object_get(j, "frames"));
    s->segments = json_integer_value(json_object_get(j, "segments"));
    s->counted = json_is_true(json_object_get(j, "counted"));
    s->temporal = json_is_true(json_object_get(j, "temporal"));
    s->metric = json_is_true(json_object_get(j, "metric"));
    if (s->frames < 1 || s->frames > MOST_FRAMES || !get_size(j, "network_size", &s->network_width, &s->network_height) ||
        !get_size(j, "output_size", &s->output_width, &s->output_height) || !get_digest(j, "input_sha256", s->input_sha256) ||
        !get_digest(j, "model_sha256", s->model_sha256) || !get_digest(j, "frames_sha256", digest) || !get_program(j, s))
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged plan: sizes, frames, digests or the model make no sense", where);
    IB_TRY(parse_table(table, table_size, digest, s, where, diag));
    IB_TRY(parse_shots(json_object_get(j, "shots"), s, where, diag));
    IB_TRY(parse_repeats(json_object_get(j, "repeated"), where, diag, s));
    if (s->segments < 1 || s->segments > s->windows)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged plan: %lld segments of %lld windows", where, (long long)s->segments, (long long)s->windows);
    return ISOBATH_OK;
}

isobath_status ib_shard_parse(const char *text, size_t size, const uint8_t *table, size_t table_size, const char *where, ib_diag *diag,
                              ib_shard *out)
{
    json_t *j;
    memset(out, 0, sizeof *out);
    IB_TRY(ib_json_parse(text, size, where, diag, &j));
    isobath_status st = ib_sha256_memory(text, size, diag, out->id);
    if (st == ISOBATH_OK) st = parse_plan(j, table, table_size, where, diag, out);
    json_decref(j);
    if (st != ISOBATH_OK) ib_shard_free(out);
    return st;
}

/* NAME of the only plan in a folder. */
static isobath_status find_name(const char *folder, char *name, size_t size, ib_diag *diag)
{
    DIR *d = opendir(folder);
    int found = 0;
    if (!d) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read the folder: %s", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name), m = strlen(TASKS);
        if (n <= m || strcmp(e->d_name + n - m, TASKS) != 0 || n - m >= size) continue;
        memcpy(name, e->d_name, n - m);
        name[n - m] = 0;
        found++;
    }
    closedir(d);
    if (found == 1) return ISOBATH_OK;
    return ib_fail(diag, ISOBATH_ERR_INPUT, found ? "%s: several plans are there: say which with --name" : "%s: no plan is there (isobath shard makes one)", folder);
}

isobath_status ib_shard_read(const char *folder, const char *name, ib_diag *diag, ib_shard *out)
{
    char found[256];
    memset(out, 0, sizeof *out);
    if (!name) {
        IB_TRY(find_name(folder, found, sizeof found, diag));
        name = found;
    }
    char *plan = ib_text("%s/%s" TASKS "/plan.json", folder, name), *frames = ib_text("%s/%s" TASKS "/frames.bin", folder, name);
    uint8_t *text = NULL, *table = NULL;
    size_t size, table_size;
    isobath_status st = plan && frames ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    if (st == ISOBATH_OK) st = ib_read_file(plan, (size_t)256 << 20, diag, &text, &size);
    if (st == ISOBATH_OK) st = ib_read_file(frames, table_bytes(MOST_FRAMES), diag, &table, &table_size);
    if (st == ISOBATH_OK) st = ib_shard_parse((const char *)text, size, table, table_size, plan, diag, out);
    if (st == ISOBATH_OK) st = keep_text(out, folder, &out->options.output, diag);
    if (st == ISOBATH_OK && strcmp(out->name, name) != 0) st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: is the plan of %s", plan, out->name);
    if (st != ISOBATH_OK) ib_shard_free(out);
    free(text);
    free(table);
    free(plan);
    free(frames);
    return st;
}

static isobath_status write_table(const ib_shard *s, char digest[65], ib_diag *diag)
{
    size_t size = table_bytes(s->frames);
    uint8_t *table = malloc(size), *p = table;
    char *path = ib_shard_path(s, "frames.bin");
    if (!table || !path) {
        free(table);
        free(path);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    }
    for (int64_t i = 0; i < s->frames; i++) p = ib_put64(p, (uint64_t)s->pts_us[i]);
    for (int64_t i = 0; i < check_count(s->frames); i++) p = ib_put32(p, s->checks[i]);
    isobath_status st = ib_sha256_memory(table, size, diag, digest);
    if (st == ISOBATH_OK) st = ib_write_file(path, table, size, 1, diag);
    free(table);
    free(path);
    return st;
}

isobath_status ib_shard_write(ib_shard *s, ib_diag *diag)
{
    char digest[65];
    IB_TRY(write_table(s, digest, diag));
    json_t *shots = json_array();
    for (int64_t i = 0; i < s->shot_count; i++) json_array_append_new(shots, json_integer(s->shots[i].count));
    json_t *options = options_json(&s->options);
    json_t *j = options ? json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:b, s:b, s:b, s:[i,i], s:[i,i], s:s, s:s, s:s, s:o}", "format", FORMAT, "isobath",
                                    ISOBATH_VERSION, "options", options, "frames", (json_int_t)s->frames, "windows",
                                    (json_int_t)s->windows, "segments", (json_int_t)s->segments, "counted", s->counted, "temporal", s->temporal, "metric",
                                    s->metric, "network_size", s->network_width, s->network_height, "output_size",
                                    s->output_width, s->output_height, "input_sha256", s->input_sha256, "model_sha256",
                                    s->model_sha256, "frames_sha256", digest, "shots", shots)
                        : NULL;
    if (j && *s->program) ib_json_set(&j, "program", json_string(s->program));
    if (j && s->repeats.count) ib_json_set(&j, "repeated", ib_repeats_json(&s->repeats));
    char *text = j ? ib_json_text(j) : NULL, *path = ib_shard_path(s, "plan.json");
    isobath_status st = ISOBATH_OK;
    if (!options) st = ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: the paths of a plan must be UTF-8", s->options.input);
    else if (!text || !path) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    if (st == ISOBATH_OK) st = ib_sha256_memory(text, strlen(text), diag, s->id);
    if (st == ISOBATH_OK) st = ib_write_file(path, text, strlen(text), 1, diag);
    json_decref(j);
    free(text);
    free(path);
    return st;
}
