/* Why jansson refused a text: it is wrong, or memory ran out, for which the parser often gives no reason at all. */
#ifndef IB_BASE_JSON_H
#define IB_BASE_JSON_H

#include "isobath/status.h"

#include <jansson.h>

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
