/* The self-test behind --precision auto: is the fast type of a card sound for this network at this size? */
#ifndef IB_PIPELINE_PRECISION_H
#define IB_PIPELINE_PRECISION_H

#include "pipeline/report/trial.h"

/* What the fast type loses against fp32 on the same device, of fp32's range. */
typedef struct ib_precision_verdict {
    int sound;              /* 1: use the fast type */
    int cached;             /* 1: read from the cache, nothing was computed */
    int64_t nonfinite;      /* values that were not finite */
    double median, p9999;
} ib_precision_verdict;

/* Runs one window of a made picture of width x height in `fast` and in fp32 on `device` (a CUDA ordinal or IB_DEVICE_CPU), one after
 * the other. Sound: everything finite, and errors within ten times what the type may lose: a wrong kernel
 * or an overflow is far outside. Errors: as ib_trial_open. */
isobath_status ib_precision_test(const ib_checkpoint *checkpoint, const ib_vda_config *config, int device, ib_dtype fast,
                                 ib_pool *pool, int width, int height, int input_size, ib_diag *diag, ib_precision_verdict *out);

/* The verdict kept under `key` (a line of text) in `folder`: 1 when there is one. A file that is not one of ours counts as none. */
int ib_precision_recall(const char *folder, const char *key, ib_precision_verdict *out);
/* Keeps it; 0 when that cannot be done (a full disk, no such folder): the next run tests again. */
int ib_precision_keep(const char *folder, const char *key, const ib_precision_verdict *verdict);

/* What the verdict depends on: device and driver (`kind` of the backend, card, driver), model, shape. */
void ib_precision_key(const char *kind, int device, const char *model_sha256, int net_width, int net_height, char *key, size_t size);

#endif
