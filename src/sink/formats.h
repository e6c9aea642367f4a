/* The formats by name, and small helpers that several of them use. */
#ifndef IB_SINK_FORMATS_H
#define IB_SINK_FORMATS_H

#include "sink/sink.h"

extern const ib_sink_format ib_sink_png16, ib_sink_npz, ib_sink_preview, ib_sink_exr, ib_sink_ffv1, ib_sink_src,
    ib_sink_ply, ib_sink_none;

/* Appends to a growing array of times. ISOBATH_ERR_MEMORY. */
isobath_status ib_times_append(int64_t **times_us, int64_t *count, int64_t *capacity, int64_t pts_us, ib_diag *diag);

#endif
