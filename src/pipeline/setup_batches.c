/* How many frames the network takes at a time; in a file of its own for programs that need nothing else of a run's set-up. */
#include "model/lanes.h"
#include "pipeline/plan.h"
#include "pipeline/setup.h"

void ib_setup_batches(const ib_vda_config *config, int gpu, ib_dtype act, ib_vda_shape *shape)
{
    int64_t pixels = (int64_t)(shape->height / 14) * (shape->width / 14);
    int64_t largest = pixels * 64 * config->features * 2; /* bytes of the head's largest map for one frame, in a half type */
    const int lanes = gpu && act != IB_F32 && ib_lanes_gain(config->width); /* two halves of a batch side by side */
    /* measured: docs/SPEED.md */
    shape->encode_batch = !gpu ? 4 : act == IB_F32 ? 8 : lanes ? IB_PLAN_STEP : 11;
    shape->depth_batch = largest > (96 << 20) ? 1 : lanes ? 6 : largest > (24 << 20) ? 2 : gpu ? 8 : 4;
    shape->temporal_piece = gpu || pixels < 1024 ? pixels : 1024;
    shape->depth_slots = gpu ? 2 : 1;
    shape->taps_first = gpu;
}
