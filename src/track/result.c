/* Rows of positions: gaps, smoothing, velocities; see result.h. */
#include "track/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Errors of a measured position, as shares of its distance: along the ray, and across it. */
static const double along = 0.02, across = 0.004;

int ib_result_add(ib_result *r, const ib_row *row)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 1024;
        ib_row *rows = realloc(r->rows, capacity * sizeof *rows);
        if (!rows) return 0;
        r->rows = rows;
        r->capacity = capacity;
    }
    r->rows[r->count++] = *row;
    return 1;
}

/* By track, then frame; `order` keeps the sort stable. */
typedef struct key {
    int64_t id, frame;
    size_t row;
} key;

static int by_track(const void *a, const void *b)
{
    const key *p = a, *q = b;
    if (p->id != q->id) return p->id < q->id ? -1 : 1;
    if (p->frame != q->frame) return p->frame < q->frame ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

static int by_frame(const void *a, const void *b)
{
    const ib_row *p = a, *q = b;
    if (p->frame != q->frame) return p->frame < q->frame ? -1 : 1;
    if (p->bridged != q->bridged) return p->bridged - q->bridged;
    if (p->id != q->id) return p->id < q->id ? -1 : 1;
    for (int k = 0; k < 4; k++)
        if (p->box[k] != q->box[k]) return p->box[k] < q->box[k] ? -1 : 1;
    return 0;
}

void ib_result_sort(ib_result *r)
{
    if (r->count) qsort(r->rows, r->count, sizeof *r->rows, by_frame);
}

/* Position in the camera's axes from that in the world. */
static int to_camera(const ib_result *r, int64_t frame, const double p[3], double out[3])
{
    if (!r->world) {
        memcpy(out, p, 3 * sizeof *p);
        return 1;
    }
    const ib_camera *c = ib_camera_of(r->poses, frame); /* of the ground's homographies: none */
    if (!c) return 0;
    const double *m = c->world_from_camera;
    for (int k = 0; k < 3; k++) out[k] = m[k] * (p[0] - m[3]) + m[4 + k] * (p[1] - m[7]) + m[8 + k] * (p[2] - m[11]);
    return 1;
}

static void set_variance(const ib_result *r, const ib_row *row, double variance[3])
{
    double d = sqrt(row->camera[0] * row->camera[0] + row->camera[1] * row->camera[1] +
                    row->camera[2] * row->camera[2]),
           ray[3];
    memcpy(ray, row->camera, sizeof ray);
    const ib_camera *c = r->world ? ib_camera_of(r->poses, row->frame) : NULL;
    for (int k = 0; c && k < 3; k++) {
        const double *m = c->world_from_camera + 4 * k;
        ray[k] = m[0] * row->camera[0] + m[1] * row->camera[1] + m[2] * row->camera[2];
    }
    for (int k = 0; k < 3; k++)
        variance[k] = along * along * (r->ground ? d * d / 4 : ray[k] * ray[k]) + across * across * d * d;
}

/* Detections without a position, sorted: a bridge gives them one. */
typedef struct refused {
    key *keys;
    size_t count;
} refused;

static int by_id_and_frame(const void *a, const void *b)
{
    const key *p = a, *q = b;
    if (p->id != q->id) return p->id < q->id ? -1 : 1;
    return p->frame < q->frame ? -1 : p->frame > q->frame;
}

/* Positions in between the rows a and b, one frame at a time. 0: out of memory. */
static int bridge(ib_result *r, size_t a, size_t b, const refused *holes, const ib_sample *const axis[3], size_t first)
{
    ib_row from = r->rows[a], to = r->rows[b];
    for (int64_t f = from.frame + 1; f < to.frame; f++) {
        double w = (double)(f - from.frame) / (double)(to.frame - from.frame);
        ib_row row = {.frame = f,
                      .id = from.id,
                      .order = -1,
                      .class_index = from.class_index,
                      .has_position = 1,
                      .bridged = 1,
                      .has_speed = from.has_speed};
        for (int k = 0; k < 4; k++) row.box[k] = (1 - w) * from.box[k] + w * to.box[k];
        for (int k = 0; k < 2; k++) row.focal_px[k] = from.focal_px[k];
        for (int k = 0; k < 3; k++) {
            const ib_sample *s = &axis[k][first + (size_t)(f - from.frame - 1)];
            row.position[k] = s->position;
            row.velocity[k] = s->velocity;
        }
        for (int k = 0; k < 3; k++) row.camera[k] = (1 - w) * from.camera[k] + w * to.camera[k];
        if (!to_camera(r, f, row.position, row.camera) && !r->ground) continue;
        row.distance =
            sqrt(row.camera[0] * row.camera[0] + row.camera[1] * row.camera[1] + row.camera[2] * row.camera[2]);
        key wanted = {.id = from.id, .frame = f};
        const key *hole =
            holes->count ? bsearch(&wanted, holes->keys, holes->count, sizeof *holes->keys, by_id_and_frame) : NULL;
        if (hole) { /* its own box, the bridge's position */
            memcpy(row.box, r->rows[hole->row].box, sizeof row.box);
            row.confidence = r->rows[hole->row].confidence;
            row.order = r->rows[hole->row].order;
            r->rows[hole->row] = row;
        } else if (!ib_result_add(r, &row)) {
            return 0;
        }
        r->summary->bridged++;
    }
    return 1;
}

/* Without a filter: straight lines over gaps, velocity from the neighbours. */
static void differences(ib_sample *s, size_t n)
{
    for (size_t i = 0, last = 0; i < n; i++) {
        if (s[i].variance < 0) continue;
        s[i].position = s[i].value;
        for (size_t k = last + 1; k < i; k++)
            s[k].position =
                s[last].value + (s[i].value - s[last].value) * (s[k].t_s - s[last].t_s) / (s[i].t_s - s[last].t_s);
        last = i;
    }
    for (size_t i = 0; i < n; i++) {
        size_t a = i ? i - 1 : i, b = i + 1 < n ? i + 1 : i;
        s[i].velocity = b > a ? (s[b].position - s[a].position) / (s[b].t_s - s[a].t_s) : 0;
    }
}

/* Rows keys[0..n) are one stretch of a track without a gap that is too long. */
static isobath_status smooth_stretch(ib_result *r, const key *keys, size_t n, const refused *holes, ib_diag *diag)
{
    double fps = r->fps > 0 ? r->fps : 30;
    size_t total = (size_t)(keys[n - 1].frame - keys[0].frame) + 1;
    ib_sample *samples = calloc(3 * total, sizeof *samples);
    if (!samples) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory in smoothing");
    ib_sample *axis[3] = {samples, samples + total, samples + 2 * total};
    double mean = 0;
    for (size_t i = 0; i < 3 * total; i++) samples[i].variance = -1;
    for (size_t i = 0; i < n; i++) {
        const ib_row *row = &r->rows[keys[i].row];
        double variance[3];
        set_variance(r, row, variance);
        mean += row->distance / (double)n;
        for (int k = 0; k < 3; k++) {
            ib_sample *s = &axis[k][row->frame - keys[0].frame];
            s->value = row->position[k];
            s->variance = variance[k];
        }
    }
    double accel = r->options->accel > 0 ? r->options->accel : r->metric ? 1 : 0.15 * mean;
    isobath_status st = ISOBATH_OK;
    for (int k = 0; k < 3 && st == ISOBATH_OK; k++) {
        for (size_t i = 0; i < total; i++) axis[k][i].t_s = (double)i / fps;
        if (!r->options->smooth)
            differences(axis[k], total);
        else if (!ib_smooth(axis[k], total, accel * accel, 10 * accel))
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory in smoothing");
    }
    for (size_t i = 0; i < n && st == ISOBATH_OK; i++) {
        ib_row *row = &r->rows[keys[i].row];
        row->has_speed = r->fps > 0 && total > 1;
        for (int k = 0; k < 3; k++) {
            row->position[k] = axis[k][row->frame - keys[0].frame].position;
            row->velocity[k] = axis[k][row->frame - keys[0].frame].velocity;
        }
        to_camera(r, row->frame, row->position, row->camera);
        row->distance =
            sqrt(row->camera[0] * row->camera[0] + row->camera[1] * row->camera[1] + row->camera[2] * row->camera[2]);
    }
    for (size_t i = 1; i < n && st == ISOBATH_OK; i++) {
        size_t first = (size_t)(keys[i - 1].frame - keys[0].frame) + 1;
        if (keys[i].frame - keys[i - 1].frame > 1 &&
            !bridge(r, keys[i - 1].row, keys[i].row, holes, (const ib_sample *const *)axis, first))
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory in smoothing");
    }
    free(samples);
    return st;
}

isobath_status ib_result_smooth(ib_result *r, ib_diag *diag)
{
    key *keys = calloc(2 * r->count + 2, sizeof *keys);
    if (!keys) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory in smoothing");
    refused holes = {.keys = keys + r->count + 1};
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++) {
        const ib_row *row = &r->rows[i];
        key k = {row->id, row->frame, i};
        if (row->id >= 0 && row->has_position)
            keys[n++] = k;
        else if (row->id >= 0 && row->measure.reason != IB_LIFT_DUPLICATE)
            holes.keys[holes.count++] = k;
    }
    if (n) qsort(keys, n, sizeof *keys, by_track);
    if (holes.count) qsort(holes.keys, holes.count, sizeof *holes.keys, by_track);
    isobath_status st = ISOBATH_OK;
    for (size_t i = 0, j; i < n && st == ISOBATH_OK; i = j) {
        r->summary->tracks += i == 0 || keys[i].id != keys[i - 1].id;
        for (j = i + 1;
             j < n && keys[j].id == keys[i].id && keys[j].frame - keys[j - 1].frame - 1 <= r->options->bridge; j++) {
        }
        st = smooth_stretch(r, keys + i, j - i, &holes, diag);
    }
    free(keys);
    ib_result_sort(r);
    return st;
}
