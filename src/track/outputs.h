/* The files that a track run writes. */
#ifndef IB_TRACK_OUTPUTS_H
#define IB_TRACK_OUTPUTS_H

#include "track/result.h"

#define IB_TRACK_OUTPUTS 8

/* Which formats are asked for, by options->formats and options->video. ISOBATH_ERR_USAGE. */
isobath_status ib_outputs_parse(const isobath_track_options *options, ib_diag *diag, int want[IB_TRACK_OUTPUTS]);
/* "same" becomes what the tracks came in, where that has room for positions. ISOBATH_ERR_USAGE. */
isobath_status ib_outputs_same(const char *tracks_format, ib_diag *diag, int want[IB_TRACK_OUTPUTS]);
/* Writes them all, or none that did not exist. Errors: ISOBATH_ERR_EXISTS, IO, MEMORY, and those of the overlay. */
isobath_status ib_outputs_write(const ib_result *result, const int want[IB_TRACK_OUTPUTS], ib_diag *diag);

#endif
