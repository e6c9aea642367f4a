/* See raw.h. */
#include "media/raw.h"

#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads "[WxH][:[FORMAT][:[FPS]]]"; 0: it is something else. */
static int parse(const char *spec, ib_raw *r)
{
    int used = 0;
    *r = (ib_raw){0};
    if (*spec != ':' && *spec) {
        if (sscanf(spec, "%6dx%6d%n", &r->width, &r->height, &used) != 2 || r->width <= 0 || r->height <= 0) return 0;
        spec += used;
    }
    if (*spec == ':') {
        size_t n = strcspn(++spec, ":");
        if (n >= sizeof r->format) return 0;
        memcpy(r->format, spec, n);
        spec += n;
    }
    if (*spec == ':' && *++spec) {
        char *end;
        r->fps = strtod(spec, &end);
        if (*end || !(r->fps > 0 && r->fps <= 1e6)) return 0;
        spec = end;
    }
    return !*spec;
}

isobath_status ib_raw_parse(const char *spec, ib_diag *diag, ib_raw *out)
{
    if (!parse(spec, out) || !out->width || !out->format[0] || !(out->fps > 0))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "raw video is described as WIDTHxHEIGHT:PIXFMT:FPS (640x480:rgb24:30), not %s", spec);
    if (av_get_pix_fmt(out->format) == AV_PIX_FMT_NONE)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "raw video format %s: %s is not a pixel format of libav", spec, out->format);
    return ISOBATH_OK;
}

isobath_status ib_raw_parse_mode(const char *spec, ib_diag *diag, ib_raw *out)
{
    if (!parse(spec, out) || (!out->width && !out->format[0] && !(out->fps > 0)))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "a camera's mode is WIDTHxHEIGHT:FORMAT:FPS (1280x720:mjpeg:30), where parts may be empty, not %s", spec);
    if (out->format[0] && av_get_pix_fmt(out->format) == AV_PIX_FMT_NONE && !avcodec_descriptor_get_by_name(out->format))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "camera mode %s: %s is neither a pixel format (yuyv422) nor a codec (mjpeg) of libav", spec, out->format);
    return ISOBATH_OK;
}

isobath_status ib_raw_options(const ib_raw *raw, AVDictionary **dict, ib_diag *diag)
{
    char text[64];
    int err = 0;
    if (raw->width) {
        snprintf(text, sizeof text, "%dx%d", raw->width, raw->height);
        err = av_dict_set(dict, "video_size", text, 0);
    }
    if (err >= 0 && raw->fps > 0) {
        AVRational rate = av_d2q(raw->fps, 1000000);
        snprintf(text, sizeof text, "%d/%d", rate.num, rate.den);
        err = av_dict_set(dict, "framerate", text, 0);
    }
    if (err >= 0 && raw->format[0]) err = av_dict_set(dict, "pixel_format", raw->format, 0);
    return err < 0 ? ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory") : ISOBATH_OK;
}
