/* libavcodec's send/receive loop with an answer to damage; see decoder.h.
 *
 * Damage is an error that the decoder returns for a packet, a frame that it flags as concealed or corrupt, an image
 * file that cannot be read, or a container that breaks off. A decoder with several threads reports errors late, and
 * loses the flags of frames that it put out while another thread was still at work on them. What it never loses is its
 * log. So with threads any error that it logs (log.h) counts, and at the first one it is replaced by a decoder with a
 * single thread, which replays the frames that were out already: position and pictures are the same for any number of
 * threads. With one thread, damage before the first good frame of a video is the usual start of a cut stream and
 * passed over; but not what is shown behind a key frame that was taken, whose picture may still be in the decoder. */
#include "media/compat.h"
#include "media/decoder_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_ERRORS 256 /* errors in a row while draining after which the decoder counts as empty */

static ib_step failed(ib_decoder *d, isobath_status status)
{
    d->status = status;
    return IB_STEP_FAILED;
}

/* A simpler decoder is left to start again with. */
static int may_restart(const ib_decoder *d) { return !d->prerolling && (d->hw || d->threads > 1); }

/* The card gave the frame up to software, or shows it in a way that we do not follow. */
static int is_misfit(const ib_decoder *d, const AVFrame *f)
{
    return d->hw && (!ib_hw_on_card(f) || f->crop_left || f->crop_top);
}

/* Must the picture of this time be whole? 0 before the first good frame of a video. */
static int expects_clean(const ib_decoder *d, int64_t ts)
{
    return d->clean_seen || !d->in.format || (d->clean_sent && ts != AV_NOPTS_VALUE && ts > d->clean_ts);
}

/* Remembers that a frame with this timestamp is missing (repeat), and why; IB_STEP_FRAME. */
static ib_step add_missing(ib_decoder *d, int64_t ts, const char *why)
{
    if (d->missing_count == d->missing_capacity) {
        int64_t capacity = d->missing_capacity ? d->missing_capacity * 2 : 16;
        ib_missing *grown = realloc(d->missing, (size_t)capacity * sizeof *grown);
        if (!grown) return failed(d, ib_decoder_out_of_memory(d));
        d->missing = grown;
        d->missing_capacity = capacity;
    }
    int64_t i = d->missing_count++;
    for (; i > 0 && d->missing[i - 1].ts > ts; i--) d->missing[i] = d->missing[i - 1];
    d->missing[i].ts = ts;
    snprintf(d->missing[i].why, sizeof d->missing[i].why, "%s", why);
    return IB_STEP_FRAME;
}

static void pop_missing(ib_decoder *d)
{
    d->missing_count--;
    memmove(d->missing, d->missing + 1, (size_t)d->missing_count * sizeof *d->missing);
}

/* Decides what damage at this time means here. IB_STEP_FRAME: passed over, go on. `what` names it. */
static ib_step damaged(ib_decoder *d, int64_t ts, const char *what)
{
    if (!d->damage[0]) snprintf(d->damage, sizeof d->damage, "%s", what);
    if (may_restart(d)) return IB_STEP_RESTART;
    if (!expects_clean(d, ts)) {
        if (ts == d->clean_ts) d->clean_sent = 0; /* the key frame was not whole either */
        d->passed_over++;
        return IB_STEP_FRAME;
    }
    d->owed.damaged = 1;
    if (d->options.on_error == IB_ON_ERROR_REPEAT) return IB_STEP_FRAME;
    return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: damaged at frame %lld: %s (--on-error repeat goes on)",
                             d->in.name, (long long)d->delivered, what));
}

/* A packet that the decoder did not take. */
static ib_step damaged_packet(ib_decoder *d, int err)
{
    if (err == AVERROR(ENOMEM)) return failed(d, ib_decoder_out_of_memory(d));
    if (d->draining && ++d->drain_errors > DRAIN_ERRORS) return IB_STEP_END;
    char where[256], text[384];
    snprintf(text, sizeof text, "%s cannot be decoded", ib_input_where(&d->in, d->packet, where, sizeof where));
    int64_t ts = d->draining ? AV_NOPTS_VALUE : d->packet->pts;
    ib_step s = damaged(d, ts, text);
    ib_owed_given_up(&d->owed, d->packet->pts);
    if (s != IB_STEP_FRAME || !expects_clean(d, ts) || d->draining || (d->packet->flags & AV_PKT_FLAG_DISCARD)) return s;
    return add_missing(d, d->packet->pts, text);
}

