/* Video files by libav: the only file of this layer that includes its headers is video_writer.c. */
#ifndef IB_SINK_VIDEO_WRITER_H
#define IB_SINK_VIDEO_WRITER_H

#include "base/diag.h"
#include <stdint.h>

/* A whole video whose frames can be drawn in any order: groups of `group` frames are encoded side by side, each by an
 * encoder of its own with one thread, and joined; so the bytes do not depend on the number of threads. */
typedef struct ib_video_job {
    const char *path;        /* PATH.tmp is written, then renamed */
    int width, height;       /* both even, yuv420p, BT.709, limited range */
    int64_t frames;          /* 1 or more */
    const int64_t *times_us; /* presentation times; any start; made strictly increasing where they are not */
    double fps;              /* for the encoder's rate control; 0: unknown */
    int group;               /* frames per closed group of pictures */
    int threads;
    const char *encoder;     /* NULL: the best H.264 encoder there is; or a name, for tests */
    /* Fills Y, U and V of frame i; several calls at a time, distinct `thread`. */
    isobath_status (*draw)(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3]);
    void *ctx;
    int (*cancelled)(void *ctx); /* NULL allowed */
    void *cancel_ctx;
} ib_video_job;

/* Encodes with libx264 (crf 18) or, where that is missing, another encoder; its name goes into `encoder`.
 * Errors: ISOBATH_ERR_UNSUPPORTED (no encoder), ISOBATH_ERR_IO, ISOBATH_ERR_INTERRUPTED, what draw returned. */
isobath_status ib_video_encode(const ib_video_job *job, ib_diag *diag, char encoder[64]);

#endif
