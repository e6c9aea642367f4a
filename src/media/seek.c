/* See seek.h. Frames are counted by packets: a plan is made only where each packet has a time of its own, and the decoder
 * compares the times of the frames between the point and the target with the plan's before anyone sees a frame. */
#include "media/seek.h"

#include "media/input.h"

#include <stdlib.h>
#include <string.h>

#define WORTH_FRAMES 64           /* fewer are decoded faster than looked up */
#define LOOK_EVERY 512            /* packets */
#define MOST_PACKETS (1 << 23)    /* 80 hours at 29 a second */

typedef struct packet_entry {
    int64_t pts, dts, pos, number;
    int clean;
} packet_entry;

typedef struct packet_list {
    packet_entry *items;
    int64_t count, capacity;
    int64_t number, last_dts; /* the latest that is known */
    int ended, unsure; /* unsure: a packet without a time */
} packet_list;

/* The next unit of H.264 or HEVC from *at on; both packings: start codes, or lengths of length_bytes. 0: none. A unit between
 * start codes reaches to the end of the packet. */
static int next_unit(const uint8_t **at, const uint8_t *end, int length_bytes, const uint8_t **unit, const uint8_t **unit_end)
{
    const uint8_t *p = *at;
    if (length_bytes) {
        size_t n = 0;
        if (end - p <= length_bytes) return 0;
        for (int i = 0; i < length_bytes; i++) n = n << 8 | *p++;
        if (n == 0 || n > (size_t)(end - p)) return 0;
        *unit_end = *at = p + n;
    } else {
        while (end - p > 3 && !(p[0] == 0 && p[1] == 0 && p[2] == 1)) p++;
        if (end - p <= 3) return 0;
        p += 3;
        *unit_end = end;
        *at = p;
    }
    *unit = p;
    return 1;
}

/* An SEI unit of H.264: does it hold a recovery point at once (recovery_frame_cnt 0, exact_match_flag 1)? */
static int is_exact_recovery(const uint8_t *p, const uint8_t *end)
{
    for (p++; end - p > 2;) {
        size_t type = 0, size = 0;
        for (; p < end && *p == 255; p++) type += 255;
        if (p < end) type += *p++;
        for (; p < end && *p == 255; p++) size += 255;
        if (p < end) size += *p++;
        if (size > (size_t)(end - p)) return 0;
        if (type == 6) return size > 0 && (p[0] & 0xc0) == 0xc0; /* ue(0) is a single 1 */
        p += size;
    }
    return 0;
}

/* Is there an IDR picture (unless `idr`, H.264: or an exact recovery point; HEVC: or BLA, CRA), whose followers in time refer to nothing
 * before it? */
static int refreshes(const AVCodecParameters *codec, const AVPacket *packet, int idr)
{
    int hevc = codec->codec_id == AV_CODEC_ID_HEVC, length_bytes = 0;
    const uint8_t *at = packet->data, *end = at + packet->size, *unit, *unit_end;
    if (codec->extradata_size > (hevc ? 22 : 6) && codec->extradata[0] == 1) length_bytes = (codec->extradata[hevc ? 21 : 4] & 3) + 1;
    while (next_unit(&at, end, length_bytes, &unit, &unit_end)) {
        int type = hevc ? unit[0] >> 1 & 63 : unit[0] & 31;
        if (hevc ? type >= (idr ? 19 : 16) && type <= (idr ? 20 : 21) : type == 5) return 1;
        if (!hevc && !idr && type == 6 && is_exact_recovery(unit, unit_end)) return 1;
    }
    return 0;
}

int ib_seek_is_clean(const AVCodecParameters *codec, const AVPacket *packet)
{
    if (!(packet->flags & AV_PKT_FLAG_KEY)) return 0;
    const AVCodecDescriptor *d = avcodec_descriptor_get(codec->codec_id);
    if (d && (d->props & AV_CODEC_PROP_INTRA_ONLY)) return 1;
    switch (codec->codec_id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC: return refreshes(codec, packet, 0);
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
    case AV_CODEC_ID_FFV1: return 1;
    default: return 0;
    }
}

int ib_seek_is_splice(const AVCodecParameters *codec, const AVPacket *packet)
{
    int known = codec->codec_id == AV_CODEC_ID_H264 || codec->codec_id == AV_CODEC_ID_HEVC;
    return known && (packet->flags & AV_PKT_FLAG_KEY) && refreshes(codec, packet, 1);
}

static isobath_status add(packet_list *list, const packet_entry *e, ib_diag *diag)
{
    if (list->count == list->capacity) {
        int64_t next = list->capacity ? 2 * list->capacity : 4096;
        packet_entry *p = realloc(list->items, (size_t)next * sizeof *p);
        if (!p) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the index of the input");
        list->items = p;
        list->capacity = next;
    }
    list->items[list->count++] = *e;
    return ISOBATH_OK;
}

