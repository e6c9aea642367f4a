/* The plot from above; see top_view.h. */
#include "track/top_view.h"

#include <math.h>
#include <stdlib.h>

double ib_top_x(const ib_top_view *v, double x) { return IB_TOP_MARGIN + (x - v->x0) * v->scale; }
double ib_top_y(const ib_top_view *v, double z) { return IB_TOP_MARGIN + v->height - (z - v->z0) * v->scale; }
const char *ib_top_unit(const ib_result *r) { return r->metric ? "metres" : "units of an unknown scale"; }

static int by_track(const void *a, const void *b)
{
    const ib_row *p = *(const ib_row *const *)a, *q = *(const ib_row *const *)b;
    if (p->id != q->id) return p->id < q->id ? -1 : 1;
    return p->frame < q->frame ? -1 : p->frame > q->frame;
}

static void grow(ib_top_view *v, double x, double z)
{
    v->x0 = fmin(v->x0, x), v->z0 = fmin(v->z0, z), v->x1 = fmax(v->x1, x), v->z1 = fmax(v->z1, z);
}

int ib_top_view_make(const ib_result *r, ib_top_view *v)
{
    *v = (ib_top_view){.x0 = INFINITY,
                       .z0 = INFINITY,
                       .x1 = -INFINITY,
                       .z1 = -INFINITY,
                       .rows = calloc(r->count + 1, sizeof *v->rows)};
    if (!v->rows) return 0;
    if (!r->world) grow(v, 0, 0);
    for (int64_t i = 0; r->world && i < r->poses->count; i++) {
        const ib_camera *c = &r->poses->cameras[i];
        grow(v, c->world_from_camera[3], c->world_from_camera[11]);
    }
    for (size_t i = 0; i < r->count; i++) {
        if (!r->rows[i].has_position) continue;
        grow(v, r->rows[i].position[0], r->rows[i].position[2]);
        v->rows[v->count++] = &r->rows[i];
    }
    if (!(v->x1 >= v->x0)) v->x0 = v->z0 = v->x1 = v->z1 = 0; /* nothing at all */
    double range = fmax(fmax(v->x1 - v->x0, v->z1 - v->z0), 1e-6);
    v->x0 -= 0.05 * range, v->z0 -= 0.05 * range, v->x1 += 0.05 * range, v->z1 += 0.05 * range;
    range = fmax(v->x1 - v->x0, v->z1 - v->z0);
    v->scale = IB_TOP_SIDE / range;
    v->width = (v->x1 - v->x0) * v->scale;
    v->height = (v->z1 - v->z0) * v->scale;
    v->step = pow(10, floor(log10(range / 2)));
    if (range / v->step > 12)
        v->step *= 5;
    else if (range / v->step > 6)
        v->step *= 2;
    v->decimals = v->step >= 1 ? 0 : (int)ceil(-log10(v->step));
    if (v->count) qsort(v->rows, v->count, sizeof *v->rows, by_track);
    return 1;
}

void ib_top_view_free(ib_top_view *v)
{
    free(v->rows);
    v->rows = NULL;
}
