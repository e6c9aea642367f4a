/* The tracks' video with boxes, ids and distances drawn in. */
#ifndef IB_TRACK_OVERLAY_H
#define IB_TRACK_OVERLAY_H

#include "track/canvas.h"
#include "track/result.h"

/* Writes PATH (MP4) from the pictures of `video`: frame i shows the rows of frame i, up to the last frame of the depth.
 * Boxes are brought to the pictures' size. Errors: ISOBATH_ERR_INPUT (not a video, or shorter than the tracks),
 * ISOBATH_ERR_IO, ISOBATH_ERR_UNSUPPORTED, ISOBATH_ERR_MEMORY. */
isobath_status ib_overlay_write(const ib_result *result, const char *video, const char *path, ib_diag *diag);

/* Draws the rows of one frame. Pure. */
void ib_overlay_draw(const ib_result *result, const ib_row *rows, size_t count, int64_t frame, ib_canvas *canvas);

#endif
