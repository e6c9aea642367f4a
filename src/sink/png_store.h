/* A folder of 16-bit frames with one step for the whole video: the body of the png16 sink, and the preview's spool. */
#ifndef IB_SINK_PNG_STORE_H
#define IB_SINK_PNG_STORE_H

#include "base/pool.h"
#include "sink/png_file.h"
#include "sink/quant.h"

typedef struct ib_png_store ib_png_store;

#define IB_PNG_STATE_BYTES 52 /* of a frame, for a resume */

/* Creates the folder and removes the frames of an earlier run (frame_N.png, depth.json, *.tmp) from it, but for those
 * before config->resume. `threads` callers of ib_png_store_write at most. `folder` is copied. */
isobath_status ib_png_store_open(const ib_sink_config *config, const char *folder, int threads, ib_diag *diag,
                                 ib_png_store **out);
void ib_png_store_close(ib_png_store *store); /* removes .tmp files of this run; NULL allowed */
/* Removes every frame and the folder: for a spool. */
void ib_png_store_remove(ib_png_store *store);

/* Tells the store of a frame that is about to be written (in order, one thread): grows the step. */
isobath_status ib_png_store_announce(ib_png_store *store, const ib_depth_frame *frame);
/* Quantises, compresses and writes one announced frame with the step known by now; one that is packed is only written. Thread-safe for distinct `thread`.
 * Errors: ISOBATH_ERR_IO, ISOBATH_ERR_INTERNAL (a value that is not finite, negative, or above frame->max). */
isobath_status ib_png_store_write(ib_png_store *store, const ib_depth_frame *frame, int thread);
/* Two of them, in less time than one after the other where both are packed. */
isobath_status ib_png_store_write_two(ib_png_store *store, const ib_depth_frame *const frame[2], int thread);
/* Packs a frame before it is announced, with the step known by now or, where its values need a larger one, with that. Thread-safe for distinct
 * `thread`, also beside announce and the writing of packed frames. Errors as of write. */
isobath_status ib_png_store_pack(ib_png_store *store, ib_depth_frame *frame, const ib_frame_rows *rows, int thread);
/* Makes frames [0, frames) durable; they are written. One thread, beside announce and write. */
isobath_status ib_png_store_flush(ib_png_store *store, int64_t frames);
/* IB_PNG_STATE_BYTES for each of frames [first, end), which are written. */
void ib_png_store_save(ib_png_store *store, int64_t first, int64_t end, uint8_t *state);
/* By how many bits a frame that was read must be shifted to have the final step, which its texts tell; -1: it is not one
 * of this store. */
int ib_png_store_shift(const ib_quant *quant, int exponent, const ib_png_image *image);
/* Rewrites, in parallel, the frames that were written with an earlier step; syncs everything when `durable`. The
 * result is what quantisation with the final step gives, byte for byte. ISOBATH_ERR_INTERRUPTED when cancelled. */
isobath_status ib_png_store_finish(ib_png_store *store, int durable);

/* After the last announce. */
const ib_quant *ib_png_store_quant(const ib_png_store *store);
int ib_png_store_exponent(const ib_png_store *store);
int64_t ib_png_store_frames(const ib_png_store *store);
/* After finish: all bytes; the digest over the frames ("sha256 of the frames' hex digests, one a line, in order");
 * values that --range clamped. */
int64_t ib_png_store_bytes(const ib_png_store *store);
void ib_png_store_digest(const ib_png_store *store, char hex[65]);
int64_t ib_png_store_clamped(const ib_png_store *store);

/* FOLDER/frame_%05d.png; NULL: out of memory. The caller frees. */
char *ib_png_store_path(const char *folder, int64_t number);

#endif
