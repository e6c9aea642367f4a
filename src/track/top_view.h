/* The plot of tracks from above: what the SVG and the PNG share. */
#ifndef IB_TRACK_TOP_VIEW_H
#define IB_TRACK_TOP_VIEW_H

#include "track/result.h"

#define IB_TOP_SIDE 800
#define IB_TOP_MARGIN 60

typedef struct ib_top_view {
    double x0, z0, x1, z1, scale; /* pixel = (x - x0) * scale, upwards z */
    double width, height;         /* of the plot, without margins */
    double step;                  /* of the grid */
    int decimals;                 /* of its labels */
    const ib_row **rows;          /* with a position, by track and frame */
    size_t count;
} ib_top_view;

/* 0: out of memory. */
int ib_top_view_make(const ib_result *result, ib_top_view *view);
void ib_top_view_free(ib_top_view *view);
double ib_top_x(const ib_top_view *view, double x);
double ib_top_y(const ib_top_view *view, double z);
const char *ib_top_unit(const ib_result *result); /* "metres" or "units of an unknown scale" */

#endif
