/* Frames of a worker process that decodes for itself; see feed.h. */
#include "pipeline/fleet/feed.h"

#include "base/clock.h"
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEAR_FRAMES 8 /* so few are read through rather than jumped over, whatever the key frames */

/* The opening before the first frame is read belongs to `media`; `at` is the frame that it gives next. */
struct ib_feed {
    char input[sizeof(((ib_msg_open *)0)->input)];
    ib_media_options options;
    ib_media_info info;
    ib_diag diag; /* of the media object */
    ib_media *media;
    int by_reference;
    int64_t at;
    ib_feed_frames last; /* of the window before */
    ib_busy busy;
    atomic_int_fast64_t decoded;
};

static isobath_status open_media(ib_feed *f)
{
    ib_media_close(f->media);
    f->media = NULL;
    f->at = 0;
    return ib_media_open(f->input, &f->options, &f->diag, &f->media);
}

isobath_status ib_feed_open(const ib_msg_open *open, int by_reference, ib_diag *diag, ib_feed **out)
{
    *out = NULL;
    ib_feed *f = calloc(1, sizeof *f);
    if (!f) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    ib_diag_init(&f->diag);
    memcpy(f->input, open->input, sizeof f->input);
    f->options = open->media;
    f->options.pool = NULL;
    f->options.raw_format = NULL;
    isobath_status st = open_media(f);
    if (st != ISOBATH_OK) ib_fail(diag, st, "%s", f->diag.text);
    else if (!ib_media_can_jump(f->media)) st = ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "the input cannot be read from the middle");
    else {
        f->info = *ib_media_get_info(f->media);
        f->by_reference = by_reference && ib_media_has_planes(f->media);
        *out = f;
    }
    if (st != ISOBATH_OK) ib_feed_close(f);
    return st;
}

void ib_feed_drop(ib_feed_frames *w)
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++) ib_source_frame_unref(w->frame[i]);
    *w = (ib_feed_frames){{NULL}, {0}};
}

void ib_feed_close(ib_feed *f)
{
    if (!f) return;
    ib_feed_drop(&f->last);
    ib_media_close(f->media);
    ib_diag_destroy(&f->diag);
    free(f);
}

const ib_media_info *ib_feed_info(const ib_feed *f) { return &f->info; }

static isobath_status misfit(ib_feed *f, char why[IB_DIAG_TEXT], int64_t index, const char *what)
{
    if (ib_diag_status(&f->diag) == ISOBATH_ERR_MEMORY) return ISOBATH_ERR_MEMORY;
    if (*f->diag.text) snprintf(why, IB_DIAG_TEXT, "%s", f->diag.text);
    else snprintf(why, IB_DIAG_TEXT, "frame %lld %s", (long long)index, what);
    return ISOBATH_ERR_INPUT;
}

/* The next frame that is read is `index`: frames on the way there are passed over, or all from the key frame before it is jumped to. */
static isobath_status move_to(ib_feed *f, int64_t index, int64_t pts_us, const ib_msg_point *point, char why[IB_DIAG_TEXT])
{
    int64_t gap = index - f->at;
    int arrived = 1, got = 1;
    if (gap < 0 && open_media(f) != ISOBATH_OK) return misfit(f, why, index, "cannot be read again");
    if (gap < 0) gap = index;
    if (gap > NEAR_FRAMES && gap > point->lead / f->info.stride) {
        if (ib_media_jump_from(f->media, index, pts_us, point->key_us, &arrived) != ISOBATH_OK || !arrived)
            return misfit(f, why, index, "cannot be jumped to");
        f->at = index;
    }
    for (; f->at < index; f->at++) {
        ib_media_frame meta;
        if (ib_media_read(f->media, NULL, &meta, &got) != ISOBATH_OK || !got) return misfit(f, why, f->at, "is missing");
        atomic_fetch_add_explicit(&f->decoded, 1, memory_order_relaxed);
    }
    return ISOBATH_OK;
}

static isobath_status read_frame(ib_feed *f, ib_source_frame **out, ib_media_frame *meta, int *got)
{
    ib_source_frame *frame = f->by_reference ? ib_frame_pool_by_reference.take(NULL, f->info.width, f->info.height)
                                             : ib_source_frame_create(f->info.width, f->info.height);
    *out = frame;
    if (!frame) return ISOBATH_ERR_MEMORY;
    if (!f->by_reference) return ib_media_read(f->media, frame->rgb, meta, got);
    IB_TRY(ib_media_read_picture(f->media, &frame->picture, meta, got));
    if (*got) frame->planes = ib_media_picture_planes(frame->picture);
    if (*got) frame->rgb = ib_media_picture_rgb(frame->picture);
    return ISOBATH_OK;
}

/* Reads the frame of a slot, which must be the one expected. */
static isobath_status read_slot(ib_feed *f, const ib_msg_window *w, int slot, ib_feed_frames *out, char why[IB_DIAG_TEXT])
{
    ib_media_frame meta;
    int got = 0;
    ib_msg_point point = w->point[slot > 0];
    if (slot > 1) point.lead += (w->index[slot] - w->index[1]) * f->info.stride;
    IB_TRY(move_to(f, w->index[slot], w->pts_us[slot], &point, why));
    isobath_status st = read_frame(f, &out->frame[slot], &meta, &got);
    if (st == ISOBATH_ERR_MEMORY) return st;
    if (st != ISOBATH_OK) return misfit(f, why, w->index[slot], "cannot be read");
    if (!got || meta.index != w->index[slot] || meta.pts_us != w->pts_us[slot] || meta.repeated)
        return misfit(f, why, w->index[slot], got ? "has another time than its packet says" : "is missing");
    f->at++;
    atomic_fetch_add_explicit(&f->decoded, 1, memory_order_relaxed);
    out->frame[slot]->index = meta.index;
    out->frame[slot]->pts_us = meta.pts_us;
    return ISOBATH_OK;
}

