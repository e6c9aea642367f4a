/* fit_sums: the alignment's sums over two frames at output size, bit for bit the order in op.h: 16 lanes a row, folded
 * 8, 4, 2, 1; rows in order; frame 0, then frame 1. Products of f32 values are exact in double, so contraction into a
 * fused multiply-add could not change them; the _rn forms are there for the additions to stay as written. */
#include "backend/cuda/exact.cuh"

#define LANES 16
#define ROWS_PER_BLOCK 8
#define STAGED_ROWS 256

struct fit_params {
    ib_exact_map p[2], r[2];
    float r1_scale, r1_shift;
    int height, width;
    double *rows; /* [rows of frame 0, rows of frame 1][4]: p, p*p, r, p*r */
};

/* Grid: x over rows, y over the two frames; 16 threads a row. */
__global__ void __launch_bounds__(LANES *ROWS_PER_BLOCK) k_fit_rows(fit_params f)
{
    const int lane = threadIdx.x, y = (int)(blockIdx.x * ROWS_PER_BLOCK + threadIdx.y), frame = blockIdx.y;
    const int row = y < f.height ? y : f.height - 1; /* spare threads repeat the last row: shuffles stay whole */
    const ib_exact_map p_map = f.p[frame], r_map = f.r[frame];
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    for (int x = lane; x < f.width; x += LANES) {
        const float p = ib_exact_sample(p_map, row, x);
        float r = ib_exact_sample(r_map, row, x);
        if (frame == 1) r = ib_exact_align(r, f.r1_scale, f.r1_shift);
        sum[0] = __dadd_rn(sum[0], (double)p);
        sum[1] = __dadd_rn(sum[1], __dmul_rn((double)p, (double)p));
        sum[2] = __dadd_rn(sum[2], (double)r);
        sum[3] = __dadd_rn(sum[3], __dmul_rn((double)p, (double)r));
    }
#pragma unroll
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma unroll
        for (int s = 0; s < 4; s++) sum[s] = __dadd_rn(sum[s], __shfl_down_sync(0xffffffffu, sum[s], half, LANES));
    if (lane == 0 && y < f.height)
#pragma unroll
        for (int s = 0; s < 4; s++) f.rows[((int64_t)frame * f.height + y) * 4 + s] = sum[s];
}

/* Rows in order: one thread per sum, rows staged through shared memory by the whole block. */
__global__ void __launch_bounds__(256) k_fit_fold(const double *rows, int count, double *out)
{
    __shared__ double staged[STAGED_ROWS * 4];
    double total = 0.0;
    for (int first = 0; first < count; first += STAGED_ROWS) {
        const int here = count - first < STAGED_ROWS ? count - first : STAGED_ROWS;
        __syncthreads();
        for (int i = threadIdx.x; i < here * 4; i += blockDim.x) staged[i] = rows[(int64_t)first * 4 + i];
        __syncthreads();
        if (threadIdx.x < 4)
#pragma unroll 8
            for (int i = 0; i < here; i++) total = __dadd_rn(total, staged[i * 4 + threadIdx.x]);
    }
    if (threadIdx.x < 4) out[threadIdx.x] = total;
}

isobath_status ib_cuda_fit_sums(ib_backend *backend, const ib_fit_sums_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    fit_params f;
    for (int i = 0; i < 2; i++) {
        f.p[i] = ib_exact_map_of(&a->p[i], a->height, a->width);
        f.r[i] = ib_exact_map_of(&a->r[i], a->height, a->width);
    }
    f.r1_scale = a->r1_scale, f.r1_shift = a->r1_shift;
    f.height = (int)a->height, f.width = (int)a->width;
    f.rows = (double *)be->workspace;
    double *result = f.rows + 8 * a->height, *host = (double *)be->host_results;
    if ((size_t)(8 * a->height + 4) * sizeof(double) > IB_CUDA_WORKSPACE_BYTES)
        return ib_fail(backend->diag, ISOBATH_ERR_UNSUPPORTED, "cuda fit_sums: %lld rows are too many",
                       (long long)a->height);
    dim3 grid((unsigned)ib_ceil_div(a->height, ROWS_PER_BLOCK), 2);
    k_fit_rows<<<grid, dim3(LANES, ROWS_PER_BLOCK), 0, be->stream>>>(f);
    k_fit_fold<<<1, 256, 0, be->stream>>>(f.rows, 2 * f.height, result);
    IB_TRY(ib_cuda_launched(backend, "fit_sums"));
    IB_TRY(ib_cuda_check(backend, cudaMemcpyAsync(host, result, 4 * sizeof(double), cudaMemcpyDeviceToHost, be->stream),
                         "fit_sums"));
    IB_TRY(ib_cuda_sync(backend));
    a->sums[0] = (double)(2 * a->height * a->width);
    for (int s = 0; s < 4; s++) a->sums[1 + s] = host[s];
    return ISOBATH_OK;
}
