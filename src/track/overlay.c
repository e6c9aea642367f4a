/* Boxes over the video; see overlay.h. */
#include "track/overlay.h"

#include "media/media.h"
#include "sink/video_writer.h"
#include "sink/yuv.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const ib_colour white = {255, 255, 255}, grey = {150, 150, 150};

static void label_of(const ib_result *r, const ib_row *row, char *out, size_t size)
{
    const double *v = row->velocity;
    size_t n = 0;
    if (row->id >= 0) n = (size_t)snprintf(out, size, "#%" PRId64 " ", row->id);
    if (row->class_index >= 0)
        n += (size_t)snprintf(out + n, size - n, "%.12s ", r->tracks->class_names[row->class_index]);
    if (!row->has_position)
        snprintf(out + n, size - n, "?");
    else if (!r->metric)
        snprintf(out + n, size - n, "%.3g rel", row->distance);
    else if (!row->has_speed)
        snprintf(out + n, size - n, "%.1f m", row->distance);
    else
        snprintf(out + n, size - n, "%.1f m %.1f m/s", row->distance, sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]));
}

enum { LABELS = 64 }; /* labels of a frame that the later ones keep clear of */

typedef struct place {
    int x, y, width;
} place;

/* Moves a label up until it covers none of those before; where there is no room it stays. */
static void find_room(const place *taken, int count, int high, place *p)
{
    place tried = *p;
    for (int k = 0; k < count;) {
        const place *t = &taken[k];
        int covers = tried.x < t->x + t->width && t->x < tried.x + tried.width && tried.y < t->y + high && t->y < tried.y + high;
        if (!covers) {
            k++;
            continue;
        }
        tried.y = t->y - high;
        if (tried.y < 0) return;
        k = 0;
    }
    *p = tried;
}

void ib_overlay_draw(const ib_result *r, const ib_row *rows, size_t count, int64_t frame, ib_canvas *c)
{
    double sx = (double)c->width / r->video_width, sy = (double)c->height / r->video_height;
    int letters = c->height / 360 > 1 ? c->height / 360 : 1, thick = letters + 1, high = 9 * letters;
    place taken[LABELS];
    int placed = 0;
    for (size_t i = 0; i < 2 * count; i++) { /* the boxes, then the labels */
        const ib_row *row = &rows[i % count];
        ib_colour colour = row->has_position ? ib_track_colour(row->id, 0.42) : grey;
        double b[4] = {row->box[0] * sx, row->box[1] * sy, row->box[2] * sx, row->box[3] * sy};
        char label[96];
        if (i < count) {
            ib_canvas_box(c, b[0], b[1], b[2], b[3], thick, colour, row->bridged);
            continue;
        }
        label_of(r, row, label, sizeof label);
        place p = {.width = ib_canvas_text_width(label, letters) + letters};
        p.x = b[0] < 0 ? 0 : b[0] > c->width - p.width ? c->width - p.width : (int)b[0];
        p.y = b[1] < high ? (int)(b[1] < 0 ? 0 : b[1]) : b[1] > c->height ? c->height - high : (int)b[1] - high;
        find_room(taken, placed, high, &p);
        if (placed < LABELS) taken[placed++] = p;
        ib_canvas_fill(c, p.x, p.y, p.x + p.width, p.y + high, colour, 0.85);
        ib_canvas_text(c, p.x + letters, p.y + letters, letters, label, white);
    }
    char note[96];
    snprintf(note, sizeof note, "frame %" PRId64 ", %s coordinates, %s", frame, r->summary->coordinates,
             r->metric ? "metres" : "no metres: unknown scale");
    ib_canvas_fill(c, 0, c->height - high - letters, ib_canvas_text_width(note, letters) + 2 * letters, c->height,
                   (ib_colour){0, 0, 0}, 0.6);
    ib_canvas_text(c, letters, c->height - high, letters, note, white);
}

typedef struct overlay {
    const ib_result *r;
    const char *video;
    ib_diag *diag;
    ib_media *media;
    ib_video_stream *stream;
    ib_canvas canvas;
    uint8_t *yuv;
    int width, height; /* even */
} overlay;

static isobath_status draw_all(overlay *o)
{
    const ib_result *r = o->r;
    size_t luma = (size_t)o->width * (size_t)o->height, i = 0;
    uint8_t *planes[3] = {o->yuv, o->yuv + luma, o->yuv + luma * 5 / 4};
    int strides[3] = {o->width, o->width / 2, o->width / 2};
    int64_t frames = 0;
    while (frames < r->summary->frames) {
        ib_media_frame frame;
        int got;
        size_t n = 0;
        IB_TRY(ib_media_read(o->media, o->canvas.rgb, &frame, &got));
        if (!got) break;
        while (i + n < r->count && r->rows[i + n].frame == frames) n++;
        ib_overlay_draw(r, r->rows + i, n, frames, &o->canvas);
        i += n;
        ib_yuv_paint_rgb(o->canvas.rgb, o->canvas.width, o->canvas.height, planes, strides, 0, 0);
        IB_TRY(ib_video_stream_write(o->stream, o->yuv, frame.pts_us));
        frames++;
    }
    if (i < r->count && r->rows[i].frame < r->summary->frames)
        return ib_fail(o->diag, ISOBATH_ERR_INPUT,
                       "%s: ends after %" PRId64 " frames, but there are tracks in frame %" PRId64
                       ": not the tracks' video",
                       o->video, frames, r->rows[i].frame);
    ib_video_result result;
    return ib_video_stream_finish(o->stream, &result);
}

isobath_status ib_overlay_write(const ib_result *r, const char *video, const char *path, ib_diag *diag)
{
    overlay o = {.r = r, .video = video, .diag = diag};
    ib_media_options options = {0};
    isobath_status st = ib_media_open(video, &options, diag, &o.media);
    if (st == ISOBATH_OK) {
        const ib_media_info *info = ib_media_get_info(o.media);
        double stretch = (double)info->width * r->video_height / ((double)info->height * r->video_width);
        o.canvas = (ib_canvas){.width = info->width, .height = info->height};
        o.width = (info->width + 1) & ~1;
        o.height = (info->height + 1) & ~1;
        o.canvas.rgb = malloc((size_t)info->width * (size_t)info->height * 3);
        o.yuv = malloc((size_t)o.width * (size_t)o.height * 3 / 2);
        ib_video_format format = {.kind = IB_VIDEO_H264,
                                  .path = path,
                                  .width = o.width,
                                  .height = o.height,
                                  .fps = info->fps,
                                  .sound_from = video};
        if (!o.canvas.rgb || !o.yuv)
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
        else if (stretch < 0.97 || stretch > 1.03)
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: %dx%d, but the tracks are of %dx%d: not the same shape", video,
                         info->width, info->height, r->video_width, r->video_height);
        else
            st = ib_video_stream_open(&format, NULL, diag, &o.stream);
    }
    if (st == ISOBATH_OK) st = draw_all(&o);
    ib_video_stream_close(o.stream);
    ib_media_close(o.media);
    free(o.canvas.rgb);
    free(o.yuv);
    return st;
}
