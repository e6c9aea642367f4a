/* Who computes which window; see schedule.h. Why it cannot stand still: the oldest window that has no result is always given a slot
 * (others leave IB_SCHEDULE_RESERVE free), is taken back from a device that is lost, and is given to the next device that asks, even
 * one that has a segment of its own. */
#include "pipeline/fleet/schedule.h"

#include <stdlib.h>
#include <string.h>

#define START_FRAMES 16    /* what a jump in a video takes, in frames decoded */
#define START_DOUBLINGS 3  /* the first segments are of 1, 2, 4 ... windows; of so many doublings more where each is a jump */

isobath_status ib_schedule_init(ib_schedule *s, int devices, int segment_max, int64_t windows_hint, int64_t capacity, ib_diag *diag)
{
    memset(s, 0, sizeof *s);
    s->device_count = devices;
    for (int d = 0; d < devices; d++) s->device[d].depth = IB_SCHEDULE_DEPTH;
    s->segment_max = segment_max;
    s->windows_hint = windows_hint;
    s->capacity = capacity;
    s->done = calloc((size_t)capacity, 1);
    s->lead = calloc((size_t)capacity, sizeof *s->lead);
    return s->done && s->lead ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the schedule");
}

void ib_schedule_free(ib_schedule *s)
{
    free(s->done);
    free(s->lead);
    s->done = NULL;
    s->lead = NULL;
}

int ib_schedule_append(ib_schedule *s, int32_t lead)
{
    if (s->appended - s->out >= s->capacity) return 0;
    s->done[s->appended % s->capacity] = 0;
    s->lead[s->appended % s->capacity] = lead;
    s->appended++;
    return 1;
}

static int is_done(const ib_schedule *s, int64_t i) { return i < s->out || (i < s->appended && s->done[i % s->capacity]); }

/* How many devices have window i, or are to get it? */
static int holders(const ib_schedule *s, int64_t i)
{
    int n = 0;
    for (int d = 0; d < s->device_count; d++) {
        const ib_schedule_device *v = &s->device[d];
        int has = i >= v->segment.next && i < v->segment.end;
        for (int f = 0; f < v->flight_count; f++) has |= v->flight[f] == i;
        n += has;
    }
    return n;
}

static int64_t oldest(const ib_schedule *s)
{
    int64_t i = s->out;
    while (i < s->appended && is_done(s, i)) i++;
    return i;
}

