/* Presentation times: from the decoder's timestamps to microseconds that start at 0 and always increase.
 *
 * Rules (docs/MEDIA.md): the first frame is at 0; a later one at its timestamp minus the first's. A missing timestamp
 * is the previous time plus one nominal frame. A timestamp that is equal to or less than one second behind the previous
 * one gives previous + 1 us. A longer step back is a discontinuity: this frame follows one nominal frame after the
 * previous one, and later frames keep their distance to it. So is a step forward of more than 10 s in formats whose
 * clocks may jump (MPEG-TS). Everything else is kept as it is. */
#ifndef IB_MEDIA_CLOCK_H
#define IB_MEDIA_CLOCK_H

#include <libavutil/avutil.h>
#include <libavutil/mathematics.h>
#include <stdint.h>

typedef struct ib_clock {
    AVRational time_base; /* of the timestamps, seconds per tick */
    int64_t nominal_us;   /* one frame */
    int jumps;            /* the format's clock may jump forward */
    int started, have_base;
    int64_t base; /* timestamp that stands at base_us */
    int64_t base_us, last_us;
} ib_clock;

static inline ib_clock ib_clock_init(AVRational time_base, double fps, int jumps)
{
    ib_clock c = {.time_base = time_base, .jumps = jumps};
    c.nominal_us = fps > 0.001 && fps < 1e6 ? (int64_t)(1e6 / fps + 0.5) : 40000;
    return c;
}

/* ts: in time_base, or AV_NOPTS_VALUE. */
static inline int64_t ib_clock_next(ib_clock *c, int64_t ts)
{
    const int64_t limit = INT64_C(1) << 61, second = 1000000;
    int usable = ts != AV_NOPTS_VALUE && ts > -limit && ts < limit && c->time_base.num > 0 && c->time_base.den > 0;
    int64_t follow = c->started ? c->last_us + c->nominal_us : 0, t = follow;
    if (usable && c->have_base) {
        int64_t d = av_rescale_q(ts - c->base, c->time_base, (AVRational){1, 1000000});
        usable = d > -limit / 2 && d < limit / 2;
        if (usable) t = c->base_us + d;
        int back = usable && t < c->last_us - second, forward = usable && c->jumps && t > c->last_us + 10 * second;
        if (back || forward) {
            t = follow;
            c->base = ts;
            c->base_us = follow;
        } else if (t <= c->last_us) {
            t = c->last_us + 1;
        }
    } else if (usable) {
        c->have_base = 1;
        c->base = ts;
        c->base_us = follow;
    }
    c->started = 1;
    c->last_us = t;
    return t;
}

#endif
