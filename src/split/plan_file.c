/* NAME_split.json and lists of chunks; see plan.h. */
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/manifest.h"
#include "split/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)1 << 30)
#define MAX_CHUNKS 1000000

isobath_status ib_split_plan_write(const ib_split_plan *plan, const char *path, ib_diag *diag)
{
    json_t *times = json_array(), *chunks = json_array();
    for (int64_t i = 0; plan->times_us && i < plan->frames; i++)
        json_array_append_new(times, json_integer(plan->times_us[i]));
    for (int64_t k = 0; k < plan->count; k++) {
        const ib_split_chunk *c = &plan->chunks[k];
        json_t *o = json_pack("{s:I, s:I, s:I}", "index", (json_int_t)k, "first", (json_int_t)c->first, "frames",
                              (json_int_t)c->frames);
        if (plan->times_us) json_object_set_new(o, "first_time_us", json_integer(plan->times_us[c->first]));
        if (c->path) json_object_set_new(o, "path", ib_json_string(c->path));
        if (c->method) json_object_set_new(o, "method", json_string(c->method));
        if (c->sha256[0]) json_object_set_new(o, "sha256", json_string(c->sha256));
        json_array_append_new(chunks, o);
    }
    json_t *root =
        json_pack("{s:s, s:{s:o, s:s, s:i, s:i, s:f}, s:I, s:I, s:o, s:o}", "format", IB_SPLIT_SCHEMA, "input", "name",
                  ib_json_string(plan->input ? plan->input : ""), "sha256", plan->sha256, "width", plan->width,
                  "height", plan->height, "fps", plan->fps, "frames", (json_int_t)plan->frames, "overlap",
                  (json_int_t)plan->overlap, "chunks", chunks, "times_us", times);
    isobath_status st =
        root ? ib_manifest_write(path, root, diag) : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    json_decref(root);
    return st;
}

static int get_count(const json_t *object, const char *key, int64_t *out)
{
    const json_t *v = json_object_get(object, key);
    *out = (int64_t)json_integer_value(v);
    return json_is_integer(v) && *out >= 0 && *out <= IB_SPLIT_MAX_FRAMES;
}

static isobath_status memory(ib_diag *diag, const char *name)
{
    return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
}

static isobath_status parse_chunks(const json_t *list, const char *name, ib_diag *diag, ib_split_plan *plan)
{
    size_t n = json_array_size(list);
    if (n < 1 || n > MAX_CHUNKS)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: expected \"chunks\": [{\"first\", \"frames\"}, ...]", name);
    plan->chunks = calloc(n, sizeof *plan->chunks);
    if (!plan->chunks) return memory(diag, name);
    plan->count = (int64_t)n;
    for (size_t k = 0; k < n; k++) {
        ib_split_chunk *c = &plan->chunks[k];
        const json_t *item = json_array_get(list, k);
        const char *path = json_string_value(json_object_get(item, "path")),
                   *depth = json_string_value(json_object_get(item, "depth"));
        if (!get_count(item, "first", &c->first) || !get_count(item, "frames", &c->frames) || c->frames < 1)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: chunk %zu: expected whole numbers \"first\" and \"frames\"",
                           name, k);
        if ((path && !(c->path = strdup(path))) || (depth && !(c->depth = strdup(depth)))) return memory(diag, name);
    }
    return ISOBATH_OK;
}

static isobath_status parse_times(const json_t *list, const char *name, ib_diag *diag, ib_split_plan *plan)
{
    if (json_array_size(list) == 0) return ISOBATH_OK;
    if ((int64_t)json_array_size(list) != plan->frames)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: %zu times for %" PRId64 " frames", name, json_array_size(list),
                       plan->frames);
    plan->times_us = malloc((size_t)plan->frames * sizeof *plan->times_us);
    if (!plan->times_us) return memory(diag, name);
    for (int64_t i = 0; i < plan->frames; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        plan->times_us[i] = (int64_t)json_integer_value(v);
        if (!json_is_integer(v) || (i && plan->times_us[i] <= plan->times_us[i - 1]))
            return ib_fail(diag, ISOBATH_ERR_INPUT,
                           "%s: times_us: the time of frame %" PRId64 " is not after the one before", name, i);
    }
    return ISOBATH_OK;
}

