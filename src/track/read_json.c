/* Tracks as JSON: per-frame lists of Ultralytics, COCO-video / TAO, and plain {"frames": ...}; see tracks.h. */
#include "base/json.h"
#include "sink/manifest.h"
#include "track/mask.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static isobath_status fail(const ib_tracks_source *s, const char *where, int64_t number, const char *expected)
{
    return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: %s %" PRId64 ": expected %s", s->name, where, number, expected);
}

/* Class by name or number; missing or null is none. 0: out of memory, or neither. */
static int set_class(const ib_tracks_source *s, const json_t *value, ib_detection *d)
{
    char text[32];
    d->class_index = -1;
    if (!value || json_is_null(value)) return 1;
    if (json_is_integer(value))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (!json_is_string(value))
        return 0;
    d->class_index = ib_tracks_class(s->tracks, json_is_string(value) ? json_string_value(value) : text);
    return d->class_index >= 0;
}

/* Track id and confidence, both optional. */
static int set_common(const json_t *id, const json_t *confidence, ib_detection *d)
{
    d->id = -1;
    d->confidence = 1;
    if (id && !json_is_null(id)) {
        double v;
        if (!ib_json_coordinate(id, &v) || v != floor(v)) return 0;
        d->id = v < 0 ? -1 : (int64_t)v;
    }
    return !confidence || json_is_null(confidence) || ib_json_coordinate(confidence, &d->confidence);
}

static isobath_status add(const ib_tracks_source *s, const ib_detection *d)
{
    return ib_tracks_add(s->tracks, d) ? ISOBATH_OK
                                       : ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->name);
}

static int four(const json_t *list, double box[4])
{
    int ok = json_array_size(list) == 4;
    for (size_t i = 0; ok && i < 4; i++) ok = ib_json_coordinate(json_array_get(list, i), &box[i]);
    return ok;
}

/* A list of Ultralytics results: one frame. */
static isobath_status ultralytics_frame(const ib_tracks_source *s, const json_t *list, int64_t frame)
{
    static const char expected[] =
        "a list of {\"name\", \"class\", \"confidence\", \"box\": {\"x1\", \"y1\", \"x2\", \"y2\"}}";
    if (!json_is_array(list)) return fail(s, "frame", frame, expected);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        ib_detection d = {.frame = frame};
        const json_t *box = json_object_get(item, "box"), *name = json_object_get(item, "name"),
                     *segments = json_object_get(item, "segments");
        if (!ib_json_coordinate(json_object_get(box, "x1"), &d.box[0]) ||
            !ib_json_coordinate(json_object_get(box, "y1"), &d.box[1]) ||
            !ib_json_coordinate(json_object_get(box, "x2"), &d.box[2]) ||
            !ib_json_coordinate(json_object_get(box, "y2"), &d.box[3]) ||
            !set_common(json_object_get(item, "track_id"), json_object_get(item, "confidence"), &d) ||
            !set_class(s, name ? name : json_object_get(item, "class"), &d))
            return fail(s, "frame", frame, expected);
        const json_t *x = json_object_get(segments, "x"), *y = json_object_get(segments, "y");
        size_t n = json_array_size(x);
        if (n != json_array_size(y)) return fail(s, "frame", frame, "segments with as many x as y");
        d.polygon = s->tracks->xy_count;
        for (size_t k = 0; n >= 3 && k < n; k++, d.points++) {
            double px, py;
            if (!ib_json_coordinate(json_array_get(x, k), &px) || !ib_json_coordinate(json_array_get(y, k), &py) ||
                !ib_tracks_add_point(s->tracks, px, py))
                return fail(s, "frame", frame, "segments of numbers");
        }
        IB_TRY(add(s, &d));
    }
    return ISOBATH_OK;
}

/* A list of lists is a video, a list of objects is one frame. */
static isobath_status ultralytics(const ib_tracks_source *s, const json_t *root)
{
    if (!json_is_array(root))
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: expected a list with a list of detections per frame", s->name);
    if (json_is_object(json_array_get(root, 0))) return ultralytics_frame(s, root, s->frame);
    size_t i;
    json_t *frame;
    /* a list has no numbers: its first item is the first frame */
    json_array_foreach(root, i, frame) IB_TRY(ultralytics_frame(s, frame, (int64_t)i));
    return ISOBATH_OK;
}

static int frame_index(const ib_tracks_source *s, const json_t *value, int64_t *frame)
{
    int64_t first = s->options->first_frame > 0 ? s->options->first_frame : 0;
    if (!json_is_integer(value)) return 0;
    *frame = (int64_t)json_integer_value(value);
    if (*frame < first || *frame >= IB_TRACK_MAX_FRAME) return 0;
    *frame -= first;
    return 1;
}

static isobath_status plain(const ib_tracks_source *s, const json_t *root)
{
    static const char expected[] =
        "{\"frame_index\", \"detections\": [{\"bbox\": [x1, y1, x2, y2], \"track_id\", \"class\"}]}";
    const json_t *frames = json_object_get(root, "frames"), *width = json_object_get(root, "width"),
                 *height = json_object_get(root, "height");
    if (!json_is_array(frames)) return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: expected {\"frames\": [...]}", s->name);
    if (json_is_integer(width) && json_is_integer(height) && json_integer_value(width) > 0 &&
        json_integer_value(width) < 65536 && json_integer_value(height) > 0 && json_integer_value(height) < 65536) {
        s->tracks->width = (int)json_integer_value(width);
        s->tracks->height = (int)json_integer_value(height);
    }
    size_t i, k;
    json_t *frame, *item;
    json_array_foreach(frames, i, frame)
    {
        int64_t index;
        const json_t *list = json_object_get(frame, "detections");
        if (!frame_index(s, json_object_get(frame, "frame_index"), &index) || !json_is_array(list))
            return fail(s, "item of frames", (int64_t)i, expected);
        json_array_foreach(list, k, item)
        {
            ib_detection d = {.frame = index};
            const json_t *confidence = json_object_get(item, "confidence");
            if (!four(json_object_get(item, "bbox"), d.box) ||
                !set_common(json_object_get(item, "track_id"), confidence ? confidence : json_object_get(item, "score"),
                            &d) ||
                !set_class(s, json_object_get(item, "class"), &d) ||
                !ib_mask_polygon(s, json_object_get(item, "polygon"), &d) ||
                !ib_mask_segmentation(s, json_object_get(item, "segmentation"), &d))
                return fail(s, "frame_index", index, expected);
            IB_TRY(add(s, &d));
        }
    }
    return ISOBATH_OK;
}

