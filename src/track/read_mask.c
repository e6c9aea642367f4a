/* Masks of JSON formats; see mask.h. */
#include "track/mask.h"

#include <math.h>

int ib_json_coordinate(const json_t *json, double *value)
{
    if (!json_is_number(json)) return 0;
    *value = json_number_value(json);
    return isfinite(*value) && fabs(*value) <= 1e9;
}

int ib_mask_polygon(const ib_tracks_source *s, const json_t *list, ib_detection *d)
{
    size_t n = json_array_size(list);
    if (n < 6 || n % 2) return n == 0;
    d->polygon = s->tracks->xy_count;
    for (size_t i = 0; i < n; i += 2) {
        double x, y;
        if (!ib_json_coordinate(json_array_get(list, i), &x) || !ib_json_coordinate(json_array_get(list, i + 1), &y) ||
            !ib_tracks_add_point(s->tracks, x, y))
            return 0;
    }
    d->points = n / 2;
    return 1;
}

/* Several polygons, with a pair of NaN between them. */
static int set_polygons(const ib_tracks_source *s, const json_t *list, ib_detection *d)
{
    size_t first = s->tracks->xy_count, i;
    json_t *polygon;
    json_array_foreach(list, i, polygon)
    {
        ib_detection one = {0};
        size_t before = s->tracks->xy_count;
        if (!json_is_array(polygon)) return 0;
        if (before > first && json_array_size(polygon) && !ib_tracks_add_point(s->tracks, NAN, NAN)) return 0;
        if (!ib_mask_polygon(s, polygon, &one)) return 0;
    }
    d->polygon = first;
    d->points = s->tracks->xy_count - first;
    return 1;
}

/* COCO's run lengths as text: numbers of 5 bits a letter, each from the third on as the difference to the one two
 * before. */
static int decode_counts(const ib_tracks_source *s, const char *text, uint64_t pixels)
{
    int64_t counts[2] = {0, 0}; /* the one before, and the one before that */
    uint64_t end = 0;
    for (size_t m = 0; *text; m++) {
        uint64_t bits = 0;
        int shift = 0, more = 1;
        for (; more; shift += 5) {
            int c = *text++ - 48;
            if (c < 0 || c > 63 || shift > 40) return 0; /* also the end of the text within a number */
            bits |= (uint64_t)(c & 31) << shift;
            more = c & 32;
            if (!more && (c & 16)) bits |= ~(uint64_t)0 << (shift + 5);
        }
        int64_t count = (int64_t)bits + (m > 2 ? counts[1] : 0);
        if (count < 0 || count > (int64_t)pixels || (end += (uint64_t)count) > pixels ||
            !ib_tracks_add_run(s->tracks, (uint32_t)end))
            return 0;
        counts[1] = counts[0];
        counts[0] = count;
    }
    return end == pixels;
}

/* {"size": [height, width], "counts": a list, or COCO's text}. */
static int set_runs(const ib_tracks_source *s, const json_t *mask, ib_detection *d)
{
    const json_t *size = json_object_get(mask, "size"), *counts = json_object_get(mask, "counts");
    json_int_t h = json_integer_value(json_array_get(size, 0)), w = json_integer_value(json_array_get(size, 1));
    if (h < 1 || w < 1 || h > 65535 || w > 65535 || h * w > UINT32_MAX) return 0;
    uint64_t pixels = (uint64_t)(h * w), end = 0;
    d->run = s->tracks->run_count;
    d->grid_width = (int)w;
    d->grid_height = (int)h;
    if (json_is_string(counts)) {
        if (!decode_counts(s, json_string_value(counts), pixels)) return 0;
    } else {
        size_t i;
        json_t *count;
        if (!json_is_array(counts)) return 0;
        json_array_foreach(counts, i, count)
        {
            json_int_t n = json_integer_value(count);
            if (!json_is_integer(count) || n < 0 || (uint64_t)n > pixels - end ||
                !ib_tracks_add_run(s->tracks, (uint32_t)(end += (uint64_t)n)))
                return 0;
        }
        if (end != pixels) return 0;
    }
    d->runs = s->tracks->run_count - d->run;
    return 1;
}

int ib_mask_segmentation(const ib_tracks_source *s, const json_t *value, ib_detection *d)
{
    if (!value || json_is_null(value)) return 1;
    return json_is_array(value) ? set_polygons(s, value, d) : json_is_object(value) && set_runs(s, value, d);
}
