/* Camera files; see camera.h. */
#include "sink/camera.h"

#include "base/json.h"
#include "sink/file.h"
#include "sink/manifest.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int get_pose(const json_t *value, double pose[16])
{
    size_t n = json_array_size(value);
    for (size_t i = 0; i < 16; i++) {
        const json_t *number = n == 16  ? json_array_get(value, i)
                               : n == 4 ? json_array_get(json_array_get(value, i / 4), i % 4)
                                        : NULL;
        if (!json_is_number(number)) return 0;
        pose[i] = json_number_value(number);
        if (!isfinite(pose[i])) return 0;
    }
    return 1;
}

int ib_camera_add(ib_camera_track *track, const ib_camera *camera)
{
    if (track->count == track->room) {
        int64_t room = track->room ? 2 * track->room : 64;
        ib_camera *cameras = realloc(track->cameras, (size_t)room * sizeof *cameras);
        if (!cameras) return 0;
        track->cameras = cameras;
        track->room = room;
    }
    track->cameras[track->count++] = *camera;
    return 1;
}

static isobath_status parse_line(const char *line, size_t size, const char *name, int number, int need_pose,
                                 ib_diag *diag, ib_camera_track *track)
{
    json_error_t error;
    json_t *json = json_loadb(line, size, 0, &error);
    if (!json) return ib_fail(diag, ib_json_status(&error, ISOBATH_ERR_INPUT), "%s: line %d: not JSON: %s", name, number, ib_json_reason(&error));
    ib_camera camera = {.world_from_camera = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}};
    const json_t *frame = json_object_get(json, "frame"), *pose = json_object_get(json, "world_from_camera");
    json_int_t index = json_integer_value(frame);
    const char *const keys[] = {"fx", "fy", "cx", "cy"};
    double *const values[] = {&camera.fx, &camera.fy, &camera.cx, &camera.cy};
    int ok = json_is_integer(frame) && index >= 0;
    for (int i = 0; i < 4; i++) {
        const json_t *v = json_object_get(json, keys[i]);
        ok = ok && json_is_number(v);
        *values[i] = json_number_value(v);
    }
    ok = ok && isfinite(camera.cx) && isfinite(camera.cy) && camera.fx > 0 && camera.fy > 0 && isfinite(camera.fx) &&
         isfinite(camera.fy);
    ok = ok && (pose || !need_pose) && (!pose || get_pose(pose, camera.world_from_camera));
    json_decref(json);
    if (!ok)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %d: expected frame, fx, fy, cx, cy%s", name, number,
                       need_pose ? " and world_from_camera (16 numbers)" : "");
    camera.frame = index;
    camera.line = number;
    return ib_camera_add(track, &camera) ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
}

static int by_frame(const void *a, const void *b)
{
    int64_t f = ((const ib_camera *)a)->frame, g = ((const ib_camera *)b)->frame;
    return (f > g) - (f < g);
}

/* Lines come in any order. */
static isobath_status sort(ib_camera_track *track, const char *name, ib_diag *diag)
{
    ib_camera *c = track->cameras;
    if (track->count == 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no cameras in this file", name);
    qsort(c, (size_t)track->count, sizeof *c, by_frame);
    for (int64_t i = 1; i < track->count; i++)
        if (c[i].frame == c[i - 1].frame)
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %d: frame %" PRId64 " comes twice", name,
                           c[i].line > c[i - 1].line ? c[i].line : c[i - 1].line, c[i].frame);
    return ISOBATH_OK;
}

isobath_status ib_camera_parse(const char *text, size_t size, const char *name, int need_pose, ib_diag *diag,
                               ib_camera_track *track)
{
    memset(track, 0, sizeof *track);
    int number = 0;
    isobath_status st = ISOBATH_OK;
    for (const char *p = text, *end = text + size; p < end && st == ISOBATH_OK;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        number++;
        const char *first = p;
        while (first < stop && (*first == ' ' || *first == '\t' || *first == '\r')) first++;
        if (first < stop) st = parse_line(first, (size_t)(stop - first), name, number, need_pose, diag, track);
        p = stop + 1;
    }
    if (st == ISOBATH_OK) st = sort(track, name, diag);
    if (st != ISOBATH_OK) ib_camera_free(track);
    return st;
}

isobath_status ib_camera_read(const char *path, int need_pose, ib_diag *diag, ib_camera_track *track)
{
    uint8_t *data;
    size_t size;
    memset(track, 0, sizeof *track);
    IB_TRY(ib_read_file(path, (size_t)1 << 30, diag, &data, &size));
    isobath_status st = ib_camera_parse((const char *)data, size, path, need_pose, diag, track);
    free(data);
    return st;
}

void ib_camera_free(ib_camera_track *track)
{
    free(track->cameras);
    memset(track, 0, sizeof *track);
}

const ib_camera *ib_camera_of(const ib_camera_track *track, int64_t frame)
{
    ib_camera key = {.frame = frame};
    return track->count ? bsearch(&key, track->cameras, (size_t)track->count, sizeof key, by_frame) : NULL;
}
