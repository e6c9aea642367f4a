/* The list of findings that a check builds up. */
#ifndef IB_EVAL_REPORT_H
#define IB_EVAL_REPORT_H

#include "base/diag.h"
#include <isobath/check.h>
#include <jansson.h>

struct isobath_check {
    isobath_check_item *items; /* strings are owned */
    size_t count, capacity;
    int bad, out_of_memory;
    isobath_check_options options;
    ib_diag diag;
};

/* Adds a finding about `path`. Running out of memory is remembered and returned at the end. */
void ib_check_add(isobath_check *check, isobath_check_level level, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What a depth result has to agree with; NULL or negative: not known. */
typedef struct ib_check_expect {
    const char *relative; /* name for the findings */
    int64_t frames;       /* -1 */
    const json_t *times_us;
    int metric; /* -1 */
} ib_check_expect;

/* Decodes depth (whatever depth readers open): count, one scale, finite, non-constant, times. */
void ib_check_depth(isobath_check *check, const char *path, const ib_check_expect *expect);
/* Decodes a video: count and times. */
void ib_check_video(isobath_check *check, const char *path, const ib_check_expect *expect);
/* One manifest and everything that it lists. */
void ib_check_manifest(isobath_check *check, const char *path);
/* Presentation times of a manifest: increasing, one per frame. */
void ib_check_times(isobath_check *check, const char *name, const json_t *times_us, int64_t frames);

#endif
