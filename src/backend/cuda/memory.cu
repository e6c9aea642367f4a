/* Device memory and copies. */
#include "backend/cuda/backend.cuh"

#include <string.h>

isobath_status ib_cuda_buffer_alloc(ib_backend *backend, size_t bytes, void **out)
{
    *out = NULL;
    cudaError_t error = cudaMalloc(out, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        size_t free_bytes = 0, total = 0;
        cudaGetLastError(); /* not sticky: the caller may try a smaller plan */
        cudaMemGetInfo(&free_bytes, &total);
        *out = NULL;
        return ib_fail(backend->diag, ISOBATH_ERR_MEMORY, "cuda:%d: %.1f MiB asked for, %.1f of %.1f MiB are free",
                       ib_cuda(backend)->device, (double)bytes / 1048576.0, (double)free_bytes / 1048576.0,
                       (double)total / 1048576.0);
    }
    return ib_cuda_check(backend, error, "allocating memory");
}

void ib_cuda_buffer_free(ib_backend *backend, void *buffer)
{
    (void)backend;
    if (buffer) cudaFree(buffer);
}

/* Through the page-locked ring, so that the call returns as soon as the host memory is read and the device never waits for a
 * copy from pageable memory. */
static isobath_status upload_on(ib_backend *backend, cudaStream_t stream, void *device_dst, const void *host_src, size_t bytes)
{
    ib_cuda_backend *be = ib_cuda(backend);
    for (size_t done = 0; done < bytes;) {
        size_t n = bytes - done < IB_CUDA_RING_BYTES ? bytes - done : IB_CUDA_RING_BYTES;
        int slot = be->ring_next;
        char *staged = (char *)be->ring + (size_t)slot * IB_CUDA_RING_BYTES;
        be->ring_next = (slot + 1) % IB_CUDA_RING_SLOTS;
        IB_TRY(ib_cuda_check(backend, cudaEventSynchronize(be->ring_free[slot]), "waiting for an upload"));
        memcpy(staged, (const char *)host_src + done, n);
        IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync((char *)device_dst + done, staged, n, cudaMemcpyHostToDevice, stream),
                             "upload"));
        IB_TRY(ib_cuda_check(backend, cudaEventRecord(be->ring_free[slot], stream), "upload"));
        done += n;
    }
    return ISOBATH_OK;
}

isobath_status ib_cuda_upload(ib_backend *backend, void *device_dst, const void *host_src, size_t bytes)
{
    return upload_on(backend, ib_cuda(backend)->stream, device_dst, host_src, bytes);
}

isobath_status ib_cuda_stage_begin(ib_backend *backend, int slot)
{
    ib_cuda_backend *be = ib_cuda(backend);
    return ib_cuda_check(backend, cudaStreamWaitEvent(be->stage_stream, be->stage_used[slot], 0), "staging");
}

isobath_status ib_cuda_stage_upload(ib_backend *backend, void *device_dst, const void *host_src, size_t bytes)
{
    return upload_on(backend, ib_cuda(backend)->stage_stream, device_dst, host_src, bytes);
}

isobath_status ib_cuda_stage_end(ib_backend *backend, int slot)
{
    ib_cuda_backend *be = ib_cuda(backend);
    IB_TRY(ib_cuda_check(backend, cudaEventRecord(be->stage_ready[slot], be->stage_stream), "staging"));
    return ib_cuda_check(backend, cudaStreamWaitEvent(be->stream, be->stage_ready[slot], 0), "staging");
}

isobath_status ib_cuda_stage_used(ib_backend *backend, int slot)
{
    ib_cuda_backend *be = ib_cuda(backend);
    return ib_cuda_check(backend, cudaEventRecord(be->stage_used[slot], be->stream), "staging");
}

isobath_status ib_cuda_download(ib_backend *backend, void *host_dst, const void *device_src, size_t bytes)
{
    ib_cuda_backend *be = ib_cuda(backend);
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(host_dst, device_src, bytes, cudaMemcpyDeviceToHost, be->stream),
                         "download"));
    return ib_cuda_sync(backend);
}

isobath_status ib_cuda_sync(ib_backend *backend)
{
    return ib_cuda_check(backend, cudaStreamSynchronize(ib_cuda(backend)->stream), "waiting for the stream");
}

isobath_status ib_cuda_bind_thread(ib_backend *backend)
{
    return ib_cuda_check(backend, cudaSetDevice(ib_cuda(backend)->device), "selecting the device");
}

isobath_status ib_cuda_host_alloc(ib_backend *backend, size_t bytes, void **out)
{
    return ib_cuda_check(backend, cudaHostAlloc(out, bytes ? bytes : 1, cudaHostAllocPortable), "allocating page-locked memory");
}

void ib_cuda_host_free(ib_backend *backend, void *host)
{
    (void)backend;
    if (host) cudaFreeHost(host);
}

isobath_status ib_cuda_host_register(ib_backend *backend, void *host, size_t bytes)
{
    (void)backend;
    if (cudaHostRegister(host, bytes, cudaHostRegisterPortable) == cudaSuccess) return ISOBATH_OK;
    (void)cudaGetLastError(); /* forgotten: the memory is slower, nothing is wrong */
    return ISOBATH_ERR_MEMORY;
}

