/* Transfers that overlap with work on devices, with plain fallbacks on backends that have nothing to overlap. */
#ifndef IB_OP_TRANSFER_H
#define IB_OP_TRANSFER_H

#include "op/op.h"

#define IB_FETCH_SLOTS 2  /* fetches in flight */
#define IB_FETCH_TENSORS 8
#define IB_STAGE_SLOTS 2  /* uploads ahead of the work */

/* Makes the calling thread the one that uses the backend from now on. To be called by a thread other than the opener. */
isobath_status ib_bind_thread(ib_backend *backend);

/* Host memory that fetches into overlap with work (page-locked on CUDA). ISOBATH_ERR_MEMORY. Free it with ib_host_free of
 * the same backend, from any thread. */
isobath_status ib_host_alloc(ib_backend *backend, size_t bytes, void **out);
void ib_host_free(ib_backend *backend, void *host);
/* Makes memory that is the caller's (shared with another process, whole pages) as good as that of ib_host_alloc, until it is
 * unregistered. Where that fails it is merely slower: the status may be ignored, and no error is recorded. */
isobath_status ib_host_register(ib_backend *backend, void *host, size_t bytes);
void ib_host_unregister(ib_backend *backend, void *host);

/* Starts counting the values that are not finite in x[0..count) (contiguous float tensors, count <= IB_FETCH_TENSORS) and
 * copying x[0] to host_dst. The tensors may be read by ops that follow; x[0] must not be written until ib_fetch_end(slot),
 * the others until the next op. slot is in [0, IB_FETCH_SLOTS) and must be free. */
isobath_status ib_fetch_begin(ib_backend *backend, int slot, const ib_tensor *const *x, int count, void *host_dst);
/* Waits for the slot; *nonfinite is the sum over its tensors. */
isobath_status ib_fetch_end(ib_backend *backend, int slot, int64_t *nonfinite);

/* Uploads beside the work: what is copied between ib_stage_begin(slot) and ib_stage_end(slot) overlaps with the ops enqueued
 * before it, and ops enqueued after ib_stage_end see it. ib_stage_used(slot) follows the last op that reads the slot's memory;
 * the uploads of the next ib_stage_begin(slot) wait for that on the device, so nobody waits on the host. The host memory may
 * be reused when ib_stage_upload returns. slot is in [0, IB_STAGE_SLOTS). */
isobath_status ib_stage_begin(ib_backend *backend, int slot);
isobath_status ib_stage_upload(ib_backend *backend, void *device_dst, const void *host_src, size_t bytes);
isobath_status ib_stage_end(ib_backend *backend, int slot);
isobath_status ib_stage_used(ib_backend *backend, int slot);

/* Two lanes of work that the device may overlap, where ib_has_lanes. What is enqueued after ib_lane(0) or ib_lane(1) goes to
 * that lane, in order within it; both begin after everything enqueued before the first such call. ib_lane(IB_LANES_JOIN) ends
 * them: what follows comes after both, and an error on the way must not keep the caller from it. Between, only ops without
 * host results, and no lane may touch memory that the other one writes. */
enum { IB_LANES_JOIN = -1, IB_LANES = 2 };
static inline int ib_has_lanes(const ib_backend *backend) { return backend->ops->lane != NULL; }
isobath_status ib_lane(ib_backend *backend, int lane);

#endif
