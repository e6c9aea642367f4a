/* Camera files; see camera.h. */
#include "sink/camera.h"

#include "sink/file.h"
#include "sink/manifest.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FRAMES ((json_int_t)1 << 22)

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

static int grow(ib_camera_track *track, int64_t frame)
{
    if (frame < track->count) return 1;
    int64_t count = track->count ? 2 * track->count : 64;
    while (count <= frame) count *= 2;
    ib_camera *cameras = realloc(track->cameras, (size_t)count * sizeof *cameras);
    if (cameras) track->cameras = cameras;
    char *present = realloc(track->present, (size_t)count);
    if (present) track->present = present;
    if (!cameras || !present) return 0;
    memset(present + track->count, 0, (size_t)(count - track->count));
    track->count = count;
    return 1;
}

static isobath_status parse_line(const char *line, size_t size, const char *name, int number, int need_pose,
                                 ib_diag *diag, ib_camera_track *track)
{
    json_error_t error;
    json_t *json = json_loadb(line, size, 0, &error);
    if (!json) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %d: not JSON: %s", name, number, error.text);
    ib_camera camera = {.world_from_camera = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}};
    const json_t *frame = json_object_get(json, "frame"), *pose = json_object_get(json, "world_from_camera");
    json_int_t index = json_integer_value(frame);
    const char *const keys[] = {"fx", "fy", "cx", "cy"};
    double *const values[] = {&camera.fx, &camera.fy, &camera.cx, &camera.cy};
    int ok = json_is_integer(frame) && index >= 0 && index < MAX_FRAMES;
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
    if (!grow(track, index)) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
    if (track->present[index])
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: line %d: frame %" PRId64 " comes twice", name, number,
                       (int64_t)index);
    track->cameras[index] = camera;
    track->present[index] = 1;
    return ISOBATH_OK;
}

isobath_status ib_camera_parse(const char *text, size_t size, const char *name, int need_pose, ib_diag *diag,
                               ib_camera_track *track)
{
    memset(track, 0, sizeof *track);
    int number = 0;
    for (const char *p = text, *end = text + size; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        number++;
        const char *first = p;
        while (first < stop && (*first == ' ' || *first == '\t' || *first == '\r')) first++;
        if (first < stop) {
            isobath_status st = parse_line(first, (size_t)(stop - first), name, number, need_pose, diag, track);
            if (st != ISOBATH_OK) {
                ib_camera_free(track);
                return st;
            }
        }
        p = stop + 1;
    }
    if (track->count == 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no cameras in this file", name);
    return ISOBATH_OK;
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
    free(track->present);
    memset(track, 0, sizeof *track);
}

const ib_camera *ib_camera_of(const ib_camera_track *track, int64_t frame)
{
    return frame >= 0 && frame < track->count && track->present[frame] ? &track->cameras[frame] : NULL;
}
