/* Chunk to chunk: one robust line over all frames of the overlap; see join.h. */
#include "join/join.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { GRID_X = 72, GRID_Y = 54, FRAMES = 64 }; /* samples per frame, frames per overlap, at most */
static const double least_agreement = 0.8, small_residual = 0.02, largest_jump = 0.05;

size_t ib_join_sample(const ib_join *j, size_t have, size_t limit)
{
    int nx = j->width < GRID_X ? j->width : GRID_X, ny = j->height < GRID_Y ? j->height : GRID_Y;
    size_t n = have;
    if (limit > j->sample_capacity) limit = j->sample_capacity;
    for (int gy = 0; gy < ny; gy++)
        for (int gx = 0; gx < nx && n < limit; gx++) {
            int64_t p =
                (2 * (int64_t)gy + 1) * j->height / (2 * ny) * j->width + (2 * (int64_t)gx + 1) * j->width / (2 * nx);
            float a = j->depth[0][p], b = j->depth[1][p];
            if (!j->valid[0][p] || !j->valid[1][p]) continue;
            if (j->reciprocal && (!(a > 0) || !(b > 0))) continue;
            j->x[n] = j->reciprocal ? 1 / a : a;
            j->y[n++] = j->reciprocal ? 1 / b : b;
        }
    return n;
}

static isobath_status no_agreement(const ib_join *j, int64_t k, double agreement)
{
    return ib_fail(j->diag, ISOBATH_ERR_INPUT,
                   "%s and %s do not agree where they overlap (frames %" PRId64 " to %" PRId64
                   ", agreement %.2f of 1): are the "
                   "chunks in order, and is their first frame right?",
                   j->sources[k - 1].path, j->sources[k].path, j->sources[k].first,
                   j->sources[k - 1].first + j->sources[k - 1].frames - 1, agreement);
}

/* The scale frame by frame must not jump: that is how input looks whose frames were normalised one by one. */
static isobath_status check_jumps(const ib_join *j, int64_t k, double *scales, size_t n)
{
    if (n < 4 || (j->o->per_frame && j->o->per_frame[0] == 'i') || j->sources[k].lines) return ISOBATH_OK;
    for (size_t i = 0; i + 1 < n; i++) scales[i] = fabs(log(scales[i + 1] / scales[i]));
    size_t large = 0;
    for (size_t i = 0; i + 1 < n; i++) large += scales[i] > largest_jump;
    if (2 * large <= n - 1) return ISOBATH_OK;
    return ib_fail(
        j->diag, ISOBATH_ERR_INPUT,
        "%s: the scale to %s jumps from frame to frame in their overlap (more than %.0f%% in %zu of %zu steps): its "
        "frames were "
        "normalised one by one, so the scale of the video is lost; export raw depth, or try --per-frame repair",
        j->sources[k].path, j->sources[k - 1].path, 100 * largest_jump, large, n - 1);
}

static isobath_status align_chunk(ib_join *j, int64_t k, isobath_join_chunk *report)
{
    ib_join_source *s = &j->sources[k], *before = &j->sources[k - 1];
    int64_t overlap = before->first + before->frames - s->first;
    double scales[FRAMES];
    size_t n = 0, jumps = 0;
    int64_t step = (overlap + FRAMES - 1) / FRAMES;
    for (int64_t i = 0; i < overlap; i += step) {
        size_t start = n;
        ib_fit frame;
        IB_TRY(ib_join_read(j, k, i, 0, NULL));
        IB_TRY(ib_join_read(j, k - 1, s->first - before->first + i, 1, NULL));
        n = ib_join_sample(j, n, j->sample_capacity * (size_t)(i / step + 1) / FRAMES);
        if (j->model != IB_FIT_NONE && ib_line_fit(j->x + start, j->y + start, n - start, j->model, j->scratch, &frame))
            scales[jumps++] = frame.scale;
        IB_TRY(ib_join_report(j, "align", s->first + i, j->plan.frames));
    }
    ib_fit fit = {.scale = 1};
    if (overlap > 0) {
        int ok = ib_line_fit(j->x, j->y, n, j->model, j->scratch, &fit);
        if (!ok && j->model != IB_FIT_NONE) return no_agreement(j, k, 0);
        if (j->model != IB_FIT_NONE && fit.agreement < least_agreement && fit.residual > small_residual)
            return no_agreement(j, k, fit.agreement);
        IB_TRY(check_jumps(j, k, scales, jumps));
        s->line = (ib_line){fit.scale, fit.shift};
    } else if (j->model != IB_FIT_NONE) {
        return ib_fail(j->diag, ISOBATH_ERR_INPUT,
                       "%s: shares no frame with %s: without an overlap there is nothing to align by (--fit none joins "
                       "them as they are)",
                       s->path, before->path);
    }
    report->overlap = overlap;
    report->residual = fit.residual;
    report->agreement = fit.agreement;
    return ISOBATH_OK;
}

isobath_status ib_join_align(ib_join *j)
{
    isobath_join_summary *m = j->summary;
    m->chunks = calloc((size_t)j->plan.count, sizeof *m->chunks);
    if (!m->chunks) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "out of memory for %" PRId64 " chunks", j->plan.count);
    m->count = (size_t)j->plan.count;
    for (int64_t k = 0; k < j->plan.count; k++) {
        isobath_join_chunk *c = &m->chunks[k];
        if (k) IB_TRY(align_chunk(j, k, c));
        c->first = j->sources[k].first;
        c->frames = j->sources[k].frames;
        c->scale = j->sources[k].line.scale;
        c->shift = j->sources[k].line.shift;
        m->frames_in_chunks += c->frames;
    }
    return ISOBATH_OK;
}
