/* A decoder that goes elsewhere in its input: to a known packet, to a planned start, to a frame of an earlier reading;
 * see decoder.h. */
#include "media/decoder_internal.h"

#include <math.h>

/* Goes to the packet of d->point in an input that was just opened or read; 0: the demuxer does not find it. */
int ib_decoder_go_to_point(ib_decoder *d)
{
    const ib_seek_point *p = &d->point;
    const int64_t two_seconds = llrint(2 / av_q2d(d->in.time_base));
    const int64_t to[] = {p->pts, p->dts != AV_NOPTS_VALUE ? p->dts : p->pts - two_seconds / 8, p->pts - two_seconds,
                          p->pos};
    char text[384];
    for (int i = 0; i < 4; i++) {
        int bytes = i == 3;
        if ((bytes && p->pos < 0) || av_seek_frame(d->in.format, bytes ? -1 : d->in.stream->index, to[i],
                                                   bytes ? AVSEEK_FLAG_BYTE : AVSEEK_FLAG_BACKWARD) < 0)
            continue;
        while (ib_input_next(&d->in, d->packet, text, sizeof text) == IB_PACKET_OK) {
            if (d->packet->dts != AV_NOPTS_VALUE && d->packet->dts > p->pts) break;
            if (d->packet->pts != p->pts || d->packet->pos != p->pos) continue;
            ib_decoder_flush(d);
            ib_decoder_forget_frames(d);
            av_frame_unref(d->last);
            d->have_packet = 1;
            d->have_last = 0;
            d->in.packets = p->packet + 1;
            d->delivered = p->frame;
            d->clock = p->clock;
            d->trail = IB_TRAIL_SEED;
            d->sought = 1;
            return 1;
        }
    }
    return 0;
}

/* The frames between the point and the target must be those of the plan. */
static int follows_plan(ib_decoder *d, const ib_seek_plan *plan)
{
    ib_decoded out;
    int got;
    while (d->delivered < plan->target) {
        int64_t i = d->delivered - plan->point.frame;
        if (ib_decoder_next(d, &out, &got) != ISOBATH_OK || !got || out.repeated || out.pts_us != plan->times_us[i])
            return 0;
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
        ib_diag *diag = d->diag,
                quiet = IB_DIAG_INIT; /* what goes wrong here is told when it is met from the beginning */
        d->diag = d->in.diag = &quiet;
        d->point = plan.point;
        *moved = 1;
        int ok = ib_decoder_go_to_point(d) && follows_plan(d, &plan);
        d->diag = d->in.diag = diag;
        if (!ok) {
            ib_decoder_close_stream(d);
            d->sought = 0;
            st = ib_decoder_open_stream(d);
        }
        ib_diag_destroy(&quiet);
    }
    ib_seek_plan_free(&plan);
    return st;
}

int64_t ib_decoder_began_at(const ib_decoder *d) { return d->sought ? d->point.frame : 0; }

/* Nothing of what was decoded before a jump is handed out after it. `later`: what the codec holds is dealt with when its next packet is there. */
static void forget(ib_decoder *d, int later)
{
    if (later && d->codec && !d->draining && !d->ended) d->turning = 1;
    else ib_decoder_flush(d);
    av_packet_unref(d->packet);
    av_frame_unref(d->last); /* or a card's decoder could not be used again before this one is let go */
    d->have_packet = d->have_last = 0;
    ib_decoder_forget_frames(d);
}

int ib_decoder_can_seek(const ib_decoder *d)
{
    return d->in.reopenable && !d->damage[0] && (!d->in.format || (d->clock.have_base && !d->clock.jumps));
}

/* To a key frame at or before pts_us; 0: the container cannot. */
static int go_to(ib_decoder *d, int64_t pts_us)
{
    int64_t ts = d->clock.base +
                 av_rescale_q_rnd(pts_us - d->clock.base_us, (AVRational){1, 1000000}, d->in.time_base, AV_ROUND_UP);
    if (av_seek_frame(d->in.format, d->in.stream->index, ts, AVSEEK_FLAG_BACKWARD) < 0) return 0;
    forget(d, 1);
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
        if (ib_decoder_step(d, out, &got) != IB_STEP_FRAME || !got) return -1;
        int good = out->pts_us == pts_us && !out->repeated && !ib_decoder_is_flagged(out->frame) && !d->hw_damage;
        if (out->pts_us >= pts_us) return good ? 1 : first ? 0 : -1;
    }
}

isobath_status ib_decoder_seek(ib_decoder *d, int64_t index, int64_t pts_us, int64_t key_us, ib_decoded *out,
                               int *arrived)
{
    ib_diag quiet = IB_DIAG_INIT, *diag = d->diag;
    *arrived = 0;
    if (!ib_decoder_can_seek(d)) return ISOBATH_OK;
    if (!d->in.format) {
        if (index >= d->in.images.count) return ISOBATH_OK;
        forget(d, 0);
        d->delivered = d->in.packets = index;
        d->trail = 0;
        IB_TRY(ib_decoder_next(d, out, arrived));
        *arrived = *arrived && out->pts_us == pts_us;
        return ISOBATH_OK;
    }
    d->diag = d->in.diag = &quiet;
    d->prerolling = 1;
    int result = key_us >= 0 && key_us <= pts_us ? approach(d, pts_us, key_us, out) : 0;
    for (int64_t margin = 1000000; !result && margin <= 64000000 && margin < pts_us;
         margin *= 4) /* key frames are seldom farther apart */
        result = approach(d, pts_us, pts_us - margin, out);
    *arrived = result > 0;
    d->diag = d->in.diag = diag;
    d->prerolling = 0;
    d->hw_damage = 0;
    atomic_store(&d->complaints, 0);
    ib_diag_destroy(&quiet);
    if (d->turning) ib_decoder_flush(d);
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
    forget(d, 0);
    return 1;
}
