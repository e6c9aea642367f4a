/* The tracks from above as SVG; see result.h. */
#include "track/top_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void grid(FILE *f, const ib_top_view *v, const char *unit)
{
    double bottom = IB_TOP_MARGIN + v->height;
    for (double x = ceil(v->x0 / v->step) * v->step; x <= v->x1; x += v->step)
        fprintf(f,
                "<line class=\"g\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\" "
                "text-anchor=\"middle\">%.*f</text>\n",
                ib_top_x(v, x), IB_TOP_MARGIN, ib_top_x(v, x), bottom, ib_top_x(v, x), bottom + 16, v->decimals,
                fabs(x) < v->step / 2 ? 0 : x);
    for (double z = ceil(v->z0 / v->step) * v->step; z <= v->z1; z += v->step)
        fprintf(f,
                "<line class=\"g\" x1=\"%d\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%.*f</text>\n",
                IB_TOP_MARGIN, ib_top_y(v, z), IB_TOP_MARGIN + v->width, ib_top_y(v, z), IB_TOP_MARGIN - 6,
                ib_top_y(v, z) + 4, v->decimals, fabs(z) < v->step / 2 ? 0 : z);
    fprintf(f, "<text x=\"%d\" y=\"%.1f\">x, z in %s</text>\n", IB_TOP_MARGIN, bottom + 36, unit);
}

/* Rows of one track: a line through stretches without a break, dots where it is bridged. */
static void line(FILE *f, const ib_top_view *v, const ib_row *const *rows, size_t n)
{
    int hue = (int)(((uint64_t)rows[0]->id * 137) % 360), open = 0;
    fprintf(f, "<g stroke=\"hsl(%d,70%%,40%%)\" fill=\"hsl(%d,70%%,40%%)\">\n", hue, hue);
    for (size_t i = 0; i < n; i++) {
        if (open && rows[i]->frame != rows[i - 1]->frame + 1) open = 0, fputs("\"/>\n", f);
        if (!open) fputs("<polyline class=\"t\" points=\"", f);
        open = 1;
        fprintf(f, "%.1f,%.1f ", ib_top_x(v, rows[i]->position[0]), ib_top_y(v, rows[i]->position[2]));
    }
    fputs("\"/>\n", f);
    for (size_t i = 0; i < n; i++)
        if (rows[i]->bridged)
            fprintf(f, "<circle class=\"b\" cx=\"%.1f\" cy=\"%.1f\" r=\"2\"/>\n", ib_top_x(v, rows[i]->position[0]),
                    ib_top_y(v, rows[i]->position[2]));
    const double *p = rows[n - 1]->position;
    fprintf(f,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/><text stroke=\"none\" x=\"%.1f\" y=\"%.1f\">%" PRId64
            "</text></g>\n",
            ib_top_x(v, p[0]), ib_top_y(v, p[2]), ib_top_x(v, p[0]) + 5, ib_top_y(v, p[2]) - 5, rows[0]->id);
}

/* The camera: its place, or the way it went. */
static void camera(FILE *f, const ib_top_view *v, const ib_result *r)
{
    double x = 0, z = 0;
    if (r->ground) return; /* nobody said where it stands */
    if (r->world) {
        fputs("<polyline class=\"c\" points=\"", f);
        for (int64_t i = 0; i < r->poses->count; i++) {
            const ib_camera *c = &r->poses->cameras[i];
            x = c->world_from_camera[3], z = c->world_from_camera[11];
            fprintf(f, "%.1f,%.1f ", ib_top_x(v, x), ib_top_y(v, z));
        }
        fputs("\"/>\n", f);
    }
    fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/><text x=\"%.1f\" y=\"%.1f\">camera</text>\n", ib_top_x(v, x),
            ib_top_y(v, z), ib_top_x(v, x) + 8, ib_top_y(v, z) + 4);
}

char *ib_result_svg(const ib_result *r)
{
    ib_top_view v;
    char *text = NULL;
    size_t size;
    if (!ib_top_view_make(r, &v)) return NULL;
    FILE *f = open_memstream(&text, &size);
    if (!f) {
        ib_top_view_free(&v);
        return NULL;
    }
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" "
            "font-size=\"11\">\n"
            "<style>.g{stroke:#ddd}.t{fill:none;stroke-width:1.5}.b{stroke:none}.c{fill:none;stroke:#000;stroke-"
            "dasharray:4 3}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"24\" font-size=\"14\">Tracks "
            "from above, %s coordinates, in %s. "
            "Dots: bridged.</text>\n",
            v.width + 2 * IB_TOP_MARGIN, v.height + 2 * IB_TOP_MARGIN, IB_TOP_MARGIN, r->summary->coordinates,
            ib_top_unit(r));
    grid(f, &v, ib_top_unit(r));
    for (size_t i = 0, j; i < v.count; i = j) {
        for (j = i + 1; j < v.count && v.rows[j]->id == v.rows[i]->id; j++) {
        }
        if (v.rows[i]->id >= 0) line(f, &v, v.rows + i, j - i);
        for (size_t k = i; k < j && v.rows[i]->id < 0; k++)
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.5\" fill=\"#888\"/>\n",
                    ib_top_x(&v, v.rows[k]->position[0]), ib_top_y(&v, v.rows[k]->position[2]));
    }
    camera(f, &v, r);
    fputs("</svg>\n", f);
    ib_top_view_free(&v);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
