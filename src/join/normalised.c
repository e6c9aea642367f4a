/* Frames that were normalised one by one: found, and repaired as far as that goes; see join.h. */
#include "join/join.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_AT = 24, ENOUGH = 4 }; /* frames per chunk */

static void range(const ib_join *j, float *min, float *max)
{
    int64_t n = (int64_t)j->width * j->height;
    *min = INFINITY, *max = -INFINITY;
    for (int64_t p = 0; p < n; p++) {
        if (!j->valid[0][p]) continue;
        if (j->depth[0][p] < *min) *min = j->depth[0][p];
        if (j->depth[0][p] > *max) *max = j->depth[0][p];
    }
}

/* Does every frame reach from one and the same value to one and the same other? Depth of a moving scene does not. */
static isobath_status look_at_chunk(ib_join *j, int64_t k, int *pinned, float ends[2])
{
    const ib_join_source *s = &j->sources[k];
    int64_t looks = s->frames < LOOK_AT ? s->frames : LOOK_AT, same = 0, first = 1;
    *pinned = 0;
    ends[0] = ends[1] = 0;
    for (int64_t i = 0; i < looks; i++) {
        float min, max;
        IB_TRY(ib_join_read(j, k, (2 * i + 1) * s->frames / (2 * looks), 0, NULL));
        IB_TRY(ib_join_report(j, "look", s->first + i, j->plan.frames));
        range(j, &min, &max);
        if (!(max > min)) continue;
        if (first) ends[0] = min, ends[1] = max, first = 0;
        float slack = 1e-4f * (ends[1] - ends[0]);
        same += fabsf(min - ends[0]) <= slack && fabsf(max - ends[1]) <= slack;
    }
    *pinned = looks >= ENOUGH && 10 * same >= 9 * looks;
    return ISOBATH_OK;
}

isobath_status ib_join_look_at_frames(ib_join *j)
{
    const char *how = j->o->per_frame ? j->o->per_frame : "refuse";
    if (strcmp(how, "refuse") != 0 && strcmp(how, "repair") != 0 && strcmp(how, "ignore") != 0)
        return ib_fail(j->diag, ISOBATH_ERR_USAGE, "--per-frame %s: expected refuse, repair or ignore", how);
    if (strcmp(how, "repair") == 0) return ib_join_repair(j);
    if (strcmp(how, "ignore") == 0 || j->kind == IB_DEPTH_METRIC) return ISOBATH_OK;
    for (int64_t k = 0; k < j->plan.count; k++) {
        int pinned;
        float ends[2];
        IB_TRY(look_at_chunk(j, k, &pinned, ends));
        if (pinned)
            return ib_fail(j->diag, ISOBATH_ERR_INPUT,
                           "%s: every frame reaches from %g to %g: its frames were normalised one by one, so the scale "
                           "of the video is "
                           "lost; export raw depth, or try --per-frame repair (or ignore, if the picture stands still)",
                           j->sources[k].path, ends[0], ends[1]);
    }
    return ISOBATH_OK;
}

/* Each frame is fitted to the one before it, as that was fitted. What moves is left out by the robust fit; what all of
 * a picture does at once (a camera that comes nearer) cannot be told from a change of scale and is lost. */
static isobath_status repair_chunk(ib_join *j, ib_join_source *s, int64_t k)
{
    s->lines = malloc((size_t)s->frames * sizeof *s->lines);
    if (!s->lines) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->path);
    size_t n = (size_t)j->width * (size_t)j->height;
    for (int64_t i = 0; i < s->frames; i++) {
        ib_fit fit = {.scale = 1};
        s->lines[i] = (ib_line){1, 0};
        IB_TRY(ib_join_read(j, k, i, 0, NULL));
        IB_TRY(ib_join_report(j, "repair", s->first + i, j->plan.frames));
        if (i > 0 && !ib_line_fit(j->x, j->y, ib_join_sample(j, 0, j->sample_capacity), IB_FIT_BOTH, j->scratch, &fit))
            fit = (ib_fit){.scale = s->lines[i - 1].scale,
                           .shift = s->lines[i - 1].shift}; /* a black frame: as the one before */
        s->lines[i] = (ib_line){fit.scale, fit.shift};
        ib_join_apply(j, s->lines[i], 0);
        memcpy(j->depth[1], j->depth[0], n * sizeof(float));
        memcpy(j->valid[1], j->valid[0], n);
    }
    return ISOBATH_OK;
}

isobath_status ib_join_repair(ib_join *j)
{
    for (int64_t k = 0; k < j->plan.count; k++) IB_TRY(repair_chunk(j, &j->sources[k], k));
    j->summary->repaired = 1;
    return ISOBATH_OK;
}
