/* Fetching one file over HTTP: resumed, checked, and named only when it is whole. */
#ifndef IB_WEIGHTS_DOWNLOAD_H
#define IB_WEIGHTS_DOWNLOAD_H

#include "base/diag.h"
#include <stdint.h>

/* As isobath_pull_options; all must be set but progress and accept. */
typedef struct ib_download_options {
    int attempts, stall_seconds, retry_ms;
    int (*progress)(void *ctx, int64_t done, int64_t total);
    void *ctx;
    isobath_status (*accept)(const char *path, ib_diag *diag); /* last check of the whole file; NULL: none */
} ib_download_options;

/* Fetches `url` to PATH.part and renames it to PATH. PATH.part.etag says which version of the file the part is of; a
 * part of another version is thrown away. Sizes come from Content-Range, Content-Length and X-Linked-Size, the SHA-256
 * from X-Linked-ETag or an ETag of 64 hex digits. Errors: ISOBATH_ERR_IO (network, disk, another download of the same
 * file), ISOBATH_ERR_MODEL (size, hash or content is wrong: the part is removed), ISOBATH_ERR_INTERRUPTED,
 * ISOBATH_ERR_MEMORY. */
isobath_status ib_download(const char *url, const char *path, const ib_download_options *options, ib_diag *diag);

#endif