/* The frame is there since the window before; NULL: it is not. */
static ib_source_frame *find(const ib_feed *f, int64_t index)
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++)
        if (f->last.frame[i] && f->last.frame[i]->index == index) return f->last.frame[i];
    return NULL;
}

static isobath_status fill(ib_feed *f, const ib_msg_window *w, ib_feed_frames *out, char why[IB_DIAG_TEXT])
{
    for (int slot = 0; slot < IB_PLAN_WINDOW; slot++) {
        int again = slot && w->index[slot] == w->index[slot - 1]; /* behind the end the last frame again */
        out->frame[slot] = ib_source_frame_ref(again ? out->frame[slot - 1] : find(f, w->index[slot]));
        if (!out->frame[slot]) IB_TRY(read_slot(f, w, slot, out, why));
    }
    if (w->index[IB_PLAN_WINDOW - 1] != w->video_frames - 1 || f->at != w->video_frames) return ISOBATH_OK;
    ib_media_frame meta; /* the video's last frame: nothing comes after it */
    int got = 0;
    isobath_status st = ib_media_read(f->media, NULL, &meta, &got);
    return st != ISOBATH_OK || got ? misfit(f, why, f->at, "should be the end") : ISOBATH_OK;
}

static void keep(ib_feed_frames *last, const ib_feed_frames *now)
{
    ib_feed_drop(last);
    *last = *now;
    for (int i = 0; i < IB_PLAN_WINDOW; i++) ib_source_frame_ref(last->frame[i]);
}

isobath_status ib_feed_window(ib_feed *f, const ib_msg_window *w, ib_feed_frames *out, char why[IB_DIAG_TEXT])
{
    int64_t start = ib_now_us();
    isobath_status st = fill(f, w, out, why);
    if (st == ISOBATH_OK) keep(&f->last, out);
    else ib_feed_drop(out);
    ib_busy_add(&f->busy, start);
    return st;
}

static uint32_t hash_of(const ib_source_frame *frame, const ib_yuv_planes *planes)
{
    uint32_t crc = 0;
    if (!frame->planes) return libdeflate_crc32(0, frame->rgb, (size_t)frame->width * (size_t)frame->height * 3);
    for (int i = 0; i < planes->planes; i++) {
        size_t row = ib_shared_row_bytes(planes, i);
        const uint8_t *at = planes->plane[i];
        for (int y = 0; y < planes->rows[i]; y++, at += planes->stride[i]) crc = libdeflate_crc32(crc, at, row);
    }
    return crc;
}

static int is_shared(int slot) { return slot < IB_PLAN_OVERLAP || slot == 12 || slot >= 24; }

/* Its hash is known since the window before, or since another slot of this one. */
static int is_hashed(const ib_feed_look *l, const ib_feed_frames *now, int slot, uint32_t *hash)
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        if (is_shared(i) && l->last.frame[i] == now->frame[slot]) {
            *hash = l->last.hash[i];
            return 1;
        }
        if (i < slot && is_shared(i) && now->frame[i] == now->frame[slot]) {
            *hash = now->hash[i];
            return 1;
        }
    }
    return 0;
}

isobath_status ib_feed_look_at(ib_feed_look *l, const ib_msg_window *w, ib_thumb *thumbs, ib_feed_frames *now, char why[IB_DIAG_TEXT])
{
    ib_diag diag = IB_DIAG_INIT;
    isobath_status st = ISOBATH_OK;
    for (int slot = 0; slot < IB_PLAN_WINDOW && st == ISOBATH_OK; slot++) {
        const ib_source_frame *frame = now->frame[slot];
        ib_yuv_planes planes = {0};
        int hash = is_shared(slot) && !is_hashed(l, now, slot, &now->hash[slot]), thumb = slot >= w->first && slot < w->end;
        if ((hash || thumb) && frame->planes) st = ib_media_look(&l->viewer, frame->picture, &diag, &planes);
        if (st != ISOBATH_OK) break;
        if (hash) now->hash[slot] = hash_of(frame, &planes);
        if (thumb && frame->planes) ib_thumb_make_planes(&planes, &thumbs[slot]);
        else if (thumb) ib_thumb_make(frame->rgb, frame->width, frame->height, &thumbs[slot]);
    }
    if (st == ISOBATH_OK) keep(&l->last, now);
    else snprintf(why, IB_DIAG_TEXT, "%s", diag.text);
    ib_diag_destroy(&diag);
    return st == ISOBATH_OK || st == ISOBATH_ERR_MEMORY ? st : ISOBATH_ERR_INPUT;
}

void ib_feed_look_free(ib_feed_look *l)
{
    ib_feed_drop(&l->last);
    ib_media_viewer_free(l->viewer);
    *l = (ib_feed_look){0};
}

double ib_feed_busy_s(const ib_feed *f)
{
    return (double)atomic_load_explicit(&((ib_feed *)f)->busy, memory_order_relaxed) * 1e-6;
}

int64_t ib_feed_decoded(const ib_feed *f) { return atomic_load_explicit(&((ib_feed *)f)->decoded, memory_order_relaxed); }
