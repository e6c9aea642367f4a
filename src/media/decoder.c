/* libavcodec's send/receive loop with an answer to damage; see decoder.h.
 *
 * Damage is an error that the decoder returns for a packet, a frame that it flags as concealed or corrupt, an image
 * file that cannot be read, or a container that breaks off. A decoder with several threads reports errors late, and
 * loses the flags of frames that it put out while another thread was still at work on them. What it never loses is its
 * log. So with threads any error that it logs (log.h) counts, and at the first one it is replaced by a decoder with a
 * single thread, which replays the frames that were out already: position and pictures are the same for any number of
 * threads. With one thread, damage before the first good frame of a video is the usual start of a cut stream and
 * passed over. */
#include "media/decoder.h"
#include "media/clock.h"
#include "media/compat.h"
#include "media/hw.h"
#include "media/input.h"
#include "media/log.h"
#include "media/seek.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 16   /* of the decoder by default: each one holds a few pictures, and more do not help */
#define DRAIN_ERRORS 256 /* errors in a row while draining after which the decoder counts as empty */

struct ib_decoder {
    ib_diag *diag;
    char *name;
    ib_media_options options;
    int threads;
    atomic_int complaints; /* errors that the codec logged, from any of its threads */
    ib_input in;
    ib_hw *hw;           /* the card that decodes; NULL: software */
    char hw_note[192];   /* why not, when it was wanted */
    int hw_damage;       /* the card gave out a damaged picture */
    AVCodecContext *codec;
    AVPacket *packet;
    int have_packet; /* images: read but not yet sent, because its codec differs */
    AVFrame *held;   /* decoded, not yet handed out */
    int have_held;
    AVFrame *last; /* handed out last */
    int have_last, clean_seen;
    int prerolling, clean_point; /* ib_decoder_seek is on its way: damage does not count; since a packet that refers to none before it */
    int jumped;                  /* and has arrived */
    int draining, ended; /* ended: no more packets in the input */
    int drain_errors;
    int64_t *missing; /* timestamps of damaged packets that need a stand-in, ascending */
    int64_t missing_count, missing_capacity;
    int64_t delivered;
    uint64_t trail; /* hash of the times and flags of what was delivered (FNV-1a by words) */
    ib_clock clock;
    int sought;            /* began at `point`, not at the beginning */
    ib_seek_point point;
    char damage[512];      /* the first one */
    char broken[384];      /* how the container broke off, or "" */
    isobath_status status; /* behind STEP_FAILED */
};

typedef enum step { STEP_FRAME, STEP_END, STEP_FAILED, STEP_RESTART } step;

static isobath_status out_of_memory(ib_decoder *d)
{
    return ib_fail(d->diag, ISOBATH_ERR_MEMORY, "%s: out of memory while decoding", d->in.name);
}

static step failed(ib_decoder *d, isobath_status status)
{
    d->status = status;
    return STEP_FAILED;
}

static isobath_status open_codec(ib_decoder *d)
{
    const AVCodec *codec = avcodec_find_decoder(d->in.codec->codec_id);
    if (!codec)
        return ib_fail(d->diag, ISOBATH_ERR_UNSUPPORTED, "%s: this build of libavcodec cannot decode %s", d->in.name,
                       avcodec_get_name(d->in.codec->codec_id));
    d->codec = avcodec_alloc_context3(codec);
    if (!d->codec || avcodec_parameters_to_context(d->codec, d->in.codec) < 0) return out_of_memory(d);
    d->codec->pkt_timebase = d->in.time_base;
    d->codec->thread_count = d->threads;
    if (d->hw) IB_TRY(ib_hw_attach(d->hw, d->codec, d->diag));
    d->codec->opaque = &d->complaints;
    ib_log_watch(d->codec);
    if (d->options.max_pixels > 0) d->codec->max_pixels = d->options.max_pixels;
    ib_compat_track_position(d->codec);
    int err = avcodec_open2(d->codec, codec, NULL);
    if (err == AVERROR(ENOMEM)) return out_of_memory(d);
    if (err < 0)
        return ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: the %s decoder refuses the stream's parameters", d->in.name,
                       codec->name);
    return ISOBATH_OK;
}

