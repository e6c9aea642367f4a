/* Windows with few new frames; see lag.h. Slots: 0 frame 0, 1 a frame from a while ago, 2 .. 31-step the frames just before,
 * 32-step .. 31 the new ones. */
#include "pipeline/stream/lag.h"

#include "op/transfer.h"
#include "pipeline/stabilize.h"

#include <stdlib.h>
#include <string.h>

#define KEY_FRAMES 24 /* how often slot 1 takes the oldest of the frames just before */
#define FIT_FRAMES 8  /* of the frames just before, besides slots 0 and 1, that the alignment looks at */
#define FIT_SAMPLES 16384 /* of each */

struct ib_lag {
    ib_lag_options o;
    int64_t map;
    int first;    /* slot of the first new frame */
    int count;    /* new frames so far */
    int ready;    /* of the last window */
    int since_key;
    int64_t windows;
    float *raw;                             /* (32,h,w) */
    float *aligned[IB_PLAN_WINDOW];         /* by slot: what was given out */
    ib_source_frame *frame[IB_PLAN_WINDOW]; /* by slot */
    ib_vda *redo;
};

isobath_status ib_lag_create(const ib_lag_options *options, ib_lag **out)
{
    *out = NULL;
    ib_lag *l = calloc(1, sizeof *l);
    if (!l) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the stream");
    l->o = *options;
    l->map = (int64_t)options->shape->height * options->shape->width;
    l->first = IB_PLAN_WINDOW - options->step;
    l->raw = malloc((size_t)l->map * IB_PLAN_WINDOW * sizeof *l->raw);
    int whole = l->raw != NULL;
    for (int i = 0; i < IB_PLAN_WINDOW; i++) whole &= (l->aligned[i] = malloc((size_t)l->map * sizeof(float))) != NULL;
    if (!whole) {
        ib_lag_destroy(l);
        return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the stream");
    }
    *out = l;
    return ISOBATH_OK;
}

void ib_lag_destroy(ib_lag *l)
{
    if (!l) return;
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        ib_source_frame_unref(l->frame[i]);
        free(l->aligned[i]);
    }
    free(l->raw);
    free(l);
}

static void set_frame(ib_lag *l, int slot, ib_source_frame *f)
{
    ib_source_frame_ref(f);
    ib_source_frame_unref(l->frame[slot]);
    l->frame[slot] = f;
}

/* Slot `to` becomes slot `from` in every respect. */
static isobath_status move_slot(ib_lag *l, int from, int to)
{
    set_frame(l, to, l->frame[from]);
    memcpy(l->aligned[to], l->aligned[from], (size_t)l->map * sizeof(float));
    return ib_vda_copy_slot(l->o.vda, from, to);
}

/* Makes room for the next new frames. */
static isobath_status advance(ib_lag *l)
{
    if (l->since_key >= KEY_FRAMES) {
        IB_TRY(move_slot(l, 2, 1));
        l->since_key = 0;
    }
    for (int i = 2; i < l->first; i++) IB_TRY(move_slot(l, i + l->o.step, i));
    l->since_key += l->o.step;
    l->count = 0;
    return ISOBATH_OK;
}

/* The window once more in fp32, from its source frames. */
static isobath_status redo(ib_lag *l, int64_t found)
{
    int64_t left = found;
    if (l->o.open_redo) {
        if (!l->redo) IB_TRY(l->o.open_redo(l->o.ctx, &l->redo));
        for (int i = 0; i < IB_PLAN_WINDOW; i++)
            IB_TRY(ib_vda_encode_rgb(l->redo, &(const uint8_t *){l->frame[i]->rgb}, l->frame[i]->height, l->frame[i]->width, 1, i));
        IB_TRY(ib_vda_depth(l->redo, l->raw, &left));
    }
    if (left)
        return ib_fail(l->o.diag, ISOBATH_ERR_MODEL, "window %lld: %lld values are not finite in fp32: the checkpoint is damaged (try: isobath doctor)",
                       (long long)l->windows, (long long)left);
    return ISOBATH_OK;
}

