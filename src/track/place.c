/* From measured disparities to positions: the scale, each box's ray and distance, duplicates; see track_run.h. */
#include "track/track_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Distances that a flat ground and the camera's height give: where boxes stand on it. */
static size_t ground_points(const ib_track_run *t, ib_known *known)
{
    double pitch = t->o->pitch_deg * acos(-1) / 180;
    size_t n = 0;
    for (size_t i = 0; i < t->tracks.count; i++) {
        const ib_detection *d = &t->tracks.list[i];
        ib_lens lens;
        double ray[2];
        if (t->measures[i].reason != IB_LIFT_OK || d->box[3] > t->setup.video_height - 2 ||
            !ib_lenses_of(&t->lenses, d->frame, &lens))
            continue;
        ib_lens_ray(&lens, (d->box[0] + d->box[2]) / 2, d->box[3], ray);
        double down = ray[1] * cos(pitch) + sin(pitch); /* metres down per metre forward */
        if (down > 0.01)
            known[n++] = (ib_known){.disparity = t->measures[i].disparity, .metres = t->o->camera_height_m / down};
    }
    return n;
}

isobath_status ib_track_set_scale(ib_track_run *t)
{
    isobath_track_summary *s = t->summary;
    const isobath_track_options *o = t->o;
    s->scale = o->scale != 0 ? o->scale : 1;
    s->shift = o->shift;
    size_t n = o->camera_height_m > 0 ? t->tracks.count : o->known_count;
    t->result.metric = t->setup.metric || o->scale != 0 || n > 0;
    s->unit = t->result.metric ? "metre" : "relative";
    if (n == 0) return ISOBATH_OK;
    ib_known *known = calloc(n, sizeof *known);
    if (!known) return ib_fail(t->diag, ISOBATH_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < o->known_count; i++)
        known[i] = (ib_known){.disparity = o->known[i].disparity, .metres = o->known[i].metres};
    if (o->camera_height_m > 0) n = ground_points(t, known);
    int ok = ib_scale_fit(known, n, &s->scale, &s->shift);
    double *errors = ok ? calloc(n, sizeof *errors) : NULL;
    s->fitted_points = (int64_t)n;
    for (size_t i = 0; errors && i < n; i++) {
        if (i < o->known_count) {
            o->known[i].residual = known[i].residual;
            o->known[i].inlier = known[i].inlier;
        }
        if (known[i].inlier) errors[s->fitted_inliers++] = fabs(known[i].residual) / known[i].metres;
    }
    if (errors && s->fitted_inliers) s->fit_median_error = ib_median(errors, (size_t)s->fitted_inliers);
    free(errors);
    free(known);
    return ok ? ISOBATH_OK
              : ib_fail(t->diag, ISOBATH_ERR_INPUT, "no scale fits the %s: nearer must mean a larger disparity",
                        o->camera_height_m > 0 ? "boxes on the ground (see --camera-height, --pitch)"
                                               : "distances of --known");
}