/* Timestamp (microseconds) of image file i. */
static int64_t image_ts(const ib_decoder *d, int64_t i) { return llrint((double)i * 1e6 / d->in.fps); }

/* Images before the start need not be read: each file is a frame. */
static void skip_images(ib_decoder *d)
{
    int64_t i = d->options.start_frame < d->in.images.count ? d->options.start_frame : d->in.images.count - 1;
    while (i + 1 < d->in.images.count && (double)image_ts(d, i) < d->options.start_s * 1e6) i++;
    d->delivered = d->in.packets = i;
}

/* Takes the card where one is wanted and may be left again. */
static isobath_status open_hw(ib_decoder *d)
{
    if (d->options.decoder == IB_DECODER_SOFTWARE || d->hw_note[0]) return ISOBATH_OK;
    const AVCodec *codec = d->in.format ? avcodec_find_decoder(d->in.codec->codec_id) : NULL;
    if (!codec || !d->in.reopenable)
        snprintf(d->hw_note, sizeof d->hw_note, "%s", codec ? "a pipe is decoded in software" : "image files are decoded in software");
    else d->hw = ib_hw_open(d->options.cuda_device, codec, d->hw_note, sizeof d->hw_note);
    if (d->hw || d->options.decoder == IB_DECODER_AUTO) return ISOBATH_OK;
    return ib_fail(d->diag, ISOBATH_ERR_UNSUPPORTED, "%s: --decoder cuda: %s", d->in.name, d->hw_note);
}

/* Everything that a restart renews. */
static isobath_status open_stream(ib_decoder *d)
{
    IB_TRY(ib_input_open(&d->in, d->name, &d->options, d->diag));
    d->trail = 0xcbf29ce484222325u;
    atomic_store(&d->complaints, 0);
    if (!d->in.reopenable) d->threads = 1;
    int jumps = d->in.format && (d->in.format->iformat->flags & AVFMT_TS_DISCONT);
    d->clock = ib_clock_init(d->in.time_base, d->in.fps, jumps);
    if (!d->hw) IB_TRY(open_hw(d));
    if (d->in.format) return open_codec(d);
    skip_images(d); /* the decoder is opened with the first file */
    return ISOBATH_OK;
}

static void close_stream(ib_decoder *d)
{
    avcodec_free_context(&d->codec);
    av_packet_unref(d->packet);
    av_frame_unref(d->held);
    av_frame_unref(d->last);
    ib_input_close(&d->in);
    d->have_packet = d->have_held = d->have_last = d->clean_seen = 0;
    d->draining = d->ended = d->drain_errors = d->hw_damage = 0;
    d->missing_count = d->delivered = 0;
    d->damage[0] = d->broken[0] = '\0';
}

isobath_status ib_decoder_open(const char *input, const ib_media_options *options, ib_diag *diag, ib_decoder **out)
{
    *out = NULL;
    ib_log_init();
    ib_decoder *d = calloc(1, sizeof *d);
    if (!d) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    d->diag = diag;
    d->options = *options;
    int cpus = ib_cpu_count();
    d->threads = options->threads > 0 ? options->threads : cpus < MAX_THREADS ? cpus : MAX_THREADS;
    d->name = strdup(input);
    d->packet = av_packet_alloc();
    d->held = av_frame_alloc();
    d->last = av_frame_alloc();
    isobath_status st = ISOBATH_OK;
    if (!d->name || !d->packet || !d->held || !d->last)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    if (st == ISOBATH_OK) st = open_stream(d);
    if (st != ISOBATH_OK) {
        ib_decoder_close(d);
        return st;
    }
    *out = d;
    return ISOBATH_OK;
}

void ib_decoder_close(ib_decoder *d)
{
    if (!d) return;
    if (d->packet && d->held && d->last) close_stream(d);
    ib_hw_close(d->hw);
    av_packet_free(&d->packet);
    av_frame_free(&d->held);
    av_frame_free(&d->last);
    free(d->missing);
    free(d->name);
    free(d);
}

