/* A libcuda.so.1 for machines without a card: device memory is host memory, everything happens at once. libavutil looks for all of
 * these names; those that nobody calls in a decoder's life do nothing. Tests load it through LD_LIBRARY_PATH. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uintptr_t pointer; /* CUdeviceptr */

/* CUDA_MEMCPY2D */
typedef struct copy_2d {
    size_t src_x, src_y;
    int src_type;
    const void *src_host;
    pointer src_device;
    void *src_array;
    size_t src_pitch;
    size_t dst_x, dst_y;
    int dst_type;
    void *dst_host;
    pointer dst_device;
    void *dst_array;
    size_t dst_pitch;
    size_t width, height;
} copy_2d;
enum { HOST = 1 };

#define STUB(name, parameters, body) \
    int name parameters;             \
    int name parameters body
#define NOTHING(name) STUB(name, (void), { return 0; })

static int context; /* its address is the context, and the stream */

STUB(cuInit, (unsigned flags), { return flags != 0; })
STUB(cuDevicePrimaryCtxRetain, (void **out, int device), {
    *out = &context;
    return device != 0; /* one card */
})
STUB(cuCtxPopCurrent_v2, (void **out), {
    *out = &context;
    return 0;
})
STUB(cuStreamCreate, (void **out, unsigned flags), {
    *out = &context;
    return flags > 1;
})
STUB(cuMemAlloc_v2, (pointer *out, size_t bytes), {
    *out = (pointer)malloc(bytes);
    return *out ? 0 : 2;
})
STUB(cuMemFree_v2, (pointer at), {
    free((void *)at);
    return 0;
})
STUB(cuMemHostAlloc, (void **out, size_t bytes, unsigned flags), {
    *out = malloc(bytes);
    return flags > 7 || !*out;
})
STUB(cuMemFreeHost, (void *at), {
    free(at);
    return 0;
})
STUB(cuMemcpy2DAsync_v2, (const copy_2d *c, void *stream), {
    const char *src = c->src_type == HOST ? c->src_host : (const char *)c->src_device;
    char *dst = c->dst_type == HOST ? c->dst_host : (char *)c->dst_device;
    for (size_t y = 0; y < c->height; y++)
        memcpy(dst + (c->dst_y + y) * c->dst_pitch + c->dst_x, src + (c->src_y + y) * c->src_pitch + c->src_x, c->width);
    return stream != &context;
})
STUB(cuGetErrorName, (int code, const char **out), {
    *out = code ? "CUDA_ERROR_OF_STUB" : "CUDA_SUCCESS";
    return 0;
})
STUB(cuGetErrorString, (int code, const char **out), {
    *out = code ? "an error of the stub" : "no error";
    return 0;
})
STUB(cuDeviceGetAttribute, (int *out, int attribute, int device), {
    *out = 512; /* alignments */
    return attribute < 0 || device != 0;
})

STUB(cuMemGetInfo_v2, (size_t *available, size_t *total), {
    *available = *total = (size_t)24 << 30;
    return 0;
})

NOTHING(cuDevicePrimaryCtxRelease)
NOTHING(cuDevicePrimaryCtxRelease_v2)
NOTHING(cuCtxPushCurrent_v2)
NOTHING(cuStreamDestroy_v2)
NOTHING(cuStreamSynchronize)
NOTHING(cuDeviceGetCount)
NOTHING(cuDeviceGet)
NOTHING(cuDeviceGetName)
NOTHING(cuDeviceComputeCapability)
NOTHING(cuCtxCreate_v2)
NOTHING(cuCtxSetLimit)
NOTHING(cuCtxDestroy_v2)
NOTHING(cuCtxGetCurrent)
NOTHING(cuMemAllocPitch_v2)
NOTHING(cuMemAllocManaged)
NOTHING(cuMemsetD8Async)
NOTHING(cuMemcpy)
NOTHING(cuMemcpyAsync)
NOTHING(cuMemcpy2D_v2)
NOTHING(cuMemcpyHtoD_v2)
NOTHING(cuMemcpyHtoDAsync_v2)
NOTHING(cuMemcpyDtoH_v2)
NOTHING(cuMemcpyDtoHAsync_v2)
NOTHING(cuMemcpyDtoD_v2)
NOTHING(cuMemcpyDtoDAsync_v2)
NOTHING(cuCtxGetDevice)
NOTHING(cuDevicePrimaryCtxSetFlags)
NOTHING(cuDevicePrimaryCtxGetState)
NOTHING(cuDevicePrimaryCtxReset)
NOTHING(cuStreamQuery)
NOTHING(cuStreamAddCallback)
NOTHING(cuStreamWaitEvent)
NOTHING(cuEventCreate)
NOTHING(cuEventDestroy_v2)
NOTHING(cuEventSynchronize)
NOTHING(cuEventQuery)
NOTHING(cuEventRecord)
NOTHING(cuLaunchKernel)
NOTHING(cuLinkCreate)
NOTHING(cuLinkAddData)
NOTHING(cuLinkComplete)
NOTHING(cuLinkDestroy)
NOTHING(cuModuleLoadData)
NOTHING(cuModuleUnload)
NOTHING(cuModuleGetFunction)
NOTHING(cuModuleGetGlobal)
NOTHING(cuTexObjectCreate)
NOTHING(cuTexObjectDestroy)
NOTHING(cuGLGetDevices_v2)
NOTHING(cuGraphicsGLRegisterImage)
NOTHING(cuGraphicsUnregisterResource)
NOTHING(cuGraphicsMapResources)
NOTHING(cuGraphicsUnmapResources)
NOTHING(cuGraphicsSubResourceGetMappedArray)
NOTHING(cuGraphicsResourceGetMappedPointer_v2)
NOTHING(cuArrayCreate_v2)
NOTHING(cuArray3DCreate_v2)
NOTHING(cuArrayDestroy)
