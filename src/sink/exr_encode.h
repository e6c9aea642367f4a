/* One depth frame as an OpenEXR file in memory: channel Z and the same as Y, scanlines; OpenEXR's C core, with ISA-L for ZIP. */
#ifndef IB_SINK_EXR_ENCODE_H
#define IB_SINK_EXR_ENCODE_H

#include "base/diag.h"
#include "sink/sink.h"

typedef struct ib_exr_encoder ib_exr_encoder;

/* ISOBATH_ERR_USAGE where `compression` is none of those below. */
isobath_status ib_exr_check_compression(const char *compression, ib_diag *diag);

/* pixel_aspect: width / height of a pixel. compression: NULL or "zip", "piz", "pxr24" (float is rounded to 24 bits), "none". `half`: 16-bit floats.
 * `z_only`: without Y, which is there for viewers that take Z for no picture.
 * Errors: ISOBATH_ERR_USAGE (no such compression), ISOBATH_ERR_MEMORY. One thread at a time. */
isobath_status ib_exr_encoder_create(int width, int height, const char *compression, int half, int z_only, ib_depth_kind kind,
                                     double pixel_aspect, ib_diag *diag, ib_exr_encoder **out);
void ib_exr_encoder_destroy(ib_exr_encoder *encoder);
/* *data is valid until the next call. Errors: ISOBATH_ERR_INTERNAL; ISOBATH_ERR_INPUT when a value does not fit half.
 */
isobath_status ib_exr_encode(ib_exr_encoder *encoder, const ib_depth_frame *frame, ib_diag *diag, const uint8_t **data,
                             size_t *size);

#endif
