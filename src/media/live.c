/* Which inputs can be read again, by their names; see media.h. */
#include "media/media.h"

#include "media/device.h"
#include <string.h>
#include <sys/stat.h>

int ib_media_is_live(const char *input)
{
    static const char *const broadcasts[] = {"rtsp://", "rtsps://", "rtp://", "udp://", "srt://", "rtmp://", "rtmps://"};
    for (size_t i = 0; i < sizeof broadcasts / sizeof *broadcasts; i++)
        if (strncmp(input, broadcasts[i], strlen(broadcasts[i])) == 0) return 1;
    return ib_device_is(input);
}

int ib_media_comes_once(const char *input)
{
    struct stat sb;
    return strcmp(input, "-") == 0 || ib_media_is_live(input) || (stat(input, &sb) == 0 && S_ISFIFO(sb.st_mode));
}