void ib_cuda_host_unregister(ib_backend *backend, void *host)
{
    (void)backend;
    if (cudaHostUnregister(host) != cudaSuccess) (void)cudaGetLastError();
}

/* Counts on the main stream; the copy and the counts leave on the copy stream. */
isobath_status ib_cuda_fetch_begin(ib_backend *backend, int slot, const ib_tensor *const *x, int count, void *host_dst)
{
    ib_cuda_backend *be = ib_cuda(backend);
    uint64_t *counts = be->counts + slot * IB_FETCH_TENSORS;
    uint64_t *host_counts = (uint64_t *)((char *)be->host_results + IB_CUDA_HOST_BYTES / 2) + slot * IB_FETCH_TENSORS;
    for (int i = 0; i < count; i++) IB_TRY(ib_cuda_count_into(backend, x[i], counts + i));
    be->fetch_tensors[slot] = count;
    IB_TRY(ib_cuda_check(backend, cudaEventRecord(be->fetch_ready, be->stream), "fetch"));
    IB_TRY(ib_cuda_check(backend, cudaStreamWaitEvent(be->copy_stream, be->fetch_ready, 0), "fetch"));
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(host_dst, x[0]->data, ib_tensor_bytes(x[0]), cudaMemcpyDeviceToHost,
                                                  be->copy_stream), "fetch"));
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(host_counts, counts, (size_t)count * sizeof *counts, cudaMemcpyDeviceToHost,
                                                  be->copy_stream), "fetch"));
    return ib_cuda_check(backend, cudaEventRecord(be->fetch_done[slot], be->copy_stream), "fetch");
}

isobath_status ib_cuda_fetch_end(ib_backend *backend, int slot, int64_t *nonfinite)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const uint64_t *host_counts = (uint64_t *)((char *)be->host_results + IB_CUDA_HOST_BYTES / 2) + slot * IB_FETCH_TENSORS;
    *nonfinite = 0;
    IB_TRY(ib_cuda_check(backend, cudaEventSynchronize(be->fetch_done[slot]), "waiting for a window"));
    for (int i = 0; i < be->fetch_tensors[slot]; i++) *nonfinite += (int64_t)host_counts[i];
    return ISOBATH_OK;
}

static isobath_status create_event(ib_backend *backend, cudaEvent_t *event, unsigned flags)
{
    return ib_cuda_check(backend, cudaEventCreateWithFlags(event, flags), "creating an event");
}

isobath_status ib_cuda_transfers_open(ib_backend *backend)
{
    ib_cuda_backend *be = ib_cuda(backend);
    IB_TRY(ib_cuda_check(backend, cudaStreamCreateWithFlags(&be->copy_stream, cudaStreamNonBlocking), "creating a stream"));
    IB_TRY(ib_cuda_check(backend, cudaHostAlloc(&be->ring, IB_CUDA_RING_SLOTS * IB_CUDA_RING_BYTES, cudaHostAllocDefault),
                         "allocating page-locked memory"));
    IB_TRY(ib_cuda_check(backend, cudaMalloc((void **)&be->counts, IB_FETCH_SLOTS * IB_FETCH_TENSORS * sizeof *be->counts),
                         "allocating counters"));
    IB_TRY(create_event(backend, &be->fetch_ready, cudaEventDisableTiming));
    for (int i = 0; i < IB_FETCH_SLOTS; i++)
        IB_TRY(create_event(backend, &be->fetch_done[i], cudaEventDisableTiming | cudaEventBlockingSync));
    for (int i = 0; i < IB_CUDA_RING_SLOTS; i++)
        IB_TRY(create_event(backend, &be->ring_free[i], cudaEventDisableTiming | cudaEventBlockingSync));
    IB_TRY(ib_cuda_check(backend, cudaStreamCreateWithFlags(&be->stage_stream, cudaStreamNonBlocking), "creating a stream"));
    for (int i = 0; i < IB_STAGE_SLOTS; i++) {
        IB_TRY(create_event(backend, &be->stage_ready[i], cudaEventDisableTiming));
        IB_TRY(create_event(backend, &be->stage_used[i], cudaEventDisableTiming));
    }
    return ISOBATH_OK;
}

void ib_cuda_transfers_close(ib_backend *backend)
{
    ib_cuda_backend *be = ib_cuda(backend);
    if (be->copy_stream) {
        cudaStreamSynchronize(be->copy_stream);
        cudaStreamDestroy(be->copy_stream);
    }
    if (be->stage_stream) {
        cudaStreamSynchronize(be->stage_stream);
        cudaStreamDestroy(be->stage_stream);
    }
    for (int i = 0; i < IB_STAGE_SLOTS; i++) {
        if (be->stage_ready[i]) cudaEventDestroy(be->stage_ready[i]);
        if (be->stage_used[i]) cudaEventDestroy(be->stage_used[i]);
    }
    for (int i = 0; i < IB_CUDA_RING_SLOTS; i++)
        if (be->ring_free[i]) cudaEventDestroy(be->ring_free[i]);
    for (int i = 0; i < IB_FETCH_SLOTS; i++)
        if (be->fetch_done[i]) cudaEventDestroy(be->fetch_done[i]);
    if (be->fetch_ready) cudaEventDestroy(be->fetch_ready);
    if (be->counts) cudaFree(be->counts);
    if (be->ring) cudaFreeHost(be->ring);
}
