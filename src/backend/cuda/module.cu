/* The CUDA module's entry point: the op table, device count, open and close. */
#include "backend/cuda/tma.cuh"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tells what the image that the driver chose was compiled for. */
__global__ void k_probe(int *out)
{
#ifdef __CUDA_ARCH__
    out[0] = __CUDA_ARCH__;
#endif
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    out[1] = 1;
#else
    out[1] = 0;
#endif
}

isobath_status ib_cuda_check(ib_backend *backend, cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return ISOBATH_OK;
    isobath_status status = error == cudaErrorMemoryAllocation ? ISOBATH_ERR_MEMORY : ISOBATH_ERR_DEVICE;
    return ib_fail(backend->diag, status, "cuda:%d %s: %s (%s)", ib_cuda(backend)->device, what,
                   cudaGetErrorString(error), cudaGetErrorName(error));
}

static void close_backend(ib_backend *backend)
{
    ib_cuda_backend *be = ib_cuda(backend);
    if (!be) return;
    cudaSetDevice(be->device);
    for (int i = 0; i < IB_CUDA_GRAPHS; i++)
        if (be->graphs[i].exec) cudaGraphExecDestroy(be->graphs[i].exec);
    for (int i = 0; i < IB_LANES; i++) {
        cudaStream_t stream = i == 0 && !be->lane_stream[0] ? be->stream : be->lane_stream[i];
        if (stream) {
            cudaStreamSynchronize(stream);
            cudaStreamDestroy(stream);
        }
        if (be->lane_event[i]) cudaEventDestroy(be->lane_event[i]);
    }
    ib_cuda_transfers_close(backend);
    if (be->workspace) cudaFree(be->workspace);
    if (be->host_results) cudaFreeHost(be->host_results);
    free(be);
}

#define IB_CUDA_ENTRY(op) ib_cuda_##op,
static const ib_op_table cuda_ops = {"cuda",
                                     ib_cuda_buffer_alloc,
                                     ib_cuda_buffer_free,
                                     ib_cuda_upload,
                                     ib_cuda_download,
                                     ib_cuda_sync,
                                     ib_cuda_weight_create,
                                     ib_cuda_weight_destroy,
                                     close_backend,
                                     ib_cuda_bind_thread,
                                     ib_cuda_host_alloc,
                                     ib_cuda_host_free,
                                     ib_cuda_host_register,
                                     ib_cuda_host_unregister,
                                     ib_cuda_fetch_begin,
                                     ib_cuda_fetch_end,
                                     ib_cuda_stage_begin,
                                     ib_cuda_stage_upload,
                                     ib_cuda_stage_end,
                                     ib_cuda_stage_used,
                                     IB_OPS(IB_CUDA_ENTRY) ib_cuda_temporal_block,
                                     ib_cuda_lane,
                                     ib_cuda_graph_run,
                                     ib_cuda_graph_forget,
                                     1};
#undef IB_CUDA_ENTRY

/* "13.0" from CUDA's 13000. */
static void version_text(int version, char text[16])
{
    snprintf(text, 16, "%d.%d", version / 1000, version % 1000 / 10);
}

static isobath_status driver_too_old(ib_diag *diag)
{
    int driver = 0, runtime = 0;
    char found[16], needed[16];
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED,
                       "cuda: no NVIDIA driver answers on this machine; install one for CUDA %d or use --devices cpu",
                       runtime / 1000);
    version_text(driver, found);
    version_text(runtime, needed);
    const char *least = runtime >= 13000 ? "580" : "525";
    if (driver < 12000) /* no toolkit that builds isobath goes with it */
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "cuda: the driver supports CUDA %s, this build needs %s (driver %s or newer): update the driver",
                       found, needed, least);
    return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED,
                   "cuda: the driver supports CUDA %s, this build needs %s (driver %s or newer): update the driver, or build isobath with CUDA %d",
                   found, needed, least, driver / 1000);
}

static isobath_status module_device_count(ib_diag *diag, int *count)
{
    *count = 0;
    int n = 0;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error == cudaErrorInsufficientDriver) return driver_too_old(diag);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && n == 0))
        return ib_fail(diag, ISOBATH_ERR_DEVICE,
                       "cuda: the driver is there but shows no device (CUDA_VISIBLE_DEVICES=%s)",
                       getenv("CUDA_VISIBLE_DEVICES") ? getenv("CUDA_VISIBLE_DEVICES") : "unset");
    if (error != cudaSuccess)
        return ib_fail(diag, ISOBATH_ERR_DEVICE, "cuda: counting devices failed: %s", cudaGetErrorString(error));
    *count = n;
    return ISOBATH_OK;
}

