/* Spool files of all segments; see merge.h. */
#include "pipeline/cluster/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPEN 2 /* a frame needs a window and the one before it */

struct ib_segments {
    const ib_shard *shard;
    ib_diag *diag;
    ib_spool *spool[OPEN];
    int64_t segment[OPEN];
    int next;
};

isobath_status ib_segments_create(const ib_shard *shard, ib_diag *diag, ib_segments **out)
{
    ib_segments *s = calloc(1, sizeof *s);
    *out = s;
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the segments");
    s->shard = shard;
    s->diag = diag;
    return ISOBATH_OK;
}

void ib_segments_destroy(ib_segments *s)
{
    if (!s) return;
    for (int i = 0; i < OPEN; i++) ib_spool_close(s->spool[i]);
    free(s);
}

/* The segment that a window is in: the inverse of ib_shard_segment. */
static int64_t segment_of(const ib_shard *p, int64_t window)
{
    int64_t i = (int64_t)((__int128)window * p->segments / p->windows), first, end;
    for (;; i++) {
        ib_shard_segment(p, i, &first, &end);
        if (window < end) return i;
    }
}

/* Tells the first error with the command that mends it. A file that is damaged goes. */
static isobath_status tell(const ib_segments *s, int64_t segment, isobath_status st, const char *text)
{
    if (st == ISOBATH_ERR_INPUT) {
        char *path = ib_shard_path(s->shard, "segment_%05lld.raw", (long long)segment);
        if (path) unlink(path);
        free(path);
        return ib_fail(s->diag, st, "%s: to be done again: isobath work %s --name %s --segment %lld", text, s->shard->options.output,
                       s->shard->name, (long long)segment);
    }
    return ib_fail(s->diag, st, "%s", text);
}

static isobath_status open_segment(const ib_segments *s, int64_t segment, ib_diag *diag, ib_spool **out)
{
    const ib_shard *p = s->shard;
    int64_t first, end;
    char *path = ib_shard_path(p, "segment_%05lld.raw", (long long)segment);
    isobath_status st = path ? ib_spool_open(path, diag, out) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the segments");
    ib_shard_segment(p, segment, &first, &end);
    if (st == ISOBATH_OK) {
        const ib_spool_head *h = ib_spool_get_head(*out);
        if (strcmp(h->plan, p->id) || h->segment != segment || h->first != first || h->count != end - first || h->width != p->network_width ||
            h->height != p->network_height)
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: is of another plan", path);
    }
    if (st != ISOBATH_OK) {
        ib_spool_close(*out);
        *out = NULL;
    }
    free(path);
    return st;
}

isobath_status ib_segments_open(ib_segments *s, int64_t window, ib_spool **out)
{
    int64_t segment = segment_of(s->shard, window);
    for (int i = 0; i < OPEN; i++)
        if (s->spool[i] && s->segment[i] == segment) {
            *out = s->spool[i];
            s->next = (i + 1) % OPEN; /* the other one is older */
            return ISOBATH_OK;
        }
    int at = s->next;
    ib_diag diag = IB_DIAG_INIT;
    ib_spool_close(s->spool[at]);
    isobath_status st = open_segment(s, segment, &diag, &s->spool[at]);
    s->segment[at] = segment;
    s->next = (at + 1) % OPEN;
    *out = s->spool[at];
    if (st != ISOBATH_OK) st = tell(s, segment, st, diag.text);
    ib_diag_destroy(&diag);
    return st;
}

isobath_status ib_segments_map(ib_segments *s, int64_t window, int slot, float *map)
{
    const ib_shard *p = s->shard;
    ib_spool *spool;
    if (!(ib_shard_slots(p, window) >> slot & 1)) {
        memset(map, 0, (size_t)p->network_width * (size_t)p->network_height * sizeof *map);
        return ISOBATH_OK;
    }
    IB_TRY(ib_segments_open(s, window, &spool));
    ib_diag diag = IB_DIAG_INIT;
    isobath_status st = ib_spool_read_into(spool, window, slot, map, &diag);
    if (st != ISOBATH_OK) st = tell(s, segment_of(p, window), st, diag.text);
    ib_diag_destroy(&diag);
    return st;
}
