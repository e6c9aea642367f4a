/* The chain of conversions; see convert.h. Stored picture -> RGB -> [deinterlace] -> [crop] -> [resize] -> [turn]. */
#include "media/convert.h"
#include "media/compat.h"

#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ib_convert {
    ib_diag *diag;
    const char *name;
    ib_media_options options;
    int width, height; /* stored */
    ib_rect crop;      /* in the stored picture */
    int out_w, out_h;  /* after the resize, before the turn */
    ib_orientation orientation;
    ib_colour *colour;
    ib_resize *resize;      /* NULL: size stays */
    struct SwsContext *sws; /* exotic formats only */
    AVFrame *sws_frame;
    uint8_t *full;    /* stored size; NULL: colour writes straight to the result */
    uint8_t *resized; /* out_w x out_h, to be turned; NULL where not needed */
};

static isobath_status fail_memory(ib_convert *c)
{
    return ib_fail(c->diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a %dx%d picture", c->name, c->width, c->height);
}

/* A rectangle of the upright picture as one of the stored picture, or back (transpose is its own inverse here). */
static ib_rect to_stored(ib_rect r, ib_orientation o, int stored_w, int stored_h)
{
    int upright_w = o.transpose ? stored_h : stored_w, upright_h = o.transpose ? stored_w : stored_h;
    if (o.hflip) r.x = upright_w - r.x - r.width;
    if (o.vflip) r.y = upright_h - r.y - r.height;
    return o.transpose ? (ib_rect){r.y, r.x, r.height, r.width} : r;
}

/* Crop, aspect and limit to sizes. */
static isobath_status plan_sizes(ib_convert *c, double aspect, ib_media_info *info)
{
    int turned = c->orientation.transpose;
    ib_rect whole = {0, 0, turned ? c->height : c->width, turned ? c->width : c->height}, r = whole;
    if (c->options.crop == IB_CROP_RECT) {
        r = c->options.crop_rect;
        if (r.x < 0 || r.y < 0 || r.width < 1 || r.height < 1 || r.width > whole.width || r.height > whole.height ||
            r.x > whole.width - r.width || r.y > whole.height - r.height)
            return ib_fail(c->diag, ISOBATH_ERR_USAGE,
                           "%s: a crop of %dx%d at %d,%d does not lie within the picture of %dx%d", c->name, r.width,
                           r.height, r.x, r.y, whole.width, whole.height);
    }
    info->crop = r;
    c->crop = to_stored(r, c->orientation, c->width, c->height);
    int w = c->crop.width, h = c->crop.height;
    if (c->options.square_pixels && aspect > 1) w = (int)fmin(rint(w * aspect), 65536);
    if (c->options.square_pixels && aspect < 1) h = (int)fmin(rint(h / aspect), 65536);
    ib_media_reduced_size(w, h, c->options.max_res, &c->out_w, &c->out_h);
    info->coded_width = c->width;
    info->coded_height = c->height;
    info->width = turned ? c->out_h : c->out_w;
    info->height = turned ? c->out_w : c->out_h;
    info->rotation = ib_orientation_degrees(c->orientation);
    info->pixel_aspect = aspect;
    return ISOBATH_OK;
}

isobath_status ib_convert_create(const AVFrame *first, ib_orientation orientation, double pixel_aspect,
                                 const ib_media_options *options, const char *name, ib_diag *diag, ib_media_info *info,
                                 ib_convert **out)
{
    *out = NULL;
    ib_convert *c = calloc(1, sizeof *c);
    if (!c) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
    *c = (ib_convert){.diag = diag,
                      .name = name,
                      .options = *options,
                      .width = first->width,
                      .height = first->height,
                      .orientation = orientation};
    isobath_status st = plan_sizes(c, pixel_aspect, info);
    ib_picture_describe(first, info->colour, sizeof info->colour);
    ib_picture pic;
    int native = ib_picture_from_frame(first, &pic);
    info->tone_mapped = !options->keep_hdr && native && pic.transfer != IB_TRANSFER_SDR;
    if (!native) { /* the result depends on its version */
        unsigned v = swscale_version();
        size_t n = strlen(info->colour);
        snprintf(info->colour + n, sizeof info->colour - n, " libswscale %u.%u.%u", v >> 16, v >> 8 & 255, v & 255);
    }
    int turn = !ib_orientation_is_identity(orientation);
    int crop = c->crop.width != c->width || c->crop.height != c->height;
    int resize = c->out_w != c->crop.width || c->out_h != c->crop.height;
    if (st == ISOBATH_OK && (turn || crop || resize)) {
        c->full = malloc((size_t)c->width * (size_t)c->height * 3);
        if (!c->full) st = fail_memory(c);
    }
    if (st == ISOBATH_OK && turn && (crop || resize)) {
        c->resized = malloc((size_t)c->out_w * (size_t)c->out_h * 3);
        if (!c->resized) st = fail_memory(c);
    }
    if (st == ISOBATH_OK && resize)
        st = ib_resize_create(c->crop.width, c->crop.height, c->out_w, c->out_h, options->pool, diag, &c->resize);
    if (st != ISOBATH_OK)
        ib_convert_destroy(c);
    else
        *out = c;
    return st;
}

int ib_convert_is_plain(const ib_convert *c) { return !c->full && !c->options.deinterlace; }

void ib_convert_destroy(ib_convert *c)
{
    if (!c) return;
    ib_colour_destroy(c->colour);
    ib_resize_destroy(c->resize);
    sws_freeContext(c->sws);
    av_frame_free(&c->sws_frame);
    free(c->full);
    free(c->resized);
    free(c);
}

/* RGB24 through libswscale, for layouts that ib_picture cannot describe. */
static isobath_status exotic(ib_convert *c, const AVFrame *frame, ib_picture *pic)
{
    char colour[96];
    ib_picture_describe(frame, colour, sizeof colour);
    c->sws = sws_getCachedContext(c->sws, frame->width, frame->height, frame->format, frame->width, frame->height,
                                  AV_PIX_FMT_RGB24, SWS_POINT | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
    if (!c->sws)
        return ib_fail(c->diag, ISOBATH_ERR_UNSUPPORTED, "%s: libswscale has no conversion from %s to RGB", c->name,
                       colour);
    if (!c->sws_frame) {
        c->sws_frame = av_frame_alloc();
        if (!c->sws_frame) return fail_memory(c);
        c->sws_frame->format = AV_PIX_FMT_RGB24;
        c->sws_frame->width = frame->width;
        c->sws_frame->height = frame->height;
        if (av_frame_get_buffer(c->sws_frame, 0) < 0) return fail_memory(c);
    }
    ib_yuv_matrix m = ib_frame_matrix(frame);
    const int *table = sws_getCoefficients(m == IB_YUV_BT601   ? SWS_CS_ITU601
                                           : m == IB_YUV_BT709 ? SWS_CS_ITU709
                                                               : SWS_CS_BT2020);
    sws_setColorspaceDetails(c->sws, table, ib_frame_full_range(frame), table, 1, 0, 1 << 16, 1 << 16);
    if (sws_scale(c->sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, c->sws_frame->data,
                  c->sws_frame->linesize) != frame->height)
        return ib_fail(c->diag, ISOBATH_ERR_INPUT, "%s: libswscale could not convert a frame (%s)", c->name, colour);
    ib_picture_from_frame(c->sws_frame, pic);
    return ISOBATH_OK;
}

/* Rows of the bottom field become the mean of their neighbours from the top field, (a + b + 1) >> 1. */
static void drop_bottom_field(uint8_t *rgb, int width, int height)
{
    size_t row = (size_t)width * 3;
    for (int y = 1; y < height; y += 2) {
        uint8_t *d = rgb + (size_t)y * row;
        const uint8_t *a = d - row, *b = y + 1 < height ? d + row : a;
        for (size_t i = 0; i < row; i++) d[i] = (uint8_t)((a[i] + b[i] + 1) >> 1);
    }
}

isobath_status ib_convert_run(ib_convert *c, const AVFrame *frame, uint8_t *rgb)
{
    ib_picture pic;
    if (!ib_picture_from_frame(frame, &pic)) IB_TRY(exotic(c, frame, &pic));
    if (c->options.keep_hdr) pic.transfer = IB_TRANSFER_SDR;
    if (!c->colour || !ib_colour_fits(c->colour, &pic)) {
        ib_colour_destroy(c->colour);
        IB_TRY(ib_colour_create(&pic, c->options.pool, c->diag, &c->colour));
    }
    uint8_t *full = c->full ? c->full : rgb;
    ptrdiff_t stride = (ptrdiff_t)c->width * 3;
    ib_colour_run(c->colour, &pic, full, stride);
    if (c->options.deinterlace && ib_compat_interlaced(frame)) drop_bottom_field(full, c->width, c->height);
    if (!c->full) return ISOBATH_OK;

    int turn = !ib_orientation_is_identity(c->orientation);
    const uint8_t *kept = full + c->crop.y * stride + (ptrdiff_t)c->crop.x * 3, *upright = full;
    uint8_t *resized = turn ? c->resized : rgb;
    if (c->resize)
        ib_resize_run(c->resize, kept, stride, resized);
    else if (resized)
        for (int y = 0; y < c->out_h; y++)
            memcpy(resized + (size_t)y * (size_t)c->out_w * 3, kept + y * stride, (size_t)c->out_w * 3);
    if (turn) {
        if (c->resized) upright = c->resized;
        ib_orient(c->orientation, upright, c->out_w, c->out_h, rgb, c->options.pool);
    }
    return ISOBATH_OK;
}
