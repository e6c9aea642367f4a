/* Times of all frames from the container alone; see media.h. Nothing is decoded, so what is found is a claim: whoever relies on it compares
 * the times of the frames that it then decodes. */
#include "media/clock.h"
#include "media/input.h"
#include "media/media.h"
#include <math.h>
#include <stdlib.h>

typedef struct time_list {
    int64_t *items, count, capacity;
} time_list;

static isobath_status add(time_list *l, int64_t t, ib_diag *diag)
{
    if (l->count == l->capacity) {
        int64_t next = l->capacity ? 2 * l->capacity : 4096;
        int64_t *p = realloc(l->items, (size_t)next * sizeof *p);
        if (!p) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the times of frames");
        l->items = p;
        l->capacity = next;
    }
    l->items[l->count++] = t;
    return ISOBATH_OK;
}

/* Presentation times of all packets, as the container has them. */
static isobath_status read_packets(ib_input *in, time_list *l, ib_diag *diag)
{
    char text[384];
    AVPacket *packet = av_packet_alloc();
    isobath_status st = packet ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a packet");
    for (ib_packet_result r = IB_PACKET_OK; st == ISOBATH_OK && r == IB_PACKET_OK;) {
        r = ib_input_next(in, packet, text, sizeof text);
        if (r == IB_PACKET_FAILED) st = ISOBATH_ERR_MEMORY;
        else if (r == IB_PACKET_DAMAGED) st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: %s: its packets cannot be counted, decode it", in->name, text);
        else if (r == IB_PACKET_OK && !(packet->flags & AV_PKT_FLAG_DISCARD))
            st = packet->pts == AV_NOPTS_VALUE
                     ? ib_fail(diag, ISOBATH_ERR_INPUT, "%s: packets without times: they cannot be counted, decode it", in->name)
                     : add(l, packet->pts, diag);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return st;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* In the order of presentation, microseconds from the first. */
static isobath_status settle(const ib_input *in, time_list *l, ib_diag *diag)
{
    int jumps = in->format && (in->format->iformat->flags & AVFMT_TS_DISCONT);
    ib_clock clock = ib_clock_init(in->time_base, in->fps, jumps);
    qsort(l->items, (size_t)l->count, sizeof *l->items, ascending);
    for (int64_t i = 0; i < l->count; i++) {
        if (i && l->items[i] == l->items[i - 1])
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: two packets have one time: they cannot be counted, decode it", in->name);
    }
    for (int64_t i = 0; i < l->count; i++) l->items[i] = ib_clock_next(&clock, l->items[i]);
    return ISOBATH_OK;
}

/* Those that a reading keeps: as media.c's next_kept. */
static void keep(const ib_media_options *o, int stride, time_list *l)
{
    int64_t start_us = llrint(o->start_s * 1e6), end_us = o->end_s > 0 ? llrint(o->end_s * 1e6) : -1, kept = 0, in_range = 0;
    for (int64_t i = 0; i < l->count; i++) {
        int64_t t = l->items[i];
        if ((end_us >= 0 && t >= end_us) || (o->end_frame > 0 && i >= o->end_frame)) break;
        if (t < start_us || i < o->start_frame || in_range++ % stride != 0) continue;
        l->items[kept++] = t;
        if (o->max_frames > 0 && kept >= o->max_frames) break;
    }
    l->count = kept;
}

isobath_status ib_media_packet_times(const char *input, const ib_media_options *options, int stride, ib_diag *diag, int64_t **times_us,
                                     int64_t *count)
{
    ib_input in;
    time_list l = {NULL, 0, 0};
    *times_us = NULL;
    *count = 0;
    IB_TRY(ib_input_open(&in, input, options, diag));
    isobath_status st = ISOBATH_OK;
    if (!in.reopenable) st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: can be read once only: its packets cannot be counted", in.name);
    else if (in.format) st = read_packets(&in, &l, diag);
    else
        for (int64_t i = 0; st == ISOBATH_OK && i < in.images.count; i++) st = add(&l, llrint((double)i * 1e6 / in.fps), diag);
    if (st == ISOBATH_OK && in.format) st = settle(&in, &l, diag);
    ib_input_close(&in);
    if (st != ISOBATH_OK) {
        free(l.items);
        return st;
    }
    keep(options, stride, &l);
    *times_us = l.items;
    *count = l.count;
    return ISOBATH_OK;
}
