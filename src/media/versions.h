/* Which FFmpeg this program runs with. */
#ifndef IB_MEDIA_VERSIONS_H
#define IB_MEDIA_VERSIONS_H

#include <stddef.h>

/* "libavformat 59.27.100, libavcodec 59.37.100, libswscale 6.7.100 (GPL version 2 or later)" into buf: the libraries
 * that were loaded, not those that were compiled against. */
void ib_media_versions(char *buf, size_t size);

#endif
