/* Kept frames as the container's packets tell them, one after the other and without decoding: their times, and where decoding can begin.
 * What is found is a claim: whoever relies on it compares the times of the frames that it then decodes. */
#ifndef IB_MEDIA_INDEX_H
#define IB_MEDIA_INDEX_H

#include "media/media.h"

typedef struct ib_media_entry {
    int64_t pts_us; /* what ib_media_read gives */
    int64_t key_us; /* of the last frame, this one or before it, that needs none before it to be decoded */
    int64_t lead;   /* frames of the stream from that one to this one */
} ib_media_entry;

typedef struct ib_media_index ib_media_index;

/* For options as they opened a media object with this stride. Errors: ISOBATH_ERR_INPUT (a pipe), ISOBATH_ERR_MEMORY. */
isobath_status ib_media_index_open(const char *input, const ib_media_options *options, int stride, ib_diag *diag, ib_media_index **out);
/* The next kept frame; *got = 0 at the end. One thread. Errors: ISOBATH_ERR_INPUT (a packet without a time, two of one time, damage),
 * ISOBATH_ERR_MEMORY. */
isobath_status ib_media_index_next(ib_media_index *index, ib_media_entry *entry, int *got);
void ib_media_index_close(ib_media_index *index); /* NULL allowed */

#endif