/* Images: makes the decoder fit the packet's codec. *wait = 1 when the old one must be drained first. */
static ib_step fit_codec(ib_decoder *d, int *wait)
{
    *wait = 0;
    if (d->codec && d->codec->codec_id == d->in.codec->codec_id) return IB_STEP_FRAME;
    if (!d->codec) {
        isobath_status st = ib_decoder_open_codec(d);
        return st == ISOBATH_OK ? IB_STEP_FRAME : failed(d, st);
    }
    *wait = 1;
    return IB_STEP_FRAME;
}

static int send_packet(ib_decoder *d, const AVPacket *packet)
{
    if (d->hw) ib_hw_enter(d->hw);
    int err = avcodec_send_packet(d->codec, packet);
    if (d->hw) d->hw_damage |= ib_hw_leave(d->hw);
    return err;
}

static int receive_frame(ib_decoder *d)
{
    if (d->hw) ib_hw_enter(d->hw);
    int err = avcodec_receive_frame(d->codec, d->held);
    if (d->hw) d->hw_damage |= ib_hw_leave(d->hw);
    return err;
}

/* After a jump, the codec's next packet is there. At an IDR picture it goes on as if it began there, and what comes of before is dropped; else it
 * is emptied. Emptied, libavcodec's for H.264 sets itself up anew with the next picture: 0.2 s on a card, in which its other work stands. */
static void turn(ib_decoder *d)
{
    int keeps = d->packet->pts != AV_NOPTS_VALUE && d->packet->pts > d->sent_until &&
                ib_seek_is_splice(d->in.codec, d->packet);
    if (!keeps) ib_decoder_flush(d);
    else d->stale_until = d->packet->pts;
    d->turning = 0;
}

/* Sends one packet, or the drain packet at the end. */
static ib_step feed(ib_decoder *d)
{
    char text[384];
    if (!d->have_packet && !d->ended) {
        ib_packet_result r = ib_input_next(&d->in, d->packet, text, sizeof text);
        if (r == IB_PACKET_FAILED) return failed(d, ISOBATH_ERR_MEMORY);
        if (r == IB_PACKET_DAMAGED && d->in.format) { /* the decoder is drained before that is reported */
            snprintf(d->broken, sizeof d->broken, "%s", text);
            if (!d->damage[0]) snprintf(d->damage, sizeof d->damage, "%s", text);
            d->ended = 1;
        } else if (r == IB_PACKET_DAMAGED) {
            ib_step s = damaged(d, d->packet->pts, text);
            return s == IB_STEP_FRAME ? add_missing(d, d->packet->pts, text) : s;
        }
        if (r == IB_PACKET_END) d->ended = 1;
        if (r == IB_PACKET_OK) d->have_packet = 1;
        if (d->have_packet && d->prerolling && !d->clean_point &&
            !(d->clean_point = ib_seek_is_clean(d->in.codec, d->packet))) {
            av_packet_unref(d->packet);
            d->have_packet = 0;
            return IB_STEP_FRAME;
        }
        if (d->have_packet && d->turning) turn(d);
    }
    int wait = 0;
    if (d->have_packet && !d->in.format) {
        ib_step s = fit_codec(d, &wait);
        if (s != IB_STEP_FRAME) return s;
    }
    if (!d->codec) return IB_STEP_END; /* no image could be read */
    if (!d->have_packet || wait) {
        d->draining = 1;
        send_packet(d, NULL);
        return IB_STEP_FRAME;
    }
    if (d->packet->pts == AV_NOPTS_VALUE) d->sent_until = INT64_MAX; /* not known */
    else if (d->packet->pts > d->sent_until) d->sent_until = d->packet->pts;
    int err = send_packet(d, d->packet);
    d->have_packet = 0;
    if (err < 0) return damaged_packet(d, err);
    if (d->in.format && !d->clean_sent && !d->prerolling && ib_seek_is_clean(d->in.codec, d->packet)) {
        d->clean_sent = 1;
        d->clean_ts = d->packet->pts;
    }
    if (d->in.format && !(d->packet->flags & AV_PKT_FLAG_DISCARD))
        ib_owed_sent(&d->owed, d->packet->pts, d->in.packets - 1, d->packet->pos);
    return IB_STEP_FRAME;
}

