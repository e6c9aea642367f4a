/* Depth to look at while it comes: pictures in colours, for a player. */
#ifndef IB_PIPELINE_STREAM_VIEW_H
#define IB_PIPELINE_STREAM_VIEW_H

#include "sink/sink.h"

/* The ends of the colours: a wider frame counts at once, a narrower one little by little. */
typedef struct ib_view_range {
    float low, high;
    int begun;
} ib_view_range;

/* Takes in a frame from `min` to `max`. */
void ib_view_range_add(ib_view_range *range, float min, float max);

typedef struct ib_view ib_view;
/* `config`: size, colormap, grayscale, side by side, fixed range; must outlive the view.
 * Errors: ISOBATH_ERR_USAGE (colormap), ISOBATH_ERR_MEMORY. */
isobath_status ib_view_create(const ib_sink_config *config, ib_diag *diag, ib_view **out);
/* Size of its pictures, even. */
int ib_view_width(const ib_view *view);
int ib_view_height(const ib_view *view);
/* The next frame as 4:2:0, 8 bits (Y, U, V one behind the other; BT.709, limited range), until the next call; `bytes` of them. */
const uint8_t *ib_view_draw(ib_view *view, const ib_depth_frame *frame, size_t *bytes);
void ib_view_destroy(ib_view *view); /* NULL allowed */

#endif
