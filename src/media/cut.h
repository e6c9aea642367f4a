/* Parts of a video as files of their own, with exactly the frames asked for: encoded without loss, or copied packets.
 */
#ifndef IB_MEDIA_CUT_H
#define IB_MEDIA_CUT_H

#include "media/media.h"

struct AVFrame;

typedef enum ib_cut_codec { IB_CUT_COPY, IB_CUT_H264, IB_CUT_FFV1 } ib_cut_codec;

/* 128 bits over format, size and samples of a picture (Murmur3: not against forgers). */
typedef struct ib_picture_hash {
    uint8_t bytes[16];
} ib_picture_hash;

/* The frames of a video as they are stored, for cutting. */
typedef struct ib_cut_reader ib_cut_reader;

typedef struct ib_cut_frame {
    const struct AVFrame *picture; /* of the reader, until the next call */
    int width, height, pix_fmt;
    int64_t pts_us;     /* from the first frame, increasing */
    int64_t stream_pts; /* in the stream's units; INT64_MIN: unknown */
    int is_image;       /* one file of a sequence */
    ib_picture_hash hash;
} ib_cut_frame;

/* Errors: as ib_media_open. */
isobath_status ib_cut_reader_open(const char *input, const ib_media_options *options, ib_diag *diag,
                                  ib_cut_reader **out);
void ib_cut_reader_close(ib_cut_reader *reader); /* NULL allowed */
/* *got = 0 at the end. Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY, ISOBATH_ERR_UNSUPPORTED (pictures that are not in
 * memory). */
isobath_status ib_cut_reader_next(ib_cut_reader *reader, ib_cut_frame *out, int *got);
double ib_cut_reader_fps(const ib_cut_reader *reader);            /* 0: unknown */
int64_t ib_cut_reader_frames_hint(const ib_cut_reader *reader);   /* -1: unknown */
const int32_t *ib_cut_reader_matrix(const ib_cut_reader *reader); /* display matrix of the stream, or NULL */

/* The codec that stores pictures of this pixel format without loss, `wish` when it can: H.264 (x264 with qp 0) takes
 * 8-bit YUV, FFV1 most. IB_CUT_COPY: none does. */
ib_cut_codec ib_cut_lossless(int pix_fmt, ib_cut_codec wish);

/* A part that is encoded. One thread at a time. */
typedef struct ib_cut ib_cut;

typedef struct ib_cut_format {
    const char *path; /* written in place; the ending is the caller's: .mp4 for H.264, .mkv or .mov for FFV1 */
    ib_cut_codec codec;
    double fps;            /* for the header; 0: unknown */
    const int32_t *matrix; /* display matrix that the file gets, or NULL */
    int threads;
} ib_cut_format;

/* `first` shows format, size and colours. Errors: ISOBATH_ERR_UNSUPPORTED, ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_cut_open(const ib_cut_format *format, const struct AVFrame *first, ib_diag *diag, ib_cut **out);
/* time_us counts from the first frame of the part and increases. The frame is not changed. */
isobath_status ib_cut_write(ib_cut *cut, const struct AVFrame *frame, int64_t time_us);
isobath_status ib_cut_finish(ib_cut *cut);
void ib_cut_close(ib_cut *cut); /* frees; without finish the file is removed. NULL allowed */

/* Where a copy may begin: the presentation times of key frames, in the stream's own units, ascending; fresh memory.
 * *count 0: times are missing. Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY. */
isobath_status ib_cut_key_frames(const char *input, const ib_media_options *options, ib_diag *diag, int64_t **pts,
                                 int64_t *count);
/* Copies the packets with first_pts <= pts < end_pts of the video stream. Whether that is exactly the wanted frames,
 * only decoding shows. `container` "mp4" or "matroska". *fits = 0, and no file: the container does not take the codec,
 * or the first packet is no key frame. Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_cut_copy(const char *input, const ib_media_options *options, int64_t first_pts, int64_t end_pts,
                           const char *path, const char *container, ib_diag *diag, int *fits);

#endif
