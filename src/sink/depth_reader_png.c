/* Depth from PNG files: our folders with their scale, or foreign ones with a scale from the user. */
#include "sink/depth_reader_internal.h"
#include "sink/file.h"
#include "sink/manifest.h"
#include "sink/png_file.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct png_source {
    char *folder; /* NULL: names[0] is a path */
    char **names;
    int64_t count;
    int width, height, ours;
    double scale, offset;
    int has_invalid;
    int64_t *times_us;
    ib_diag *diag;
} png_source;

/* Numbers inside names compare as numbers. */
static int compare_names(const void *va, const void *vb)
{
    const char *a = *(char *const *)va, *b = *(char *const *)vb;
    while (*a && *b) {
        size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
        if (na && nb) {
            const char *ea = a + na, *eb = b + nb;
            while (*a == '0' && a + 1 < ea) a++;
            while (*b == '0' && b + 1 < eb) b++;
            if (ea - a != eb - b) return ea - a < eb - b ? -1 : 1;
            int c = strncmp(a, b, (size_t)(ea - a));
            if (c) return c;
            a = ea;
            b = eb;
        } else {
            if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
        }
    }
    if (*a || *b) return *a ? 1 : -1;
    return strcmp(*(char *const *)va, *(char *const *)vb); /* frame_01 and frame_1 */
}

isobath_status ib_list_folder(const char *folder, const char *suffix, ib_diag *diag, char ***names, int64_t *count)
{
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(folder);
    if (!dir) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", folder, strerror(errno));
    int64_t capacity = 0;
    int failed = 0;
    for (struct dirent *e; !failed && (e = readdir(dir));) {
        size_t n = strlen(e->d_name), m = strlen(suffix);
        if (e->d_name[0] == '.' || n < m || strcasecmp(e->d_name + n - m, suffix) != 0) continue;
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            char **grown = realloc(*names, (size_t)capacity * sizeof **names);
            if (!grown) {
                failed = 1;
                break;
            }
            *names = grown;
        }
        char *copy = strdup(e->d_name);
        if (copy)
            (*names)[(*count)++] = copy;
        else
            failed = 1;
    }
    closedir(dir);
    if (failed) {
        ib_list_free(*names, *count);
        *names = NULL;
        *count = 0;
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    }
    if (*count) qsort(*names, (size_t)*count, sizeof **names, compare_names);
    return ISOBATH_OK;
}

