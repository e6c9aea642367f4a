/* Source frames to windows; see reader.h. */
#include "pipeline/reader.h"

static void set_slot(ib_reader *r, int slot, ib_source_frame *frame)
{
    ib_source_frame_unref(r->window.slot[slot]);
    r->window.slot[slot] = frame;
}

static ib_source_frame *take_next(ib_reader *r) { return r->source ? ib_source_next(r->source) : r->next(r->ctx); }

/* Next frame of the shot; NULL at its end. A frame that starts the next shot waits in `pending`. */
static ib_source_frame *next_frame(ib_reader *r, int first_of_shot)
{
    ib_source_frame *f = r->pending ? r->pending : take_next(r);
    r->pending = NULL;
    if (f && f->starts_shot && !first_of_shot) {
        r->pending = f;
        f = NULL;
    }
    return f;
}

static int is_over(const ib_reader *r) { return r->stopped(r->ctx) || ib_diag_status(r->diag) != ISOBATH_OK; }

/* Reads on to the first window of the range and fills its slots before `first`; frames that it does not need are dropped.
 * frames_total becomes known when the shot ends before. */
static isobath_status skip(ib_reader *r)
{
    ib_window_frames *w = &r->window;
    int64_t base = IB_PLAN_STEP * w->k, need = w->k == 0 ? 1 : base + IB_PLAN_OVERLAP, at = -1; /* frames of the shot */
    ib_source_frame *last = NULL;
    while (at + 1 < need) {
        ib_source_frame *f = at < 0 ? take_next(r) : next_frame(r, 0);
        if (!f) {
            w->frames_total = at >= 0 ? at + 1 : -1;
            break;
        }
        ib_source_frame_unref(last);
        last = f;
        at = f->index - w->shot_first;
        if (at == 0) set_slot(r, 0, ib_source_frame_ref(f));
        if (w->k > 0 && at == base - 10) set_slot(r, 1, ib_source_frame_ref(f));
        if (w->k > 0 && at >= base + 2) set_slot(r, (int)(at - base), ib_source_frame_ref(f));
    }
    int found = w->slot[0] && (w->k == 0 || (w->slot[1] && at >= base));
    for (int slot = 2; w->k > 0 && slot < IB_PLAN_OVERLAP && found; slot++)
        if (!w->slot[slot]) set_slot(r, slot, ib_source_frame_ref(last));
    int64_t end = last ? last->index + 1 : 0;
    ib_source_frame_unref(last);
    if (found || is_over(r)) return ISOBATH_OK;
    return ib_fail(r->diag, ISOBATH_ERR_INPUT, "the video ends after %lld frames, but window %lld from frame %lld on was asked for: it "
                   "is not the video that was planned", (long long)end, (long long)w->k, (long long)w->shot_first);
}

/* Fills the slots from `from` on; past the shot's end the last frame again. */
static void fill(ib_reader *r, int from)
{
    ib_window_frames *w = &r->window;
    w->end = from;
    while (w->end < IB_PLAN_WINDOW && w->frames_total < 0) {
        ib_source_frame *f = next_frame(r, w->k == 0 && w->end == 0);
        if (f) set_slot(r, w->end++, f);
        else w->frames_total = IB_PLAN_STEP * w->k + w->end;
    }
    for (int i = w->end; i < IB_PLAN_WINDOW && w->end > 0; i++) set_slot(r, i, ib_source_frame_ref(w->slot[w->end - 1]));
}

/* On to the next window or shot; 0 at the end. */
static int advance(ib_reader *r)
{
    ib_window_frames *w = &r->window;
    if (w->frames_total >= 0 && w->k + 1 >= ib_plan_windows(w->frames_total)) {
        if (w->frames_total == 0 || r->range.k_end >= 0) return 0;
        w->shot++;
        w->shot_first += w->frames_total;
        w->k = 0;
        w->frames_total = -1;
        return 1;
    }
    w->k++;
    set_slot(r, 1, ib_source_frame_ref(w->slot[12]));
    for (int i = 0; i < 8; i++) set_slot(r, 2 + i, ib_source_frame_ref(w->slot[24 + i]));
    return 1;
}

isobath_status ib_reader_next(ib_reader *r, const ib_window_frames **out)
{
    ib_window_frames *w = &r->window;
    int seek = 0;
    *out = NULL;
    if (r->ended || (r->range.limit > 0 && r->given == r->range.limit)) return ISOBATH_OK;
    r->ended = 1;
    if (!r->started) {
        w->shot = r->range.shot;
        w->shot_first = r->range.shot_first;
        w->k = r->range.k;
        w->frames_total = -1;
        seek = w->k > 0 || w->shot_first > 0;
    } else if (!advance(r)) return ISOBATH_OK;
    r->started = 1;
    if (r->range.k_end >= 0 && w->k >= r->range.k_end) return ISOBATH_OK;
    if (seek) IB_TRY(skip(r));
    fill(r, w->k == 0 ? seek : IB_PLAN_OVERLAP);
    w->first = w->k == 0 ? 0 : IB_PLAN_OVERLAP;
    if (is_over(r) || w->frames_total == 0) return ISOBATH_OK;
    r->ended = 0;
    r->given++;
    *out = w;
    return ISOBATH_OK;
}

void ib_reader_free(ib_reader *r)
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        ib_source_frame_unref(r->window.slot[i]);
        r->window.slot[i] = NULL;
    }
    ib_source_frame_unref(r->pending);
    r->pending = NULL;
}
