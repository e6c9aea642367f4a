/* What the files of a decoder share: decoder_open.c (opening, facts), decoder.c (the loop, damage), decoder_seek.c
 * (jumps). */
#ifndef IB_MEDIA_DECODER_INTERNAL_H
#define IB_MEDIA_DECODER_INTERNAL_H

#include "media/clock.h"
#include "media/decoder.h"
#include "media/hw.h"
#include "media/input.h"
#include "media/owed.h"
#include "media/seek.h"

#include <libavcodec/avcodec.h>
#include <stdatomic.h>

#define IB_TRAIL_SEED 0xcbf29ce484222325u

/* A frame that does not come; `why` is the place of its damage. */
typedef struct ib_missing {
    int64_t ts;
    char why[192];
} ib_missing;

struct ib_decoder {
    ib_diag *diag;
    char *name;
    ib_media_options options;
    int threads;
    atomic_int complaints; /* errors that the codec logged, from any of its threads */
    ib_input in;
    ib_hw *hw;         /* the card that decodes; NULL: software */
    char hw_note[192]; /* why not, when it was wanted */
    int hw_damage;     /* the card gave out a damaged picture */
    AVCodecContext *codec;
    AVPacket *packet;
    int have_packet; /* images: read but not yet sent, because its codec differs */
    AVFrame *held;   /* decoded, not yet handed out */
    int have_held;
    AVFrame *last; /* handed out last */
    int have_last, clean_seen;
    int64_t passed_over; /* damage before the first good frame */
    int clean_sent;   /* a packet that refers to none before it was taken, ... */
    int64_t clean_ts; /* ... of this time: what is shown behind it must be whole, before its picture is out, too */
    int prerolling, clean_point; /* ib_decoder_seek is on its way: damage does not count; since a packet that refers to
                                    none before it */
    int jumped;                  /* and has arrived */
    int turning;                 /* it is on its way, and the codec still holds what was before */
    int64_t sent_until;          /* the latest time of a packet that the codec took; INT64_MIN: none */
    int64_t stale_until;         /* pictures before it are of before the jump */
    int draining, ended;         /* ended: no more packets in the input */
    int drain_errors;
    ib_owed owed;        /* packets whose picture has not come */
    ib_missing *missing; /* damaged packets that need a stand-in, ascending */
    char why[192];       /* of the stand-in handed out last */
    int64_t missing_count, missing_capacity;
    int64_t delivered;
    uint64_t trail; /* hash of the times and flags of what was delivered (FNV-1a by words) */
    ib_clock clock;
    int sought; /* began at `point`, not at the beginning */
    ib_seek_point point;
    char damage[512];      /* the first one */
    char broken[384];      /* how the container broke off, or "" */
    isobath_status status; /* behind IB_STEP_FAILED */
};

typedef enum ib_step { IB_STEP_FRAME, IB_STEP_END, IB_STEP_FAILED, IB_STEP_RESTART } ib_step;

isobath_status ib_decoder_out_of_memory(ib_decoder *d);
/* Everything that a restart renews. */
isobath_status ib_decoder_open_stream(ib_decoder *d);
void ib_decoder_close_stream(ib_decoder *d);
/* Forgets what was decoded and not handed out, and what packets still owe. */
void ib_decoder_forget_frames(ib_decoder *d);
/* The codec holds nothing any more. */
void ib_decoder_flush(ib_decoder *d);
/* A decoder for d->in.codec. */
isobath_status ib_decoder_open_codec(ib_decoder *d);
/* Timestamp (microseconds) of image file i. */
int64_t ib_decoder_image_ts(const ib_decoder *d, int64_t i);
/* The decoder knows or suspects that parts of the picture are made up. */
int ib_decoder_is_flagged(const AVFrame *frame);
/* The next frame; *got = 0 at the end; IB_STEP_RESTART: only a simpler decoder may go on. */
ib_step ib_decoder_step(ib_decoder *d, ib_decoded *out, int *got);
/* Goes to the packet of d->point in an input that was just opened or read; 0: the demuxer does not find it. */
int ib_decoder_go_to_point(ib_decoder *d);

#endif
