/* Masks of JSON formats: polygons and COCO's run lengths. */
#ifndef IB_TRACK_MASK_H
#define IB_TRACK_MASK_H

#include "track/tracks.h"

#include <jansson.h>

/* A number that is finite and at most 1e9 in size; 0: none. */
int ib_json_coordinate(const json_t *json, double *value);
/* Each sets the mask of d; 0: not what is expected, or out of memory. */
/* A flat list x y x y ...; an empty one is no mask. */
int ib_mask_polygon(const ib_tracks_source *source, const json_t *list, ib_detection *d);
/* A segmentation of COCO: a list of polygons, or {"size", "counts"}. Missing, null or empty is none. */
int ib_mask_segmentation(const ib_tracks_source *source, const json_t *value, ib_detection *d);

#endif