/* Finds out what the loaded image can do and applies ISOBATH_CUDA_PATH=simt|mma|wgmma (for tests; only downwards). */
static isobath_status choose_path(ib_cuda_backend *be)
{
    static const char *const names[] = {"simt", "mma", "wgmma"};
    int probe[2] = {0, 0};
    k_probe<<<1, 1, 0, be->stream>>>((int *)be->workspace);
    cudaError_t error = cudaGetLastError();
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction)
        return ib_fail(be->base.diag, ISOBATH_ERR_DEVICE,
                       "cuda:%d has no code in this build for its compute capability (%s): build with "
                       "-DISOBATH_CUDA_ARCHS for it",
                       be->device, be->base.kind);
    IB_TRY(ib_cuda_check(&be->base, error, "probe kernel"));
    IB_TRY(ib_cuda_check(&be->base,
                         cudaMemcpyAsync(probe, be->workspace, sizeof probe, cudaMemcpyDeviceToHost, be->stream),
                         "probe copy"));
    IB_TRY(ib_cuda_check(&be->base, cudaStreamSynchronize(be->stream), "probe"));
    be->code_arch = probe[0];
    be->path = probe[1] && ib_cuda_find_encoders(be) ? IB_CUDA_WGMMA : probe[0] >= 800 ? IB_CUDA_MMA : IB_CUDA_SIMT;

    const char *wanted = getenv("ISOBATH_CUDA_PATH");
    if (!wanted || !*wanted) return ISOBATH_OK;
    for (int i = 0; i < 3; i++) {
        if (strcmp(wanted, names[i]) != 0) continue;
        if (i > (int)be->path)
            return ib_fail(be->base.diag, ISOBATH_ERR_UNSUPPORTED,
                           "ISOBATH_CUDA_PATH=%s: cuda:%d runs code for sm_%d, which has at most '%s'", wanted,
                           be->device, be->code_arch / 10, names[be->path]);
        be->path = (ib_cuda_path)i;
        return ISOBATH_OK;
    }
    return ib_fail(be->base.diag, ISOBATH_ERR_USAGE, "ISOBATH_CUDA_PATH=%s: expected simt, mma or wgmma", wanted);
}

static isobath_status open_device(ib_cuda_backend *be)
{
    static const char *const path_names[] = {"simt", "mma", "wgmma"};
    ib_backend *base = &be->base;
    int runtime = 0, major = 0, minor = 0;
    char version[16];
    IB_TRY(ib_cuda_check(base, cudaSetDevice(be->device), "selecting the device"));
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, be->device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, be->device);
    cudaDeviceGetAttribute(&be->sm_count, cudaDevAttrMultiProcessorCount, be->device);
    cudaDeviceGetAttribute(&be->l2_bytes, cudaDevAttrL2CacheSize, be->device);
    cudaRuntimeGetVersion(&runtime);
    snprintf(base->kind, sizeof base->kind, "cuda sm_%d%d", major, minor);
    if (major * 10 + minor < 75)
        return ib_fail(base->diag, ISOBATH_ERR_DEVICE, "cuda:%d has compute capability %d.%d, 7.5 or newer is needed",
                       be->device, major, minor);
    IB_TRY(ib_cuda_check(base, cudaStreamCreateWithFlags(&be->stream, cudaStreamNonBlocking), "creating the stream"));
    IB_TRY(ib_cuda_check(base, cudaMalloc(&be->workspace, IB_LANES * IB_CUDA_WORKSPACE_BYTES), "allocating the workspace"));
    IB_TRY(ib_cuda_check(base, cudaHostAlloc(&be->host_results, IB_CUDA_HOST_BYTES, cudaHostAllocDefault),
                         "allocating pinned memory"));
    IB_TRY(ib_cuda_transfers_open(base));
    IB_TRY(choose_path(be));
    be->early_launch = be->code_arch >= 900;
    be->lane_stream[0] = be->stream;
    be->lane_workspace[0] = be->workspace;
    be->lane_workspace[1] = (char *)be->workspace + IB_CUDA_WORKSPACE_BYTES;
    IB_TRY(ib_cuda_check(base, cudaStreamCreateWithFlags(&be->lane_stream[1], cudaStreamNonBlocking), "creating a stream"));
    for (int i = 0; i < IB_LANES; i++)
        IB_TRY(ib_cuda_check(base, cudaEventCreateWithFlags(&be->lane_event[i], cudaEventDisableTiming), "creating an event"));
    version_text(runtime, version);
    snprintf(base->kind, sizeof base->kind, "cuda sm_%d%d %s %s code_%d %s", major, minor,
             path_names[be->path], ib_dtype_name(base->act), be->code_arch / 10, version);
    return ISOBATH_OK;
}

static isobath_status module_open(const ib_backend_options *options, ib_backend **out)
{
    *out = NULL;
    int count = 0;
    if (options->act != IB_F32 && options->act != IB_F16 && options->act != IB_BF16)
        return ib_fail(options->diag, ISOBATH_ERR_UNSUPPORTED, "cuda: activation type %s is not f32, f16 or bf16",
                       ib_dtype_name(options->act));
    IB_TRY(module_device_count(options->diag, &count));
    if (options->device < 0 || options->device >= count)
        return ib_fail(options->diag, ISOBATH_ERR_DEVICE, "cuda:%d does not exist: this machine has cuda:0 to cuda:%d",
                       options->device, count - 1);
    ib_cuda_backend *be = (ib_cuda_backend *)calloc(1, sizeof *be);
    if (!be) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "cuda: out of host memory at open");
    be->base.ops = &cuda_ops;
    be->base.act = options->act;
    be->base.diag = options->diag;
    be->base.pool = options->pool;
    be->device = options->device;
    isobath_status status = open_device(be);
    if (status != ISOBATH_OK) {
        close_backend(&be->base);
        return status;
    }
    *out = &be->base;
    return ISOBATH_OK;
}

extern "C" {
extern __attribute__((visibility("default"))) const ib_cuda_module ib_cuda_module_v1;
const ib_cuda_module ib_cuda_module_v1 = {IB_CUDA_MODULE_ABI, module_device_count, module_open};
}