/* A simpler decoder is left to start again with. */
static int may_restart(const ib_decoder *d) { return !d->prerolling && (d->hw || d->threads > 1); }

/* The card gave the frame up to software, or shows it in a way that we do not follow. */
static int is_misfit(const ib_decoder *d, const AVFrame *f)
{
    return d->hw && (!ib_hw_on_card(f) || f->crop_left || f->crop_top);
}

/* 0 before the first good frame of a video. */
static int expects_clean(const ib_decoder *d) { return d->clean_seen || !d->in.format; }

/* Remembers that a frame with this timestamp is missing (repeat); STEP_FRAME. */
static step add_missing(ib_decoder *d, int64_t ts)
{
    if (d->missing_count == d->missing_capacity) {
        int64_t capacity = d->missing_capacity ? d->missing_capacity * 2 : 16;
        int64_t *grown = realloc(d->missing, (size_t)capacity * sizeof *grown);
        if (!grown) return failed(d, out_of_memory(d));
        d->missing = grown;
        d->missing_capacity = capacity;
    }
    int64_t i = d->missing_count++;
    for (; i > 0 && d->missing[i - 1] > ts; i--) d->missing[i] = d->missing[i - 1];
    d->missing[i] = ts;
    return STEP_FRAME;
}

static void pop_missing(ib_decoder *d)
{
    d->missing_count--;
    memmove(d->missing, d->missing + 1, (size_t)d->missing_count * sizeof *d->missing);
}

/* Decides what damage means here. STEP_FRAME: passed over, go on. `what` names it. */
static step damaged(ib_decoder *d, const char *what)
{
    if (!d->damage[0]) snprintf(d->damage, sizeof d->damage, "%s", what);
    if (may_restart(d)) return STEP_RESTART;
    if (!expects_clean(d)) return STEP_FRAME;
    if (d->options.on_error == IB_ON_ERROR_REPEAT) return STEP_FRAME;
    return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: damaged at frame %lld: %s (--on-error repeat goes on)",
                             d->in.name, (long long)d->delivered, what));
}

/* A packet that the decoder did not take. */
static step damaged_packet(ib_decoder *d, int err)
{
    if (err == AVERROR(ENOMEM)) return failed(d, out_of_memory(d));
    if (d->draining && ++d->drain_errors > DRAIN_ERRORS) return STEP_END;
    char where[256], text[384];
    snprintf(text, sizeof text, "%s cannot be decoded", ib_input_where(&d->in, d->packet, where, sizeof where));
    step s = damaged(d, text);
    if (s != STEP_FRAME || !expects_clean(d) || d->draining || (d->packet->flags & AV_PKT_FLAG_DISCARD)) return s;
    return add_missing(d, d->packet->pts);
}

/* Images: makes the decoder fit the packet's codec. *wait = 1 when the old one must be drained first. */
static step fit_codec(ib_decoder *d, int *wait)
{
    *wait = 0;
    if (d->codec && d->codec->codec_id == d->in.codec->codec_id) return STEP_FRAME;
    if (!d->codec) {
        isobath_status st = open_codec(d);
        return st == ISOBATH_OK ? STEP_FRAME : failed(d, st);
    }
    *wait = 1;
    return STEP_FRAME;
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

/* Sends one packet, or the drain packet at the end. */
static step feed(ib_decoder *d)
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
            step s = damaged(d, text);
            return s == STEP_FRAME ? add_missing(d, d->packet->pts) : s;
        }
        if (r == IB_PACKET_END) d->ended = 1;
        if (r == IB_PACKET_OK) d->have_packet = 1;
        if (d->have_packet && d->prerolling && !d->clean_point && !(d->clean_point = ib_seek_is_clean(d->in.codec, d->packet))) {
            av_packet_unref(d->packet);
            d->have_packet = 0;
            return STEP_FRAME;
        }
    }
    int wait = 0;
    if (d->have_packet && !d->in.format) {
        step s = fit_codec(d, &wait);
        if (s != STEP_FRAME) return s;
    }
    if (!d->codec) return STEP_END; /* no image could be read */
    if (!d->have_packet || wait) {
        d->draining = 1;
        send_packet(d, NULL);
        return STEP_FRAME;
    }
    int err = send_packet(d, d->packet);
    d->have_packet = 0;
    if (err < 0) return damaged_packet(d, err);
    return STEP_FRAME;
}

