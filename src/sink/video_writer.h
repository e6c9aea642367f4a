/* Video files by libav. Its headers are included by video_*.c only. */
#ifndef IB_SINK_VIDEO_WRITER_H
#define IB_SINK_VIDEO_WRITER_H

#include "sink/sink.h"
#include <stdint.h>

typedef enum ib_video_kind {
    IB_VIDEO_H264,       /* MP4: yuv420p, BT.709, limited range, crf 18; even sizes */
    IB_VIDEO_FFV1_GRAY16 /* Matroska: lossless 16-bit grey; its times are in milliseconds */
} ib_video_kind;

/* A key and a value of the file's metadata. */
typedef struct ib_video_tag {
    const char *key, *value;
} ib_video_tag;

/* What to write. Strings must outlive the writer. */
typedef struct ib_video_format {
    ib_video_kind kind;
    const char *path; /* PATH.tmp is written, then renamed */
    int width, height;
    double fps; /* for the encoder's rate control; 0: unknown */
    double pixel_aspect; /* width / height of a pixel, for the container; 0: square */
    const ib_video_tag *tags;
    int tag_count;
    const char *sound_from; /* a media file whose sound is copied, packet by packet; NULL: none */
    int smooth;             /* 1: pictures without texture, such as depth in colours */
    const char *hardware;   /* an encoder that is tried first, for job videos; NULL: none */
    int hardware_card;      /* the CUDA device that it is to use */
    int resumable;          /* 1: segments stay until someone removes them (video_segment.h) */
    const char *encoder;    /* NULL: the best there is; or a name, for tests */
} ib_video_format;

/* What came of it. */
typedef struct ib_video_result {
    char encoder[64];
    char no_hardware[256]; /* why the encoder of format.hardware was not used; "" */
    char sound[160]; /* "aac", or why there is none; "" when none was asked for */
    int has_sound;
} ib_video_result;

/* A whole video whose frames can be drawn in any order: groups of frames are encoded side by side, each by an encoder
 * of its own with one thread, into segments (video_segment.h), and joined; so the bytes do not depend on the number of
 * threads. With format.hardware one session encodes it all (video_hardware.h) where that works; its bytes are its own.
 * Segments that an interrupted call left are used. */
typedef struct ib_video_job {
    ib_video_format format;
    int64_t frames;          /* 1 or more */
    const int64_t *times_us; /* presentation times; any start; made strictly increasing where they are not */
    int group;               /* frames per closed group of pictures */
    int threads;
    /* Fills the planes of frame i (Y, U, V; or grey, 16-bit little-endian); several calls at a time, distinct `thread`.
     */
    isobath_status (*draw)(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3]);
    void *ctx;
    int (*cancelled)(void *ctx); /* NULL allowed */
    void *cancel_ctx;
} ib_video_job;

/* Errors: ISOBATH_ERR_UNSUPPORTED (no encoder), ISOBATH_ERR_IO, ISOBATH_ERR_INTERRUPTED, what draw returned. A sound
 * that cannot be copied is no error: result->sound says why. */
isobath_status ib_video_encode(const ib_video_job *job, ib_diag *diag, ib_video_result *result);

#define IB_VIDEO_SEGMENT_FRAMES 48

/* A video written frame by frame: segments of IB_VIDEO_SEGMENT_FRAMES frames, each by an encoder with a fixed number of
 * threads of its own: bytes that depend on the frames only. H.264 only. One thread at a time. */
typedef struct ib_video_stream ib_video_stream;
/* resume: NULL, or frames that are in segments already: a multiple of IB_VIDEO_SEGMENT_FRAMES, or all of the video. */
isobath_status ib_video_stream_open(const ib_video_format *format, const ib_sink_resume *resume, ib_diag *diag, ib_video_stream **out);
/* Planes of a yuv420p picture, without gaps: Y (h,w), U and V (h/2,w/2). */
isobath_status ib_video_stream_write(ib_video_stream *stream, const uint8_t *yuv, int64_t time_us);
/* Frames [0, n) are in durable segments. Any thread. */
int64_t ib_video_stream_durable(const ib_video_stream *stream);
/* No frame comes any more: writes the last segment. */
isobath_status ib_video_stream_end(ib_video_stream *stream);
/* Completes and renames the file. ISOBATH_ERR_INPUT when no frame came. */
isobath_status ib_video_stream_finish(ib_video_stream *stream, ib_video_result *result);
/* Frees; without finish PATH.tmp is removed, without format->resumable the segments, too. NULL allowed. */
void ib_video_stream_close(ib_video_stream *stream);
/* The hidden folder of a video's segments: calls add(ctx, path). */
void ib_video_parts(const char *path, void (*add)(void *ctx, const char *path), void *ctx);

#endif
