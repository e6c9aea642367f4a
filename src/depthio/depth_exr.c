/* Depth from OpenEXR files, one a frame: ours with kind and times, or foreign ones. */
#include "depthio/depth_reader_internal.h"
#include "depthio/exr_decode.h"
#include "sink/file.h"

#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)2 << 30)

typedef struct exr_source {
    ib_file_list files;
    int width, height;
    int64_t *times_us;
    ib_diag *diag;
} exr_source;

/* Frame i; `out` NULL: its header only. */
static isobath_status read_file(exr_source *e, int64_t i, float *out, ib_exr_picture *picture)
{
    char *path = ib_file_list_path(&e->files, i);
    uint8_t *data = NULL;
    size_t size;
    if (!path) return ib_fail(e->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", e->files.names[i]);
    isobath_status st = ib_read_file(path, FILE_LIMIT, e->diag, &data, &size);
    if (st == ISOBATH_OK) st = ib_exr_decode(data, size, path, out, e->width, e->height, e->diag, picture);
    free(data);
    free(path);
    return st;
}

static isobath_status exr_read(void *self, int64_t i, float *samples)
{
    exr_source *e = self;
    ib_exr_picture picture;
    IB_TRY(read_file(e, i, samples, &picture));
    if (e->times_us) e->times_us[i] = picture.time_us;
    return ISOBATH_OK;
}

/* Times stand in each file: -1 stands for one that was not looked at yet. */
static int64_t exr_time_us(void *self, int64_t i)
{
    exr_source *e = self;
    ib_exr_picture picture;
    if (e->times_us[i] < 0 && read_file(e, i, NULL, &picture) == ISOBATH_OK) e->times_us[i] = picture.time_us;
    return e->times_us[i];
}

static void exr_close(void *self)
{
    exr_source *e = self;
    ib_file_list_free(&e->files);
    free(e->times_us);
    free(e);
}

static const ib_depth_source exr_functions = {exr_read, exr_time_us, NULL, exr_close};

isobath_status ib_depth_open_exr(ib_depth_reader *reader, ib_file_list *list)
{
    exr_source *e = calloc(1, sizeof *e);
    if (!e) {
        ib_file_list_free(list);
        return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "out of memory");
    }
    *e = (exr_source){.files = *list, .diag = reader->diag};
    reader->source = &exr_functions;
    reader->self = e;
    ib_exr_picture picture;
    IB_TRY(read_file(e, 0, NULL, &picture));
    ib_depth_reader_info *info = &reader->info;
    info->format = "exr";
    info->frames = e->files.count;
    info->width = e->width = picture.width;
    info->height = e->height = picture.height;
    info->kind_known = strcmp(picture.kind, "metric") == 0 || strcmp(picture.kind, "disparity") == 0;
    info->kind = strcmp(picture.kind, "metric") == 0 ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
    info->has_times = picture.time_us >= 0;
    if (!info->has_times) return ISOBATH_OK;
    e->times_us = malloc((size_t)info->frames * sizeof *e->times_us);
    if (!e->times_us) return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", e->files.names[0]);
    for (int64_t i = 0; i < info->frames; i++) e->times_us[i] = -1;
    e->times_us[0] = picture.time_us;
    return ISOBATH_OK;
}