static int is_flagged(const AVFrame *f)
{
    return f->decode_error_flags != 0 || (f->flags & AV_FRAME_FLAG_CORRUPT) != 0;
}

/* Fills d->held with the next frame in presentation order. */
static step receive(ib_decoder *d)
{
    for (;;) {
        int err = d->codec ? receive_frame(d) : AVERROR(EAGAIN);
        step s = STEP_FRAME;
        /* all packets up to the one that brought this frame are decoded by now: what there was to log is logged */
        if (may_restart(d) && (atomic_load(&d->complaints) || d->hw_damage)) return STEP_RESTART;
        if (err == AVERROR(EAGAIN)) {
            if (d->ended && d->draining) return STEP_END;
            s = feed(d);
        } else if (err == AVERROR_EOF) {
            if (!d->have_packet) return STEP_END;
            avcodec_free_context(&d->codec); /* drained; the next image has another codec */
            d->draining = d->drain_errors = 0;
        } else if (err < 0) {
            s = damaged_packet(d, err);
        } else if (is_misfit(d, d->held)) {
            return STEP_RESTART;
        } else if (d->sought && !d->have_last && d->held->best_effort_timestamp < d->point.pts) {
            av_frame_unref(d->held); /* shown before the packet that we began at */
        } else if (is_flagged(d->held) && (may_restart(d) || expects_clean(d))) {
            char text[160];
            snprintf(text, sizeof text, "the decoder had to make up parts of the frame (packet at byte %lld)",
                     (long long)ib_compat_position(d->held));
            s = damaged(d, text);
            if (s == STEP_FRAME) s = add_missing(d, d->held->best_effort_timestamp);
            av_frame_unref(d->held);
        } else {
            d->clean_seen |= !is_flagged(d->held);
            d->have_held = 1;
            return STEP_FRAME;
        }
        if (s != STEP_FRAME) return s;
    }
}

/* Images: every file is one frame. When the decoder skipped the file that is due without a word, that is damage too. */
static step check_skipped(ib_decoder *d)
{
    int64_t i = d->delivered;
    if (d->in.format || i >= d->in.images.count) return STEP_FRAME;
    int64_t due = image_ts(d, i);
    if ((d->have_held && d->held->best_effort_timestamp <= due) || (d->missing_count && d->missing[0] <= due))
        return STEP_FRAME;
    char text[384];
    snprintf(text, sizeof text, "%s holds no picture", d->in.images.paths[i]);
    step s = damaged(d, text);
    return s == STEP_FRAME ? add_missing(d, due) : s;
}

static void deliver(ib_decoder *d, int64_t ts, int repeated, ib_decoded *out)
{
    out->index = d->delivered;
    out->frame = d->last;
    out->pts_us = d->in.format ? ib_clock_next(&d->clock, ts) : image_ts(d, d->delivered);
    out->repeated = repeated;
    out->path = !d->in.format && d->delivered < d->in.images.count ? d->in.images.paths[d->delivered] : NULL;
    d->delivered++;
    d->trail = (d->trail ^ (uint64_t)(out->pts_us * 2 + repeated)) * 0x100000001b3u;
}

