/* Decoding on an NVIDIA card through libavcodec's hwaccel. The driver's libraries are loaded at run time; without them, or with a
 * libav that was built without it, nothing here opens and everything is decoded in software. */
#ifndef IB_MEDIA_HW_H
#define IB_MEDIA_HW_H

#include "base/diag.h"
#include <libavcodec/avcodec.h>
#include <stddef.h>

typedef struct ib_hw ib_hw;

/* Takes the primary context of CUDA device `device` (the one that the CUDA runtime uses, so frames are that backend's memory) for
 * decoders of `codec`. NULL when it cannot be had; why[size] says the reason. One thread at a time. */
ib_hw *ib_hw_open(int device, const AVCodec *codec, char *why, size_t size);
void ib_hw_close(ib_hw *hw); /* NULL allowed; kept frames may live on */

/* Memory of the card that is free, 0: not known. */
size_t ib_hw_free_bytes(ib_hw *hw);

/* Makes a codec context, not yet opened, decode on the card. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_hw_attach(ib_hw *hw, AVCodecContext *codec, ib_diag *diag);

/* Calls of libavcodec for a decoder on the card stand between these two, on one thread. leave: 1 when a picture that the card handed
 * out meanwhile was damaged, as far as the driver tells. */
void ib_hw_enter(ib_hw *hw);
int ib_hw_leave(ib_hw *hw);
/* After the first frame: why damage inside of slices is not noticed; "" when it is. */
const char *ib_hw_blind(const ib_hw *hw);

/* 1: the picture is on a card. */
int ib_hw_on_card(const AVFrame *frame);
/* Its pixel format as it would be in host memory. */
int ib_hw_format(const AVFrame *frame);

/* A copy of a decoder's frame that may be kept as long as one likes (the decoder has few): complete when the call returns. The
 * caller frees it. */
isobath_status ib_hw_keep(ib_hw *hw, const AVFrame *frame, ib_diag *diag, AVFrame **out);
/* A page-locked frame that pictures are copied to; NULL at first, freed by av_frame_free. */
typedef AVFrame *ib_hw_host;
/* The frame in host memory: *out is *host, until the next call with it. Any thread, one per `host`. */
isobath_status ib_hw_download(ib_hw_host *host, const AVFrame *frame, ib_diag *diag, const AVFrame **out);

#endif
