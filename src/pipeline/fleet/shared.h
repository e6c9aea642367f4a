/* Memory that a run shares with its worker processes: places for source frames, which the decoder writes to directly, and places for
 * raw windows, which workers write to. */
#ifndef IB_PIPELINE_FLEET_SHARED_H
#define IB_PIPELINE_FLEET_SHARED_H

#include "pipeline/source.h"

/* Where everything lies; told to workers. Frames begin at 0: RGB; or a copy of ib_yuv_planes (whose planes are offsets from it, and
 * none of which means RGB), then the samples from IB_SHARED_SAMPLES on. */
typedef struct ib_shared_layout {
    int32_t width, height; /* of frames */
    int32_t frames, raws;  /* places */
    int32_t planes, unused; /* planes 1: frames are as the decoder left them */
    uint64_t frame_stride, frame_used, raw_stride, raw_offset, bytes; /* frame_used: bytes of a place that a frame takes */
} ib_shared_layout;

#define IB_SHARED_SAMPLES 512

/* raw_bytes: of one raw window. planes_bytes: of a frame's packed planes; 0: frames are RGB. Strides are whole pages. */
ib_shared_layout ib_shared_layout_for(int width, int height, size_t planes_bytes, int frames, size_t raw_bytes, int raws);
/* Bytes of a row of a plane that hold samples. */
size_t ib_shared_row_bytes(const ib_yuv_planes *planes, int plane);
/* Bytes of the samples of a picture without gaps between rows. */
size_t ib_shared_planes_bytes(const ib_yuv_planes *planes);
/* Memory of so many places. */
uint64_t ib_shared_used_bytes(const ib_shared_layout *layout, int frames, int raws);

typedef struct ib_shared ib_shared;
/* Takes the memory of the first `frames` and `raws` places, so that what is missing is missed at the start; that of others when they are used,
 * those used last first. Gigabytes take a while: that of raw places is taken in a thread, and each can be used from then on; ib_shared_check
 * says ISOBATH_ERR_MEMORY when it was not to be had. Counted references: one for the caller, one for every frame. Errors: ISOBATH_ERR_MEMORY,
 * ISOBATH_ERR_INTERNAL. */
isobath_status ib_shared_create(const ib_shared_layout *layout, int frames, int raws, ib_diag *diag, ib_shared **out);
isobath_status ib_shared_check(ib_shared *shared, ib_diag *diag);
void ib_shared_unref(ib_shared *shared); /* any thread; NULL allowed */
int ib_shared_fd(const ib_shared *shared);
const ib_shared_layout *ib_shared_get_layout(const ib_shared *shared);

/* For the decoder; `take` waits for a free place. Any thread may drop frames. */
ib_frame_pool ib_shared_pool(ib_shared *shared);
/* Whoever waits for a place gets NULL, now and later. */
void ib_shared_stop(ib_shared *shared);

/* Results' places are dealt to so many devices in turn: each takes its own as long as there are any. */
void ib_shared_deal(ib_shared *shared, int devices);
/* Places of raw windows; any thread. -1: none is free. A device gets places that it had before if it can: it has mapped and registered
 * them already. */
int ib_shared_take_raw(ib_shared *shared, int device);
void ib_shared_give_raw(ib_shared *shared, int place);
int ib_shared_free_raws(ib_shared *shared);
float *ib_shared_raw(const ib_shared *shared, int place);

/* The worker's side: maps a descriptor. *base stays mapped until munmap of layout->bytes. Errors: ISOBATH_ERR_INTERNAL (the layout is not
 * sound or larger than the memory), ISOBATH_ERR_MEMORY. */
isobath_status ib_shared_map(int fd, const ib_shared_layout *layout, ib_diag *diag, uint8_t **base);
/* The frame at `base`; *planes is filled when it has some. NULL: what lies there is no frame. */
const uint8_t *ib_shared_frame(const uint8_t *base, const ib_shared_layout *layout, int place, ib_yuv_planes *planes, int *has_planes);

#endif
