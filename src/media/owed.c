/* Packets that still owe a picture; see owed.h. */
#include "media/owed.h"

#include <string.h>

static void remove_at(ib_owed *o, int i) { memmove(o->list + i, o->list + i + 1, (size_t)(--o->count - i) * sizeof *o->list); }

static int find(const ib_owed *o, int64_t ts)
{
    for (int i = 0; i < o->count; i++)
        if (o->list[i].ts == ts) return i;
    return -1;
}

/* list[0] will give no picture. Streams with fields or hidden pictures show themselves at their start. */
static void note_silent(ib_owed *o)
{
    if (o->off || o->damaged || o->has_silent || o->in_turn < IB_OWED_TURNS) return;
    o->silent = o->list[0];
    o->has_silent = 1;
}

void ib_owed_end(ib_owed *o)
{
    if (o->started && o->count > 0) note_silent(o);
}

void ib_owed_sent(ib_owed *o, int64_t ts, int64_t packet, int64_t pos)
{
    if (o->started && ts != INT64_MIN && ts <= o->last) { /* leading pictures of an open start, or a clock that jumped */
        o->behind += o->damaged;
        return;
    }
    if (ts == INT64_MIN || o->count == IB_OWED_MOST || find(o, ts) >= 0) o->off = 1;
    if (o->off) return;
    int i = o->count++;
    for (; i > 0 && o->list[i - 1].ts > ts; i--) o->list[i] = o->list[i - 1];
    o->list[i] = (ib_owed_packet){ts, packet, pos};
}

void ib_owed_given_up(ib_owed *o, int64_t ts)
{
    int i = find(o, ts);
    if (i >= 0) remove_at(o, i);
}

void ib_owed_came(ib_owed *o, int64_t ts)
{
    int i = find(o, ts);
    if (o->started && ts <= o->last && o->behind) o->behind--;
    if (o->started && i > 0) note_silent(o);
    o->in_turn += i == 0;
    if (!o->damaged && (i < 0 || (o->started && i > 0))) o->off = 1; /* another time, or a packet before it without a picture */
    if (i >= 0) remove_at(o, i);
    if (!o->started) /* what is before the first picture was not meant to be shown */
        while (o->count && o->list[0].ts < ts) remove_at(o, 0);
    o->started = 1;
    o->last = ts;
}

void ib_owed_filled(ib_owed *o, int64_t ts) { o->filled[o->filled_count++ % IB_OWED_MOST] = ts; }

int ib_owed_is_late(const ib_owed *o, int64_t ts)
{
    for (int i = 0; i < IB_OWED_MOST && i < o->filled_count; i++)
        if (o->filled[i] == ts) return ts != INT64_MIN && !o->behind;
    return 0;
}

int ib_owed_lost(ib_owed *o, int64_t ts, ib_owed_packet *out)
{
    if (o->off || !o->damaged || !o->started || !o->count || o->list[0].ts >= ts) return 0;
    *out = o->list[0];
    remove_at(o, 0);
    return 1;
}
