/* 16-bit frames that wait for the end of the video, when the final step and the range are known: for sinks that make
 * one file of all frames (preview, ffv1). They are the png16 sink's files when it is in the run, else a hidden folder
 * written by the same code; what comes out is the same either way. */
#ifndef IB_SINK_FRAME_SPOOL_H
#define IB_SINK_FRAME_SPOOL_H

#include "sink/png_store.h"

typedef struct ib_frame_spool ib_frame_spool;

/* `suffix` names the hidden folder .NAME_suffix_spool. */
isobath_status ib_frame_spool_open(const ib_sink_config *config, const char *suffix, ib_diag *diag,
                                   ib_frame_spool **out);
void ib_frame_spool_close(ib_frame_spool *spool); /* removes the hidden folder unless resumable; NULL allowed */
isobath_status ib_frame_spool_push(ib_frame_spool *spool, ib_depth_frame *frame);
/* As ib_sink_format says. */
isobath_status ib_frame_spool_flush(ib_frame_spool *spool, int64_t *frames);
void ib_frame_spool_save(ib_frame_spool *spool, int64_t first, int64_t end, uint8_t *state);
int ib_frame_spool_state_bytes(const ib_sink_config *config);
isobath_status ib_frame_spool_drain(ib_frame_spool *spool);
void ib_frame_spool_parts(const ib_sink_config *config, const char *suffix, void (*add)(void *ctx, const char *path), void *ctx);
/* Waits until all frames are on disk and fixes the step. The png16 sink must have finished. */
isobath_status ib_frame_spool_finish(ib_frame_spool *spool);

/* After finish. */
int64_t ib_frame_spool_count(const ib_frame_spool *spool);
const int64_t *ib_frame_spool_times_us(const ib_frame_spool *spool);
const ib_quant *ib_frame_spool_quant(const ib_frame_spool *spool);
int ib_frame_spool_exponent(const ib_frame_spool *spool);
float ib_frame_spool_min(const ib_frame_spool *spool);
float ib_frame_spool_max(const ib_frame_spool *spool);
/* Frame i with the final step, (H,W): *q stays until the next call with the same `thread`, which is one of those of ib_sink_threads.
 * Several calls at a time, distinct `thread`. Errors: ISOBATH_ERR_IO when the files were changed meanwhile, ISOBATH_ERR_MEMORY. */
isobath_status ib_frame_spool_read(ib_frame_spool *spool, int64_t i, int thread, const uint16_t **q);
/* Bytes per frame that the spool takes on disk. */
double ib_frame_spool_bytes_per_frame(const ib_sink_config *config);

#endif
