/* The bytes of a journal, shared by its writer and its reader. The file: magic, then records of {u32 size, u32 CRC-32 of the
 * payload, payload}; a payload is one byte of type and what follows below. Little-endian. */
#ifndef IB_PIPELINE_JOURNAL_JOURNAL_FORMAT_H
#define IB_PIPELINE_JOURNAL_JOURNAL_FORMAT_H

#include "pipeline/journal/journal.h"

#define IB_JOURNAL_MAGIC "isobjrn1"
#define IB_JOURNAL_HEAD 8
#define IB_JOURNAL_MAX_RECORD ((size_t)1 << 30)

typedef enum ib_journal_record {
    IB_RECORD_IDENTITY = 1, /* u32 0, JSON text */
    IB_RECORD_WINDOW = 2,   /* i64 shot, shot_first, k, frames_total; f32 scale, shift; f64 fit_scale, fit_shift; u32 guarded |
                               redone << 1; i64 nonfinite */
    IB_RECORD_FRAMES = 3,   /* i64 first; u32 count, sinks; u32 state_bytes for each sink; for each frame i64 pts_us, f32 min, max, scale, shift;
                               for each sink count * state_bytes bytes */
    IB_RECORD_END = 4,      /* i64 frames */
    IB_RECORD_FINISHED = 5, /* u32 sink, JSON text */
    IB_RECORD_INPUT = 6,    /* u32 0, SHA-256 of the input in hex */
    IB_RECORD_REPEATS = 7   /* u32 count; i64 numbers of the frames that stand in for damaged ones, ascending */
} ib_journal_record;

#define IB_JOURNAL_WINDOW_BYTES (4 * 8 + 2 * 4 + 2 * 8 + 4 + 8)
#define IB_JOURNAL_FRAME_BYTES 24

#endif
