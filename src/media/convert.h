/* From libav's frames to RGB of the final size: colour, deinterlacing, crop, square pixels, reduction, turn. */
#ifndef IB_MEDIA_CONVERT_H
#define IB_MEDIA_CONVERT_H

#include "media/media.h"
#include "media/picture.h"

typedef struct ib_convert ib_convert;

/* Made for frames like `first`. options: max_res, crop (OFF or RECT), square_pixels, keep_hdr, deinterlace, pool.
 * `name` is for messages and must outlive the object. Fills the sizes, crop, colour, rotation and aspect of `info`.
 * Errors: ISOBATH_ERR_USAGE (crop outside of the picture), ISOBATH_ERR_MEMORY. */
isobath_status ib_convert_create(const AVFrame *first, ib_orientation orientation, double pixel_aspect,
                                 const ib_media_options *options, const char *name, ib_diag *diag, ib_media_info *info,
                                 ib_convert **out);
void ib_convert_destroy(ib_convert *convert); /* NULL allowed */

/* 1 when the conversion is of colour alone, straight to the result. */
int ib_convert_is_plain(const ib_convert *convert);

/* rgb: info->width * info->height * 3 bytes. The frame must have the size of the first one.
 * Errors: ISOBATH_ERR_UNSUPPORTED, ISOBATH_ERR_INPUT (libswscale), ISOBATH_ERR_MEMORY. */
isobath_status ib_convert_run(ib_convert *convert, const AVFrame *frame, uint8_t *rgb);

#endif
