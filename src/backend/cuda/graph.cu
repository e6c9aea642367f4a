/* Sequences of ops as CUDA graphs (op/graph.h): recorded from the stream the second time, launched from then on. What runs is the
 * same kernels in the same order with the same arguments; only the host has less to do. */
#include "backend/cuda/common.cuh"

static ib_cuda_graph *find(ib_cuda_backend *be, const void *owner, uint64_t name)
{
    ib_cuda_graph *unused = NULL;
    for (int i = 0; i < IB_CUDA_GRAPHS; i++) {
        ib_cuda_graph *g = &be->graphs[i];
        if (g->owner == owner && g->name == name) return g;
        if (!g->owner && !unused) unused = g;
    }
    if (unused) {
        unused->owner = owner;
        unused->name = name;
    }
    return unused;
}

/* Records fn into g->exec. *recorded = 0: nothing was enqueued, the device or driver will not have it. */
static isobath_status record(ib_cuda_backend *be, ib_cuda_graph *g, ib_graph_fn fn, void *ctx, int *recorded)
{
    *recorded = 0;
    if (cudaStreamBeginCapture(be->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) return ISOBATH_OK;
    isobath_status status = fn(ctx);
    cudaGraph_t graph = NULL;
    cudaError_t error = cudaStreamEndCapture(be->stream, &graph);
    if (status == ISOBATH_OK && error == cudaSuccess) {
        error = cudaGraphInstantiate(&g->exec, graph, 0);
        if (error != cudaSuccess) g->exec = NULL;
        *recorded = error == cudaSuccess;
    }
    if (graph) cudaGraphDestroy(graph);
    return status;
}

isobath_status ib_cuda_graph_run(ib_backend *backend, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx)
{
    ib_cuda_backend *be = ib_cuda(backend);
    ib_cuda_graph *g = be->graphs_off ? NULL : find(be, owner, name);
    if (!g) return fn(ctx);
    if (!g->exec) {
        if (!g->seen) {
            g->seen = 1;
            return fn(ctx);
        }
        int recorded;
        IB_TRY(record(be, g, fn, ctx, &recorded));
        if (!recorded) {
            cudaGetLastError();
            be->graphs_off = 1;
            return fn(ctx);
        }
    }
    return ib_cuda_check(backend, cudaGraphLaunch(g->exec, be->stream), "graph");
}

void ib_cuda_graph_forget(ib_backend *backend, const void *owner)
{
    ib_cuda_backend *be = ib_cuda(backend);
    for (int i = 0; i < IB_CUDA_GRAPHS; i++) {
        ib_cuda_graph *g = &be->graphs[i];
        if (g->owner != owner) continue;
        if (g->exec) cudaGraphExecDestroy(g->exec); /* one that still runs is freed when it has ended */
        *g = {};
    }
}
