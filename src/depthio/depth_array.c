/* Depth from .npz and .npy: (N,H,W), (H,W), and (N,1,H,W) or (N,H,W,1) with the 1 dropped; or a folder with a file a
 * frame. */
#include "depthio/depth_reader_internal.h"
#include "sink/npy_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_MEMBERS 64
#define MAX_TIMES ((int64_t)1 << 28)

typedef struct array_source {
    ib_file_list files;
    int64_t opened; /* number of the file that fd and stream are of */
    int fd;
    ib_npy_stream *stream;
    int64_t frame_elements;
    int64_t *times_us;
    ib_depth_reader *reader;
} array_source;

static void close_file(array_source *a)
{
    ib_npy_close(a->stream);
    if (a->fd >= 0) close(a->fd);
    a->stream = NULL;
    a->fd = -1;
}

static isobath_status open_file(array_source *a, int64_t i, ib_depth_reader_info *info);

static isobath_status array_read(void *self, int64_t i, float *samples)
{
    array_source *a = self;
    int64_t first = i * a->frame_elements;
    if (a->files.folder) {
        ib_depth_reader_info info = {.scale = 1}, *had = &a->reader->info;
        first = 0;
        if (a->opened != i) IB_TRY(open_file(a, i, &info));
        if (info.width && (info.width != had->width || info.height != had->height || info.frames != 1))
            return ib_fail(a->reader->diag, ISOBATH_ERR_INPUT,
                           "%s/%s: %lld frames of %dx%d, but the first file holds one of %dx%d", a->files.folder,
                           a->files.names[i], (long long)info.frames, info.width, info.height, had->width, had->height);
    }
    return ib_npy_read_float(a->stream, first, a->frame_elements, samples);
}

static int64_t array_time_us(void *self, int64_t i) { return ((array_source *)self)->times_us[i]; }

static void array_close(void *self)
{
    array_source *a = self;
    close_file(a);
    ib_file_list_free(&a->files);
    free(a->times_us);
    free(a);
}

static const ib_depth_source array_functions = {array_read, array_time_us, NULL, array_close};

/* (N,H,W) out of the array's shape. */
static isobath_status shape_to_info(const ib_npy_stream *s, const char *path, ib_diag *diag, ib_depth_reader_info *info)
{
    int rank = ib_npy_rank(s);
    const int64_t *d = ib_npy_shape(s);
    int64_t n = 1, h = 0, w = 0;
    if (rank == 2) h = d[0], w = d[1];
    if (rank == 3) n = d[0], h = d[1], w = d[2];
    if (rank == 4 && d[3] == 1) n = d[0], h = d[1], w = d[2];
    if (rank == 4 && d[3] != 1 && d[1] == 1) n = d[0], h = d[2], w = d[3];
    if (h < 1 || w < 1 || h > 65535 || w > 65535 || h * w > IB_DEPTH_MAX_PIXELS)
        return ib_fail(diag, ISOBATH_ERR_INPUT,
                       "%s: an array of rank %d and of a size that is not a depth video; expected (N,H,W)", path, rank);
    info->frames = n;
    info->height = (int)h;
    info->width = (int)w;
    return ISOBATH_OK;
}

static const ib_zip_member *find_member(const ib_zip_member *members, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(members[i].name, name) == 0) return &members[i];
    return NULL;
}

/* times_us, when it is there and has one entry per frame. */
static isobath_status read_times(array_source *a, const char *path, const ib_zip_member *member,
                                 ib_depth_reader_info *info)
{
    ib_diag *diag = a->reader->diag;
    ib_npy_stream *times;
    IB_TRY(ib_npy_open(a->fd, path, member, diag, &times));
    isobath_status st = ISOBATH_OK;
    int64_t n = info->frames;
    if (ib_npy_rank(times) != 1 || ib_npy_shape(times)[0] != n || ib_npy_get_type(times) != IB_NPY_I64 || n > MAX_TIMES)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: times_us is not an int64 for each of the %lld frames", path,
                     (long long)n);
    else if (!(a->times_us = malloc((size_t)(n + 1) * sizeof *a->times_us)))
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    else
        st = ib_npy_read_int64(times, 0, n, a->times_us);
    ib_npy_close(times);
    info->has_times = st == ISOBATH_OK;
    return st;
}

