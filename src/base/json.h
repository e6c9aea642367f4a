/* jansson where memory runs out. */
#ifndef IB_BASE_JSON_H
#define IB_BASE_JSON_H

#include "isobath/status.h"

#include <jansson.h>

/* json_dumps; which, up to jansson 2.14 at least, leaves out a key for which there is no memory and returns the rest. Fresh text; NULL:
 * no memory, a number that is not finite, or json is NULL. */
char *ib_json_dump(const json_t *json, size_t flags);

/* Was a text refused because memory ran out? The parser often gives no reason at all then. */
static inline int ib_json_no_memory(const json_error_t *error)
{
    return !error->text[0] || json_error_code(error) == json_error_out_of_memory;
}

/* The status of a failed json_loadb: `otherwise`, or ISOBATH_ERR_MEMORY. */
static inline isobath_status ib_json_status(const json_error_t *error, isobath_status otherwise)
{
    return ib_json_no_memory(error) ? ISOBATH_ERR_MEMORY : otherwise;
}

/* The reason for the message, never empty. */
static inline const char *ib_json_reason(const json_error_t *error) { return ib_json_no_memory(error) ? "out of memory" : error->text; }

#endif
