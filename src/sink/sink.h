/* Depth out: one file per format, one registry. A sink takes frames in order, works in its own threads behind its own
 * bounded queue, writes x.tmp and renames. */
#ifndef IB_SINK_SINK_H
#define IB_SINK_SINK_H

#include "base/diag.h"
#include <jansson.h>
#include <stdint.h>

/* A frame on its way to the sinks: shared by them, reference-counted, immutable once pushed. */
typedef struct ib_depth_frame ib_depth_frame;
/* A frame as the file that a sink will write of it (ib_sink_format.pack). */
typedef struct ib_packed_frame {
    uint8_t *data; /* NULL: it was never packed. The frame owns it */
    size_t bytes;
    int exponent;    /* of its step */
    int64_t clamped; /* values that --range clamped */
} ib_packed_frame;

struct ib_depth_frame {
    int64_t index;  /* of the output, 0-based */
    int64_t pts_us; /* presentation time */
    int width, height;
    float *depth;   /* (H,W) row by row; finite and >= 0. NULL: `packed` is all there is */
    float min, max; /* of depth */
    uint8_t *rgb;   /* (rgb_height,rgb_width,3) source picture, or NULL when no sink asked for it */
    int rgb_width, rgb_height;
    ib_packed_frame packed;
};
/* Allocates (rgb only if with_rgb); *out has one reference. ISOBATH_ERR_MEMORY. */
isobath_status ib_depth_frame_create(int width, int height, int with_rgb, int rgb_width, int rgb_height, ib_diag *diag,
                                     ib_depth_frame **out);
/* Frames of one run, used again when all have let go of them: their pages are there already. Thread-safe. */
typedef struct ib_depth_frame_pool ib_depth_frame_pool;
isobath_status ib_depth_frame_pool_create(ib_diag *diag, ib_depth_frame_pool **out); /* ISOBATH_ERR_MEMORY */
void ib_depth_frame_pool_close(ib_depth_frame_pool *pool); /* frames that are out live on; NULL allowed */
/* As ib_depth_frame_create, with depth or without; depth and rgb hold whatever the frame held before. Sizes and what it is with are the same in all
 * calls. */
isobath_status ib_depth_frame_take(ib_depth_frame_pool *pool, int width, int height, int with_depth, int with_rgb, int rgb_width, int rgb_height,
                                   ib_diag *diag, ib_depth_frame **out);
void ib_depth_frame_ref(ib_depth_frame *frame);   /* thread-safe */
void ib_depth_frame_unref(ib_depth_frame *frame); /* thread-safe; frees with the last reference */

/* The rows of a frame that is made as they are taken, from the first one on after every `begin` (backend/rows.h). */
typedef struct ib_frame_rows {
    void *ctx;
    isobath_status (*begin)(void *ctx);
    void (*next)(void *ctx, float *row);                         /* f32 (W) */
    int (*next_cut)(void *ctx, float factor, uint16_t *row);     /* times factor, cut to whole numbers, big-endian; 0: one was above 65535, or NaN */
    void (*range)(void *ctx, float *min, float *max);            /* of the rows since `begin`; NaN when one of them had a NaN */
} ib_frame_rows;

/* What the numbers are: goes into every file (contract 5). */
typedef enum ib_depth_kind { IB_DEPTH_DISPARITY, IB_DEPTH_METRIC } ib_depth_kind;

/* What is kept of every frame, whatever the formats. */
typedef struct ib_frame_record {
    int64_t pts_us;
    float min, max;
    float scale, shift; /* how the raw map was aligned */
} ib_frame_record;

/* Where a sink goes on: an earlier process has made frames [0, count). Read in `open` only. */
typedef struct ib_sink_resume {
    int64_t count;
    const ib_frame_record *frames; /* count of them. NULL: other processes write all frames but those pushed here (a task of
                                    * a cluster): nothing of theirs is touched, and finish is never called */
    const uint8_t *state;          /* count * state_bytes of the format, as `save` wrote it; NULL with frames */
} ib_sink_resume;

/* What every sink is told when it is opened. Strings must outlive the sink. */
typedef struct ib_sink_config {
    const char *folder;        /* existing output folder */
    const char *name;          /* NAME of the result files: NAME_depths.npz ... */
    int width, height;         /* of the depth frames */
    int rgb_width, rgb_height; /* of the source pictures */
    double rgb_aspect;         /* width / height of their pixels; 0: square. Those of the depth cover the same picture */
    double fps;                /* average; 0: unknown */
    int64_t frames_hint;       /* -1: unknown */
    ib_depth_kind kind; /* relative disparity (larger is nearer, unit "relative") or metric depth (unit "metre") */
    int start_number;   /* first number in file names */
    /* png16 */
    double range_min, range_max; /* --range A:B; both 0: automatic */
    float largest;               /* a depth of the video that needs the final step, where it is known before; 0: it is not */
    int png_level;               /* 0: default (fast), 9: smallest */
    /* npz */
    int npz_half;  /* 1: float16 */
    int npz_level; /* -1: default; 0: store */
    /* preview */
    int grayscale;
    const char *colormap; /* "inferno" (default when NULL), "magma", "viridis", "plasma", "turbo", "gray" */
    int preview_side_by_side;
    const char *preview_hardware; /* an encoder of FFmpeg that is tried first ("h264_nvenc"); NULL: none */
    int preview_card;             /* the CUDA device that it is to use */
    /* exr */
    const char *exr_compression; /* NULL: "zip"; "piz", "pxr24", "none" */
    int exr_half;
    int exr_z_only; /* no copy of Z named Y */
    /* ply */
    double focal_px;             /* 0: the reference's default 470.4 */
    double focal_y_px;           /* 0: as focal_px */
    int ply_stride;              /* every n-th pixel of every n-th row; 0: 1 */
    const char *camera;          /* camera file with fx, fy, cx, cy for each frame; NULL: focal_px and the centre */
    const char *source_path;     /* for the sound of the preview; NULL: none */
    int threads;                 /* worker threads of this sink; 0: as many as CPUs */
    int64_t queue_bytes;         /* bound of the queue; 0: 64 MiB */
    int (*cancelled)(void *ctx); /* polled in long finishing passes; NULL allowed */
    void *cancel_ctx;
    int png16_present; /* 1: the png16 sink is in the same run and finishes first: preview reads its frames */
    void (*note)(void *ctx, const char *line); /* something for the log ("libx264 is missing ..."); NULL allowed */
    void *note_ctx;
    int resumable;                /* 1: close without finish keeps what `resume` needs; 0: it leaves complete files or none */
    const ib_sink_resume *resume; /* NULL: from the start, removing what an earlier run left */
} ib_sink_config;

