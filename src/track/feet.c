/* Where the depth of a box is taken: on the body, or on the ground at its feet; see lift.h. */
#include "track/lift.h"

#include <math.h>
#include <stdlib.h>

enum { FEW = 10, FEW_OF_TRACK = 5 }; /* pairs of body and feet below which nothing is concluded */
#define LEANS 0.96

typedef struct pair {
    int64_t id;
    double ratio; /* body / feet */
} pair;

static int by_id(const void *a, const void *b)
{
    const pair *p = a, *q = b;
    return p->id < q->id ? -1 : p->id > q->id;
}

static double median_of(const pair *p, size_t n, double *scratch)
{
    for (size_t i = 0; i < n; i++) scratch[i] = p[i].ratio;
    return ib_median(scratch, n);
}

/* The pairs of track `id` in p[0..n), which is sorted. */
static const pair *find_track(const pair *p, size_t n, int64_t id, size_t *count)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p[middle].id < id) low = middle + 1;
        else high = middle;
    }
    size_t end = low;
    while (end < n && p[end].id == id) end++;
    *count = end - low;
    return p + low;
}

int ib_measure_feet(const ib_tracks *tracks, ib_depth_at at, ib_measure *measures, ib_feet *out)
{
    *out = (ib_feet){.lean = 1};
    pair *pairs = malloc(sizeof *pairs * (tracks->count + 1));
    double *scratch = malloc(sizeof *scratch * (tracks->count + 1));
    size_t n = 0;
    for (size_t i = 0; pairs && i < tracks->count; i++)
        if (measures[i].reason == IB_LIFT_OK && measures[i].feet > 0)
            pairs[n++] = (pair){tracks->list[i].id, measures[i].disparity / measures[i].feet};
    int ok = pairs && scratch;
    if (ok && n) out->lean = median_of(pairs, n, scratch);
    out->pairs = (int64_t)n;
    out->used = ok && n && (at == IB_DEPTH_AT_FEET || (at == IB_DEPTH_AT_AUTO && n >= FEW && out->lean < LEANS));
    if (out->used) qsort(pairs, n, sizeof *pairs, by_id);
    double lean = out->lean;
    size_t count = 0;
    for (size_t i = 0; out->used && i < tracks->count; i++) {
        ib_measure *m = &measures[i];
        if (m->reason != IB_LIFT_OK) continue;
        if (m->feet > 0) {
            m->disparity = fmax(m->disparity, m->feet);
            continue;
        }
        const pair *own = find_track(pairs, n, tracks->list[i].id, &count);
        lean = tracks->list[i].id >= 0 && count >= FEW_OF_TRACK ? median_of(own, count, scratch) : out->lean;
        m->disparity /= fmin(lean, 1);
    }
    free(pairs);
    free(scratch);
    return ok;
}
