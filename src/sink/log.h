/* NAME_isobath.log.jsonl: what happened when. One JSON object a line; unlike the manifest it holds times and devices.
 */
#ifndef IB_SINK_LOG_H
#define IB_SINK_LOG_H

#include "base/diag.h"
#include <jansson.h>

typedef struct ib_log ib_log;

/* Opens the file for appending, creating it when missing; `append` 0: what an earlier run left is dropped.
 * Errors: ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_log_open(const char *path, int append, ib_diag *diag, ib_log **out);
/* Appends {"time": now in UTC, "event": event, ...fields}. `fields` is an object or NULL; its reference is taken.
 * Any thread. A line is written whole or not at all; a failing disk is remembered for ib_log_close. `log` NULL:
 * nothing. */
void ib_log_event(ib_log *log, const char *event, json_t *fields);
/* Closes and frees; NULL allowed. ISOBATH_ERR_IO when a line could not be written. */
isobath_status ib_log_close(ib_log *log);

#endif