static step next_step(ib_decoder *d, ib_decoded *out, int *got)
{
    *got = 0;
    step s = d->have_held ? STEP_FRAME : receive(d);
    if (s == STEP_FRAME || s == STEP_END) {
        step c = check_skipped(d);
        if (c != STEP_FRAME) s = c;
    }
    if (s == STEP_FAILED || s == STEP_RESTART) return s;
    int64_t ts = d->have_held ? d->held->best_effort_timestamp : INT64_MAX;
    /* the decoder made something of a packet that it had complained about */
    while (d->have_held && d->missing_count && ts != AV_NOPTS_VALUE && d->missing[0] == ts) pop_missing(d);
    if (d->missing_count && (!d->have_held || ts == AV_NOPTS_VALUE || d->missing[0] < ts)) {
        int64_t missing = d->missing[0];
        pop_missing(d);
        if (!d->have_last)
            return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT,
                                     "%s: the first frame is damaged and there is none before it to repeat: %s",
                                     d->in.name, d->damage));
        deliver(d, missing, 1, out);
    } else if (d->have_held) {
        av_frame_unref(d->last);
        av_frame_move_ref(d->last, d->held);
        d->have_held = 0;
        d->have_last = 1;
        deliver(d, ts, 0, out);
    } else if (d->broken[0] && d->have_last && d->options.on_error == IB_ON_ERROR_STOP) {
        return failed(d, ib_fail(d->diag, ISOBATH_ERR_INPUT,
                                 "%s: damaged behind frame %lld: %s (--on-error repeat "
                                 "takes what is there)",
                                 d->in.name, (long long)d->delivered - 1, d->broken));
    } else {
        return STEP_END;
    }
    *got = 1;
    return STEP_FRAME;
}

/* Goes to the packet of d->point in an input that was just opened or read; 0: the demuxer does not find it. */
static int go_to_point(ib_decoder *d)
{
    const ib_seek_point *p = &d->point;
    const int64_t two_seconds = llrint(2 / av_q2d(d->in.time_base));
    const int64_t to[] = {p->pts, p->dts != AV_NOPTS_VALUE ? p->dts : p->pts - two_seconds / 8, p->pts - two_seconds, p->pos};
    char text[384];
    for (int i = 0; i < 4; i++) {
        int bytes = i == 3;
        if ((bytes && p->pos < 0) || av_seek_frame(d->in.format, bytes ? -1 : d->in.stream->index, to[i],
                                                   bytes ? AVSEEK_FLAG_BYTE : AVSEEK_FLAG_BACKWARD) < 0)
            continue;
        while (ib_input_next(&d->in, d->packet, text, sizeof text) == IB_PACKET_OK) {
            if (d->packet->dts != AV_NOPTS_VALUE && d->packet->dts > p->pts) break;
            if (d->packet->pts != p->pts || d->packet->pos != p->pos) continue;
            avcodec_flush_buffers(d->codec);
            av_frame_unref(d->held);
            av_frame_unref(d->last);
            d->have_packet = 1;
            d->have_held = d->have_last = d->clean_seen = d->draining = d->ended = d->drain_errors = 0;
            d->missing_count = 0;
            d->in.packets = p->packet + 1;
            d->delivered = p->frame;
            d->clock = p->clock;
            d->trail = 0xcbf29ce484222325u;
            d->sought = 1;
            return 1;
        }
    }
    return 0;
}

/* Starts again: after the card with software, after several threads with one; and goes to where we were. In badly broken
 * streams libavcodec's threads give other frames than one thread does: then what is out already cannot stand. */
static isobath_status restart(ib_decoder *d)
{
    int64_t target = d->delivered;
    uint64_t trail = d->trail;
    step s = STEP_RESTART;
    int got = 1;
    while (s == STEP_RESTART) {
        if (d->hw_damage) d->threads = 1; /* several would tell late where it is */
        close_stream(d);
        if (d->hw) {
            snprintf(d->hw_note, sizeof d->hw_note, "the card cannot decode this stream, or it is damaged: software does");
            ib_hw_close(d->hw);
            d->hw = NULL;
        } else d->threads = 1;
        IB_TRY(open_stream(d));
        if (d->sought && !go_to_point(d))
            return ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: cannot be read again at frame %lld", d->in.name, (long long)d->point.frame);
        s = STEP_FRAME;
        while (got && s == STEP_FRAME && d->delivered < target) {
            ib_decoded skipped;
            s = next_step(d, &skipped, &got);
            if (s == STEP_RESTART) got = 1;
        }
    }
    if (s == STEP_FAILED) return d->status;
    if (!got || (target > 0 && d->trail != trail))
        return ib_fail(
            d->diag, ISOBATH_ERR_INPUT,
            "%s: damaged before frame %lld, where a fast decoder sees other frames than a single thread does; decode it "
            "with --decoder software and one thread",
            d->in.name, (long long)target);
    return ISOBATH_OK;
}

