/* Sequences of ops as CUDA graphs (op/graph.h): recorded from the stream the second time, launched from then on. What runs is the
 * same kernels in the same order with the same arguments; only the host has less to do. */
#include "backend/cuda/common.cuh"

#define RECORD_TRIES 4

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

/* Records fn into g->exec, or leaves that NULL. While a stream records, calls of the driver that other code makes (a decoder that opens or closes)
 * may end the recording: what fn says then is no error of its ops, so it is not kept. */
static void record(ib_cuda_backend *be, ib_cuda_graph *g, ib_graph_fn fn, void *ctx)
{
    const cudaStream_t stream = be->stream;
    void *workspace = be->workspace;
    const int early_launch = be->early_launch;
    ib_diag *diag = be->base.diag;
    cudaGraph_t graph = NULL;
    if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
        be->base.diag = NULL;
        isobath_status status = fn(ctx);
        be->base.diag = diag;
        be->stream = stream;
        be->workspace = workspace;
        be->early_launch = early_launch;
        be->in_lanes = 0;
        if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && status == ISOBATH_OK && cudaGraphInstantiate(&g->exec, graph, 0) != cudaSuccess)
            g->exec = NULL;
    }
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
}

isobath_status ib_cuda_graph_run(ib_backend *backend, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx)
{
    ib_cuda_backend *be = ib_cuda(backend);
    ib_cuda_graph *g = find(be, owner, name);
    if (!g) return fn(ctx);
    if (!g->exec && ++g->calls > 1 && g->calls <= 1 + RECORD_TRIES) record(be, g, fn, ctx);
    if (!g->exec) return fn(ctx); /* the first time, and when a recording failed: that enqueues nothing */
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
