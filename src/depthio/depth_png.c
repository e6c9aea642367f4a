/* Depth from PNG files: our folders with their scale, or foreign ones with a scale from the user. */
#include "depthio/depth_reader_internal.h"
#include "sink/file.h"
#include "sink/manifest.h"
#include "sink/png_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct png_source {
    ib_file_list files;
    int width, height, bits, ours;
    double scale;
    int64_t *times_us;
    ib_diag *diag;
} png_source;

static isobath_status check_image(const png_source *p, const char *path, const ib_png_image *image)
{
    if (!p->width) return ISOBATH_OK; /* the first one */
    if (image->width != p->width || image->height != p->height || image->bits != p->bits)
        return ib_fail(p->diag, ISOBATH_ERR_INPUT, "%s: %dx%d of %d bits, but the first frame is %dx%d of %d", path,
                       image->width, image->height, image->bits, p->width, p->height, p->bits);
    const char *scale = ib_png_image_text(image, "isobath:scale");
    if (p->ours && (!scale || strtod(scale, NULL) != p->scale))
        return ib_fail(p->diag, ISOBATH_ERR_INPUT,
                       "%s: scale %s, but the first frame says %.17g: an unfinished or mixed result", path,
                       scale ? scale : "missing", p->scale);
    return ISOBATH_OK;
}

static isobath_status read_image(png_source *p, int64_t i, ib_png_image *image)
{
    char *path = ib_file_list_path(&p->files, i);
    if (!path) return ib_fail(p->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", p->files.names[i]);
    isobath_status st = ib_png_read(path, p->diag, image);
    if (st == ISOBATH_OK && (st = check_image(p, path, image)) != ISOBATH_OK) ib_png_image_free(image);
    free(path);
    return st;
}

static isobath_status png_read(void *self, int64_t i, float *samples)
{
    ib_png_image image;
    IB_TRY(read_image(self, i, &image));
    int64_t n = (int64_t)image.width * image.height;
    for (int64_t k = 0; k < n; k++) samples[k] = image.q[k];
    ib_png_image_free(&image);
    return ISOBATH_OK;
}

static int64_t png_time_us(void *self, int64_t i) { return ((png_source *)self)->times_us[i]; }
static void png_forget_scale(void *self) { ((png_source *)self)->ours = 0; }

static void png_close(void *self)
{
    png_source *p = self;
    ib_file_list_free(&p->files);
    free(p->times_us);
    free(p);
}

static const ib_depth_source png_functions = {png_read, png_time_us, png_forget_scale, png_close};

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
    char *path = ib_text("%s/depth.json", p->files.folder);
    if (!path) return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", p->files.folder);
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

isobath_status ib_depth_open_png(ib_depth_reader *reader, ib_file_list *list)
{
    png_source *p = calloc(1, sizeof *p);
    if (!p) {
        ib_file_list_free(list);
        return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "out of memory");
    }
    reader->source = &png_functions;
    reader->self = p;
    p->diag = reader->diag;
    p->files = *list;
    ib_png_image image;
    IB_TRY(read_image(p, 0, &image));
    ib_depth_reader_info *info = &reader->info;
    const char *kind = ib_png_image_text(&image, "isobath:kind");
    info->format = image.bits == 16 ? "png16" : "png8";
    info->frames = p->files.count;
    p->width = info->width = image.width;
    p->height = info->height = image.height;
    p->bits = image.bits;
    p->ours =
        text_number(&image, "isobath:scale", &info->scale) && text_number(&image, "isobath:offset", &info->offset);
    if (!p->ours) info->scale = 1;
    p->scale = info->scale;
    info->integers = 1;
    info->full_scale = image.bits == 16 ? 65535 : 255;
    info->scale_known = p->ours;
    info->has_invalid = p->ours && ib_png_image_text(&image, "isobath:invalid") != NULL;
    info->kind_known = p->ours && kind != NULL;
    info->kind = info->kind_known && strcmp(kind, "metric") == 0 ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
    ib_png_image_free(&image);
    return p->ours && p->files.folder ? read_sidecar(reader, p) : ISOBATH_OK;
}
