/* Lists of image files: from a printf pattern, a folder or a glob, in order. */
#ifndef IB_MEDIA_IMAGES_H
#define IB_MEDIA_IMAGES_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ib_image_list {
    char **paths;
    int64_t count, capacity;
} ib_image_list;

/* Finds out whether `input` names images: a folder, a printf pattern or glob that is not itself a file, or one image
 * file (by extension). *is_list = 0 and nothing else when it does not.
 * - folder: every file in it with the extension of a known image format, sorted naturally (2 before 10)
 * - pattern (one %d or %0Nd, in the last component): every file of that name, by number; a gap is an error
 * - glob: every match, sorted naturally
 * Errors: ISOBATH_ERR_INPUT (no images, gaps), ISOBATH_ERR_MEMORY. */
isobath_status ib_image_list_find(const char *input, ib_diag *diag, ib_image_list *list, int *is_list);
void ib_image_list_free(ib_image_list *list);

/* Orders names as people do: runs of digits by their value. */
int ib_natural_compare(const char *a, const char *b);

/* The image codec of a file by its first bytes (and its extension where a format has no signature), as an AVCodecID;
 * 0 (AV_CODEC_ID_NONE): not known. */
int ib_image_codec(const uint8_t *data, size_t size, const char *path);

#endif
