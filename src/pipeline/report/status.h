/* The status file of a run: who runs it and how far it is, written once a second by a thread of its own. include/isobath/report.h
 * reads it. */
#ifndef IB_PIPELINE_REPORT_STATUS_H
#define IB_PIPELINE_REPORT_STATUS_H

#include "base/diag.h"
#include <isobath/report.h>
#include <jansson.h>

/* Where the numbers come from; called from the status thread. */
typedef struct ib_status_source {
    void (*progress)(void *ctx, isobath_progress *out);
    int (*device)(void *ctx, int i, isobath_device_progress *out);
    void *ctx;
} ib_status_source;

typedef struct ib_status ib_status;

/* Starts writing PATH, through PATH.tmp and rename. `task`: what part of the run, NULL: all. A disk that refuses the file does not
 * disturb the run. Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_INTERNAL. */
isobath_status ib_status_start(const char *path, const char *name, const char *task, const ib_status_source *source, ib_diag *diag,
                               ib_status **out);
/* Writes the end (`status`, and the line about the error) and frees. NULL allowed. */
void ib_status_stop(ib_status *status, isobath_status end, const char *error);

/* A status file's contents into a report; `name` is for error lines. State DEAD is not decided here. Pure.
 * Errors: ISOBATH_ERR_INPUT. */
isobath_status ib_status_parse(const char *text, size_t size, const char *name, ib_diag *diag, isobath_report *out);
/* Whether the process that a status file tells of lives: 1 yes, 0 no, -1: cannot be said from here (another machine or
 * container). Of the same file as ib_status_parse. */
int ib_status_alive(const char *text, size_t size);

#endif