static isobath_status parse_json(const char *text, size_t size, const char *name, ib_diag *diag, ib_split_plan *plan)
{
    json_t *root;
    IB_TRY(ib_json_parse(text, size, name, diag, &root));
    const char *format = json_string_value(json_object_get(root, "format")), *sha;
    const json_t *input = json_object_get(root, "input");
    const char *base = json_string_value(json_object_get(input, "name"));
    isobath_status st = ISOBATH_OK;
    if (!format || strcmp(format, IB_SPLIT_SCHEMA) != 0)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: format %.40s; expected " IB_SPLIT_SCHEMA, name,
                     format ? format : "missing");
    else if (!get_count(root, "frames", &plan->frames) || !get_count(root, "overlap", &plan->overlap) ||
             plan->frames < 1)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: expected whole numbers \"frames\" and \"overlap\"", name);
    if (st == ISOBATH_OK) {
        sha = json_string_value(json_object_get(input, "sha256"));
        if (sha && strlen(sha) == 64) memcpy(plan->sha256, sha, 65);
        plan->fps = json_number_value(json_object_get(input, "fps"));
        if (!(plan->fps > 0) || !isfinite(plan->fps)) plan->fps = 0;
        json_int_t w = json_integer_value(json_object_get(input, "width")),
                   h = json_integer_value(json_object_get(input, "height"));
        if (w > 0 && w < 65536 && h > 0 && h < 65536) plan->width = (int)w, plan->height = (int)h;
        if (base && !(plan->input = strdup(base))) st = memory(diag, name);
    }
    if (st == ISOBATH_OK) st = parse_chunks(json_object_get(root, "chunks"), name, diag, plan);
    if (st == ISOBATH_OK) st = ib_split_plan_check(plan, name, diag);
    if (st == ISOBATH_OK) st = parse_times(json_object_get(root, "times_us"), name, diag, plan);
    json_decref(root);
    return st;
}

/* Lines "FIRST PATH". */
static isobath_status parse_list(const char *text, size_t size, const char *name, ib_diag *diag, ib_split_plan *plan)
{
    int number = 0;
    int64_t capacity = 0;
    plan->frames = -1;
    for (const char *p = text, *end = text + size; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        const char *a = p, *b = stop;
        p = stop + 1;
        number++;
        while (a < b && (*a == ' ' || *a == '\t')) a++;
        while (b > a && (b[-1] == ' ' || b[-1] == '\t' || b[-1] == '\r')) b--;
        if (a == b || *a == '#') continue;
        int64_t first = 0;
        const char *digits = a;
        while (a < b && *a >= '0' && *a <= '9' && first <= IB_SPLIT_MAX_FRAMES) first = 10 * first + (*a++ - '0');
        int ok = a > digits && first <= IB_SPLIT_MAX_FRAMES && a < b && (*a == ' ' || *a == '\t');
        while (a < b && (*a == ' ' || *a == '\t')) a++;
        if (!ok || a == b || memchr(a, 0, (size_t)(b - a)) || plan->count == MAX_CHUNKS)
            return ib_fail(diag, ISOBATH_ERR_INPUT,
                           "%s: line %d: expected the number of a chunk's first frame and the path of its depth", name,
                           number);
        if (plan->count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            ib_split_chunk *chunks = realloc(plan->chunks, (size_t)capacity * sizeof *chunks);
            if (!chunks) return memory(diag, name);
            plan->chunks = chunks;
        }
        plan->chunks[plan->count] =
            (ib_split_chunk){.first = first, .frames = -1, .depth = strndup(a, (size_t)(b - a))};
        if (!plan->chunks[plan->count++].depth) return memory(diag, name);
    }
    return plan->count ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no chunks in this list", name);
}

isobath_status ib_split_plan_parse(const char *text, size_t size, const char *name, ib_diag *diag, ib_split_plan *plan)
{
    *plan = (ib_split_plan){0};
    size_t i = 0;
    while (i < size && strchr(" \t\r\n", text[i]) && text[i]) i++;
    return i < size && text[i] == '{' ? parse_json(text, size, name, diag, plan)
                                      : parse_list(text, size, name, diag, plan);
}

isobath_status ib_split_plan_read(const char *path, ib_diag *diag, ib_split_plan *plan)
{
    uint8_t *data;
    size_t size;
    *plan = (ib_split_plan){0};
    IB_TRY(ib_read_file(path, FILE_LIMIT, diag, &data, &size));
    isobath_status st = ib_split_plan_parse((const char *)data, size, path, diag, plan);
    free(data);
    return st;
}
