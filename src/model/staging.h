/* Source frames on their way into the network: uploaded beside the work (read where they are on backends without transfers of
 * their own), made RGB, resized and normalised on the device. */
#ifndef IB_MODEL_STAGING_H
#define IB_MODEL_STAGING_H

#include "model/budget.h"
#include "op/transfer.h"

struct ib_vda_frame;

/* Zero-initialised. Memory is taken at the first frame and kept; it grows with the source size. `budget` counts it on devices. */
typedef struct ib_staging {
    void *stage[IB_STAGE_SLOTS]; /* raw frames of a micro-batch */
    size_t stage_bytes[IB_STAGE_SLOTS];
    int next;
    void *rgb; /* one converted frame */
    size_t rgb_bytes;
} ib_staging;

void ib_staging_free(ib_staging *staging, ib_backend *backend, ib_budget *budget);

/* frames[0..count), all of one size, into input, f32 (count,h,w,3). `batch` >= count is the usual count: memory is taken for that
 * many. Errors: ISOBATH_ERR_MEMORY, ISOBATH_ERR_DEVICE. */
isobath_status ib_staging_preprocess(ib_staging *staging, ib_backend *backend, ib_budget *budget,
                                     const struct ib_vda_frame *frames, int count, int batch, const ib_tensor *input);

#endif