static isobath_status read_kind(array_source *a, const char *path, const ib_zip_member *member,
                                ib_depth_reader_info *info)
{
    ib_npy_stream *kind;
    char text[16];
    IB_TRY(ib_npy_open(a->fd, path, member, a->reader->diag, &kind));
    isobath_status st = ib_npy_read_text(kind, text, sizeof text);
    ib_npy_close(kind);
    info->kind = strcmp(text, "metric") == 0 ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
    info->kind_known = strcmp(text, "metric") == 0 || strcmp(text, "disparity") == 0;
    return st;
}

static isobath_status open_members(array_source *a, const char *path, ib_depth_reader_info *info)
{
    ib_diag *diag = a->reader->diag;
    ib_zip_member *members = calloc(MAX_MEMBERS, sizeof *members);
    if (!members) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    int count;
    isobath_status st = ib_zip_list(a->fd, path, diag, members, MAX_MEMBERS, &count);
    const char *names[] = {"depths.npy", "depth.npy", "disparity.npy"};
    const ib_zip_member *depths = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !depths; i++) depths = find_member(members, count, names[i]);
    if (!depths && count == 1) depths = members;
    if (st == ISOBATH_OK && !depths)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no array \"depths\" among its %d members", path, count);
    if (st == ISOBATH_OK) st = ib_npy_open(a->fd, path, depths, diag, &a->stream);
    if (st == ISOBATH_OK) st = shape_to_info(a->stream, path, diag, info);
    const ib_zip_member *times = find_member(members, count, "times_us.npy");
    if (st == ISOBATH_OK && times && !a->files.folder) st = read_times(a, path, times, info);
    const ib_zip_member *kind = find_member(members, count, "kind.npy");
    if (st == ISOBATH_OK && kind) st = read_kind(a, path, kind, info);
    free(members);
    return st;
}

static isobath_status open_path(array_source *a, const char *path, ib_depth_reader_info *info)
{
    ib_diag *diag = a->reader->diag;
    a->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (a->fd < 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    char magic[6] = "";
    int is_npy = pread(a->fd, magic, 6, 0) == 6 && memcmp(magic, "\x93NUMPY", 6) == 0;
    info->format = is_npy ? "npy" : "npz";
    if (is_npy) {
        IB_TRY(ib_npy_open(a->fd, path, NULL, diag, &a->stream));
        IB_TRY(shape_to_info(a->stream, path, diag, info));
    } else {
        IB_TRY(open_members(a, path, info));
    }
    ib_npy_type type = ib_npy_get_type(a->stream);
    info->integers = type == IB_NPY_U8 || type == IB_NPY_U16 || type == IB_NPY_I64;
    info->full_scale = type == IB_NPY_U8 ? 255 : type == IB_NPY_U16 ? 65535 : 0;
    if (type == IB_NPY_TEXT) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: an array of texts, not of depth", path);
    return ISOBATH_OK;
}

static isobath_status open_file(array_source *a, int64_t i, ib_depth_reader_info *info)
{
    close_file(a);
    a->opened = -1;
    char *path = ib_file_list_path(&a->files, i);
    if (!path) return ib_fail(a->reader->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", a->files.names[i]);
    isobath_status st = open_path(a, path, info);
    free(path);
    if (st == ISOBATH_OK) a->opened = i;
    return st;
}

isobath_status ib_depth_open_array(ib_depth_reader *reader, ib_file_list *list)
{
    array_source *a = calloc(1, sizeof *a);
    if (!a) {
        ib_file_list_free(list);
        return ib_fail(reader->diag, ISOBATH_ERR_MEMORY, "out of memory");
    }
    *a = (array_source){.files = *list, .fd = -1, .opened = -1, .reader = reader};
    reader->source = &array_functions;
    reader->self = a;
    ib_depth_reader_info *info = &reader->info;
    IB_TRY(open_file(a, 0, info));
    a->frame_elements = (int64_t)info->width * info->height;
    if (!a->files.folder) return ISOBATH_OK;
    if (info->frames != 1)
        return ib_fail(reader->diag, ISOBATH_ERR_INPUT,
                       "%s/%s: holds %lld frames; expected one a file in a folder of arrays", a->files.folder,
                       a->files.names[0], (long long)info->frames);
    info->frames = a->files.count;
    return ISOBATH_OK;
}
