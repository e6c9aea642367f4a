/* Depth of boxes and masks in one frame; see lift.h. */
#include "track/lift.h"

#include "base/select.h"
#include <math.h>

enum { SIDE = 17, SAMPLES = SIDE * SIDE, NEARER = 64 }; /* of the sampling grid; nearer boxes that are considered */

double ib_median(double *v, size_t n)
{
    double upper = ib_select_nth(v, n, n / 2);
    if (n % 2) return upper;
    double lower = v[0];
    for (size_t i = 1; i < n / 2; i++) lower = v[i] > lower ? v[i] : lower;
    return (lower + upper) / 2;
}

static int covers(const ib_measure_setup *s, const ib_tracks *tracks, const ib_detection *d, double x, double y)
{
    if (x < d->box[0] || x >= d->box[2] || y < d->box[1] || y >= d->box[3]) return 0;
    return !ib_has_mask(d) || ib_tracks_in_mask(tracks, d, x, y, s->video_width, s->video_height);
}

typedef struct area {
    double values[SAMPLES];
    size_t count, looked_at, hidden, valid;
} area;

/* The visible, valid disparities in a rectangle of video coordinates. */
static void collect(const ib_measure_setup *s, const float *depth, const ib_tracks *tracks, const ib_detection *d,
                    const double rect[4], const ib_detection *const *nearer, size_t nearer_count, area *a)
{
    double sx = (double)s->width / s->video_width, sy = (double)s->height / s->video_height;
    int bounds[4]; /* x0 y0 x1 y1, pixels whose centre is inside; at least one */
    for (int axis = 0; axis < 2; axis++) {
        double scale = axis ? sy : sx;
        int size = axis ? s->height : s->width;
        double low = fmin(fmax(rect[axis] * scale, 0), size), high = fmin(fmax(rect[2 + axis] * scale, 0), size);
        bounds[axis] = (int)ceil(low - 0.5);
        bounds[2 + axis] = (int)ceil(high - 0.5);
        if (bounds[2 + axis] <= bounds[axis]) {
            int middle = (int)((low + high) / 2);
            bounds[axis] = middle < size ? middle : size - 1;
            bounds[2 + axis] = bounds[axis] + 1;
        }
    }
    int step_x = (bounds[2] - bounds[0] + SIDE - 2) / (SIDE - 1),
        step_y = (bounds[3] - bounds[1] + SIDE - 2) / (SIDE - 1);
    a->count = a->looked_at = a->hidden = a->valid = 0;
    for (int y = bounds[1] + (step_y - 1) / 2; y < bounds[3]; y += step_y)
        for (int x = bounds[0] + (step_x - 1) / 2; x < bounds[2]; x += step_x) {
            double u = (x + 0.5) / sx, v = (y + 0.5) / sy;
            if (ib_has_mask(d) && !ib_tracks_in_mask(tracks, d, u, v, s->video_width, s->video_height)) continue;
            float z = depth[(int64_t)y * s->width + x];
            int valid = isfinite(z) && z > 0, hidden = 0;
            a->looked_at++;
            a->valid += (size_t)valid;
            for (size_t k = 0; k < nearer_count && !hidden; k++) hidden = covers(s, tracks, nearer[k], u, v);
            a->hidden += (size_t)hidden;
            if (valid && !hidden) a->values[a->count++] = s->metric ? 1 / (double)z : (double)z;
        }
}

static int enough(const area *a) { return a->count > 0 && a->count * 10 >= a->looked_at; }

/* The ground that a box stands on: around its lower edge, where that is in the picture and mostly free of nearer boxes. */
static double at_feet(const ib_measure_setup *s, const float *depth, const ib_tracks *tracks, const ib_detection *d,
                      const ib_detection *const *nearer, size_t nearer_count, area *a)
{
    const double *b = d->box;
    double h = b[3] - b[1], rect[4] = {b[0], b[3] - 0.06 * h, b[2], b[3] + 0.04 * h};
    if (b[3] > s->video_height - 2) return 0;
    ib_detection whole = *d; /* a mask ends where the ground begins */
    whole.points = whole.runs = 0;
    collect(s, depth, tracks, &whole, rect, nearer, nearer_count, a);
    return a->count > 0 && a->count * 2 >= a->looked_at ? ib_median(a->values, a->count) : 0;
}

static void measure(const ib_measure_setup *s, const float *depth, const ib_tracks *tracks, const ib_detection *d,
                    const ib_detection *all, size_t count, area *a, ib_measure *out)
{
    const double *b = d->box;
    *out = (ib_measure){.reason = IB_LIFT_OK};
    if (!(b[2] > b[0]) || !(b[3] > b[1]))
        out->reason = IB_LIFT_EMPTY;
    else if (b[2] <= 0 || b[3] <= 0 || b[0] >= s->video_width || b[1] >= s->video_height)
        out->reason = IB_LIFT_OUTSIDE;
    if (out->reason != IB_LIFT_OK) return;
    const ib_detection *nearer[NEARER];
    size_t n = 0;
    for (size_t i = 0; i < count && n < NEARER; i++) {
        const double *o = all[i].box;
        if (o[3] > b[3] && o[0] < b[2] && o[2] > b[0] && o[1] < b[3]) nearer[n++] = &all[i];
    }
    double w = (b[2] - b[0]) / 4, h = (b[3] - b[1]) / 4, half[4] = {b[0] + w, b[1] + h, b[2] - w, b[3] - h};
    size_t hiding = ib_has_mask(d) ? 0 : n; /* a mask is what is visible already */
    collect(s, depth, tracks, d, ib_has_mask(d) ? b : half, nearer, hiding, a);
    if (!enough(a) && !ib_has_mask(d)) collect(s, depth, tracks, d, b, nearer, hiding, a);
    double looked_at = a->looked_at ? (double)a->looked_at : 1;
    out->valid_share = (double)a->valid / looked_at;
    out->hidden_share = (double)a->hidden / looked_at;
    if (!enough(a)) {
        out->reason = a->valid * 10 < a->looked_at || a->looked_at == 0 ? IB_LIFT_INVALID : IB_LIFT_HIDDEN;
        return;
    }
    out->disparity = ib_median(a->values, a->count);
    for (size_t i = 0; i < a->count; i++) a->values[i] = fabs(a->values[i] - out->disparity);
    out->spread = 1.4826 * ib_median(a->values, a->count) / out->disparity;
    out->feet = at_feet(s, depth, tracks, d, nearer, n, a);
}

void ib_measure_frame(const ib_measure_setup *setup, const float *depth, const ib_tracks *tracks, size_t first,
                      size_t count, ib_measure *out)
{
    area a;
    for (size_t i = 0; i < count; i++)
        measure(setup, depth, tracks, &tracks->list[first + i], tracks->list + first, count, &a, &out[i]);
}

double ib_measure_point(const ib_measure_setup *s, const float *depth, double u, double v)
{
    double x = floor(u * s->width / s->video_width), y = floor(v * s->height / s->video_height), values[9];
    if (!(x >= 0 && y >= 0 && x < s->width && y < s->height)) return 0;
    size_t n = 0;
    for (int k = 0; k < 9; k++) {
        int px = (int)x + k % 3 - 1, py = (int)y + k / 3 - 1;
        if (px < 0 || py < 0 || px >= s->width || py >= s->height) continue;
        float z = depth[(int64_t)py * s->width + px];
        if (isfinite(z) && z > 0) values[n++] = s->metric ? 1 / (double)z : (double)z;
    }
    return n ? ib_median(values, n) : 0;
}
