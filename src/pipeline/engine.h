/* What runs one after another share: the device that stays open, with the model loaded. See include/isobath/batch.h. */
#ifndef IB_PIPELINE_ENGINE_H
#define IB_PIPELINE_ENGINE_H

#include "pipeline/setup.h"
#include <isobath/batch.h>

/* The network for this setup, which must be in this process: as it is, when the engine has it; with other sizes, when it has the same
 * model on the same device; else opened. setup->shape and memory say what it is. It stays the engine's; errors go to `diag` until
 * ib_engine_give. One borrower at a time: ISOBATH_ERR_USAGE for a second one. */
isobath_status ib_engine_take(isobath_engine *engine, ib_setup *setup, ib_diag *diag, ib_pool **pool, ib_backend **backend, ib_vda **vda);
void ib_engine_give(isobath_engine *engine);

/* Worker processes that rest between runs, several of the CPU: the engine's until they are taken; NULL: none rests. */
void ib_engine_started_child(isobath_engine *engine); /* one was started that reads the model: counts */
void ib_engine_keep_child(isobath_engine *engine, int device, struct ib_child *child);
struct ib_child *ib_engine_take_child(isobath_engine *engine, int device);

#endif