/* raw*scale + shift of the window continues what was given out. */
static void fit(const ib_lag *l, double *scale, double *shift)
{
    const float *x[FIT_FRAMES + 2], *y[FIT_FRAMES + 2];
    int n = 0;
    for (int slot = 0; slot < l->first; slot++) {
        if (slot >= 2 && slot < l->first - FIT_FRAMES) continue;
        x[n] = l->raw + slot * l->map;
        y[n++] = l->aligned[slot];
    }
    if (!ib_robust_fit(x, y, n, l->map, l->map / FIT_SAMPLES + 1, 0, scale, shift) || *scale <= 0) {
        *scale = 1;
        *shift = 0;
    }
}

/* Depth of the window, aligned, into the new slots. */
static isobath_status finish(ib_lag *l, int64_t *nonfinite)
{
    IB_TRY(ib_vda_depth(l->o.vda, l->raw, nonfinite));
    if (*nonfinite) IB_TRY(redo(l, *nonfinite));
    double scale = 1, shift = 0;
    if (l->windows && !l->o.metric) fit(l, &scale, &shift);
    const float s = (float)scale, t = (float)shift, *last = l->raw + (l->first - 1) * l->map, *given = l->aligned[l->first - 1];
    for (int i = 0; i < l->count; i++) {
        /* What the last frame given out had beyond the fit fades over the new ones. */
        float fade = 1 - (float)(i + 1) / (float)(l->o.step + 1);
        const float *raw = l->raw + (l->first + i) * l->map;
        float *out = l->aligned[l->first + i];
        for (int64_t p = 0; p < l->map; p++) {
            float v = raw[p] * s + t;
            if (l->windows) v += fade * (given[p] - (last[p] * s + t)); /* nothing was given out before the first window */
            out[p] = v < 0 ? 0 : v;
        }
    }
    if (!l->windows) { /* everything before the first window is frame 0 */
        for (int slot = 0; slot < l->first; slot++) memcpy(l->aligned[slot], l->aligned[l->first], (size_t)l->map * sizeof(float));
    }
    l->ready = l->count;
    l->windows++;
    return ISOBATH_OK;
}

isobath_status ib_lag_push(ib_lag *l, ib_source_frame *f, int *ready, int64_t *nonfinite)
{
    *ready = 0;
    *nonfinite = 0;
    l->ready = 0;
    if (l->count == l->o.step) IB_TRY(advance(l));
    int slot = l->first + l->count;
    IB_TRY(ib_vda_encode_rgb(l->o.vda, &(const uint8_t *){f->rgb}, f->height, f->width, 1, slot));
    set_frame(l, slot, f);
    if (!l->windows && !l->count)
        for (int i = 0; i < l->first; i++) {
            IB_TRY(ib_vda_copy_slot(l->o.vda, slot, i));
            set_frame(l, i, f);
        }
    if (++l->count < l->o.step) return ISOBATH_OK;
    IB_TRY(finish(l, nonfinite));
    *ready = l->ready;
    return ISOBATH_OK;
}

isobath_status ib_lag_flush(ib_lag *l, int *ready, int64_t *nonfinite)
{
    *ready = 0;
    *nonfinite = 0;
    l->ready = 0;
    if (!l->count || l->count == l->o.step) return ISOBATH_OK;
    for (int i = l->count; i < l->o.step; i++) { /* past the end: the last frame again */
        IB_TRY(ib_vda_copy_slot(l->o.vda, l->first + l->count - 1, l->first + i));
        set_frame(l, l->first + i, l->frame[l->first + l->count - 1]);
    }
    IB_TRY(finish(l, nonfinite));
    *ready = l->ready;
    l->count = 0;
    return ISOBATH_OK;
}

ib_source_frame *ib_lag_frame(const ib_lag *l, int i) { return l->frame[l->first + i]; }
const float *ib_lag_depth(const ib_lag *l, int i) { return l->aligned[l->first + i]; }
