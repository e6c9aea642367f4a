/* Memory that a run shares with its worker processes: places for source frames, which the decoder writes to directly, and places for
 * raw windows, which workers write to. */
#ifndef IB_PIPELINE_SHARED_H
#define IB_PIPELINE_SHARED_H

#include "pipeline/source.h"

/* Where everything lies; told to workers. */
typedef struct ib_shared_layout {
    int32_t width, height; /* of frames */
    int32_t frames, raws;  /* places */
    uint64_t frame_stride, raw_stride, raw_offset, bytes; /* frames begin at 0 */
} ib_shared_layout;

/* raw_bytes: of one raw window. Strides are whole pages. */
ib_shared_layout ib_shared_layout_for(int width, int height, int frames, size_t raw_bytes, int raws);

typedef struct ib_shared ib_shared;
/* Takes the memory of the first `frames` and `raws` places at once, so that what is missing is missed at the start; that of others when
 * they are used, those used last first. Counted references: one for the caller, one for
 * every frame. Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_INTERNAL. */
isobath_status ib_shared_create(const ib_shared_layout *layout, int frames, int raws, ib_diag *diag, ib_shared **out);
void ib_shared_unref(ib_shared *shared); /* any thread; NULL allowed */
int ib_shared_fd(const ib_shared *shared);
const ib_shared_layout *ib_shared_get_layout(const ib_shared *shared);

/* For the decoder; `take` waits for a free place. Any thread may drop frames. */
ib_frame_pool ib_shared_pool(ib_shared *shared);
/* Whoever waits for a place gets NULL, now and later. */
void ib_shared_stop(ib_shared *shared);

/* Places of raw windows; any thread. -1: none is free. */
int ib_shared_take_raw(ib_shared *shared);
void ib_shared_give_raw(ib_shared *shared, int place);
int ib_shared_free_raws(ib_shared *shared);
float *ib_shared_raw(const ib_shared *shared, int place);

/* The worker's side: maps a descriptor. *base stays mapped until the process ends. Errors: ISOBATH_ERR_INTERNAL (the layout is not
 * sound or larger than the memory), ISOBATH_ERR_MEMORY. */
isobath_status ib_shared_map(int fd, const ib_shared_layout *layout, ib_diag *diag, uint8_t **base);

#endif
