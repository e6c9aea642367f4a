/* Colour maps for previews. */
#ifndef IB_SINK_COLORMAP_H
#define IB_SINK_COLORMAP_H

#include <stdint.h>

#define IB_COLORMAP_NAMES "inferno, magma, viridis, plasma, turbo, gray"

/* Copies the map `name` (one of IB_COLORMAP_NAMES) as 256 RGB triples; returns 0 when there is none of that name. */
int ib_colormap_find(const char *name, uint8_t rgb[768]);

#endif