/* Fills d->held with the next frame in presentation order. */
static ib_step receive(ib_decoder *d)
{
    for (;;) {
        int err = d->codec ? receive_frame(d) : AVERROR(EAGAIN);
        ib_step s = IB_STEP_FRAME;
        /* all packets up to the one that brought this frame are decoded by now: what there was to log is logged */
        if (may_restart(d) && (atomic_load(&d->complaints) || d->hw_damage)) return IB_STEP_RESTART;
        if (err == AVERROR(EAGAIN)) {
            if (d->ended && d->draining) return IB_STEP_END;
            s = feed(d);
        } else if (err == AVERROR_EOF) {
            if (!d->have_packet) return IB_STEP_END;
            avcodec_free_context(&d->codec); /* drained; the next image has another codec */
            d->draining = d->drain_errors = 0;
        } else if (err < 0) {
            s = damaged_packet(d, err);
        } else if (d->turning || d->held->best_effort_timestamp < d->stale_until) {
            av_frame_unref(d->held); /* of before the jump */
            d->hw_damage = 0;
        } else if (is_misfit(d, d->held)) {
            return IB_STEP_RESTART;
        } else if (d->sought && !d->have_last && d->held->best_effort_timestamp < d->point.pts) {
            av_frame_unref(d->held); /* shown before the packet that we began at */
        } else if (d->in.format && (ib_owed_is_late(&d->owed, d->held->best_effort_timestamp) || ib_owed_is_late(&d->owed, d->held->pts))) {
            av_frame_unref(d->held); /* where order is upset the best effort may be another packet's time */
        } else if (ib_decoder_is_flagged(d->held) && (may_restart(d) || expects_clean(d, d->held->best_effort_timestamp))) {
            char text[160];
            snprintf(text, sizeof text, "the decoder had to make up parts of the frame (packet at byte %lld)",
                     (long long)ib_compat_position(d->held));
            s = damaged(d, d->held->best_effort_timestamp, text);
            ib_owed_given_up(&d->owed, d->held->best_effort_timestamp);
            if (s == IB_STEP_FRAME) s = add_missing(d, d->held->best_effort_timestamp, text);
            av_frame_unref(d->held);
        } else {
            d->clean_seen |= !ib_decoder_is_flagged(d->held);
            d->have_held = 1;
            return IB_STEP_FRAME;
        }
        if (s != IB_STEP_FRAME) return s;
    }
}

/* Images: every file is one frame. When the decoder skipped the file that is due without a word, that is damage too. */
static ib_step check_skipped(ib_decoder *d)
{
    int64_t i = d->delivered;
    if (d->in.format || i >= d->in.images.count) return IB_STEP_FRAME;
    int64_t due = ib_decoder_image_ts(d, i);
    if ((d->have_held && d->held->best_effort_timestamp <= due) || (d->missing_count && d->missing[0].ts <= due))
        return IB_STEP_FRAME;
    char text[384];
    snprintf(text, sizeof text, "%s holds no picture", d->in.images.paths[i]);
    ib_step s = damaged(d, due, text);
    return s == IB_STEP_FRAME ? add_missing(d, due, text) : s;
}

/* Packets before `ts` whose picture the decoder dropped without a word. */
static ib_step check_owed(ib_decoder *d, int64_t ts)
{
    ib_owed_packet lost;
    char text[160];
    while (d->options.on_error == IB_ON_ERROR_REPEAT && ib_owed_lost(&d->owed, ts, &lost)) {
        if (lost.pos >= 0)
            snprintf(text, sizeof text, "packet %lld at byte %lld gave no picture", (long long)lost.packet, (long long)lost.pos);
        else snprintf(text, sizeof text, "packet %lld gave no picture", (long long)lost.packet);
        ib_step s = add_missing(d, lost.ts, text);
        if (s != IB_STEP_FRAME) return s;
    }
    return IB_STEP_FRAME;
}

static void deliver(ib_decoder *d, int64_t ts, int repeated, ib_decoded *out)
{
    out->index = d->delivered;
    out->frame = d->last;
    out->pts_us = d->in.format ? ib_clock_next(&d->clock, ts) : ib_decoder_image_ts(d, d->delivered);
    out->repeated = repeated;
    out->why = repeated ? d->why : NULL;
    out->path = !d->in.format && d->delivered < d->in.images.count ? d->in.images.paths[d->delivered] : NULL;
    d->delivered++;
    d->trail = (d->trail ^ (uint64_t)(out->pts_us * 2 + repeated)) * 0x100000001b3u;
}

