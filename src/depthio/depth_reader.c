/* Reading depth back: finds out what a path is, and makes depth of samples. See depth_reader.h. */
#include "depthio/depth_reader_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef isobath_status (*open_files)(ib_depth_reader *reader, ib_file_list *list);

static const struct {
    const char *suffix;
    open_files open;
} kinds[] = {{".png", ib_depth_open_png},
             {".exr", ib_depth_open_exr},
             {".npz", ib_depth_open_array},
             {".npy", ib_depth_open_array}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int ends_with(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcasecmp(path + n - m, suffix) == 0;
}

static isobath_status open_path(ib_depth_reader *reader, const char *path);

/* A result's folder leads to its depth; any other holds files of one kind. */
static isobath_status open_folder(ib_depth_reader *reader, const char *path)
{
    ib_file_list found = {0};
    int kind = -1, several = 0;
    char *result;
    IB_TRY(ib_depth_find_result(path, reader->diag, &result));
    if (result) {
        isobath_status st = open_path(reader, result);
        free(result);
        return st;
    }
    for (int k = 0; k < KINDS; k++) {
        ib_file_list list = {0};
        isobath_status st = ib_list_folder(path, kinds[k].suffix, reader->diag, &list.names, &list.count);
        if (st == ISOBATH_OK && list.count && kind < 0) {
            found = list;
            kind = k;
            continue;
        }
        several |= list.count > 0;
        ib_file_list_free(&list);
        if (st != ISOBATH_OK || several) {
            ib_file_list_free(&found);
            if (st != ISOBATH_OK) return st;
            return ib_fail(reader->diag, ISOBATH_ERR_INPUT,
                           "%s: %s and %s files in one folder: name the folder or file that "
                           "holds the depth",
                           path, kinds[kind].suffix, kinds[k].suffix);
        }
    }
    if (kind < 0)
        return ib_fail(reader->diag, ISOBATH_ERR_INPUT,
                       "%s: no PNG files in this folder, and no EXR, npz or npy either", path);
    if (!(found.folder = strdup(path))) {
        ib_file_list_free(&found);
        return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    }
    return kinds[kind].open(reader, &found);
}

static isobath_status open_path(ib_depth_reader *reader, const char *path)
{
    struct stat sb;
    if (stat(path, &sb) != 0)
        return ib_fail(reader->diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (S_ISDIR(sb.st_mode)) return open_folder(reader, path);
    for (int k = 0; k < KINDS; k++) {
        ib_file_list list;
        if (!ends_with(path, kinds[k].suffix)) continue;
        IB_TRY(ib_file_list_single(&list, path, reader->diag));
        return kinds[k].open(reader, &list);
    }
    static const char *const videos[] = {".mkv", ".avi", ".mov", ".mp4", ".nut", ".webm"};
    for (size_t k = 0; k < sizeof videos / sizeof *videos; k++)
        if (ends_with(path, videos[k])) return ib_depth_open_video(reader, path);
    return ib_fail(
        reader->diag, ISOBATH_ERR_INPUT,
        "%s: not a kind of depth that is read: expected PNG, EXR, npz or npy (a file or a folder of them) or a grey "
        "video (mkv, avi, mov, mp4)",
        path);
}

static isobath_status apply_scale(ib_depth_reader *reader, const char *text)
{
    ib_depth_reader_info *info = &reader->info;
    ib_depth_scale s;
    IB_TRY(ib_depth_scale_parse(text, info->full_scale, reader->diag, &s));
    if (reader->source->forget_scale) reader->source->forget_scale(reader->self);
    info->scale = s.scale;
    info->offset = s.offset;
    info->has_invalid = s.has_invalid;
    info->scale_known = 1;
    if (s.metric >= 0) {
        info->kind = s.metric ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
        info->kind_known = 1;
    }
    return ISOBATH_OK;
}

isobath_status ib_depth_reader_open_as(const char *path, const char *input_scale, ib_diag *diag, ib_depth_reader **out)
{
    *out = NULL;
    ib_depth_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    reader->diag = diag;
    reader->info.scale = 1;
    isobath_status st = open_path(reader, path);
    if (st == ISOBATH_OK && input_scale) st = apply_scale(reader, input_scale);
    if (st != ISOBATH_OK)
        ib_depth_reader_close(reader);
    else
        *out = reader;
    return st;
}

isobath_status ib_depth_reader_open(const char *path, ib_diag *diag, ib_depth_reader **out)
{
    return ib_depth_reader_open_as(path, NULL, diag, out);
}

void ib_depth_reader_close(ib_depth_reader *reader)
{
    if (!reader) return;
    if (reader->source) reader->source->close(reader->self);
    free(reader);
}

const ib_depth_reader_info *ib_depth_reader_get_info(const ib_depth_reader *reader) { return &reader->info; }

void ib_depth_reader_set_scale(ib_depth_reader *reader, double scale, double offset)
{
    if (!reader->info.integers) return;
    if (reader->source->forget_scale) reader->source->forget_scale(reader->self);
    reader->info.scale = scale;
    reader->info.offset = offset;
    reader->info.scale_known = 1;
}

isobath_status ib_depth_reader_read(ib_depth_reader *reader, int64_t i, float *depth)
{
    const ib_depth_reader_info *info = &reader->info;
    if (i < 0 || i >= info->frames)
        return ib_fail(reader->diag, ISOBATH_ERR_INPUT, "there is no frame %lld: the file holds %lld", (long long)i,
                       (long long)info->frames);
    IB_TRY(reader->source->read(reader->self, i, depth));
    if (info->scale == 1 && info->offset == 0) return ISOBATH_OK; /* a sample of 0 is 0 already */
    int64_t n = (int64_t)info->width * info->height;
    for (int64_t k = 0; k < n; k++)
        depth[k] = info->has_invalid && depth[k] == 0 ? 0.0f : (float)((depth[k] + info->offset) * info->scale);
    return ISOBATH_OK;
}

isobath_status ib_depth_reader_read_valid(ib_depth_reader *reader, int64_t i, float *depth, uint8_t *valid,
                                          int64_t *valid_count)
{
    IB_TRY(ib_depth_reader_read(reader, i, depth));
    int64_t n = (int64_t)reader->info.width * reader->info.height, count = 0;
    int zero_is_none = reader->info.has_invalid || reader->info.kind == IB_DEPTH_METRIC;
    for (int64_t k = 0; k < n; k++) {
        valid[k] = isfinite(depth[k]) && (zero_is_none ? depth[k] > 0 : depth[k] >= 0);
        if (!valid[k]) depth[k] = 0;
        count += valid[k];
    }
    if (valid_count) *valid_count = count;
    return ISOBATH_OK;
}

int64_t ib_depth_reader_time_us(const ib_depth_reader *reader, int64_t i)
{
    if (!reader->info.has_times || i < 0 || i >= reader->info.frames) return -1;
    return reader->source->time_us(reader->self, i);
}
