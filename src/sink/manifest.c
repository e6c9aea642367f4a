/* Stable JSON files; see manifest.h. */
#include "sink/manifest.h"

#include "base/json.h"
#include "sink/describe.h"
#include "sink/file.h"
#include <stdlib.h>
#include <string.h>

isobath_status ib_manifest_write(const char *path, const json_t *manifest, ib_diag *diag)
{
    char *text = ib_json_text(manifest);
    if (!text) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory, or a number in it is not finite", path);
    isobath_status st = ib_write_file(path, text, strlen(text), 1, diag);
    free(text);
    return st;
}

isobath_status ib_json_parse(const char *text, size_t size, const char *name, ib_diag *diag, json_t **out)
{
    json_error_t error;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return ib_fail(diag, ib_json_status(&error, ISOBATH_ERR_INPUT), "%s: not JSON: %s at line %d, column %d", name, ib_json_reason(&error),
                       error.line, error.column);
    if (json_is_object(*out)) return ISOBATH_OK;
    json_decref(*out);
    *out = NULL;
    return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: expected a JSON object", name);
}

isobath_status ib_json_read(const char *path, ib_diag *diag, json_t **out)
{
    uint8_t *data;
    size_t size;
    *out = NULL;
    IB_TRY(ib_read_file(path, (size_t)1 << 30, diag, &data, &size));
    isobath_status st = ib_json_parse((const char *)data, size, path, diag, out);
    free(data);
    return st;
}
