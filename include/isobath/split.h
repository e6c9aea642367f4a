/* Cutting a video into overlapping chunks for a depth tool that is not ours; isobath/join.h puts its results together.
 */
#ifndef ISOBATH_SPLIT_H
#define ISOBATH_SPLIT_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to do. Fill with isobath_split_options_init; strings must live until isobath_split_run returns. */
typedef struct isobath_split_options {
    const char *input;    /* a video file; with plan_only also images and whatever `run` reads but stdin */
    const char *output;   /* folder, created when missing */
    const char *name;     /* of the files; NULL: the input's base name */
    int64_t chunks;       /* so many chunks of nearly the same length; 0: by chunk_frames */
    int64_t chunk_frames; /* length of a chunk; the last one may be shorter; 0: by chunks */
    int64_t overlap;      /* frames that neighbouring chunks share; init: 32 */
    const char *codec;    /* "auto" (NULL): a copy where that is exact, else h264, else ffv1; "copy", "h264", "ffv1" */
    int plan_only;        /* 1: no chunks are written, only the plan with their frame ranges */
    int overwrite;
    int threads; /* of the decoder, 0: all */
    /* called now and then from the calling thread: frames done of a stage ("count", "copy", "encode", "verify");
     * total -1: unknown. Not 0: stop. NULL allowed. */
    int (*progress)(void *ctx, const char *stage, int64_t done, int64_t total);
    void *progress_ctx;
} isobath_split_options;

typedef struct isobath_split_summary {
    int64_t frames; /* of the input, as decoded */
    int64_t chunks, frames_in_chunks;
    int64_t copied, encoded; /* chunks; both 0 with plan_only */
    char plan[4096];         /* path of NAME_split.json */
} isobath_split_summary;

void isobath_split_options_init(isobath_split_options *options);
/* Decodes the input once to count and hash its frames, writes NAME_chunk_%03d.mp4 or .mkv, decodes each chunk and
 * compares every frame, and writes NAME_split.json last. On failure the chunks are removed and `error` (may be NULL)
 * holds one line. Errors: ISOBATH_ERR_USAGE, INPUT, UNSUPPORTED (no exact way to store the pictures), EXISTS, IO,
 * MEMORY, INTERRUPTED. Thread-safe. */
isobath_status isobath_split_run(const isobath_split_options *options, isobath_split_summary *summary, char *error,
                                 size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
