/* Frame ranges of chunks; see plan.h. */
#include "split/plan.h"

#include <inttypes.h>
#include <stdlib.h>

void ib_split_plan_free(ib_split_plan *plan)
{
    for (int64_t i = 0; plan->chunks && i < plan->count; i++) {
        free(plan->chunks[i].path);
        free(plan->chunks[i].depth);
    }
    free(plan->chunks);
    free(plan->times_us);
    free(plan->input);
    *plan = (ib_split_plan){0};
}

isobath_status ib_split_plan_make(ib_split_plan *plan, int64_t chunks, int64_t chunk_frames, ib_diag *diag)
{
    int64_t n = plan->frames, overlap = plan->overlap, total, count;
    if (overlap < 0 || n < 1 || (chunks > 0) == (chunk_frames > 0) || chunks < 0 || chunk_frames < 0 ||
        n > IB_SPLIT_MAX_FRAMES)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "expected --chunks or --chunk-frames, and an --overlap of 0 or more");
    if (chunk_frames > 0) {
        if (chunk_frames <= overlap)
            return ib_fail(diag, ISOBATH_ERR_USAGE, "chunks of %" PRId64 " frames cannot overlap by %" PRId64,
                           chunk_frames, overlap);
        count = n <= chunk_frames ? 1 : (n - overlap + chunk_frames - overlap - 1) / (chunk_frames - overlap);
    } else {
        count = chunks;
    }
    if (count > n)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "%" PRId64 " chunks of a video of %" PRId64 " frames", count, n);
    total = n + (count - 1) * overlap;
    plan->chunks = calloc((size_t)count, sizeof *plan->chunks);
    if (!plan->chunks) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %" PRId64 " chunks", count);
    plan->count = count;
    for (int64_t k = 0, first = 0; k < count; k++) {
        int64_t size = chunk_frames > 0 ? chunk_frames : total / count + (k < total % count);
        if (size > n - first) size = n - first;
        plan->chunks[k].first = first;
        plan->chunks[k].frames = size;
        int outer = k == 0 || k == count - 1;
        if (count > 1 && size < (outer ? overlap + 1 : 2 * overlap))
            return ib_fail(diag, ISOBATH_ERR_USAGE,
                           "chunk %" PRId64 " would hold %" PRId64 " frames, too few for overlaps of %" PRId64
                           ": take fewer chunks or a smaller --overlap",
                           k, size, overlap);
        first += size - overlap;
    }
    return ISOBATH_OK;
}

isobath_status ib_split_plan_check(ib_split_plan *plan, const char *name, ib_diag *diag)
{
    const ib_split_chunk *c = plan->chunks;
    for (int64_t k = 0; k < plan->count; k++) {
        int64_t end = c[k].first + c[k].frames;
        if (k == 0 && c[k].first != 0)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: the first chunk begins at frame %" PRId64 "; expected 0", name,
                           c[k].first);
        if (k > 0 && (c[k].first <= c[k - 1].first || end <= c[k - 1].first + c[k - 1].frames))
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: chunk %" PRId64 " is not behind the one before it", name, k);
        if (k > 0 && c[k].first > c[k - 1].first + c[k - 1].frames)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: frames %" PRId64 " to %" PRId64 " are in no chunk", name,
                           c[k - 1].first + c[k - 1].frames, c[k].first - 1);
        if (k > 1 && c[k].first < c[k - 2].first + c[k - 2].frames)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: frame %" PRId64 " is in three chunks; expected at most two",
                           name, c[k].first);
        if (k == plan->count - 1 && plan->frames > 0 && end != plan->frames)
            return ib_fail(diag, ISOBATH_ERR_INPUT,
                           "%s: the chunks end at frame %" PRId64 ", the plan says %" PRId64 " frames", name, end,
                           plan->frames);
        if (k == plan->count - 1) plan->frames = end;
    }
    return plan->count ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no chunks", name);
}
