/* The tracks from above as a PNG picture; see result.h. */
#include "track/canvas.h"
#include "track/top_view.h"

#include <inttypes.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ib_colour black = {0, 0, 0}, grey = {221, 221, 221};

static void grid(ib_canvas *c, const ib_top_view *v)
{
    char label[32];
    double bottom = IB_TOP_MARGIN + v->height;
    for (double x = ceil(v->x0 / v->step) * v->step; x <= v->x1; x += v->step) {
        ib_canvas_line(c, ib_top_x(v, x), IB_TOP_MARGIN, ib_top_x(v, x), bottom, 1, grey);
        snprintf(label, sizeof label, "%.*f", v->decimals, fabs(x) < v->step / 2 ? 0 : x);
        ib_canvas_text(c, (int)ib_top_x(v, x) - ib_canvas_text_width(label, 1) / 2, (int)bottom + 8, 1, label, black);
    }
    for (double z = ceil(v->z0 / v->step) * v->step; z <= v->z1; z += v->step) {
        ib_canvas_line(c, IB_TOP_MARGIN, ib_top_y(v, z), IB_TOP_MARGIN + v->width, ib_top_y(v, z), 1, grey);
        snprintf(label, sizeof label, "%.*f", v->decimals, fabs(z) < v->step / 2 ? 0 : z);
        ib_canvas_text(c, IB_TOP_MARGIN - 8 - ib_canvas_text_width(label, 1), (int)ib_top_y(v, z) - 3, 1, label, black);
    }
}

static void line(ib_canvas *c, const ib_top_view *v, const ib_row *const *rows, size_t n)
{
    ib_colour colour = ib_track_colour(rows[0]->id, 0.4);
    for (size_t i = 0; i < n; i++) {
        double x = ib_top_x(v, rows[i]->position[0]), y = ib_top_y(v, rows[i]->position[2]);
        if (rows[i]->id < 0 || rows[i]->bridged) ib_canvas_disc(c, x, y, 1.5, colour);
        if (rows[i]->id >= 0 && i && rows[i]->frame == rows[i - 1]->frame + 1)
            ib_canvas_line(c, ib_top_x(v, rows[i - 1]->position[0]), ib_top_y(v, rows[i - 1]->position[2]), x, y, 1.5,
                           colour);
    }
    if (rows[0]->id < 0) return;
    char label[32];
    double x = ib_top_x(v, rows[n - 1]->position[0]), y = ib_top_y(v, rows[n - 1]->position[2]);
    snprintf(label, sizeof label, "%" PRId64, rows[0]->id);
    ib_canvas_disc(c, x, y, 3, colour);
    ib_canvas_text(c, (int)x + 6, (int)y - 12, 1, label, colour);
}

static void camera(ib_canvas *c, const ib_top_view *v, const ib_result *r)
{
    double x = ib_top_x(v, 0), y = ib_top_y(v, 0);
    if (r->ground) return; /* nobody said where it stands */
    const ib_camera *before = NULL;
    for (int64_t i = 0; r->world && i < r->poses->count; i++) {
        const ib_camera *p = &r->poses->cameras[i];
        x = ib_top_x(v, p->world_from_camera[3]), y = ib_top_y(v, p->world_from_camera[11]);
        if (before)
            ib_canvas_line(c, ib_top_x(v, before->world_from_camera[3]), ib_top_y(v, before->world_from_camera[11]), x,
                           y, 1, black);
        before = p;
    }
    ib_canvas_disc(c, x, y, 5, black);
    ib_canvas_text(c, (int)x + 9, (int)y - 3, 1, "camera", black);
}

/* Fresh PNG file; NULL: out of memory. */
static char *encode(const ib_canvas *c, size_t *size)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)c->width,
                       .height = (png_uint_32)c->height,
                       .format = PNG_FORMAT_RGB};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    char *file = malloc(bytes);
    if (file && !png_image_write_to_memory(&image, file, &bytes, 0, c->rgb, 0, NULL)) {
        free(file);
        file = NULL;
    }
    png_image_free(&image);
    *size = bytes;
    return file;
}

char *ib_result_png(const ib_result *r, size_t *size)
{
    ib_top_view v;
    char title[160], *file = NULL;
    if (!ib_top_view_make(r, &v)) return NULL;
    ib_canvas c = {.width = (int)ceil(v.width) + 2 * IB_TOP_MARGIN, .height = (int)ceil(v.height) + 2 * IB_TOP_MARGIN};
    snprintf(title, sizeof title, "Tracks from above, %s coordinates, in %s. Dots: bridged.", r->summary->coordinates,
             ib_top_unit(r));
    if (c.width < ib_canvas_text_width(title, 1) + 2 * IB_TOP_MARGIN)
        c.width = ib_canvas_text_width(title, 1) + 2 * IB_TOP_MARGIN; /* a narrow plot */
    size_t bytes = 3 * (size_t)c.width * (size_t)c.height;
    c.rgb = malloc(bytes);
    if (c.rgb) {
        memset(c.rgb, 255, bytes);
        ib_canvas_text(&c, IB_TOP_MARGIN, 18, 1, title, black);
        grid(&c, &v);
        for (size_t i = 0, j; i < v.count; i = j) {
            for (j = i + 1; j < v.count && v.rows[j]->id == v.rows[i]->id; j++) {
            }
            line(&c, &v, v.rows + i, j - i);
        }
        camera(&c, &v, r);
        snprintf(title, sizeof title, "x, z in %s", ib_top_unit(r));
        ib_canvas_text(&c, IB_TOP_MARGIN, (int)v.height + IB_TOP_MARGIN + 28, 1, title, black);
        file = encode(&c, size);
    }
    free(c.rgb);
    ib_top_view_free(&v);
    return file;
}