/* Width / height of a pixel of the depth frames. */
static inline double ib_sink_aspect(const ib_sink_config *c)
{
    double wide = (double)c->rgb_width / c->width, high = (double)c->rgb_height / c->height;
    return c->rgb_aspect > 0 && c->rgb_aspect != 1 && c->rgb_width > 0 ? c->rgb_aspect * wide / high : 1;
}

typedef struct ib_sink ib_sink;
struct ib_sink;

/* Whether a format looks at the depth that is pushed. */
typedef enum ib_depth_use { IB_USES_DEPTH, IB_USES_DEPTH_WITHOUT_PNG16, IB_USES_NO_DEPTH } ib_depth_use;

/* A format. Functions are called by one thread at a time, but for those that say otherwise; work happens in the sink's own threads. */
typedef struct ib_sink_format {
    const char *name;    /* as in --format */
    const char *summary; /* one line for --help */
    int wants_rgb;       /* 1: frames must carry rgb */
    int metric_only;
    int first_pass_order; /* finishing order: sinks that others read from at the end come first (png16 0, preview 1) */
    /* Paths that the sink will create, for the overwrite check: calls `add(ctx, path)`. */
    void (*outputs)(const ib_sink_config *, void (*add)(void *ctx, const char *path), void *ctx);
    /* Upper estimate of the bytes on disk per frame. */
    double (*bytes_per_frame)(const ib_sink_config *);
    /* Refuses options that `open` would refuse, before anything is removed or written. Touches no output. NULL: there are none. */
    isobath_status (*check)(const ib_sink_config *, ib_diag *);
    isobath_status (*open)(const ib_sink_config *, ib_diag *, ib_sink **out);
    /* Takes a reference of its own; blocks while the queue is full. Frames come in order, without gaps, from 0 (or from
     * resume->count). */
    isobath_status (*push)(ib_sink *, ib_depth_frame *);
    /* Where it is there: makes frame->packed out of the frame's rows, and fills in its range, so that push needs no depth. For the thread that
     * renders the frame, while the cache has its rows. Thread-safe for distinct `thread` below ib_sink_threads(config). */
    isobath_status (*pack)(ib_sink *, ib_depth_frame *frame, const ib_frame_rows *rows, int thread);
    ib_depth_use uses; /* by a format that does not pack */
    /* Resume. `flush` makes durable what is complete so far and lowers *frames to its number: frames [0, *frames) then
     * survive a power cut. `save` writes state_bytes(config) bytes for each of frames [first, end), which a flush has named.
     * Both may be called by one other thread beside push. */
    isobath_status (*flush)(ib_sink *, int64_t *frames);
    int (*state_bytes)(const ib_sink_config *);
    void (*save)(ib_sink *, int64_t first, int64_t end, uint8_t *state);
    int granularity; /* a resume may only begin at a multiple of it, or after the last frame */
    /* No frame comes any more: waits for the queue, so that the next flush names them all. */
    isobath_status (*drain)(ib_sink *);
    /* Drains, does the finishing pass, syncs and renames. After it only `describe` and `close`. It may be interrupted at
     * any instant and repeated by a sink that was opened after the last frame. */
    isobath_status (*finish)(ib_sink *);
    /* Hidden files and folders of a run that is not complete: calls `add(ctx, path)`. Without `resumable` close removes them;
     * with it the run does, when the manifest is written. NULL: none. */
    void (*parts)(const ib_sink_config *, void (*add)(void *ctx, const char *path), void *ctx);
    /* A JSON object for the manifest: paths (relative to folder), sha256, scale, offset, unit ... New reference. */
    json_t *(*describe)(ib_sink *);
    /* Stops the threads and frees. Without finish: leaves complete files or none, removes its .tmp files; with `resumable`
     * also what a resume needs, hidden. */
    void (*close)(ib_sink *);
} ib_sink_format;

/* Which of the open sinks packs frames for all of them, rendered by `threads` threads: its place; -1: some sink needs the depth. Sinks that are NULL
 * are not open. */
int ib_sink_packs(const ib_sink_config *config, const ib_sink_format *const *formats, ib_sink *const *sinks, int count, int threads);

/* The registry, ended by NULL; and by name (NULL: unknown). */
extern const ib_sink_format *const ib_sink_formats[];
const ib_sink_format *ib_sink_format_find(const char *name);

#endif
