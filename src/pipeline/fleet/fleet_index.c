/* Windows of a fleet whose workers decode: frames as the input's packets tell them, and what is made of the thumbnails that come back; see
 * fleet_internal.h. */
#include "pipeline/fleet/fleet_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void release_frame(ib_source_frame *frame) { free(frame); }

isobath_status ib_fleet_open_index(ib_fleet *f)
{
    const ib_setup *s = f->o.setup;
    f->index.video_frames = -1;
    ib_diag_init(&f->index.diag);
    return ib_media_index_open(s->options.input, &s->media_options, ib_media_get_info(s->media)->stride, &f->index.diag, &f->index.index);
}

void ib_fleet_close_index(ib_fleet *f)
{
    ib_media_index_close(f->index.index);
    f->index.index = NULL;
}

void ib_fleet_set_misfit(ib_fleet *f, const char *why)
{
    if (!*f->misfit) snprintf(f->misfit, sizeof f->misfit, "%s", *why ? why : "no reason is known");
    atomic_store(&f->misfits, 1);
    f->over = 1;
    pthread_cond_broadcast(&f->changed);
}

/* One frame of the input; NULL at its end, and when the packets cannot be told. */
static ib_source_frame *read_entry(ib_fleet *f)
{
    ib_fleet_index *x = &f->index;
    int got = 0;
    ib_planned_frame *p = calloc(1, sizeof *p);
    if (!p) ib_fail(f->o.diag, ISOBATH_ERR_MEMORY, "out of memory for the look-ahead");
    else if (ib_media_index_next(x->index, &p->entry, &got) != ISOBATH_OK) {
        x->failed = 1;
    } else if (!got) x->video_frames = x->next;
    if (!got) {
        free(p);
        return NULL;
    }
    p->base = (ib_source_frame){.index = x->next++, .pts_us = p->entry.pts_us, .place = -1, .release = release_frame};
    atomic_init(&p->base.refs, 1);
    return &p->base;
}

ib_source_frame *ib_fleet_next_frame(void *ctx)
{
    ib_fleet *f = ctx;
    ib_fleet_index *x = &f->index;
    if (x->video_frames >= 0 || x->failed) return NULL;
    ib_source_frame *p = read_entry(f);
    while (p && p->index < f->o.range.shot_first) {
        ib_source_frame_unref(p);
        p = read_entry(f);
    }
    if (!p) return NULL;
    while (x->next_cut < f->o.cut_count && f->o.cuts[x->next_cut] < p->index) x->next_cut++;
    p->starts_shot = x->next_cut < f->o.cut_count && f->o.cuts[x->next_cut] == p->index;
    return p;
}

static void decide(ib_fleet *f, int64_t end)
{
    ib_fleet_look *l = &f->look;
    for (; l->undecided < end; l->undecided++)
        if (l->undecided >= l->sure && ib_cut_detector_is_cut(&l->detector, l->undecided)) atomic_fetch_add(&f->likely_cuts, 1);
}

void ib_fleet_look_at(ib_fleet *f, int64_t index, int first, int end, const ib_thumb *thumbs)
{
    ib_fleet_look *l = &f->look;
    if (first < 0) {
        decide(f, l->seen);
        return;
    }
    for (int slot = first; slot < end; slot++) {
        int64_t i = index + slot;
        if (l->seen < 0) {
            ib_cut_detector_init(&l->detector);
            l->undecided = i;
            l->sure = i ? i + IB_CUT_LOOKAHEAD : 0; /* what was before a later start is not known */
            if (i) l->detector.last_cut = i;
        }
        l->detector.count = i;
        ib_cut_detector_push(&l->detector, &thumbs[slot]);
        l->seen = i + 1;
        decide(f, l->seen - IB_CUT_LOOKAHEAD);
    }
}
