/* Device memory and copies. */
#include "backend/cuda/backend.cuh"

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

/* The driver copies pageable memory into its own staging buffers before the call returns, so `host_src` may be reused;
 * where it may not do so, or the source is pinned, this waits. */
isobath_status ib_cuda_upload(ib_backend *backend, void *device_dst, const void *host_src, size_t bytes)
{
    ib_cuda_backend *be = ib_cuda(backend);
    cudaPointerAttributes attributes;
    int wait = be->sync_uploads;
    if (cudaPointerGetAttributes(&attributes, host_src) == cudaSuccess)
        wait |= attributes.type != cudaMemoryTypeUnregistered;
    else
        cudaGetLastError();
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(device_dst, host_src, bytes, cudaMemcpyHostToDevice, be->stream),
                         "upload"));
    return wait ? ib_cuda_sync(backend) : ISOBATH_OK;
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
