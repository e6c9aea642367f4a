/* Decoded frames in presentation order, with times, damage handled; the pictures stay in libav's frames. */
#ifndef IB_MEDIA_DECODER_H
#define IB_MEDIA_DECODER_H

#include "media/media.h"
#include <libavutil/frame.h>

typedef struct ib_decoder ib_decoder;

typedef struct ib_decoded {
    int64_t index;        /* of the input's frames, from 0 */
    const AVFrame *frame; /* of the decoder, until the next call */
    int64_t pts_us;       /* strictly increasing, first frame 0 */
    int repeated;         /* stands in for a damaged frame: `frame` is the one before */
    const char *why;      /* of a repeated one: what was damaged, until the next call; else NULL */
    const char *path;     /* image sequences: the file; else NULL */
} ib_decoded;

/* `input` is copied; options->pool is not used here. Errors: as ib_media_open. */
isobath_status ib_decoder_open(const char *input, const ib_media_options *options, ib_diag *diag, ib_decoder **out);
void ib_decoder_close(ib_decoder *decoder); /* NULL allowed */

/* The next frame; *got = 0 at the end. As many as libavcodec puts out, plus (on_error repeat) one per damaged packet.
 * Errors: ISOBATH_ERR_INPUT with the position of the damage, ISOBATH_ERR_MEMORY. */
isobath_status ib_decoder_next(ib_decoder *decoder, ib_decoded *out, int *got);

/* What is known from the container before the first frame. */
double ib_decoder_fps(const ib_decoder *decoder);            /* 0: unknown */
int64_t ib_decoder_frames_hint(const ib_decoder *decoder);   /* -1: unknown */
const int32_t *ib_decoder_matrix(const ib_decoder *decoder); /* display matrix of the stream, or NULL */
/* Width / height of a pixel of `frame`; 1: square or unknown. */
double ib_decoder_pixel_aspect(const ib_decoder *decoder, const AVFrame *frame);
/* After the first frame: goes near the start that the options ask for (start_s, start_frame), so that the next frame is
 * one before it or it itself; numbers, times and pictures from there on are those of a decoder that began at the
 * beginning. Where that cannot be shown it begins again. *moved = 0: nothing was done. Errors: as ib_decoder_next. */
isobath_status ib_decoder_skip(ib_decoder *decoder, int *moved);
/* Number of the frame that decoding began at: 0, or where ib_decoder_skip went. */
int64_t ib_decoder_began_at(const ib_decoder *decoder);
/* Goes to about `fraction` (0..1) of the input, so that the next frame is one from there; times and numbers of frames
 * mean nothing after it. 0 when the input cannot do that. */
int ib_decoder_jump(ib_decoder *decoder, double fraction);
/* Goes to frame `index` at pts_us, as an earlier reading of the same input had it, without decoding all that is before
 * it; it is *out, as after ib_decoder_next; from the key frame at key_us, where that is known (else < 0). *arrived = 0:
 * that cannot be done here, or other times are there; the decoder must then be opened anew. Damage behind it is an
 * error: only a reading from the start knows what it does to frames. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_decoder_seek(ib_decoder *decoder, int64_t index, int64_t pts_us, int64_t key_us, ib_decoded *out,
                               int *arrived);
int ib_decoder_can_seek(const ib_decoder *decoder);
/* "h264 libavcodec 59.37.100", "h264 nvdec libavcodec 59.37.100", "vp9 nvdec (damage not seen) libavcodec ..." */
void ib_decoder_describe(const ib_decoder *decoder, char *buf, size_t size);
/* The card that the frame handed out last is on (hw.h), NULL when software decoded it. */
struct ib_hw *ib_decoder_hw(const ib_decoder *decoder);
/* After the first frame, when a card was wanted: why software decodes, or what the card does not see; else "". */
void ib_decoder_hw_note(const ib_decoder *decoder, char *buf, size_t size);
/* How the container broke off, or "". */
const char *ib_decoder_broken(const ib_decoder *decoder);
/* The first damage that was passed over, or "". */
const char *ib_decoder_damage(const ib_decoder *decoder);
/* 1: packet number *packet at byte *pos (-1: unknown) gave no picture and no error, where each one before it had given one. */
int ib_decoder_silent(const ib_decoder *decoder, int64_t *packet, int64_t *pos);
/* After the first frame: damaged packets and pictures before it. */
int64_t ib_decoder_passed_over(const ib_decoder *decoder);

#endif
