/* Frames in: whatever libav opens, image sequences, raw video and Y4M on a pipe; RGB out, in presentation order.
 * Only files of this folder (and the preview sinks) include libav headers. */
#ifndef IB_MEDIA_MEDIA_H
#define IB_MEDIA_MEDIA_H

#include "base/diag.h"
#include "base/pool.h"
#include "base/yuv_pixel.h"
#include <stdint.h>

typedef struct ib_media ib_media;

typedef enum ib_on_error { IB_ON_ERROR_STOP, IB_ON_ERROR_REPEAT } ib_on_error;

/* Cutting away letterbox bars. AUTO looks at 16 frames of the whole file (not for pipes). */
typedef enum ib_crop_mode { IB_CROP_OFF, IB_CROP_AUTO, IB_CROP_RECT } ib_crop_mode;
typedef struct ib_rect {
    int x, y, width, height; /* of the upright picture, in stored pixels */
} ib_rect;

/* Who decodes. AUTO: the card of cuda_device where it can, else libavcodec's software; CUDA: the same, and the reason why not is
 * an error. Files of images, pipes and streams that the card does not know are decoded in software. */
typedef enum ib_decoder_kind { IB_DECODER_SOFTWARE, IB_DECODER_AUTO, IB_DECODER_CUDA } ib_decoder_kind;

typedef struct ib_media_options {
    int max_res; /* longer side limit, 0: none (FACTS: both sides round(side*max_res/long), half to even, odd + 1) */
    double target_fps;  /* 0: every frame; else stride = max(round(fps/target_fps), 1) */
    int64_t max_frames; /* kept frames, 0: all */
    double start_s,
        end_s; /* presentation times from the first frame; end_s <= 0: to the end; start inclusive, end exclusive */
    ib_on_error on_error;
    double image_fps;       /* frame rate of image sequences, default 30 when 0 */
    const char *raw_format; /* for headerless raw video: "WIDTHxHEIGHT:PIXFMT:FPS" (rgb24, yuv420p ...), else NULL. For a
                             * camera: what to ask it for, where parts may be empty and FORMAT may be a codec (":mjpeg") */
    double stall_s;         /* a URL or camera that gives nothing for so long counts as broken off; 0: it is waited for */
    int threads;            /* decoder threads; 0: as many as CPUs, at most 16 */
    ib_pool *pool;          /* for colour conversion and resize; NULL: the calling thread */
    int64_t start_frame, end_frame; /* the same range by frame number of the input; end exclusive, 0: to the end */
    ib_crop_mode crop;
    ib_rect crop_rect;  /* with IB_CROP_RECT */
    int square_pixels;  /* 1: pictures with a pixel aspect ratio are widened or heightened to square pixels */
    int keep_hdr;       /* 1: PQ and HLG are not tone-mapped */
    int deinterlace;    /* 1: in frames flagged as interlaced the bottom field is made from the top one's rows */
    ib_decoder_kind decoder;
    int cuda_device;    /* with IB_DECODER_AUTO and IB_DECODER_CUDA: the card to decode on */
    int sessions;       /* so many decoders on the card at a time, where input and card allow it; the frames are the same. 0: one */
    int sequential;     /* 1: everything before the start is decoded, too (for tests: the frames are the same) */
    int64_t max_pixels; /* larger pictures are refused; 0: libav's limit */
} ib_media_options;

/* Part of ib_media_info.decoder where a card decodes and does not tell of damage inside of pictures. */
#define IB_DAMAGE_NOT_SEEN "(damage not seen)"

/* What is known before the first frame. Sizes are after rotation and max_res: the "source size" of all that follows. */
typedef struct ib_media_info {
    int width, height;             /* of the RGB frames that ib_media_read returns */
    int coded_width, coded_height; /* as stored */
    int rotation;                  /* degrees clockwise that were applied: 0, 90, 180, 270 */
    double fps;                    /* average, after the stride of target_fps; 0: unknown */
    int stride;                    /* of target_fps */
    int64_t frames_hint;           /* estimate of the kept frames; -1: unknown (a pipe). Never relied upon */
    ib_rect crop;                  /* what is kept of the upright picture; all of it without a crop */
    double pixel_aspect;           /* width / height of a stored pixel; 1: square or unknown */
    int tone_mapped;               /* 1: PQ or HLG was made SDR */
    char decoder[96];              /* codec, decoder and library version: part of the run's kind */
    int64_t passed_over;           /* damaged packets and pictures before the first whole one */
    char decoder_note[320];        /* "software (why)" where a card was asked for; what the card does not see; "" */
    char colour[96];               /* pixel format, matrix, range, transfer: what the conversion assumed */
} ib_media_info;

/* One frame. */
typedef struct ib_media_frame {
    int64_t index;  /* 0, 1, 2 ... of kept frames */
    int64_t pts_us; /* presentation time of this frame in microseconds from the first frame of the stream */
    int repeated;   /* 1: stands in for a damaged frame (on_error repeat) */
    const char *why; /* of a repeated one: what was damaged, and where; until the next call. Else NULL */
} ib_media_frame;

/* 1: a camera, or a URL that is a broadcast (rtsp, rtp, udp, srt, rtmp): frames come at their own pace, and those that went by do not
 * come again. */
int ib_media_is_live(const char *input);
/* 1: those, standard input, and a named pipe: it can be read once. */
int ib_media_comes_once(const char *input);

/* Opens a file, URL, folder, glob or printf pattern of images, or "-" (stdin: Y4M by its header, else raw_format).
 * Errors: ISOBATH_ERR_INPUT (missing, not a video, no frames ... one line with the path), ISOBATH_ERR_USAGE,
 * ISOBATH_ERR_MEMORY. One thread at a time per object. */
