/* See device.h. libavdevice pulls in sound servers and window systems, so that it is no dependency of everyone. */
#include "media/device.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
#include <linux/videodev2.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int ib_device_is(const char *name)
{
    struct stat sb;
    return stat(name, &sb) == 0 && S_ISCHR(sb.st_mode);
}

static isobath_status cannot_open(const char *name, int error, ib_diag *diag)
{
    const char *what = error == EBUSY                       ? ": another program uses this camera"
                       : error == EACCES || error == EPERM ? " (cameras belong to the group video: usermod -aG video USER, and log in again)"
                                                            : "";
    return ib_fail(diag, ISOBATH_ERR_INPUT, "cannot open %s: %s%s", name, strerror(error), what);
}

/* Asks V4L2 what it is. */
static isobath_status look(const char *name, ib_diag *diag)
{
    struct v4l2_capability cap;
    int fd = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return cannot_open(name, errno, diag);
    int known = ioctl(fd, VIDIOC_QUERYCAP, &cap) == 0, error = errno;
    close(fd);
    if (!known && error == ENODEV) return cannot_open(name, error, diag);
    if (!known) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: a device, but no camera: V4L2 does not know it", name);
    uint32_t can = cap.capabilities & V4L2_CAP_DEVICE_CAPS ? cap.device_caps : cap.capabilities;
    if (can & V4L2_CAP_VIDEO_CAPTURE && can & V4L2_CAP_STREAMING) return ISOBATH_OK;
    if (can & V4L2_CAP_VIDEO_CAPTURE_MPLANE)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: gives its pictures in several planes (multi-planar V4L2), which libavdevice does not read", name);
    return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: this V4L2 device captures no video (a camera has a second one for metadata; v4l2-ctl --list-devices)", name);
}

isobath_status ib_device_demuxer(const char *name, ib_diag *diag, const AVInputFormat **out)
{
    char library[32];
    IB_TRY(look(name, diag));
    /* both libraries have had the same major version since FFmpeg 3 */
    snprintf(library, sizeof library, "libavdevice.so.%d", LIBAVFORMAT_VERSION_MAJOR);
    void *handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL); /* stays: libav keeps pointers into it */
    void (*register_all)(void) = NULL;
    if (handle) *(void **)&register_all = dlsym(handle, "avdevice_register_all");
    if (!register_all)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: a camera needs %s, which does not load (Debian: apt-get install libavdevice%d)",
                       name, library, LIBAVFORMAT_VERSION_MAJOR);
    register_all();
    *out = av_find_input_format("v4l2");
    return *out ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: this build of %s knows no V4L2 cameras", name, library);
}

isobath_status ib_device_refused(const char *name, const ib_raw *mode, int err, ib_diag *diag)
{
    char modes[400], why[128];
    if (err == AVERROR(ENOMEM)) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
    if (err == AVERROR(EBUSY)) return cannot_open(name, EBUSY, diag);
    ib_device_modes(name, modes, sizeof modes);
    if (mode && err == AVERROR(EINVAL))
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: the camera does not do the mode that was asked for%s%s", name, *modes ? "; it does " : "", modes);
    if (av_strerror(err, why, sizeof why) < 0) snprintf(why, sizeof why, "libav error %d", err);
    if (err == AVERROR(ENOSPC)) snprintf(why, sizeof why, "no room on the USB bus: a smaller size, a lower rate or mjpeg needs less");
    return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no picture from this camera: %s%s%s", name, why, *modes ? "; its modes: " : "", modes);
}

int ib_device_gives(const AVStream *stream, const ib_raw *mode)
{
    const AVCodecParameters *p = stream->codecpar;
    enum AVPixelFormat pix_fmt = av_get_pix_fmt(mode->format);
    const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(mode->format);
    double fps = stream->avg_frame_rate.den > 0 ? av_q2d(stream->avg_frame_rate) : 0;
    if (mode->width && (p->width != mode->width || p->height != mode->height)) return 0;
    if (mode->fps > 0 && fabs(fps - mode->fps) > 0.01 * mode->fps) return 0; /* 29.97 is 30 */
    if (!mode->format[0]) return 1;
    return p->codec_id == AV_CODEC_ID_RAWVIDEO ? p->format == pix_fmt : codec && codec->id == p->codec_id;
}