/* Reads up to `most` packets more. */
static isobath_status read_packets(ib_input *in, AVPacket *packet, packet_list *list, int64_t most, ib_diag *diag)
{
    char text[384];
    for (int64_t i = 0; i < most && !list->ended && !list->unsure; i++) {
        ib_packet_result r = ib_input_next(in, packet, text, sizeof text);
        if (r == IB_PACKET_FAILED) return ISOBATH_ERR_MEMORY;
        if (r == IB_PACKET_DAMAGED) list->unsure = 1;
        if (r == IB_PACKET_END) list->ended = 1;
        if (r != IB_PACKET_OK) break;
        packet_entry e = {packet->pts, packet->dts, packet->pos, list->number++, ib_seek_is_clean(in->codec, packet)};
        if (packet->flags & AV_PKT_FLAG_DISCARD) continue;
        if (e.dts != AV_NOPTS_VALUE) list->last_dts = e.dts;
        if (e.pts == AV_NOPTS_VALUE || list->count >= MOST_PACKETS) list->unsure = 1;
        else IB_TRY(add(list, &e, diag));
    }
    av_packet_unref(packet);
    return ISOBATH_OK;
}

static int by_pts(const void *a, const void *b)
{
    const packet_entry *x = a, *y = b;
    return (x->pts > y->pts) - (x->pts < y->pts);
}

/* Looks for target and point among what was read; plan->found, or list->unsure, or neither: read on. */
static isobath_status choose(packet_list *list, const ib_media_options *o, const ib_clock *clock, ib_diag *diag, ib_seek_plan *plan)
{
    int64_t start_us = llrint(o->start_s * 1e6);
    packet_entry *order = malloc((size_t)list->count * sizeof *order);
    if (!order) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the index of the input");
    memcpy(order, list->items, (size_t)list->count * sizeof *order);
    qsort(order, (size_t)list->count, sizeof *order, by_pts);
    int64_t first = 0, point = -1, before = -1, target = -1;
    while (first < list->count && order[first].pts != clock->base) first++;
    ib_clock c = *clock, at_point = c, at_before = c;
    for (int64_t i = first; i < list->count && target < 0; i++) {
        if (i + 1 < list->count && order[i].pts == order[i + 1].pts) list->unsure = 1;
        if (i > first && order[i].clean) { /* the last two: reordering settles over the one before */
            before = point;
            at_before = at_point;
            point = i;
            at_point = c;
        }
        int64_t us = i == first ? c.last_us : ib_clock_next(&c, order[i].pts);
        if (us >= start_us && i - first >= o->start_frame) target = i;
    }
    if (before >= 0 && target - before < 600) {
        point = before;
        at_point = at_before;
    }
    if (first == list->count) list->unsure = 1;
    if (list->ended && target < 0) list->unsure = 1; /* starts behind the end */
    /* what is still to come is shown later than the target: its place is final */
    if (target >= 0 && (list->ended || list->last_dts > order[target].pts)) {
        if (point < 0 || target - point >= (target - first) / 2 + 1) list->unsure = 1; /* not worth it */
        if (!list->unsure && !(plan->times_us = malloc((size_t)(target - point + 1) * sizeof *plan->times_us))) {
            free(order);
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the index of the input");
        }
        if (plan->times_us) {
            plan->found = 1;
            plan->target = target - first;
            plan->point = (ib_seek_point){order[point].pts, order[point].dts, order[point].pos, order[point].number, point - first, at_point};
            c = at_point;
            for (int64_t i = point; i <= target; i++) plan->times_us[i - point] = ib_clock_next(&c, order[i].pts);
        }
    }
    free(order);
    return ISOBATH_OK;
}

isobath_status ib_seek_plan_make(const char *name, const ib_media_options *o, const ib_clock *clock, ib_diag *diag, ib_seek_plan *plan)
{
    *plan = (ib_seek_plan){0};
    ib_diag quiet = IB_DIAG_INIT; /* what the index does not understand is no error */
    ib_input in;
    AVPacket *packet = av_packet_alloc();
    packet_list list = {.last_dts = clock->base};
    isobath_status st = packet ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the index of the input");
    int open = st == ISOBATH_OK && ib_input_open(&in, name, o, &quiet) == ISOBATH_OK;
    if (open && (double)WORTH_FRAMES > o->start_frame + o->start_s * (in.fps > 0 ? in.fps : 25)) list.unsure = 1;
    while (open && st == ISOBATH_OK && !plan->found && !list.unsure && (list.count == 0 || !list.ended)) {
        st = read_packets(&in, packet, &list, LOOK_EVERY, diag);
        if (st != ISOBATH_OK || list.unsure || list.count == 0) {
            if (list.ended) break;
            continue;
        }
        double seconds = (double)(list.last_dts - clock->base) * av_q2d(clock->time_base);
        if (list.ended || (list.count > o->start_frame && seconds > o->start_s)) st = choose(&list, o, clock, diag, plan);
    }
    if (open) ib_input_close(&in);
    av_packet_free(&packet);
    free(list.items);
    ib_diag_destroy(&quiet);
    return st;
}

void ib_seek_plan_free(ib_seek_plan *plan)
{
    free(plan->times_us);
    *plan = (ib_seek_plan){0};
}
