/* The frames of windows in a worker process that decodes for itself: read from its own opening of the input, from a key frame on where a
 * segment begins, and compared with what the run expects of them. */
#ifndef IB_PIPELINE_FLEET_FEED_H
#define IB_PIPELINE_FLEET_FEED_H

#include "pipeline/fleet/wire.h"
#include "pipeline/shots.h"

/* A window's frames. Zero it at first; drop it with ib_feed_drop. */
typedef struct ib_feed_frames {
    ib_source_frame *frame[IB_PLAN_WINDOW];
    uint32_t hash[IB_PLAN_WINDOW]; /* of the pictures that windows share: slots 0 to 9, 12, 24 to 31; of others 0 */
} ib_feed_frames;

typedef struct ib_feed ib_feed;
/* Opens the input as the message says. `by_reference`: frames stay as the decoder left them where the input allows it; else RGB.
 * Errors: as ib_media_open. One thread at a time. */
isobath_status ib_feed_open(const ib_msg_open *open, int by_reference, ib_diag *diag, ib_feed **out);
void ib_feed_close(ib_feed *feed); /* NULL allowed; frames live on */
const ib_media_info *ib_feed_info(const ib_feed *feed);

/* Fills `out` (which must be empty) with the window's frames; hashes are not there yet.
 * Errors: ISOBATH_ERR_INPUT with the reason in `why` when the input does not give the frames that the run expects (damage, other times,
 * no way to get there): the feed is of no use any more. ISOBATH_ERR_MEMORY. */
isobath_status ib_feed_window(ib_feed *feed, const ib_msg_window *window, ib_feed_frames *out, char why[IB_DIAG_TEXT]);

/* What must be seen of the pictures, in a thread beside the one that reads: hashes of those that windows share, and thumbnails (32 of them)
 * of those that are new in the window. Windows in the order in which they were read. Zero it at first. */
typedef struct ib_feed_look {
    ib_feed_frames last; /* of the window before */
    ib_media_viewer *viewer;
} ib_feed_look;
/* Errors: as ib_feed_window. */
isobath_status ib_feed_look_at(ib_feed_look *look, const ib_msg_window *window, ib_thumb *thumbs, ib_feed_frames *frames, char why[IB_DIAG_TEXT]);
void ib_feed_look_free(ib_feed_look *look);
void ib_feed_drop(ib_feed_frames *frames);

/* Any thread: seconds spent decoding, and a count that grows with every frame. */
double ib_feed_busy_s(const ib_feed *feed);
int64_t ib_feed_decoded(const ib_feed *feed);

/* Which frames a window shares with the one after it: slot `shared` (0..9) of the next one is this slot of it. */
static inline int ib_feed_slot_before(int shared) { return shared == 0 ? 0 : shared == 1 ? 12 : 22 + shared; }

#endif
