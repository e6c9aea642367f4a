/* See view.h. */
#include "pipeline/stream/view.h"

#include "sink/colormap.h"
#include "sink/yuv.h"
#include <stdlib.h>

#define NARROW 0.05f /* of the way, in each frame: a second or so */

struct ib_view {
    const ib_sink_config *config;
    int width, height; /* of a picture, even */
    ib_yuv_table colours;
    ib_view_range range;
    uint8_t *planes, *index;
    uint8_t *source; /* side by side: the source picture in the size of the depth */
};

void ib_view_range_add(ib_view_range *r, float min, float max)
{
    if (!r->begun) *r = (ib_view_range){min, max, 1};
    r->low = min < r->low ? min : r->low + NARROW * (min - r->low);
    r->high = max > r->high ? max : r->high + NARROW * (max - r->high);
}

isobath_status ib_view_create(const ib_sink_config *config, ib_diag *diag, ib_view **out)
{
    const char *map = config->grayscale ? "gray" : config->colormap ? config->colormap : "inferno";
    uint8_t rgb[768];
    *out = NULL;
    if (!ib_colormap_find(map, rgb)) return ib_fail(diag, ISOBATH_ERR_USAGE, "--colormap %s: expected one of " IB_COLORMAP_NAMES, map);
    ib_view *v = calloc(1, sizeof *v);
    if (!v) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the view");
    size_t pixels = (size_t)config->width * (size_t)config->height;
    v->config = config;
    v->width = ((config->width + 1) & ~1) * (config->preview_side_by_side ? 2 : 1);
    v->height = (config->height + 1) & ~1;
    v->planes = malloc((size_t)v->width * (size_t)v->height * 3 / 2);
    v->index = malloc(pixels);
    if (config->preview_side_by_side) v->source = malloc(pixels * 3);
    if (!v->planes || !v->index || (config->preview_side_by_side && !v->source)) {
        ib_view_destroy(v);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the view");
    }
    ib_yuv_table_init(&v->colours, rgb);
    *out = v;
    return ISOBATH_OK;
}

int ib_view_width(const ib_view *v) { return v->width; }
int ib_view_height(const ib_view *v) { return v->height; }

const uint8_t *ib_view_draw(ib_view *v, const ib_depth_frame *f, size_t *bytes)
{
    const ib_sink_config *c = v->config;
    size_t luma = (size_t)v->width * (size_t)v->height;
    uint8_t *const planes[3] = {v->planes, v->planes + luma, v->planes + luma + luma / 4};
    const int strides[3] = {v->width, v->width / 2, v->width / 2};
    ib_view_range_add(&v->range, f->min, f->max);
    float low = v->range.low, high = v->range.high;
    if (c->range_max > c->range_min) {
        low = (float)c->range_min;
        high = (float)c->range_max;
    }
    float span = high > low ? high - low : 1;
    for (int64_t i = 0; i < (int64_t)f->width * f->height; i++) {
        float t = (f->depth[i] - low) / span * 255;
        v->index[i] = t > 0 ? t < 255 ? (uint8_t)t : 255 : 0;
    }
    if (v->source) {
        ib_rgb_resize(f->rgb, f->rgb_width, f->rgb_height, v->source, f->width, f->height);
        ib_yuv_paint_rgb(v->source, f->width, f->height, planes, strides, 0, 0);
    }
    ib_yuv_paint_indexed(&v->colours, v->index, f->width, f->height, planes, strides, v->source ? v->width / 2 : 0, 0);
    *bytes = luma * 3 / 2;
    return v->planes;
}

void ib_view_destroy(ib_view *v)
{
    if (!v) return;
    free(v->planes);
    free(v->index);
    free(v->source);
    free(v);
}
