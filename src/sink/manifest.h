/* NAME_isobath.json: what a result is. The caller fills the object; this writes it the same way every time. */
#ifndef IB_SINK_MANIFEST_H
#define IB_SINK_MANIFEST_H

#include "base/diag.h"
#include <jansson.h>

/* Writes `manifest` with sorted keys, one space of indentation and 17-digit numbers, as PATH.tmp and then PATH, synced.
 * The same object always gives the same bytes. Errors: ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_manifest_write(const char *path, const json_t *manifest, ib_diag *diag);
/* Reads a JSON object of at most 1 GiB. Errors: ISOBATH_ERR_INPUT with the line of the mistake. New reference in *out.
 */
isobath_status ib_json_read(const char *path, ib_diag *diag, json_t **out);
/* The same from memory; `name` is for the error line. */
isobath_status ib_json_parse(const char *text, size_t size, const char *name, ib_diag *diag, json_t **out);

#endif