static void lift(const ib_track_run *t, size_t i, ib_row *row)
{
    const ib_detection *d = &t->tracks.list[i];
    *row = (ib_row){.frame = d->frame,
                    .id = d->id,
                    .order = d->order,
                    .confidence = d->confidence,
                    .class_index = d->class_index,
                    .measure = t->measures[i]};
    memcpy(row->box, d->box, sizeof row->box);
    if (row->measure.reason != IB_LIFT_OK) return;
    ib_lens lens;
    const ib_camera *pose = t->result.world ? ib_camera_of(&t->poses, d->frame) : NULL;
    const double *ground = t->result.ground ? ib_homography_of(&t->homographies, d->frame) : NULL;
    double ray[2], g = t->summary->scale * row->measure.disparity + t->summary->shift;
    if (!ib_lenses_of(&t->lenses, d->frame, &lens) || (t->result.world && !pose && !ground)) {
        row->measure.reason = IB_LIFT_NO_CAMERA;
        return;
    }
    if (!(g > 1e-6) || !isfinite(g)) {
        row->measure.reason = IB_LIFT_BEYOND;
        return;
    }
    ib_lens_ray(&lens, (d->box[0] + d->box[2]) / 2, t->o->foot ? d->box[3] : (d->box[1] + d->box[3]) / 2, ray);
    double *c = row->camera;
    c[0] = ray[0] / g, c[1] = ray[1] / g, c[2] = 1 / g;
    memcpy(row->position, c, sizeof row->position);
    for (int k = 0; pose && k < 3; k++) {
        const double *m = pose->world_from_camera + 4 * k;
        row->position[k] = m[0] * c[0] + m[1] * c[1] + m[2] * c[2] + m[3];
    }
    if (ground) {
        double point[2];
        if (!ib_homography_ground(ground, (d->box[0] + d->box[2]) / 2, d->box[3], t->setup.video_width,
                                  t->setup.video_height, point)) {
            row->measure.reason = IB_LIFT_BEYOND;
            return;
        }
        row->position[0] = point[0], row->position[1] = 0, row->position[2] = point[1];
    }
    row->distance = sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]);
    row->focal_px[0] = lens.fx, row->focal_px[1] = lens.fy;
    row->has_position = 1;
}

static int by_frame_and_id(const void *a, const void *b)
{
    const ib_row *p = *(ib_row *const *)a, *q = *(ib_row *const *)b;
    if (p->frame != q->frame) return p->frame < q->frame ? -1 : 1;
    if (p->id != q->id) return p->id < q->id ? -1 : 1;
    return p < q ? -1 : p > q;
}

/* The first box of a track in a frame counts. */
static isobath_status refuse_duplicates(ib_result *r, ib_diag *diag)
{
    ib_row **rows = calloc(r->count, sizeof *rows);
    if (!rows) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < r->count; i++) rows[i] = &r->rows[i];
    qsort(rows, r->count, sizeof *rows, by_frame_and_id);
    for (size_t i = 1; i < r->count; i++)
        if (rows[i]->id >= 0 && rows[i]->id == rows[i - 1]->id && rows[i]->frame == rows[i - 1]->frame) {
            rows[i]->has_position = 0;
            rows[i]->measure.reason = IB_LIFT_DUPLICATE;
        }
    free(rows);
    return ISOBATH_OK;
}

isobath_status ib_track_lift(ib_track_run *t)
{
    ib_result *r = &t->result;
    r->tracks = &t->tracks;
    r->options = t->o;
    r->summary = t->summary;
    r->video_width = t->setup.video_width;
    r->video_height = t->setup.video_height;
    r->world = t->o->poses != NULL;
    r->poses = &t->poses;
    r->ground = t->homographies.ground;
    r->turns = t->homographies.count > 0 && !r->ground;
    t->summary->coordinates = r->world ? "world" : "camera";
    if (r->world && !r->metric && !r->turns)
        return ib_fail(
            t->diag, ISOBATH_ERR_USAGE,
            "--poses are in metres, the depth is not: fix its scale with --scale, --known or --camera-height");
    int64_t frames = t->summary->frames;
    r->fps = t->o->fps;
    if (r->fps == 0 && ib_depth_reader_get_info(t->reader)->has_times && frames > 1) {
        int64_t span_us = ib_depth_reader_time_us(t->reader, frames - 1) - ib_depth_reader_time_us(t->reader, 0);
        if (span_us > 0) r->fps = (double)(frames - 1) * 1e6 / (double)span_us;
    }
    for (size_t i = 0; i < t->tracks.count; i++) {
        ib_row row;
        lift(t, i, &row);
        if (!ib_result_add(r, &row)) return ib_fail(t->diag, ISOBATH_ERR_MEMORY, "out of memory");
    }
    IB_TRY(refuse_duplicates(r, t->diag));
    for (size_t i = 0; i < r->count; i++) {
        t->summary->lifted += r->rows[i].has_position;
        if (!r->rows[i].has_position) t->summary->refused[r->rows[i].measure.reason]++;
    }
    return ib_result_smooth(r, t->diag);
}