isobath_status ib_decoder_next(ib_decoder *d, ib_decoded *out, int *got)
{
    step s;
    while ((s = next_step(d, out, got)) == STEP_RESTART) {
        if (d->jumped)
            return ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: damaged near frame %lld: it must be read from the start", d->in.name,
                           (long long)d->delivered);
        IB_TRY(restart(d));
    }
    return s == STEP_FAILED ? d->status : ISOBATH_OK;
}

/* The frames between the point and the target must be those of the plan. */
static int follows_plan(ib_decoder *d, const ib_seek_plan *plan)
{
    ib_decoded out;
    int got;
    while (d->delivered < plan->target) {
        int64_t i = d->delivered - plan->point.frame;
        if (ib_decoder_next(d, &out, &got) != ISOBATH_OK || !got || out.repeated || out.pts_us != plan->times_us[i]) return 0;
    }
    return 1;
}

isobath_status ib_decoder_skip(ib_decoder *d, int *moved)
{
    *moved = 0;
    if (!d->in.format || !d->in.reopenable || !d->clock.have_base || d->damage[0]) return ISOBATH_OK;
    ib_seek_plan plan;
    isobath_status st = ib_seek_plan_make(d->name, &d->options, &d->clock, d->diag, &plan);
    if (st == ISOBATH_OK && plan.found) {
        ib_diag *diag = d->diag, quiet = IB_DIAG_INIT; /* what goes wrong here is told when it is met from the beginning */
        d->diag = d->in.diag = &quiet;
        d->point = plan.point;
        *moved = 1;
        int ok = go_to_point(d) && follows_plan(d, &plan);
        d->diag = d->in.diag = diag;
        if (!ok) {
            close_stream(d);
            d->sought = 0;
            st = open_stream(d);
        }
        ib_diag_destroy(&quiet);
    }
    ib_seek_plan_free(&plan);
    return st;
}

int64_t ib_decoder_began_at(const ib_decoder *d) { return d->sought ? d->point.frame : 0; }

/* Nothing of what was decoded before a jump is handed out after it. */
static void forget(ib_decoder *d)
{
    if (d->codec) avcodec_flush_buffers(d->codec);
    av_packet_unref(d->packet);
    av_frame_unref(d->held);
    d->have_held = d->have_packet = d->clean_seen = d->draining = d->ended = d->drain_errors = 0;
    d->missing_count = 0;
}

int ib_decoder_can_seek(const ib_decoder *d)
{
    return d->in.reopenable && !d->damage[0] && (!d->in.format || (d->clock.have_base && !d->clock.jumps));
}

/* To a key frame at or before pts_us; 0: the container cannot. */
static int go_to(ib_decoder *d, int64_t pts_us)
{
    int64_t ts = d->clock.base + av_rescale_q_rnd(pts_us - d->clock.base_us, (AVRational){1, 1000000}, d->in.time_base, AV_ROUND_UP);
    if (av_seek_frame(d->in.format, d->in.stream->index, ts, AVSEEK_FLAG_BACKWARD) < 0) return 0;
    forget(d);
    d->clean_point = 0;
    d->clock.last_us = -(INT64_C(1) << 60); /* times count from the first frame's, as ever */
    return 1;
}

/* From the key frame at or before from_us on. 1: arrived; 0: it began too late; -1: never. */
static int approach(ib_decoder *d, int64_t pts_us, int64_t from_us, ib_decoded *out)
{
    int got;
    if (!go_to(d, from_us)) return -1;
    for (int first = 1;; first = 0) {
        d->hw_damage = 0;
        if (next_step(d, out, &got) != STEP_FRAME || !got) return -1;
        int good = out->pts_us == pts_us && !out->repeated && !is_flagged(out->frame) && !d->hw_damage;
        if (out->pts_us >= pts_us) return good ? 1 : first ? 0 : -1;
    }
}

