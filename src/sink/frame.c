/* The frame that all sinks of a run share: one allocation each for depth and picture, an atomic reference count. */
#include "sink/sink.h"

#include <stdatomic.h>
#include <stdlib.h>

/* What ib_depth_frame_create really allocates: the public part first. */
typedef struct counted_frame {
    ib_depth_frame frame;
    atomic_int references;
} counted_frame;

isobath_status ib_depth_frame_create(int width, int height, int with_rgb, int rgb_width, int rgb_height, ib_diag *diag,
                                     ib_depth_frame **out)
{
    *out = NULL;
    if (width < 1 || height < 1 || (with_rgb && (rgb_width < 1 || rgb_height < 1)))
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "depth frame of %dx%d with a picture of %dx%d", width, height,
                       rgb_width, rgb_height);
    counted_frame *counted = calloc(1, sizeof *counted);
    float *depth = malloc((size_t)width * (size_t)height * sizeof *depth);
    uint8_t *rgb = with_rgb ? malloc((size_t)rgb_width * (size_t)rgb_height * 3) : NULL;
    if (!counted || !depth || (with_rgb && !rgb)) {
        free(counted);
        free(depth);
        free(rgb);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a depth frame of %dx%d", width, height);
    }
    ib_depth_frame *frame = &counted->frame;
    frame->width = width;
    frame->height = height;
    frame->depth = depth;
    frame->rgb = rgb;
    frame->rgb_width = with_rgb ? rgb_width : 0;
    frame->rgb_height = with_rgb ? rgb_height : 0;
    atomic_init(&counted->references, 1);
    *out = frame;
    return ISOBATH_OK;
}

void ib_depth_frame_ref(ib_depth_frame *frame)
{
    atomic_fetch_add_explicit(&((counted_frame *)frame)->references, 1, memory_order_relaxed);
}

void ib_depth_frame_unref(ib_depth_frame *frame)
{
    if (!frame) return;
    counted_frame *counted = (counted_frame *)frame;
    if (atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) != 1) return;
    free(frame->depth);
    free(frame->rgb);
    free(counted);
}