void ib_list_free(char **names, int64_t count)
{
    for (int64_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

static isobath_status read_image(png_source *p, int64_t i, ib_png_image *image)
{
    char *path = p->folder ? ib_text("%s/%s", p->folder, p->names[i]) : strdup(p->names[i]);
    if (!path) return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", p->names[i]);
    isobath_status st = ib_png_read(path, p->diag, image);
    if (st == ISOBATH_OK && p->width && (image->width != p->width || image->height != p->height))
        st = ib_fail(p->diag, ISOBATH_ERR_INPUT, "%s: %dx%d, but the first frame is %dx%d", path, image->width,
                     image->height, p->width, p->height);
    const char *scale = st == ISOBATH_OK ? ib_png_image_text(image, "isobath:scale") : NULL;
    if (st == ISOBATH_OK && p->width && p->ours && (!scale || strtod(scale, NULL) != p->scale))
        st = ib_fail(p->diag, ISOBATH_ERR_INPUT,
                     "%s: scale %s, but the first frame says %.17g: an unfinished or mixed result", path,
                     scale ? scale : "missing", p->scale);
    if (st != ISOBATH_OK) ib_png_image_free(image);
    free(path);
    return st;
}

static isobath_status png_read(void *self, int64_t i, float *depth)
{
    png_source *p = self;
    ib_png_image image;
    double scale = p->scale;
    IB_TRY(read_image(p, i, &image));
    int64_t n = (int64_t)image.width * image.height;
    for (int64_t k = 0; k < n; k++)
        depth[k] = p->has_invalid && image.q[k] == 0 ? 0.0f : (float)((image.q[k] + p->offset) * scale);
    ib_png_image_free(&image);
    return ISOBATH_OK;
}

static int64_t png_time_us(void *self, int64_t i) { return ((png_source *)self)->times_us[i]; }

static void png_set_scale(void *self, double scale, double offset)
{
    png_source *p = self;
    p->scale = scale;
    p->offset = offset;
    p->ours = 0; /* the user knows better than the files */
}

static void png_close(void *self)
{
    png_source *p = self;
    ib_list_free(p->names, p->count);
    free(p->folder);
    free(p->times_us);
    free(p);
}

static const ib_depth_source png_functions = {png_read, png_time_us, png_set_scale, png_close};

/* A finite number of a text chunk; 0 when it is none. */
static int text_number(const ib_png_image *image, const char *key, double *out)
{
    const char *text = ib_png_image_text(image, key);
    char *end;
    if (!text) return 0;
    *out = strtod(text, &end);
    return end != text && *end == 0 && isfinite(*out);
}

isobath_status ib_depth_sidecar_check(const json_t *json, const char *path, ib_depth_reader_info *info, double scale,
                                      ib_diag *diag, int64_t **times_us)
{
    const char *schema = json_string_value(json_object_get(json, "schema"));
    if (!schema || strcmp(schema, "isobath-depth-1") != 0)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: schema %.40s; expected isobath-depth-1", path,
                       schema ? schema : "missing");
    json_int_t frames = json_integer_value(json_object_get(json, "frames"));
    json_int_t width = json_integer_value(json_object_get(json, "width"));
    json_int_t height = json_integer_value(json_object_get(json, "height"));
    if (frames != info->frames || width != info->width || height != info->height)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: says %lld frames of %lldx%lld; the folder holds %lld of %dx%d",
                       path, (long long)frames, (long long)width, (long long)height, (long long)info->frames,
                       info->width, info->height);
    if (json_number_value(json_object_get(json, "scale")) != scale)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: scale %.17g; the frames say %.17g", path,
                       json_number_value(json_object_get(json, "scale")), scale);
    const json_t *times = json_object_get(json, "times_us");
    if (!times) return ISOBATH_OK;
    if (!json_is_array(times) || (json_int_t)json_array_size(times) != frames)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: times_us is not an array of %lld times", path, (long long)frames);
    *times_us = malloc(((size_t)frames + 1) * sizeof **times_us);
    if (!*times_us) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    for (json_int_t i = 0; i < frames; i++) (*times_us)[i] = json_integer_value(json_array_get(times, (size_t)i));
    info->has_times = 1;
    return ISOBATH_OK;
}

static isobath_status read_sidecar(ib_depth_reader *reader, png_source *p)
{
    char *path = ib_text("%s/depth.json", p->folder);
    if (!path) return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", p->folder);
    struct stat sb;
    isobath_status st = ISOBATH_OK;
    json_t *json = NULL;
    if (stat(path, &sb) == 0) {
        st = ib_json_read(path, reader->diag, &json);
        if (st == ISOBATH_OK)
            st = ib_depth_sidecar_check(json, path, &reader->info, p->scale, reader->diag, &p->times_us);
    }
    json_decref(json);
    free(path);
    return st;
}

isobath_status ib_depth_open_png(ib_depth_reader *reader, const char *path, int is_folder)
{
    png_source *p = calloc(1, sizeof *p);
    if (!p) return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    reader->source = &png_functions;
    reader->self = p;
    p->diag = reader->diag;
    if (is_folder) {
        if (!(p->folder = strdup(path))) return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
        IB_TRY(ib_list_folder(path, ".png", reader->diag, &p->names, &p->count));
    } else {
        p->names = calloc(1, sizeof *p->names);
        if (!p->names || !(p->names[0] = strdup(path)))
            return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
        p->count = 1;
    }
    if (p->count == 0) return ib_fail(reader->diag, ISOBATH_ERR_INPUT, "%s: no PNG files in this folder", path);
    ib_png_image image;
    IB_TRY(read_image(p, 0, &image));
    ib_depth_reader_info *info = &reader->info;
    const char *kind = ib_png_image_text(&image, "isobath:kind");
    info->format = image.bits == 16 ? "png16" : "png8";
    info->frames = p->count;
    p->width = info->width = image.width;
    p->height = info->height = image.height;
    p->scale = 1;
    p->ours = text_number(&image, "isobath:scale", &p->scale) && text_number(&image, "isobath:offset", &p->offset);
    p->has_invalid = p->ours && ib_png_image_text(&image, "isobath:invalid") != NULL;
    info->kind_known = p->ours && kind != NULL;
    info->kind = info->kind_known && strcmp(kind, "metric") == 0 ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
    info->scale = p->scale;
    info->offset = p->offset;
    ib_png_image_free(&image);
    return p->ours && is_folder ? read_sidecar(reader, p) : ISOBATH_OK;
}
