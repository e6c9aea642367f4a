/* The tracks from above as SVG; see result.h. */
#include "track/result.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 800, MARGIN = 60 };

typedef struct view {
    double x0, z0, scale; /* pixel = (x - x0) * scale, upwards z */
    double width, height;
} view;

static double px(const view *v, double x) { return MARGIN + (x - v->x0) * v->scale; }
static double py(const view *v, double z) { return MARGIN + v->height - (z - v->z0) * v->scale; }

static void grow(double b[4], double x, double z)
{
    b[0] = fmin(b[0], x), b[1] = fmin(b[1], z), b[2] = fmax(b[2], x), b[3] = fmax(b[3], z);
}

static void grid(FILE *f, const view *v, const double b[4], const char *unit)
{
    double range = fmax(b[2] - b[0], b[3] - b[1]), step = pow(10, floor(log10(range / 2)));
    if (range / step > 12) step *= 5;
    else if (range / step > 6) step *= 2;
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step));
    for (double x = ceil(b[0] / step) * step; x <= b[2]; x += step)
        fprintf(f, "<line class=\"g\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.*f</text>\n", px(v, x),
                MARGIN, px(v, x), MARGIN + v->height, px(v, x), MARGIN + v->height + 16, decimals, fabs(x) < step / 2 ? 0 : x);
    for (double z = ceil(b[1] / step) * step; z <= b[3]; z += step)
        fprintf(f, "<line class=\"g\" x1=\"%d\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", MARGIN, py(v, z),
                MARGIN + v->width, py(v, z), MARGIN - 6, py(v, z) + 4, decimals, fabs(z) < step / 2 ? 0 : z);
    fprintf(f, "<text x=\"%d\" y=\"%.1f\">x, z in %s</text>\n", MARGIN, MARGIN + v->height + 36, unit);
}

static int by_track(const void *a, const void *b)
{
    const ib_row *p = *(const ib_row *const *)a, *q = *(const ib_row *const *)b;
    if (p->id != q->id) return p->id < q->id ? -1 : 1;
    return p->frame < q->frame ? -1 : p->frame > q->frame;
}

/* Rows of one track: a line through stretches without a break, dots where it is bridged. */
static void line(FILE *f, const view *v, const ib_row *const *rows, size_t n)
{
    int hue = (int)(((uint64_t)rows[0]->id * 137) % 360), open = 0;
    fprintf(f, "<g stroke=\"hsl(%d,70%%,40%%)\" fill=\"hsl(%d,70%%,40%%)\">\n", hue, hue);
    for (size_t i = 0; i < n; i++) {
        if (open && rows[i]->frame != rows[i - 1]->frame + 1) open = 0, fputs("\"/>\n", f);
        if (!open) fputs("<polyline class=\"t\" points=\"", f);
        open = 1;
        fprintf(f, "%.1f,%.1f ", px(v, rows[i]->position[0]), py(v, rows[i]->position[2]));
    }
    fputs("\"/>\n", f);
    for (size_t i = 0; i < n; i++)
        if (rows[i]->bridged)
            fprintf(f, "<circle class=\"b\" cx=\"%.1f\" cy=\"%.1f\" r=\"2\"/>\n", px(v, rows[i]->position[0]), py(v, rows[i]->position[2]));
    const double *p = rows[n - 1]->position;
    fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/><text stroke=\"none\" x=\"%.1f\" y=\"%.1f\">%" PRId64 "</text></g>\n", px(v, p[0]), py(v, p[2]),
            px(v, p[0]) + 5, py(v, p[2]) - 5, rows[0]->id);
}

/* The camera: its place, or the way it went. */
static void camera(FILE *f, const view *v, const ib_result *r)
{
    double x = 0, z = 0;
    if (r->world) {
        fputs("<polyline class=\"c\" points=\"", f);
        for (int64_t i = 0; i < r->poses->count; i++) {
            const ib_camera *c = ib_camera_of(r->poses, i);
            if (!c) continue;
            x = c->world_from_camera[3], z = c->world_from_camera[11];
            fprintf(f, "%.1f,%.1f ", px(v, x), py(v, z));
        }
        fputs("\"/>\n", f);
    }
    fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/><text x=\"%.1f\" y=\"%.1f\">camera</text>\n", px(v, x), py(v, z), px(v, x) + 8, py(v, z) + 4);
}

char *ib_result_svg(const ib_result *r)
{
    const ib_row **rows = calloc(r->count + 1, sizeof *rows);
    char *text = NULL;
    size_t size, n = 0;
    FILE *f = rows ? open_memstream(&text, &size) : NULL;
    if (!f) {
        free(rows);
        return NULL;
    }
    double b[4] = {INFINITY, INFINITY, -INFINITY, -INFINITY};
    if (!r->world) grow(b, 0, 0);
    for (int64_t i = 0; r->world && i < r->poses->count; i++) {
        const ib_camera *c = ib_camera_of(r->poses, i);
        if (c) grow(b, c->world_from_camera[3], c->world_from_camera[11]);
    }
    for (size_t i = 0; i < r->count; i++) {
        if (!r->rows[i].has_position) continue;
        grow(b, r->rows[i].position[0], r->rows[i].position[2]);
        rows[n++] = &r->rows[i];
    }
    double range = fmax(fmax(b[2] - b[0], b[3] - b[1]), 1e-6);
    for (int k = 0; k < 4; k++) b[k] += (k < 2 ? -0.05 : 0.05) * range;
    range *= 1.1;
    view v = {.x0 = b[0], .z0 = b[1], .scale = SIDE / range};
    v.width = (b[2] - b[0]) * v.scale;
    v.height = (b[3] - b[1]) * v.scale;
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" font-size=\"11\">\n"
               "<style>.g{stroke:#ddd}.t{fill:none;stroke-width:1.5}.b{stroke:none}.c{fill:none;stroke:#000;stroke-dasharray:4 3}</style>\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"24\" font-size=\"14\">Tracks from above, %s coordinates, in %s. "
               "Dots: bridged.</text>\n",
            v.width + 2 * MARGIN, v.height + 2 * MARGIN, MARGIN, r->summary->coordinates, r->metric ? "metres" : "units of an unknown scale");
    grid(f, &v, b, r->metric ? "metres" : "units of an unknown scale");
    if (n) qsort(rows, n, sizeof *rows, by_track);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && rows[j]->id == rows[i]->id; j++) {
        }
        if (rows[i]->id >= 0) line(f, &v, rows + i, j - i);
        for (size_t k = i; k < j && rows[i]->id < 0; k++)
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.5\" fill=\"#888\"/>\n", px(&v, rows[k]->position[0]), py(&v, rows[k]->position[2]));
    }
    camera(f, &v, r);
    fputs("</svg>\n", f);
    free(rows);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
