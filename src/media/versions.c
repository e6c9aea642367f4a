/* Which FFmpeg this program runs with; see versions.h. */
#include "media/versions.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <stdio.h>

#define PARTS(v) AV_VERSION_MAJOR(v), AV_VERSION_MINOR(v), AV_VERSION_MICRO(v)

void ib_media_versions(char *buf, size_t size)
{
    unsigned f = avformat_version(), c = avcodec_version(), s = swscale_version();
    snprintf(buf, size, "FFmpeg %s (libavformat %u.%u.%u, libavcodec %u.%u.%u, libswscale %u.%u.%u; %s)",
             av_version_info(), PARTS(f), PARTS(c), PARTS(s), avcodec_license());
}
