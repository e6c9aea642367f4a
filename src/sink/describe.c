/* JSON that sinks share; see describe.h. */
#include "sink/describe.h"

#include "base/hash.h"
#include "base/json.h"
#include "sink/file.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

json_t *ib_json_string(const char *text)
{
    json_t *json = json_string(text);
    char *copy = json ? NULL : strdup(text);
    for (char *p = copy; p && *p; p++)
        if (*p & 0x80) *p = '?';
    if (copy) json = json_string(copy);
    free(copy);
    return json;
}

json_t *ib_describe_file(const char *format, const ib_sink_config *config, const char *relative, ib_diag *diag)
{
    char sha256[65];
    struct stat sb;
    json_t *object = NULL;
    char *path = ib_text("%s/%s", config->folder, relative);
    if (path && ib_sha256_file(path, diag, sha256) == ISOBATH_OK && stat(path, &sb) == 0)
        object = json_pack("{s:s, s:o, s:I, s:s}", "format", format, "path", ib_json_string(relative), "bytes",
                           (json_int_t)sb.st_size, "sha256", sha256);
    free(path);
    return object;
}

json_t *ib_describe_folder(const char *format, const ib_sink_config *config, const char *relative, const char *pattern,
                           int64_t files, int64_t bytes, const char *sha256)
{
    return json_pack("{s:s, s:o, s:s, s:i, s:I, s:I, s:s}", "format", format, "path", ib_json_string(relative),
                     "pattern", pattern, "start_number", config->start_number, "files", (json_int_t)files, "bytes",
                     (json_int_t)bytes, "sha256", sha256);
}

static void drop_if(int failed, json_t **json)
{
    if (!failed) return;
    json_decref(*json);
    *json = NULL;
}

void ib_json_set(json_t **object, const char *key, json_t *value)
{
    drop_if(json_object_set_new(*object, key, value) != 0, object);
}

void ib_json_add(json_t **array, json_t *value) { drop_if(json_array_append_new(*array, value) != 0, array); }

void ib_describe_kind(json_t **object, ib_depth_kind kind)
{
    int metric = kind == IB_DEPTH_METRIC;
    ib_json_set(object, "kind", json_string(metric ? "metric" : "disparity"));
    ib_json_set(object, "unit", json_string(metric ? "metre" : "relative"));
    ib_json_set(object, "larger_is", json_string(metric ? "farther" : "nearer"));
}

void ib_describe_scale(json_t **object, const ib_quant *quant, int exponent)
{
    ib_json_set(object, "scale", json_real(ib_quant_scale(quant, exponent)));
    ib_json_set(object, "offset", json_real(ib_quant_offset(quant)));
    ib_json_set(object, "invalid", ib_quant_has_invalid(quant) ? json_integer(0) : json_null());
}

char *ib_json_text(const json_t *json)
{
    char *body = ib_json_dump(json, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    char *text = body ? ib_text("%s\n", body) : NULL;
    free(body);
    return text;
}