static int workers(const ib_schedule *s)
{
    int n = 0;
    for (int d = 0; d < s->device_count; d++) n += s->device[d].working;
    return n;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t ib_schedule_median_us(const ib_schedule *s)
{
    int64_t sorted[IB_SCHEDULE_MEDIAN];
    if (!s->median_count) return 0;
    memcpy(sorted, s->medians, (size_t)s->median_count * sizeof *sorted);
    qsort(sorted, (size_t)s->median_count, sizeof *sorted, by_value);
    return sorted[s->median_count / 2];
}

/* Length of a segment that begins at window i: short at the start, near the end, and for devices that are slower than others. */
static int64_t segment_length(const ib_schedule *s, const ib_schedule_device *v, int64_t i)
{
    int n = workers(s);
    int64_t length = s->segment_max;
    if (n < 2) return length;
    int64_t total = s->ended ? s->appended : s->windows_hint;
    if (total >= 0 && (total - i) / (2 * n) < length) length = (total - i) / (2 * n);
    int doublings = v->segments + (s->lead[i % s->capacity] >= 0 ? START_DOUBLINGS : 0);
    if (doublings < 8 && length > 1 << doublings) length = 1 << doublings;
    double fastest = v->window_us;
    for (int d = 0; d < s->device_count; d++)
        if (s->device[d].working && s->device[d].window_us > 0 && s->device[d].window_us < fastest) fastest = s->device[d].window_us;
    if (v->window_us > 0) length = (int64_t)((double)length * fastest / v->window_us + 0.5);
    return length < 1 ? 1 : length;
}

static void begin_segment(ib_schedule_device *v, int64_t first, int64_t end)
{
    if (v->segment.start_us >= 0) v->before = v->segment;
    v->segment = (ib_schedule_segment){.next = first, .end = end, .first = first, .start_us = -1};
    v->segments++;
}

/* Where a segment from window i to at most `limit` best ends: whoever begins the next one decodes the least for nothing, per window of this
 * one. */
static int64_t best_end(const ib_schedule *s, int64_t i, int64_t limit)
{
    int64_t best = limit;
    double least = 0;
    for (int64_t end = i + (limit - i + 1) / 2; end <= limit && end < s->appended; end++) {
        int32_t lead = s->lead[end % s->capacity];
        double each = (double)(lead + START_FRAMES) / (double)(end - i);
        if (lead < 0 || (least > 0 && each > least)) continue;
        least = each;
        best = end;
    }
    return best;
}

/* A new segment of windows that nobody has, beginning with one that is there. 0: there is none. */
static int take_new(ib_schedule *s, ib_schedule_device *v)
{
    int64_t i = s->out;
    while (i < s->appended && (is_done(s, i) || holders(s, i))) i++;
    if (i >= s->appended) return 0;
    int64_t end = i + 1, limit = best_end(s, i, i + segment_length(s, v, i));
    while (end < limit && !(s->ended && end >= s->appended) && !is_done(s, end) && !holders(s, end)) end++;
    begin_segment(v, i, end);
    return 1;
}

/* The first window of a segment that has no result; `end` when all have. */
static int64_t first_missing(const ib_schedule *s, const ib_schedule_segment *g)
{
    int64_t i = g->first;
    while (i < g->end && is_done(s, i)) i++;
    return i;
}

/* Is it late, and may somebody else compute it as well? A segment waits for the windows that the device had before it; while it is
 * not known to its end only a device that does not answer is late. */
static int is_late(const ib_schedule *s, const ib_schedule_device *v, const ib_schedule_segment *g, int64_t now_us)
{
    int64_t missing = first_missing(s, g), since = g->end <= s->appended ? g->start_us : v->last_us;
    if (g->start_us < 0 || !v->flight_count || missing == g->end || missing >= s->appended || holders(s, missing) > 1) return 0;
    return now_us - since > IB_SCHEDULE_LATE * ib_schedule_median_us(s) * (g->end - g->first + v->depth);
}

/* The rest of another device's segment that is late, the oldest one. 0: none is. */
static int take_late(ib_schedule *s, ib_schedule_device *v, int64_t now_us)
{
    ib_schedule_segment *found = NULL;
    if (s->median_count < 3) return 0;
    for (int d = 0; d < s->device_count; d++) {
        ib_schedule_device *o = &s->device[d];
        if (o == v || !o->working) continue;
        if (is_late(s, o, &o->segment, now_us) && (!found || o->segment.first < found->first)) found = &o->segment;
        if (is_late(s, o, &o->before, now_us) && (!found || o->before.first < found->first)) found = &o->before;
    }
    if (!found) return 0;
    begin_segment(v, first_missing(s, found), found->end < s->appended ? found->end : s->appended);
    s->late++;
    return 1;
}

static void skip_done(const ib_schedule *s, ib_schedule_segment *g)
{
    while (g->next < g->end && is_done(s, g->next)) g->next++;
    if (s->ended && g->end > s->appended) g->end = g->next > s->appended ? g->next : s->appended;
}

/* May the window be given now? Only the oldest may take the last slots. */
static int has_room(const ib_schedule *s, int64_t i, int free_slots)
{
    int reserve = s->device_count > 1 ? IB_SCHEDULE_RESERVE : 0;
    return free_slots > (i == oldest(s) ? 0 : reserve);
}

/* Windows that the device may have now: near the end no more than keep it busy, so that others get some. */
static int depth_now(const ib_schedule *s, const ib_schedule_device *v)
{
    int n = workers(s);
    int64_t total = s->ended ? s->appended : s->windows_hint;
    int ending = n > 1 && total >= 0 && total - s->out <= n * v->depth;
    return ending && v->depth > IB_SCHEDULE_DEPTH ? IB_SCHEDULE_DEPTH : v->depth;
}

int64_t ib_schedule_next(ib_schedule *s, int device, int free_slots, int64_t now_us)
{
    ib_schedule_device *v = &s->device[device];
    ib_schedule_segment *g = &v->segment;
    int64_t first = oldest(s);
    if (!v->working || v->flight_count >= depth_now(s, v) || free_slots < 1) return -1;
    skip_done(s, g);
    if (first < s->appended && !holders(s, first)) g->end = g->next; /* of a lost device: before everything else */
    if (g->next == g->end && !take_new(s, v) && !(v->flight_count == 0 && take_late(s, v, now_us))) return -1;
    if (g->next >= s->appended || !has_room(s, g->next, free_slots)) {
        if (v->flight_count || !take_late(s, v, now_us) || !has_room(s, g->next, free_slots)) return -1;
    }
    if (g->start_us < 0) g->start_us = now_us;
    if (!v->flight_count) v->last_us = now_us;
    int64_t i = g->next++;
    v->flight[v->flight_count++] = i;
    return i;
}

int ib_schedule_done(ib_schedule *s, int device, int64_t now_us)
{
    ib_schedule_device *v = &s->device[device];
    int64_t i = v->flight[0];
    memmove(v->flight, v->flight + 1, (size_t)--v->flight_count * sizeof *v->flight);
    double took = (double)(now_us - v->last_us);
    v->window_us = v->window_us > 0 ? 0.7 * v->window_us + 0.3 * took : took;
    v->last_us = now_us;
    s->medians[s->median_next] = (int64_t)took;
    s->median_next = (s->median_next + 1) % IB_SCHEDULE_MEDIAN;
    if (s->median_count < IB_SCHEDULE_MEDIAN) s->median_count++;
    if (is_done(s, i)) return 0;
    s->done[i % s->capacity] = 1;
    return 1;
}

void ib_schedule_join(ib_schedule *s, int device, int64_t now_us)
{
    ib_schedule_device *v = &s->device[device];
    *v = (ib_schedule_device){.working = 1, .last_us = now_us, .segments = v->segments, .depth = v->depth, .segment.start_us = -1, .before.start_us = -1};
}

int ib_schedule_leave(ib_schedule *s, int device)
{
    ib_schedule_device *v = &s->device[device];
    int lost = v->flight_count > 0 || v->segment.next < v->segment.end;
    *v = (ib_schedule_device){.segments = v->segments, .depth = v->depth, .segment.start_us = -1, .before.start_us = -1};
    return lost;
}

int ib_schedule_ready(const ib_schedule *s) { return s->out < s->appended && is_done(s, s->out); }

int64_t ib_schedule_pop(ib_schedule *s) { return s->out++; }
