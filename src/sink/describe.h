/* What sinks tell the manifest: the same few JSON keys for every format (docs/FORMATS.md, "Manifest"). */
#ifndef IB_SINK_DESCRIBE_H
#define IB_SINK_DESCRIBE_H

#include "sink/quant.h"

/* {"format", "path", "bytes", "sha256"} of one finished file below config->folder; the file is hashed here.
 * `relative` is its path below the folder. NULL: it could not be read or memory ran out. */
json_t *ib_describe_file(const char *format, const ib_sink_config *config, const char *relative, ib_diag *diag);
/* {"format", "path", "pattern", "start_number", "files", "bytes", "sha256"} of a folder of numbered files. */
json_t *ib_describe_folder(const char *format, const ib_sink_config *config, const char *relative, const char *pattern,
                           int64_t files, int64_t bytes, const char *sha256);
/* Building JSON while memory may run out: the value is taken in any case; on a failure *object is freed and becomes NULL, and
 * what follows does nothing, so that one look at the end is enough. */
void ib_json_set(json_t **object, const char *key, json_t *value);
void ib_json_add(json_t **array, json_t *value);
/* Adds "kind", "unit" and "larger_is", as ib_json_set does. */
void ib_describe_kind(json_t **object, ib_depth_kind kind);
/* Adds "scale", "offset" and "invalid" (0 or null). */
void ib_describe_scale(json_t **object, const ib_quant *quant, int exponent);
/* A JSON string of any bytes: what is not UTF-8 (an old file name) becomes '?', so that no object is lost over it. */
json_t *ib_json_string(const char *text);
/* Compact for machines, stable: sorted keys, doubles with 17 digits, a newline at the end. The caller frees. */
char *ib_json_text(const json_t *json);

#endif
