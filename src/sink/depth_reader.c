/* Reading depth back: finds out what a path is and hands on. See depth_reader.h. */
#include "sink/depth_reader_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int ends_with(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcasecmp(path + n - m, suffix) == 0;
}

isobath_status ib_depth_reader_open(const char *path, ib_diag *diag, ib_depth_reader **out)
{
    *out = NULL;
    struct stat sb;
    if (stat(path, &sb) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    ib_depth_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    reader->diag = diag;
    reader->info.scale = 1;
    isobath_status st;
    if (S_ISDIR(sb.st_mode))
        st = ib_depth_open_png(reader, path, 1);
    else if (ends_with(path, ".png"))
        st = ib_depth_open_png(reader, path, 0);
    else if (ends_with(path, ".npz") || ends_with(path, ".npy"))
        st = ib_depth_open_array(reader, path);
    else
        st = ib_fail(diag, ISOBATH_ERR_INPUT,
                     "%s: not a kind of depth that is read: expected a folder of PNG files, .npz or .npy", path);
    if (st != ISOBATH_OK)
        ib_depth_reader_close(reader);
    else
        *out = reader;
    return st;
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
    if (!reader->source->set_scale) return;
    reader->source->set_scale(reader->self, scale, offset);
    reader->info.scale = scale;
    reader->info.offset = offset;
}

isobath_status ib_depth_reader_read(ib_depth_reader *reader, int64_t i, float *depth)
{
    if (i < 0 || i >= reader->info.frames)
        return ib_fail(reader->diag, ISOBATH_ERR_INPUT, "there is no frame %lld: the file holds %lld", (long long)i,
                       (long long)reader->info.frames);
    return reader->source->read(reader->self, i, depth);
}

int64_t ib_depth_reader_time_us(const ib_depth_reader *reader, int64_t i)
{
    if (!reader->info.has_times || i < 0 || i >= reader->info.frames) return -1;
    return reader->source->time_us(reader->self, i);
}