isobath_status ib_media_open(const char *input, const ib_media_options *options, ib_diag *diag, ib_media **out);
void ib_media_close(ib_media *media); /* NULL allowed */
/* Gives file, device or connection back: no frames come any more; what ib_media_get_info says stays. */
void ib_media_hang_up(ib_media *media);
const ib_media_info *ib_media_get_info(const ib_media *media);

/* Reads the next kept frame into rgb (height*width*3 bytes, contiguous; NULL: the picture is not wanted and not converted).
 * *got = 0 at the end (frame and rgb untouched).
 * Errors: ISOBATH_ERR_INPUT with the frame or byte position of a damaged packet (on_error stop). */
isobath_status ib_media_read(ib_media *media, uint8_t *rgb, ib_media_frame *frame, int *got);

/* A decoded frame by reference: its planes, for a device that makes RGB of them; nothing is copied. */
typedef struct ib_media_picture ib_media_picture;
/* 1 when frames need nothing but colour conversion (no crop, reduction, turn, tone mapping, deinterlacing) and the first
 * one is YUV in planes. */
int ib_media_has_planes(const ib_media *media);
/* The same, and what the first frame looks like (its planes stay the media object's). */
int ib_media_first_planes(const ib_media *media, ib_yuv_planes *planes);
/* Reads the next kept frame by reference; the caller frees *picture (from any thread, also after the media object is
 * closed). Only with ib_media_has_planes. Errors: as ib_media_read. */
isobath_status ib_media_read_picture(ib_media *media, ib_media_picture **picture, ib_media_frame *frame, int *got);
void ib_media_picture_free(ib_media_picture *picture); /* NULL allowed */
/* The planes; or NULL where a frame in mid-stream is of a kind that has none: then ib_media_picture_rgb has it,
 * height*width*3 bytes. */
const ib_yuv_planes *ib_media_picture_planes(const ib_media_picture *picture);
uint8_t *ib_media_picture_rgb(ib_media_picture *picture);
/* Planes of the picture in host memory, until the next call with the viewer (NULL at first; free it at the end): the picture's own,
 * or copied from the card. Any thread. Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_DEVICE. */
typedef struct ib_media_viewer ib_media_viewer;
isobath_status ib_media_look(ib_media_viewer **viewer, const ib_media_picture *picture, ib_diag *diag, ib_yuv_planes *planes);
void ib_media_viewer_free(ib_media_viewer *viewer); /* NULL allowed */

/* SHA-256 of the first picture as decoded, before any is read: what can be said of an input that can be read once only. */
void ib_media_first_hash(const ib_media *media, char out[65]);

/* The next frame that is read becomes frame `index` (of the kept ones, not read yet), whose time an earlier reading with the same options
 * gave as pts_us: by a jump to a key frame before it where the container can and its times are the same, else by decoding all up to it.
 * What follows a jump may differ in damaged streams: compare times, or pictures. Errors: as ib_media_read. */
isobath_status ib_media_jump(ib_media *media, int64_t index, int64_t pts_us);
/* The same from the frame at key_us, which needs none before it (index.h). *arrived = 0: that cannot be done; then nothing more can be read
 * from the media object. */
int ib_media_can_jump(const ib_media *media); /* 0: it never can */
isobath_status ib_media_jump_from(ib_media *media, int64_t index, int64_t pts_us, int64_t key_us, int *arrived);

/* What ib_media_read would give as times, from the container's packets alone (images: from their number), for options as they opened a
 * media object with this stride: much sooner, and right for streams without damage or tricks. *times_us is malloc'ed.
 * Errors: ISOBATH_ERR_INPUT (no times, two of one time, a pipe), ISOBATH_ERR_MEMORY. */
isobath_status ib_media_packet_times(const char *input, const ib_media_options *options, int stride, ib_diag *diag, int64_t **times_us,
                                     int64_t *count);

/* At the end, with on_error repeat: how the container broke off; "" when it did not. */
const char *ib_media_broken(const ib_media *media);
/* 1: a packet (its number, and its byte or -1) gave no picture and no error, where each one before it had given one: damaged without a trace, or not
 * meant to be shown. Known at the end. */
int ib_media_silent(const ib_media *media, int64_t *packet, int64_t *pos);

/* SHA-256 over the input's bytes in hex (sequences: over the files in order; pipes: of what was read so far is not
 * known, so "" is written). out holds 65 bytes. */
isobath_status ib_media_hash(const char *input, ib_diag *diag, char out[65]);

/* ---- pure parts, tested by themselves -------------------------------------------------------------------------- */

/* YUV to RGB, our own fixed-point arithmetic (docs/MEDIA.md): the same bits on every backend. */
typedef enum ib_yuv_matrix { IB_YUV_BT601, IB_YUV_BT709, IB_YUV_BT2020 } ib_yuv_matrix;
/* For ib_yuv_pixel, which is the definition. bits: 8 to 16. */
ib_yuv_coefficients ib_yuv_coefficients_for(ib_yuv_matrix matrix, int full_range, int bits);

/* Finds letterbox bars: the part of the upright picture that is worth keeping, even sizes and offsets; the whole
 * picture when there are no bars. Errors: as ib_media_open; ISOBATH_ERR_USAGE for a pipe. */
isobath_status ib_media_detect_crop(const char *input, const ib_media_options *options, ib_diag *diag, ib_rect *rect);

/* FACTS section 3: the reduced size. */
void ib_media_reduced_size(int width, int height, int max_res, int *out_width, int *out_height);

#endif
