/* See device.h. libavdevice pulls in sound servers and window systems, so that it is no dependency of everyone. */
#include "media/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sys/stat.h>

int ib_device_is(const char *name)
{
    struct stat sb;
    return stat(name, &sb) == 0 && S_ISCHR(sb.st_mode);
}

isobath_status ib_device_demuxer(const char *name, ib_diag *diag, const AVInputFormat **out)
{
    char library[32];
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
