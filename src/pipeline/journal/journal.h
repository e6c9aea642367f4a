/* NAME_isobath.journal: what an unfinished run has done so far. Records are appended after the data that they name is durable;
 * the reader drops a torn or damaged end. docs/FORMATS.md, "Journal", has the bytes; docs/ARCHITECTURE.md the order. */
#ifndef IB_PIPELINE_JOURNAL_JOURNAL_H
#define IB_PIPELINE_JOURNAL_JOURNAL_H

#include "pipeline/align.h"
#include "pipeline/repeats.h"
#include "sink/sink.h"

#define IB_JOURNAL_SINKS 8

/* What is kept of a window: for the manifest, and for a resume. */
typedef struct ib_window_record {
    ib_alignment alignment;
    int64_t shot, shot_first, k;
    int64_t frames_total; /* of the shot; -1: not known when the window was computed */
    int redone;
    int64_t nonfinite;
} ib_window_record;

/* All that a journal says. */
typedef struct ib_journal_state {
    char *identity; /* JSON: what the run is (identity.h) */
    char input_sha256[65]; /* "": was not known yet */
    int repeats;           /* 1: the run goes on with --on-error repeat, whatever the identity says */
    int64_t *repeated;     /* repeated_count frames that stand in for damaged ones, ascending; complete when `ended` */
    int64_t repeated_count;
    ib_window_record *windows; /* in order, no gaps; k = 0 begins a shot */
    int64_t window_count, window_cap;
    ib_frame_record *frames; /* of frames [0, frame_count): rendered and durable in every format */
    int64_t frame_count, frame_cap;
    int sink_count; /* of the frame records; -1: none came */
    int state_bytes[IB_JOURNAL_SINKS];
    uint8_t *sink_state[IB_JOURNAL_SINKS]; /* frame_count * state_bytes each */
    int ended;                             /* 1: frame_count is the video's; only finishing is left */
    char *finished[IB_JOURNAL_SINKS];      /* JSON: what a finished format said of itself; NULL: not finished */
    int64_t valid_bytes;                   /* of the file; what follows is torn */
} ib_journal_state;

/* Takes a journal apart; stops at the first record that is torn, damaged or contradicts those before it. Pure.
 * Errors: ISOBATH_ERR_INPUT (no journal, or not even its first record is whole), ISOBATH_ERR_MEMORY. */
isobath_status ib_journal_parse(const uint8_t *data, size_t size, const char *name, ib_diag *diag, ib_journal_state *state);
/* The same of a file. */
isobath_status ib_journal_read(const char *path, ib_diag *diag, ib_journal_state *state);
void ib_journal_state_free(ib_journal_state *state);

/* A journal that is written. Append may be called from any thread. Errors: ISOBATH_ERR_IO; a record that could not be written
 * whole is taken back. */
typedef struct ib_journal ib_journal;
/* A new one, complete (with its identity) and durable, or none. */
isobath_status ib_journal_create(const char *path, const char *identity, ib_diag *diag, ib_journal **out);
/* Goes on behind `valid_bytes`. */
isobath_status ib_journal_open(const char *path, int64_t valid_bytes, ib_diag *diag, ib_journal **out);
/* From here on damaged frames are repeated; the last list counts. */
isobath_status ib_journal_repeats(ib_journal *journal, const ib_repeats *repeats);
isobath_status ib_journal_input(ib_journal *journal, const char sha256[65]);
isobath_status ib_journal_window(ib_journal *journal, const ib_window_record *window);
/* Frames [first, first + count); state: for each of `sinks` formats count * state_bytes[i] bytes. */
isobath_status ib_journal_frames(ib_journal *journal, int64_t first, int64_t count, const ib_frame_record *frames, int sinks,
                                 const int *state_bytes, uint8_t *const *state);
isobath_status ib_journal_end(ib_journal *journal, int64_t frames);
isobath_status ib_journal_finished(ib_journal *journal, int sink, const char *description);
isobath_status ib_journal_sync(ib_journal *journal);
void ib_journal_close(ib_journal *journal); /* NULL allowed */

#endif
