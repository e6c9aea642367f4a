/* Transfers that overlap with work; see transfer.h. */
#include "op/transfer.h"

#include <stdlib.h>

isobath_status ib_bind_thread(ib_backend *be) { return be->ops->bind_thread ? be->ops->bind_thread(be) : ISOBATH_OK; }

isobath_status ib_host_alloc(ib_backend *be, size_t bytes, void **out)
{
    if (be->ops->host_alloc) return be->ops->host_alloc(be, bytes, out);
    *out = malloc(bytes ? bytes : 1);
    return *out ? ISOBATH_OK : ib_fail(be->diag, ISOBATH_ERR_MEMORY, "out of memory for %zu bytes of results", bytes);
}

void ib_host_free(ib_backend *be, void *host)
{
    if (be->ops->host_free) be->ops->host_free(be, host);
    else free(host);
}

isobath_status ib_host_register(ib_backend *be, void *host, size_t bytes)
{
    return be->ops->host_register ? be->ops->host_register(be, host, bytes) : ISOBATH_OK;
}

void ib_host_unregister(ib_backend *be, void *host)
{
    if (be->ops->host_unregister) be->ops->host_unregister(be, host);
}

isobath_status ib_fetch_begin(ib_backend *be, int slot, const ib_tensor *const *x, int count, void *host_dst)
{
    if (be->ops->fetch_begin) return be->ops->fetch_begin(be, slot, x, count, host_dst);
    be->fetched[slot] = 0;
    for (int i = 0; i < count; i++) {
        int64_t bad = 0;
        IB_TRY(ib_count_nonfinite(be, &(ib_count_nonfinite_args){*x[i], &bad}));
        be->fetched[slot] += bad;
    }
    return be->ops->download(be, host_dst, x[0]->data, ib_tensor_bytes(x[0]));
}

isobath_status ib_fetch_end(ib_backend *be, int slot, int64_t *nonfinite)
{
    if (be->ops->fetch_end) return be->ops->fetch_end(be, slot, nonfinite);
    *nonfinite = be->fetched[slot];
    return ISOBATH_OK;
}

isobath_status ib_stage_begin(ib_backend *be, int slot) { return be->ops->stage_begin ? be->ops->stage_begin(be, slot) : ISOBATH_OK; }

isobath_status ib_stage_upload(ib_backend *be, void *device_dst, const void *host_src, size_t bytes)
{
    return (be->ops->stage_upload ? be->ops->stage_upload : be->ops->upload)(be, device_dst, host_src, bytes);
}

isobath_status ib_stage_end(ib_backend *be, int slot) { return be->ops->stage_end ? be->ops->stage_end(be, slot) : ISOBATH_OK; }

isobath_status ib_stage_used(ib_backend *be, int slot) { return be->ops->stage_used ? be->ops->stage_used(be, slot) : ISOBATH_OK; }

isobath_status ib_lane(ib_backend *b, int lane)
{
    if (!b->ops->lane || lane < IB_LANES_JOIN || lane >= IB_LANES)
        return ib_fail(b->diag, ISOBATH_ERR_INTERNAL, "lane %d: %s has %s", lane, b->kind, b->ops->lane ? "0 and 1" : "none");
    return b->ops->lane(b, lane);
}