isobath_status ib_decoder_seek(ib_decoder *d, int64_t index, int64_t pts_us, int64_t key_us, ib_decoded *out, int *arrived)
{
    ib_diag quiet = IB_DIAG_INIT, *diag = d->diag;
    *arrived = 0;
    if (!ib_decoder_can_seek(d)) return ISOBATH_OK;
    if (!d->in.format) {
        if (index >= d->in.images.count) return ISOBATH_OK;
        forget(d);
        d->delivered = d->in.packets = index;
        d->trail = 0;
        IB_TRY(ib_decoder_next(d, out, arrived));
        *arrived = *arrived && out->pts_us == pts_us;
        return ISOBATH_OK;
    }
    d->diag = d->in.diag = &quiet;
    d->prerolling = 1;
    int result = key_us >= 0 && key_us <= pts_us ? approach(d, pts_us, key_us, out) : 0;
    for (int64_t margin = 1000000; !result && margin <= 64000000 && margin < pts_us; margin *= 4) /* key frames are seldom farther apart */
        result = approach(d, pts_us, pts_us - margin, out);
    *arrived = result > 0;
    d->diag = d->in.diag = diag;
    d->prerolling = 0;
    d->hw_damage = 0;
    atomic_store(&d->complaints, 0);
    ib_diag_destroy(&quiet);
    if (!*arrived) return ISOBATH_OK;
    d->jumped = 1;
    out->index = index;
    d->delivered = index + 1;
    return ISOBATH_OK;
}

int ib_decoder_jump(ib_decoder *d, double fraction)
{
    if (!d->in.format) {
        d->delivered = d->in.packets = (int64_t)(fraction * (double)d->in.images.count);
    } else {
        AVFormatContext *f = d->in.format;
        if (!d->in.reopenable || f->duration <= 0) return 0;
        int64_t start = f->start_time != AV_NOPTS_VALUE ? f->start_time : 0;
        if (av_seek_frame(f, -1, start + (int64_t)(fraction * (double)f->duration), AVSEEK_FLAG_BACKWARD) < 0) return 0;
    }
    forget(d);
    return 1;
}

double ib_decoder_pixel_aspect(const ib_decoder *d, const AVFrame *frame)
{
    AVRational sar = frame->sample_aspect_ratio;
    if (d->in.format) sar = av_guess_sample_aspect_ratio(d->in.format, d->in.stream, (AVFrame *)frame);
    double aspect = sar.num > 0 && sar.den > 0 ? av_q2d(sar) : 1.0;
    return aspect > 0.05 && aspect < 20 ? aspect : 1.0;
}

double ib_decoder_fps(const ib_decoder *d) { return d->in.fps; }
int64_t ib_decoder_frames_hint(const ib_decoder *d) { return d->in.frames_hint; }
const int32_t *ib_decoder_matrix(const ib_decoder *d) { return d->in.matrix; }
ib_hw *ib_decoder_hw(const ib_decoder *d) { return d->hw; }

void ib_decoder_hw_note(const ib_decoder *d, char *buf, size_t size)
{
    buf[0] = '\0';
    if (!d->hw && d->hw_note[0]) snprintf(buf, size, "software (%s)", d->hw_note);
    if (d->hw && ib_hw_blind(d->hw)[0])
        snprintf(buf, size, "on the card, where damage inside of pictures is concealed without a word (%s): --decoder software finds it",
                 ib_hw_blind(d->hw));
}

const char *ib_decoder_damage(const ib_decoder *d) { return d->damage; }

void ib_decoder_describe(const ib_decoder *d, char *buf, size_t size)
{
    unsigned v = avcodec_version();
    snprintf(buf, size, "%s%s libavcodec %u.%u.%u", d->codec ? d->codec->codec->name : "none", !d->hw ? "" : ib_hw_blind(d->hw)[0] ? " nvdec " IB_DAMAGE_NOT_SEEN : " nvdec",
             v >> 16, v >> 8 & 255, v & 255);
}
