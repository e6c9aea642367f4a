/* Several decoders on a card for one input, each on a chunk of its own, from a key frame on, their frames in order: a card has several decoding
 * engines, and a session uses one. What comes out is what one decoder gives, or nothing: whatever does not fit (damage, times that are
 * not the packets') ends the team, and the caller goes on with one decoder. */
#ifndef IB_MEDIA_TEAM_H
#define IB_MEDIA_TEAM_H

#include "media/decoder.h"

typedef struct ib_team ib_team;

/* `sessions` decoders for a file, from its first frame on, whatever part of it the options name. *out = NULL without an error where that
 * cannot be. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_team_open(const char *input, const ib_media_options *options, int sessions, ib_diag *diag, ib_team **out);
void ib_team_close(ib_team *team); /* NULL allowed */

typedef enum ib_team_result { IB_TEAM_FRAME, IB_TEAM_END, IB_TEAM_FAILED } ib_team_result;
/* The next frame, on the card, until the next call. FAILED: those before are good; nothing more comes. One thread at a time. */
ib_team_result ib_team_next(ib_team *team, ib_decoded *out);

#endif
