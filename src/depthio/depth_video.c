/* Depth from grey video: ours (FFV1 with the scale in its tags) or foreign. */
#include "depthio/depth_reader_internal.h"
#include "media/grey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static isobath_status video_read(void *self, int64_t i, float *samples) { return ib_grey_read(self, i, samples); }
static int64_t video_time_us(void *self, int64_t i) { return ib_grey_time_us(self, i); }
static void video_close(void *self) { ib_grey_close(self); }

static const ib_depth_source video_functions = {video_read, video_time_us, NULL, video_close};

static int tag_number(const ib_grey *grey, const char *key, double *out)
{
    const char *text = ib_grey_tag(grey, key);
    char *end;
    if (!text) return 0;
    *out = strtod(text, &end);
    return end != text && *end == 0 && isfinite(*out);
}

isobath_status ib_depth_open_video(ib_depth_reader *reader, const char *path)
{
    ib_grey *grey;
    IB_TRY(ib_grey_open(path, 0, reader->diag, &grey));
    reader->source = &video_functions;
    reader->self = grey;
    const ib_grey_info *g = ib_grey_get_info(grey);
    ib_depth_reader_info *info = &reader->info;
    if (g->width < 1 || g->height < 1 || (int64_t)g->width * g->height > IB_DEPTH_MAX_PIXELS)
        return ib_fail(reader->diag, ISOBATH_ERR_INPUT, "%s: pictures of %dx%d", path, g->width, g->height);
    info->format = "video";
    info->frames = g->frames;
    info->width = g->width;
    info->height = g->height;
    info->integers = 1;
    info->full_scale = (1 << g->bits) - 1;
    info->has_times = 1;
    const char *kind = ib_grey_tag(grey, "ISOBATH_KIND");
    int ours = tag_number(grey, "ISOBATH_SCALE", &info->scale) && tag_number(grey, "ISOBATH_OFFSET", &info->offset) &&
               info->scale > 0;
    if (!ours) info->scale = 1, info->offset = 0;
    info->scale_known = ours;
    info->has_invalid = ours && ib_grey_tag(grey, "ISOBATH_INVALID") != NULL;
    info->kind_known = ours && kind != NULL;
    info->kind = info->kind_known && strcmp(kind, "metric") == 0 ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
    return ISOBATH_OK;
}