typedef struct coco_image {
    json_int_t id;
    int64_t frame;
} coco_image;

static int by_id(const void *a, const void *b)
{
    json_int_t p = ((const coco_image *)a)->id, q = ((const coco_image *)b)->id;
    return p < q ? -1 : p > q;
}

/* The images of the video that is read, by id. */
static isobath_status coco_images(const ib_tracks_source *s, const json_t *images, coco_image *out, size_t *count)
{
    size_t i;
    json_t *image;
    int64_t video = s->options->video_id;
    json_array_foreach(images, i, image)
    {
        const json_t *id = json_object_get(image, "id"), *index = json_object_get(image, "frame_index"),
                     *of = json_object_get(image, "video_id");
        if (!index) index = json_object_get(image, "frame_id");
        if (!json_is_integer(id) || !frame_index(s, index, &out[*count].frame))
            return fail(s, "item of images", (int64_t)i,
                        "whole numbers id, video_id and frame_index (not before the first frame)");
        if (json_is_integer(of)) {
            if (video < 0) video = (int64_t)json_integer_value(of);
            if (video != json_integer_value(of)) {
                if (s->options->video_id >= 0) continue;
                return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                               "%s: several videos (%" PRId64 ", %" PRId64 "...): say which with --video-id", s->name,
                               video, (int64_t)json_integer_value(of));
            }
        }
        json_int_t w = json_integer_value(json_object_get(image, "width")),
                   h = json_integer_value(json_object_get(image, "height"));
        if (w > 0 && h > 0 && w < 65536 && h < 65536) {
            s->tracks->width = (int)w;
            s->tracks->height = (int)h;
        }
        out[(*count)++].id = json_integer_value(id);
    }
    if (*count == 0) return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: no images of this video", s->name);
    qsort(out, *count, sizeof *out, by_id);
    return ISOBATH_OK;
}

static const json_t *category_name(const json_t *categories, const json_t *id)
{
    size_t i;
    json_t *category;
    json_array_foreach(categories, i,
                       category) if (json_is_integer(id) &&
                                     json_integer_value(json_object_get(category, "id")) == json_integer_value(id))
    {
        const json_t *name = json_object_get(category, "name");
        return json_is_string(name) ? name : id;
    }
    return id;
}

static isobath_status coco(const ib_tracks_source *s, const json_t *root)
{
    const json_t *images = json_object_get(root, "images"), *list = json_object_get(root, "annotations");
    if (!json_is_array(images) || !json_is_array(list))
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: expected {\"images\": [...], \"annotations\": [...]}", s->name);
    coco_image *table = calloc(json_array_size(images) + 1, sizeof *table);
    if (!table) return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->name);
    size_t count = 0, i;
    isobath_status st = coco_images(s, images, table, &count);
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (st != ISOBATH_OK) break;
        ib_detection d = {0};
        const json_t *id = json_object_get(item, "image_id"), *track = json_object_get(item, "track_id");
        const json_t *segmentation = json_object_get(item, "segmentation");
        coco_image key = {.id = json_integer_value(id)};
        if (!json_is_integer(id) || !four(json_object_get(item, "bbox"), d.box) ||
            !set_common(track ? track : json_object_get(item, "instance_id"), json_object_get(item, "score"), &d) ||
            !set_class(s, category_name(json_object_get(root, "categories"), json_object_get(item, "category_id")),
                       &d) ||
            !ib_mask_segmentation(s, segmentation, &d)) {
            st = fail(s, "item of annotations", (int64_t)i,
                      "image_id, bbox of four numbers, track_id, segmentation of polygons or runs");
            break;
        }
        const coco_image *image = bsearch(&key, table, count, sizeof *table, by_id);
        if (!image && s->options->video_id >= 0) continue; /* of another video */
        if (!image) {
            st = fail(s, "item of annotations", (int64_t)i, "an image_id that is in images");
            break;
        }
        d.frame = image->frame;
        d.item = (int64_t)i;
        d.box[2] += d.box[0];
        d.box[3] += d.box[1];
        st = add(s, &d);
    }
    free(table);
    return st;
}

isobath_status ib_tracks_parse_json(const ib_tracks_source *s)
{
    json_error_t error;
    json_t *root = json_loadb(s->text, s->size, JSON_REJECT_DUPLICATES, &error);
    if (!root) return ib_fail(s->diag, ib_json_status(&error, ISOBATH_ERR_INPUT), "%s: line %d: not JSON: %s", s->name, error.line, ib_json_reason(&error));
    isobath_status st = strcmp(s->tracks->format, "coco") == 0   ? coco(s, root)
                        : strcmp(s->tracks->format, "json") == 0 ? plain(s, root)
                                                                 : ultralytics(s, root);
    json_decref(root);
    return st;
}
