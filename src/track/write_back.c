/* The tracks' own JSON with a position in each detection; see result.h. */
#include "sink/file.h"
#include "base/json.h"
#include "track/result.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_LIMIT ((size_t)1 << 30)

typedef struct back {
    const ib_result *r;
    ib_diag *diag;
    const ib_row **rows; /* by item; NULL: none */
    int64_t count, next; /* next: item of the next detection */
} back;

/* By the number of the item in its file: what the parsers counted. 0: out of memory. */
static int index_rows(back *b)
{
    const ib_tracks *t = b->r->tracks;
    int coco = strcmp(t->format, "coco") == 0;
    int64_t *item = calloc(t->count + 1, sizeof *item);
    for (size_t i = 0; item && i < t->count; i++) {
        item[t->list[i].order] = coco ? t->list[i].item : t->list[i].order;
        if (item[t->list[i].order] >= b->count) b->count = item[t->list[i].order] + 1;
    }
    b->rows = item ? calloc((size_t)b->count + 1, sizeof *b->rows) : NULL;
    for (size_t i = 0; b->rows && i < b->r->count; i++)
        if (b->r->rows[i].order >= 0) b->rows[item[b->r->rows[i].order]] = &b->r->rows[i];
    free(item);
    return b->rows != NULL;
}

static json_t *rounded(double v) { return json_real(round(v * 1e4) / 1e4); }
static json_t *vector(const double v[3]) { return json_pack("[o, o, o]", rounded(v[0]), rounded(v[1]), rounded(v[2])); }

static void add_position(const back *b, json_t *detection, int64_t item)
{
    const ib_row *row = item < b->count ? b->rows[item] : NULL;
    if (!row) return; /* of another video */
    json_object_set_new(detection, "unit", json_string(b->r->summary->unit));
    json_object_set_new(detection, "coordinates", json_string(b->r->summary->coordinates));
    if (!row->has_position) {
        json_object_set_new(detection, "refused", json_string(isobath_track_reason((int)row->measure.reason)));
        return;
    }
    json_object_set_new(detection, "position", vector(row->position));
    json_object_set_new(detection, "distance", rounded(row->distance));
    if (row->has_speed) json_object_set_new(detection, "velocity", vector(row->velocity));
    if (row->bridged) json_object_set_new(detection, "bridged", json_true());
}

/* The same walk as the parsers' (read_json.c). */
static void walk(back *b, json_t *root)
{
    size_t i, k;
    json_t *item, *inner;
    if (strcmp(b->r->tracks->format, "coco") == 0) {
        json_array_foreach(json_object_get(root, "annotations"), i, item) add_position(b, item, (int64_t)i);
    } else if (strcmp(b->r->tracks->format, "json") == 0) {
        json_array_foreach(json_object_get(root, "frames"), i, item)
            json_array_foreach(json_object_get(item, "detections"), k, inner) add_position(b, inner, b->next++);
    } else {
        json_array_foreach(root, i, item)
        {
            if (json_is_object(item)) add_position(b, item, b->next++);
            json_array_foreach(item, k, inner) add_position(b, inner, b->next++);
        }
    }
}

static isobath_status write_one(back *b, const char *from, const char *to)
{
    uint8_t *data;
    size_t size;
    json_error_t error;
    IB_TRY(ib_read_file(from, FILE_LIMIT, b->diag, &data, &size));
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    free(data);
    if (!root) return ib_fail(b->diag, ib_json_status(&error, ISOBATH_ERR_INPUT), "%s: changed while it was read: %s", from, ib_json_reason(&error));
    walk(b, root);
    char *text = ib_json_dump(root, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    json_decref(root);
    isobath_status st = text ? ib_write_file(to, text, strlen(text), 1, b->diag)
                             : ib_fail(b->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", to);
    free(text);
    return st;
}

/* The files of the folder in the order in which they were read. */
static isobath_status write_folder(back *b, const char *from, const char *to)
{
    struct dirent **list;
    int n = scandir(from, &list, NULL, alphasort);
    if (n < 0) return ib_fail(b->diag, ISOBATH_ERR_INPUT, "%s: cannot read the folder: %s", from, strerror(errno));
    isobath_status st = ib_make_folder(to, b->diag);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(list[i]->d_name);
        if (st == ISOBATH_OK && length > 5 && strcmp(list[i]->d_name + length - 5, ".json") == 0) {
            char *in = ib_text("%s/%s", from, list[i]->d_name), *out = ib_text("%s/%s", to, list[i]->d_name);
            st = in && out ? write_one(b, in, out) : ib_fail(b->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", from);
            free(in);
            free(out);
        }
        free(list[i]);
    }
    free(list);
    return st;
}

isobath_status ib_result_write_back(const ib_result *r, const char *from, const char *to, ib_diag *diag)
{
    back b = {.r = r, .diag = diag};
    struct stat sb;
    if (stat(from, &sb) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", from, strerror(errno));
    if (!index_rows(&b)) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", to);
    isobath_status st = S_ISDIR(sb.st_mode) ? write_folder(&b, from, to) : write_one(&b, from, to);
    free(b.rows);
    return st;
}