/* What libav calls it. */
static const char *format_name(uint32_t fourcc, char code[5])
{
    static const struct {
        uint32_t fourcc;
        const char *name;
    } names[] = {{V4L2_PIX_FMT_YUYV, "yuyv422"}, {V4L2_PIX_FMT_UYVY, "uyvy422"}, {V4L2_PIX_FMT_MJPEG, "mjpeg"},   {V4L2_PIX_FMT_JPEG, "mjpeg"},
                 {V4L2_PIX_FMT_H264, "h264"},    {V4L2_PIX_FMT_HEVC, "hevc"},    {V4L2_PIX_FMT_NV12, "nv12"},     {V4L2_PIX_FMT_YUV420, "yuv420p"},
                 {V4L2_PIX_FMT_RGB24, "rgb24"},  {V4L2_PIX_FMT_BGR24, "bgr24"},  {V4L2_PIX_FMT_YUV422P, "yuv422p"}, {V4L2_PIX_FMT_GREY, "gray"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].fourcc == fourcc) return names[i].name;
    for (int i = 0; i < 4; i++) {
        char c = (char)(fourcc >> 8 * i);
        code[i] = c > ' ' && c <= '~' ? c : '?';
    }
    code[4] = '\0';
    return code;
}

/* The highest rate of a size; 0: not known. */
static double best_rate(int fd, uint32_t fourcc, uint32_t width, uint32_t height)
{
    struct v4l2_frmivalenum v = {.pixel_format = fourcc, .width = width, .height = height};
    double best = 0;
    for (; v.index < 64 && ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &v) == 0; v.index++) {
        struct v4l2_fract t = v.type == V4L2_FRMIVAL_TYPE_DISCRETE ? v.discrete : v.stepwise.min;
        if (t.numerator) best = fmax(best, (double)t.denominator / t.numerator);
        if (v.type != V4L2_FRMIVAL_TYPE_DISCRETE) break;
    }
    return best;
}

typedef struct line {
    char *text;
    size_t size, used;
} line;

__attribute__((format(printf, 2, 3))) static void add(line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = l->used < l->size ? vsnprintf(l->text + l->used, l->size - l->used, format, args) : 0;
    va_end(args);
    if (n > 0) l->used += (size_t)n;
}

static void list_sizes(int fd, uint32_t fourcc, line *l)
{
    struct v4l2_frmsizeenum s = {.pixel_format = fourcc};
    for (; s.index < 64 && ioctl(fd, VIDIOC_ENUM_FRAMESIZES, &s) == 0; s.index++) {
        if (s.type != V4L2_FRMSIZE_TYPE_DISCRETE) {
            add(l, " %ux%u to %ux%u", s.stepwise.min_width, s.stepwise.min_height, s.stepwise.max_width, s.stepwise.max_height);
            return;
        }
        add(l, "%s %ux%u", s.index ? "," : "", s.discrete.width, s.discrete.height);
        double fps = best_rate(fd, fourcc, s.discrete.width, s.discrete.height);
        if (fps > 0) add(l, " at %.4g", fps);
    }
}

void ib_device_modes(const char *name, char *text, size_t size)
{
    line l = {text, size, 0};
    struct v4l2_fmtdesc d = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    char code[5];
    *text = '\0';
    int fd = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    for (; d.index < 64 && ioctl(fd, VIDIOC_ENUM_FMT, &d) == 0; d.index++) {
        add(&l, "%s%s", d.index ? "; " : "", format_name(d.pixelformat, code));
        list_sizes(fd, d.pixelformat, &l);
    }
    close(fd);
    if (l.used >= size) snprintf(text + size - 5, 5, " ...");
}
