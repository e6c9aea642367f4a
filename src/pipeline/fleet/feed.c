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
    ib_media_viewer *viewer;
    int by_reference;
    int64_t at;
    ib_feed_frames last; /* of the window before */
    int64_t last_index[IB_PLAN_WINDOW];
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
    ib_media_viewer_free(f->viewer);
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

/* Planes of the frame in host memory, without what is beside the picture; none for RGB. */
static isobath_status look(ib_feed *f, const ib_source_frame *frame, ib_yuv_planes *planes)
{
    *planes = (ib_yuv_planes){0};
    return frame->planes ? ib_media_look(&f->viewer, frame->picture, &f->diag, planes) : ISOBATH_OK;
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

static int is_shared(int slot) { return slot < IB_PLAN_OVERLAP || slot == 12 || slot >= 24; }

/* Reads the frame of a slot, which must be the one expected. */
static isobath_status read_slot(ib_feed *f, const ib_msg_window *w, int slot, ib_thumb *thumb, ib_feed_frames *out, char why[IB_DIAG_TEXT])
{
    ib_media_frame meta;
    ib_yuv_planes planes;
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
    ib_source_frame *frame = out->frame[slot];
    frame->index = meta.index;
    frame->pts_us = meta.pts_us;
    if (!is_shared(slot) && !thumb) return ISOBATH_OK;
    IB_TRY(look(f, frame, &planes));
    if (is_shared(slot)) out->hash[slot] = hash_of(frame, &planes);
    if (thumb && frame->planes) ib_thumb_make_planes(&planes, thumb);
    else if (thumb) ib_thumb_make(frame->rgb, frame->width, frame->height, thumb);
    return ISOBATH_OK;
}

/* The frame is there since the window before. */
static int find(const ib_feed *f, int64_t index, int slot, ib_feed_frames *out)
{
    for (int i = 0; i < IB_PLAN_WINDOW; i++) {
        if (!f->last.frame[i] || f->last_index[i] != index || (is_shared(slot) && !is_shared(i))) continue;
        out->frame[slot] = ib_source_frame_ref(f->last.frame[i]);
        out->hash[slot] = f->last.hash[i];
        return 1;
    }
    return 0;
}

static isobath_status fill(ib_feed *f, const ib_msg_window *w, ib_thumb *thumbs, ib_feed_frames *out, char why[IB_DIAG_TEXT])
{
    for (int slot = 0; slot < IB_PLAN_WINDOW; slot++) {
        if (slot && w->index[slot] == w->index[slot - 1]) { /* behind the end the last frame again */
            out->frame[slot] = ib_source_frame_ref(out->frame[slot - 1]);
            if (is_shared(slot) && !is_shared(slot - 1)) {
                ib_yuv_planes planes;
                IB_TRY(look(f, out->frame[slot], &planes));
                out->hash[slot] = hash_of(out->frame[slot], &planes);
            } else out->hash[slot] = out->hash[slot - 1];
            continue;
        }
        int wanted = thumbs && slot >= w->first && slot < w->end;
        if (!wanted && find(f, w->index[slot], slot, out)) continue;
        IB_TRY(read_slot(f, w, slot, wanted ? &thumbs[slot] : NULL, out, why));
    }
    if (w->index[IB_PLAN_WINDOW - 1] != w->video_frames - 1) return ISOBATH_OK;
    ib_media_frame meta; /* the video's last frame: nothing comes after it */
    int got = 0;
    if (f->at != w->video_frames) return ISOBATH_OK;
    isobath_status st = ib_media_read(f->media, NULL, &meta, &got);
    if (st != ISOBATH_OK || got) return misfit(f, why, f->at, "should be the end");
    return ISOBATH_OK;
}

isobath_status ib_feed_window(ib_feed *f, const ib_msg_window *w, ib_thumb *thumbs, ib_feed_frames *out, char why[IB_DIAG_TEXT])
{
    int64_t start = ib_now_us();
    isobath_status st = fill(f, w, thumbs, out, why);
    if (st == ISOBATH_ERR_DEVICE || st == ISOBATH_ERR_UNSUPPORTED) st = misfit(f, why, w->index[0], "cannot be looked at");
    if (st != ISOBATH_OK) ib_feed_drop(out);
    ib_feed_drop(&f->last);
    for (int i = 0; i < IB_PLAN_WINDOW && st == ISOBATH_OK; i++) {
        f->last.frame[i] = ib_source_frame_ref(out->frame[i]);
        f->last.hash[i] = out->hash[i];
        f->last_index[i] = w->index[i];
    }
    ib_busy_add(&f->busy, start);
    return st;
}

double ib_feed_busy_s(const ib_feed *f)
{
    return (double)atomic_load_explicit(&((ib_feed *)f)->busy, memory_order_relaxed) * 1e-6;
}

int64_t ib_feed_decoded(const ib_feed *f) { return atomic_load_explicit(&((ib_feed *)f)->decoded, memory_order_relaxed); }
