/* What follows the segments of a cut run: the chain over all windows, frames out of spool files, records of what was written. */
#ifndef IB_PIPELINE_CLUSTER_MERGE_H
#define IB_PIPELINE_CLUSTER_MERGE_H

#include "pipeline/align.h"
#include "pipeline/cluster/shard.h"
#include "pipeline/cluster/spool.h"
#include "sink/sink.h"
#include <stdatomic.h>

/* The chain's result: of every window its alignment, and what the manifest says of the whole video. Owns its memory. */
typedef struct ib_chain {
    ib_alignment *alignments; /* one a window; fit_scale and fit_shift are not kept */
    ib_spool_window *windows;
    ib_alignment *frames;     /* with --stabilize: of every frame, scale and shift alone; else NULL */
    char kind[128];           /* of all segments: one kind, or several with " + " between them */
    char decoder[96];
    float max;                /* some depth of the video that needs the same 16-bit step as the largest one; 0: not known (guided upsampling) */
} ib_chain;

/* OUT/NAME_isobath.tasks/chain.bin. Errors: ISOBATH_ERR_INPUT (missing, damaged, of another plan) ... */
isobath_status ib_chain_read(const ib_shard *shard, ib_diag *diag, ib_chain *out);
isobath_status ib_chain_write(const ib_shard *shard, const ib_chain *chain, ib_diag *diag);
void ib_chain_free(ib_chain *chain);
/* The bytes of the file; for tests and fuzzing. */
isobath_status ib_chain_parse(const uint8_t *data, size_t size, const ib_shard *shard, const char *where, ib_diag *diag, ib_chain *out);

/* The spool files of all segments, opened as they are needed. One thread at a time. A segment that is missing, damaged or of another plan
 * is ISOBATH_ERR_INPUT with the command that does it again; a damaged file is removed, so that whoever counts them sees that it is to be
 * done. */
typedef struct ib_segments ib_segments;
isobath_status ib_segments_create(const ib_shard *shard, ib_diag *diag, ib_segments **out);
void ib_segments_destroy(ib_segments *segments); /* NULL allowed */
/* The file that window w is in; the caller does not close it and uses it before the next call but one. */
isobath_status ib_segments_open(ib_segments *segments, int64_t window, ib_spool **out);
/* One map; `kept` 0 in the plan: zeros. */
isobath_status ib_segments_map(ib_segments *segments, int64_t window, int slot, float *map);

/* Frames made of spool files and the chain: each is a pure function of at most two maps, so they are made in parallel. */
typedef struct ib_frames ib_frames;
/* `format` NULL: frames have their depth. Else `sink`, which is of it, packs them (ib_sink_packs). */
isobath_status ib_frames_create(const ib_shard *shard, const ib_chain *chain, const ib_setup *setup, const ib_sink_format *format, ib_sink *sink,
                                ib_diag *diag, ib_frames **out);
void ib_frames_destroy(ib_frames *frames);
/* One frame of the video, with its depth, without its picture; the caller's. */
isobath_status ib_frames_render(ib_frames *frames, int64_t index, ib_depth_frame **out);
/* What becomes of frames. */
typedef struct ib_frames_way {
    isobath_status (*picture)(void *ctx, ib_depth_frame *frame); /* fills in their RGB, in their order, on the calling thread. NULL: they have none
                                                                  * (guided upsampling needs it) */
    isobath_status (*push)(void *ctx, ib_depth_frame *frame);    /* in their order, one at a time, on any thread; takes a reference if it needs one */
    void *ctx;
    const atomic_int *cancelled; /* polled: then ISOBATH_ERR_INTERRUPTED */
} ib_frames_way;
/* Renders frames [first, end) of the video on all threads. */
isobath_status ib_frames_run(ib_frames *frames, int64_t first, int64_t end, const ib_frames_way *way);

/* How frame i of the video, which window w makes final, is aligned. */
static inline const ib_alignment *ib_chain_of(const ib_chain *chain, int64_t w, int64_t i) { return chain->frames ? &chain->frames[i] : &chain->alignments[w]; }

/* The chain over frames (--stabilize), by windows in their order. `pool` and `readers`, one for each of its threads, must outlive it. */
typedef struct ib_frame_chain ib_frame_chain;
isobath_status ib_frame_chain_create(const ib_shard *shard, ib_pool *pool, ib_segments *const *readers, ib_diag *diag, ib_frame_chain **out); /* on failure, too, to be destroyed */
void ib_frame_chain_destroy(ib_frame_chain *chain); /* NULL allowed */
isobath_status ib_frame_chain_window(ib_frame_chain *chain, int64_t window, ib_alignment *frames); /* of all frames; those of the window are filled in */

/* Aligns all windows. `done` counts windows; `cancelled` is polled. */
isobath_status ib_chain_make(const ib_shard *shard, const ib_setup *setup, atomic_int_fast64_t *done, const atomic_int *cancelled, ib_diag *diag,
                             ib_chain *out);

/* What a rendering task leaves: the frames that it wrote, and what each format needs to go on. */
typedef struct ib_part {
    int64_t part, parts, first, count; /* frames [first, first + count) */
    ib_frame_record *frames;
    uint8_t *state[IB_MAX_SINKS];      /* of the setup's formats, in their order; NULL: not one file a frame */
} ib_part;

isobath_status ib_part_write(const ib_shard *shard, const ib_setup *setup, const ib_part *part, ib_diag *diag);
/* Errors: ISOBATH_ERR_INPUT (missing, damaged, of another plan) ... */
isobath_status ib_part_read(const ib_shard *shard, const ib_setup *setup, int64_t part, int64_t parts, ib_diag *diag, ib_part *out);
void ib_part_free(ib_part *part);
/* Frames of part i of n. */
void ib_part_range(const ib_shard *shard, int64_t part, int64_t parts, int64_t *first, int64_t *end);
/* 1: one file a frame, so tasks can write its frames independently. */
int ib_part_format(const ib_sink_format *format);

#endif