ib_step ib_decoder_step(ib_decoder *d, ib_decoded *out, int *got)
{
    *got = 0;
    ib_step s = d->have_held ? IB_STEP_FRAME : receive(d);
    if (s == IB_STEP_FRAME || s == IB_STEP_END) {
        ib_step c = check_skipped(d);
        if (c == IB_STEP_FRAME) c = check_owed(d, d->have_held ? d->held->best_effort_timestamp : INT64_MAX);
        if (c != IB_STEP_FRAME) s = c;
    }
    if (s == IB_STEP_FAILED || s == IB_STEP_RESTART) return s;
    if (!d->have_held) ib_owed_end(&d->owed);
    int64_t ts = d->have_held ? d->held->best_effort_timestamp : INT64_MAX;
    while (d->in.format && d->have_held && !d->have_last && d->missing_count && d->missing[0].ts < ts) pop_missing(d); /* of a start that was cut */
    /* the decoder made something of a packet that it had complained about */
    while (d->have_held && d->missing_count && ts != AV_NOPTS_VALUE && d->missing[0].ts == ts) pop_missing(d);
    if (d->missing_count && (!d->have_held || ts == AV_NOPTS_VALUE || d->missing[0].ts < ts)) {
        int64_t missing = d->missing[0].ts;
        memcpy(d->why, d->missing[0].why, sizeof d->why);
        pop_missing(d);
        if (!d->have_last)
            return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT,
                                     "%s: the first frame is damaged and there is none before it to repeat: %s",
                                     d->in.name, d->damage));
        ib_owed_filled(&d->owed, missing);
        deliver(d, missing, 1, out);
    } else if (d->have_held) {
        av_frame_unref(d->last);
        av_frame_move_ref(d->last, d->held);
        d->have_held = 0;
        d->have_last = 1;
        ib_owed_came(&d->owed, ts);
        deliver(d, ts, 0, out);
    } else if (d->broken[0] && d->in.is_live && d->options.on_error == IB_ON_ERROR_STOP) {
        return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: broke off after %lld frames: %s", d->in.name, (long long)d->delivered, d->broken));
    } else if (d->broken[0] && d->have_last && d->options.on_error == IB_ON_ERROR_STOP) {
        return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT,
                                 "%s: damaged behind frame %lld: %s (--on-error repeat "
                                 "takes what is there)",
                                 d->in.name, (long long)d->delivered - 1, d->broken));
    } else {
        return IB_STEP_END;
    }
    *got = 1;
    return IB_STEP_FRAME;
}

/* Starts again: after the card with software, after several threads with one; and goes to where we were. In badly
 * broken streams libavcodec's threads give other frames than one thread does: then what is out already cannot stand. */
static isobath_status restart(ib_decoder *d)
{
    int64_t target = d->delivered;
    uint64_t trail = d->trail;
    ib_step s = IB_STEP_RESTART;
    int got = 1;
    while (s == IB_STEP_RESTART) {
        if (d->hw_damage) d->threads = 1; /* several would tell late where it is */
        ib_decoder_close_stream(d);
        if (d->hw) {
            snprintf(d->hw_note, sizeof d->hw_note,
                     "the card cannot decode this stream, or it is damaged: software does");
            ib_hw_close(d->hw);
            d->hw = NULL;
        } else
            d->threads = 1;
        IB_TRY(ib_decoder_open_stream(d));
        if (d->sought && !ib_decoder_go_to_point(d))
            return ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: cannot be read again at frame %lld", d->in.name,
                           (long long)d->point.frame);
        s = IB_STEP_FRAME;
        while (got && s == IB_STEP_FRAME && d->delivered < target) {
            ib_decoded skipped;
            s = ib_decoder_step(d, &skipped, &got);
            if (s == IB_STEP_RESTART) got = 1;
        }
    }
    if (s == IB_STEP_FAILED) return d->status;
    if (!got || (target > 0 && d->trail != trail))
        return ib_fail(d->diag, ISOBATH_ERR_INPUT,
                       "%s: damaged before frame %lld, where a fast decoder sees other frames than a single thread "
                       "does; decode it "
                       "with --decoder software and one thread",
                       d->in.name, (long long)target);
    return ISOBATH_OK;
}

isobath_status ib_decoder_next(ib_decoder *d, ib_decoded *out, int *got)
{
    ib_step s;
    while ((s = ib_decoder_step(d, out, got)) == IB_STEP_RESTART) {
        if (d->jumped)
            return ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: damaged near frame %lld: it must be read from the start",
                           d->in.name, (long long)d->delivered);
        IB_TRY(restart(d));
    }
    return s == IB_STEP_FAILED ? d->status : ISOBATH_OK;
}
