/* See index.h. A packet's place in the order of presentation is settled when a later one is decoded after its time: what still comes is
 * shown later than it is decoded. */
#include "media/index.h"

#include "media/clock.h"
#include "media/input.h"
#include "media/seek.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REORDER_MOST 64 /* packets that may wait; codecs reorder by 16 pictures at most */

typedef struct waiting {
    int64_t pts;
    int clean;
} waiting;

struct ib_media_index {
    ib_diag *diag;
    char *name;
    ib_media_options options;
    int stride;
    ib_input in;
    AVPacket *packet;
    ib_clock clock;
    waiting wait[REORDER_MOST + 1]; /* ascending times */
    int waits, ended;
    int64_t last_dts, last_pts; /* decoded, settled; AV_NOPTS_VALUE: none */
    int64_t frame;              /* of the stream: the next one that is settled */
    int64_t in_range, kept;
    int64_t key_us, key_frame;
    int64_t start_us, end_us; /* end_us < 0: none */
};

isobath_status ib_media_index_open(const char *input, const ib_media_options *options, int stride, ib_diag *diag, ib_media_index **out)
{
    *out = NULL;
    ib_media_index *x = calloc(1, sizeof *x);
    if (!x) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the index of %s", input);
    x->diag = diag;
    x->options = *options;
    x->stride = stride;
    x->start_us = llrint(options->start_s * 1e6);
    x->end_us = options->end_s > 0 ? llrint(options->end_s * 1e6) : -1;
    x->last_dts = x->last_pts = AV_NOPTS_VALUE;
    x->name = strdup(input);
    x->packet = av_packet_alloc();
    isobath_status st = x->name && x->packet ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the index of %s", input);
    int open = 0;
    if (st == ISOBATH_OK) st = ib_input_open(&x->in, x->name, &x->options, diag);
    if (st == ISOBATH_OK) open = 1;
    if (open && !x->in.reopenable)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: can be read once only: its packets cannot be counted", x->in.name);
    if (st != ISOBATH_OK) {
        if (open) ib_input_close(&x->in);
        av_packet_free(&x->packet);
        free(x->name);
        free(x);
        return st;
    }
    x->clock = ib_clock_init(x->in.time_base, x->in.fps, x->in.format && (x->in.format->iformat->flags & AVFMT_TS_DISCONT));
    *out = x;
    return ISOBATH_OK;
}

void ib_media_index_close(ib_media_index *x)
{
    if (!x) return;
    ib_input_close(&x->in);
    av_packet_free(&x->packet);
    free(x->name);
    free(x);
}

/* One packet more. */
static isobath_status read_packet(ib_media_index *x)
{
    char text[384];
    AVPacket *p = x->packet;
    ib_packet_result r = ib_input_next(&x->in, p, text, sizeof text);
    isobath_status st = ISOBATH_OK;
    if (r == IB_PACKET_END) x->ended = 1;
    else if (r == IB_PACKET_FAILED) st = ISOBATH_ERR_MEMORY;
    else if (r == IB_PACKET_DAMAGED)
        st = ib_fail(x->diag, ISOBATH_ERR_INPUT, "%s: %s: its packets cannot be counted, decode it", x->in.name, text);
    else if (!(p->flags & AV_PKT_FLAG_DISCARD)) {
        if (p->pts == AV_NOPTS_VALUE)
            st = ib_fail(x->diag, ISOBATH_ERR_INPUT, "%s: packets without times: they cannot be counted, decode it", x->in.name);
        int i = x->waits++;
        for (; i > 0 && x->wait[i - 1].pts > p->pts; i--) x->wait[i] = x->wait[i - 1];
        x->wait[i] = (waiting){p->pts, ib_seek_is_clean(x->in.codec, p)};
        if (p->dts != AV_NOPTS_VALUE) x->last_dts = p->dts;
    }
    av_packet_unref(p);
    return st;
}

static int is_settled(const ib_media_index *x)
{
    return x->waits > 0 && (x->ended || x->waits > REORDER_MOST || (x->last_dts != AV_NOPTS_VALUE && x->last_dts > x->wait[0].pts));
}

/* The next frame of the stream. */
static isobath_status next_frame(ib_media_index *x, int64_t *us, int *got)
{
    *got = 0;
    if (!x->in.format) {
        if (x->frame >= x->in.images.count) return ISOBATH_OK;
        *us = x->key_us = llrint((double)x->frame * 1e6 / x->in.fps);
        x->key_frame = x->frame;
    } else {
        while (!x->ended && !is_settled(x)) IB_TRY(read_packet(x));
        if (!x->waits) return ISOBATH_OK;
        waiting w = x->wait[0];
        memmove(x->wait, x->wait + 1, (size_t)--x->waits * sizeof w);
        if (x->last_pts != AV_NOPTS_VALUE && w.pts <= x->last_pts)
            return ib_fail(x->diag, ISOBATH_ERR_INPUT, "%s: two packets have one time: they cannot be counted, decode it", x->in.name);
        x->last_pts = w.pts;
        *us = ib_clock_next(&x->clock, w.pts);
        if (w.clean || x->frame == 0) {
            x->key_us = *us;
            x->key_frame = x->frame;
        }
    }
    x->frame++;
    *got = 1;
    return ISOBATH_OK;
}

/* As media.c's next_kept. */
isobath_status ib_media_index_next(ib_media_index *x, ib_media_entry *entry, int *got)
{
    const ib_media_options *o = &x->options;
    *got = 0;
    while (o->max_frames <= 0 || x->kept < o->max_frames) {
        int64_t us, frame = x->frame;
        int have;
        IB_TRY(next_frame(x, &us, &have));
        if (!have || (x->end_us >= 0 && us >= x->end_us) || (o->end_frame > 0 && frame >= o->end_frame)) break;
        if (us < x->start_us || frame < o->start_frame || x->in_range++ % x->stride != 0) continue;
        *entry = (ib_media_entry){us, x->key_us, frame - x->key_frame};
        x->kept++;
        *got = 1;
        break;
    }
    return ISOBATH_OK;
}
