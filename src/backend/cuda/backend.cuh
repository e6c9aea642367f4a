/* The CUDA backend object, and what its files share: one .cu file per op, each with the function ib_cuda_<op>.
 *
 * Ops enqueue on `stream` and return; only those with host results wait for it. No op allocates or synchronises
 * otherwise, so a sequence of them can be captured into a CUDA graph.
 */
#ifndef IB_BACKEND_CUDA_BACKEND_CUH
#define IB_BACKEND_CUDA_BACKEND_CUH

#include <cuda_runtime.h>

extern "C" {
#include "backend/backend.h"
#include "op/transfer.h"
}

/* Which code a device runs. Chosen once at open from what the loaded image was compiled for, not from the card, so that
 * PTX of compute_75 compiled for a newer card takes the path it was written for. */
typedef enum ib_cuda_path {
    IB_CUDA_SIMT = 0, /* no tensor cores (sm_75 and its relatives without them): fp16 storage, fp32 arithmetic */
    IB_CUDA_MMA = 1,  /* mma.sync with fp32 accumulation, cp.async: sm_80 and newer */
    IB_CUDA_WGMMA = 2 /* the above and warpgroup products, the copy engine: sm_90a */
} ib_cuda_path;

#define IB_CUDA_WORKSPACE_BYTES ((size_t)16 << 20)
#define IB_CUDA_HOST_BYTES ((size_t)4096)
#define IB_CUDA_RING_SLOTS 8 /* page-locked staging of uploads */
#define IB_CUDA_RING_BYTES ((size_t)4 << 20)

/* A sequence of ops, recorded (graph.cu). */
#define IB_CUDA_GRAPHS 16
typedef struct ib_cuda_graph {
    const void *owner; /* NULL: a free place */
    uint64_t name;
    int calls;            /* before it was recorded */
    cudaGraphExec_t exec; /* NULL: not recorded yet */
} ib_cuda_graph;

typedef struct ib_cuda_backend {
    ib_backend base;
    int device;
    ib_cuda_path path;
    int code_arch;      /* what the loaded image was compiled for: 750, 800, 860, 890, 900, 1200 */
    int early_launch;   /* 1: kernels may take their places before the one ahead has ended (sm_90 code) */
    int sm_count;       /* multiprocessors; may shape a grid, never a result */
    int l2_bytes;
    cudaStream_t stream;
    void *workspace;    /* device scratch of one op, IB_CUDA_WORKSPACE_BYTES; valid until the op's last kernel */
    void *host_results; /* pinned, IB_CUDA_HOST_BYTES, for ops with host results */
    void *encode_tiled, *encode_im2col; /* the driver's tensor map encoders; set where path is IB_CUDA_WGMMA */
    cudaStream_t copy_stream; /* results leave on it while the main stream goes on */
    void *ring;               /* page-locked, IB_CUDA_RING_SLOTS x IB_CUDA_RING_BYTES */
    cudaEvent_t ring_free[IB_CUDA_RING_SLOTS];
    int ring_next;
    uint64_t *counts;         /* device, IB_FETCH_SLOTS x IB_FETCH_TENSORS */
    cudaEvent_t fetch_ready, fetch_done[IB_FETCH_SLOTS];
    cudaStream_t stage_stream; /* frames come up on it beside the main stream */
    cudaEvent_t stage_ready[IB_STAGE_SLOTS], stage_used[IB_STAGE_SLOTS];
    int fetch_tensors[IB_FETCH_SLOTS];
    cudaStream_t lane_stream[IB_LANES]; /* `stream` is one of these; [0] outside of lanes */
    void *lane_workspace[IB_LANES];     /* likewise `workspace` */
    cudaEvent_t lane_event[IB_LANES];   /* where lanes begin, where lane 1 ends */
    int in_lanes;
    ib_cuda_graph graphs[IB_CUDA_GRAPHS];
} ib_cuda_backend;

/* A packed weight on the device: rows of output channels, `k_pad` values of the activation type each, zero beyond
 * the real ones. The order of rows and of values within a row depends on the kind (weights.cu). */
typedef struct ib_cuda_weight {
    ib_weight base;
    void *data;
    int64_t rows, k, k_pad;
} ib_cuda_weight;

static inline ib_cuda_backend *ib_cuda(ib_backend *backend) { return (ib_cuda_backend *)backend; }
static inline const ib_cuda_weight *ib_cuda_w(const ib_weight *weight) { return (const ib_cuda_weight *)weight; }

/* Turns a CUDA error into a status with one line: `what` names the op or call. cudaSuccess gives ISOBATH_OK. */
isobath_status ib_cuda_check(ib_backend *backend, cudaError_t error, const char *what);
/* To be returned after the launches of an op. */
static inline isobath_status ib_cuda_launched(ib_backend *backend, const char *op)
{
    cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? ISOBATH_OK : ib_cuda_check(backend, error, op);
}

#ifdef __cplusplus
extern "C" {
#endif
#define IB_CUDA_DECLARE(op) isobath_status ib_cuda_##op(ib_backend *, const ib_##op##_args *);
IB_OPS(IB_CUDA_DECLARE)
#undef IB_CUDA_DECLARE

isobath_status ib_cuda_temporal_block(ib_backend *, const ib_temporal_block_args *, int *done);

isobath_status ib_cuda_buffer_alloc(ib_backend *, size_t bytes, void **out);
void ib_cuda_buffer_free(ib_backend *, void *buffer);
isobath_status ib_cuda_upload(ib_backend *, void *device_dst, const void *host_src, size_t bytes);
isobath_status ib_cuda_download(ib_backend *, void *host_dst, const void *device_src, size_t bytes);
isobath_status ib_cuda_sync(ib_backend *);
isobath_status ib_cuda_bind_thread(ib_backend *);
isobath_status ib_cuda_host_alloc(ib_backend *, size_t bytes, void **out);
void ib_cuda_host_free(ib_backend *, void *host);
isobath_status ib_cuda_host_register(ib_backend *, void *host, size_t bytes);
void ib_cuda_host_unregister(ib_backend *, void *host);
isobath_status ib_cuda_fetch_begin(ib_backend *, int slot, const ib_tensor *const *x, int count, void *host_dst);
isobath_status ib_cuda_fetch_end(ib_backend *, int slot, int64_t *nonfinite);
isobath_status ib_cuda_stage_begin(ib_backend *, int slot);
isobath_status ib_cuda_stage_upload(ib_backend *, void *device_dst, const void *host_src, size_t bytes);
isobath_status ib_cuda_stage_end(ib_backend *, int slot);
isobath_status ib_cuda_stage_used(ib_backend *, int slot);
isobath_status ib_cuda_lane(ib_backend *, int lane);
isobath_status ib_cuda_graph_run(ib_backend *, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx);
void ib_cuda_graph_forget(ib_backend *, const void *owner);
/* Streams, events and staging memory of the transfers; freed by ib_cuda_transfers_close, which may follow a failure. */
isobath_status ib_cuda_transfers_open(ib_backend *);
void ib_cuda_transfers_close(ib_backend *);
/* Enqueues the count of values that are not finite into *result (device). */
isobath_status ib_cuda_count_into(ib_backend *, const ib_tensor *x, uint64_t *result);
isobath_status ib_cuda_weight_create(ib_backend *, const ib_weight_desc *, ib_weight **out);
void ib_cuda_weight_destroy(ib_backend *, ib_weight *);
#ifdef __cplusplus
}
#endif

#endif
