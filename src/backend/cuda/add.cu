/* add: y = a + b in f32, rounded once; y may be a. */
#include "backend/cuda/rows.cuh"

template <int V> __global__ void k_add(ib_rows a, ib_rows b, ib_rows y, int64_t rows, int channels)
{
    ib_grid_begin();
    int64_t n;
    int c;
    float v[V], w[V];
    if (!ib_rows_position<V>(rows, channels, &n, &c)) return;
    ib_rows_load<V>(a, blockIdx.y, n, c, v);
    ib_rows_load<V>(b, blockIdx.y, n, c, w);
#pragma unroll
    for (int i = 0; i < V; i++) v[i] += w[i];
    ib_rows_store<V>(y, blockIdx.y, n, c, v);
}

isobath_status ib_cuda_add(ib_backend *backend, const ib_add_args *a)
{
    const int64_t rows = a->a.dim[1], channels = a->a.dim[2];
    const int inputs = ib_rows_least(ib_rows_step(&a->a, channels), ib_rows_step(&a->b, channels));
    const int v = ib_rows_least(inputs, ib_rows_step(&a->y, channels));
    const dim3 grid = ib_rows_grid(a->a.dim[0], rows, channels, v);
    ib_cuda_launch(ib_cuda(backend), v == 8 ? k_add<8> : v == 4 ? k_add<4> : k_add<1>, grid, dim3(IB_ROWS_THREADS), 0,
                   ib_rows_of(&a->a), ib_rows_of(&a->b), ib_rows_of(&a->y), rows, (int)channels);
    return ib_cuda_launched(backend, "add");
}
