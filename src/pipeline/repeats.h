/* Frames that stand in for damaged ones (--on-error repeat): told in the log and the manifest, never silent. */
#ifndef IB_PIPELINE_REPEATS_H
#define IB_PIPELINE_REPEATS_H

#include "media/media.h"
#include <jansson.h>

typedef struct ib_repeat {
    int64_t index, pts_us;
    char why[192]; /* what was damaged, and where; "": not known any more */
} ib_repeat;

/* All zero: empty. One thread at a time. */
typedef struct ib_repeats {
    ib_repeat *list; /* ascending, each once */
    int64_t count, cap;
} ib_repeats;

/* Notes a frame with `repeated` set; others, and frames that are in the list already, are passed over. ISOBATH_ERR_MEMORY. */
isobath_status ib_repeats_add(ib_repeats *repeats, const ib_media_frame *frame, ib_diag *diag);
isobath_status ib_repeats_copy(ib_repeats *to, const ib_repeats *from, ib_diag *diag); /* `to` is freed first */
/* [frame numbers]; new reference. */
json_t *ib_repeats_json(const ib_repeats *repeats);
/* "damaged frames that repeat the one before them: 26, 27, 40" into `line`. */
void ib_repeats_line(const ib_repeats *repeats, char *line, size_t size);
void ib_repeats_free(ib_repeats *repeats);

#endif
