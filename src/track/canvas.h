/* Drawing on RGB pictures: lines, boxes, discs and text in a small bitmap font. Everything is clipped. Pure. */
#ifndef IB_TRACK_CANVAS_H
#define IB_TRACK_CANVAS_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ib_canvas {
    int width, height;
    uint8_t *rgb; /* (H,W,3), not owned */
} ib_canvas;

typedef struct ib_colour {
    uint8_t r, g, b;
} ib_colour;

/* A colour of its own for each track: hue by the golden angle; `light` 0..1. */
ib_colour ib_track_colour(int64_t id, double light);

/* opacity 0..1 over what is there. Pixels with centres in [x0,x1) x [y0,y1). */
void ib_canvas_fill(ib_canvas *c, double x0, double y0, double x1, double y1, ib_colour colour, double opacity);
/* The outline of a box, `thick` pixels wide, inside it. */
void ib_canvas_box(ib_canvas *c, double x0, double y0, double x1, double y1, int thick, ib_colour colour, int dashed);
/* A line with smooth edges. */
void ib_canvas_line(ib_canvas *c, double x0, double y0, double x1, double y1, double thick, ib_colour colour);
void ib_canvas_disc(ib_canvas *c, double x, double y, double radius, ib_colour colour);
/* ASCII; other letters are shown as '?'. (x,y): left and top; each letter is 6 x 8 pixels times `scale`. */
void ib_canvas_text(ib_canvas *c, int x, int y, int scale, const char *text, ib_colour colour);
int ib_canvas_text_width(const char *text, int scale);

#endif
