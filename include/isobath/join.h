/* Putting the depth of overlapping chunks together: aligned chunk to chunk, blended, written through the same formats
 * as a run. */
#ifndef ISOBATH_JOIN_H
#define ISOBATH_JOIN_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to do. Fill with isobath_join_options_init; strings must live until isobath_join_run returns. */
typedef struct isobath_join_options {
    const char *plan;          /* NAME_split.json, or a text with a line "FIRST_FRAME PATH" per chunk */
    const char *const *depths; /* the depth of each chunk, in order: a file or a folder */
    size_t depth_count;        /* 0: as the plan says */
    const char *output;        /* folder, created when missing */
    const char *name;          /* of the result files; NULL: the plan's input, or the base name of the list */
    const char *formats;       /* comma-separated sink names without src and ply; NULL: "png16,preview" */
    int overwrite;
    const char *input_scale; /* what samples of foreign depth mean (docs/FORMATS.md); NULL: as the files say */
    int metric;              /* 1: metres, 0: disparity, -1: as the files say, disparity when they do not */
    const char *fit;   /* "scale+shift", "scale", "none"; NULL or "auto": scale+shift for disparity, none for metres */
    const char *space; /* in which the fit is linear: "disparity", "depth"; NULL or "auto": what the files hold */
    const char *blend; /* over the overlap: "linear" (NULL), "cosine", or "cut": no blend */
    int64_t blend_frames;  /* length of the blend, in the middle of the overlap; 0: all of it; init: 8 */
    const char *per_frame; /* input whose frames were normalised one by one: "refuse" (NULL), "repair", "ignore" */
    double fps;            /* for lists, which have no times; 0: the files' times, else 30 */
    /* formats' own options, as in isobath_run_options */
    int start_number, npz_half, png_max, grayscale, exr_half, exr_z_only;
    double range_min, range_max;
    const char *colormap, *exr_compression;
    int threads; /* 0: all */
    /* called now and then from the calling thread: frames done of a stage ("look", "align", "repair", "join"). Not 0:
     * stop. NULL allowed. */
    int (*progress)(void *ctx, const char *stage, int64_t done, int64_t total);
    void *progress_ctx;
} isobath_join_options;

/* How a chunk was brought to the first one's scale: in the fit's space, aligned = scale * value + shift. */
typedef struct isobath_join_chunk {
    int64_t first, frames, overlap; /* overlap: frames shared with the chunk before */
    double scale, shift;
    double residual;  /* after the fit, in the overlap: 1.4826 * median |error| / median value */
    double agreement; /* there: the share of the spread that the line explains, 0..1 */
} isobath_join_chunk;

typedef struct isobath_join_summary {
    int64_t frames, frames_in_chunks;
    int width, height;
    const char *unit;           /* "metre" or "relative". A constant */
    int unit_assumed;           /* 1: neither files nor options say what the numbers are, disparity was assumed */
    const char *fit, *space;    /* as used. Constants */
    int repaired;               /* 1: frames were aligned one by one */
    int64_t clamped;            /* values that the alignment made negative, and that became 0 */
    isobath_join_chunk *chunks; /* freed by isobath_join_summary_free */
    size_t count;
    char manifest[4096]; /* path of NAME_isobath.json */
} isobath_join_summary;

void isobath_join_options_init(isobath_join_options *options);
/* Checks sizes and frame counts, refuses input that was normalised frame by frame, aligns, blends and writes; exactly
 * the plan's number of frames come out. Memory does not grow with the length but by 24 bytes a frame. On failure
 * `error` (may be NULL) holds one line. Errors: ISOBATH_ERR_USAGE, INPUT, EXISTS, IO, MEMORY, INTERRUPTED. Thread-safe.
 */
isobath_status isobath_join_run(const isobath_join_options *options, isobath_join_summary *summary, char *error,
                                size_t error_size);
void isobath_join_summary_free(isobath_join_summary *summary);

#ifdef __cplusplus
}
#endif
#endif
