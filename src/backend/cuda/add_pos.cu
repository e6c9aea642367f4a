/* add_pos: y = x + pos[t]. */
#include "backend/cuda/rows.cuh"

template <int V> __global__ void k_add_pos(ib_rows x, ib_rows pos, ib_rows y, int64_t rows, int channels)
{
    ib_grid_begin();
    int64_t n;
    int c;
    float v[V], w[V];
    if (!ib_rows_position<V>(rows, channels, &n, &c)) return;
    ib_rows_load<V>(x, blockIdx.y, n, c, v);
    ib_rows_load<V>(pos, blockIdx.y, 0, c, w);
#pragma unroll
    for (int i = 0; i < V; i++) v[i] += w[i];
    ib_rows_store<V>(y, blockIdx.y, n, c, v);
}

isobath_status ib_cuda_add_pos(ib_backend *backend, const ib_add_pos_args *a)
{
    const int64_t rows = a->x.dim[1], channels = a->x.dim[2];
    const int v =
        ib_rows_by_4(&a->x, channels) && ib_rows_by_4(&a->pos, channels) && ib_rows_by_4(&a->y, channels) ? 4 : 1;
    const dim3 grid = ib_rows_grid(a->x.dim[0], rows, channels, v);
    ib_cuda_launch(ib_cuda(backend), v == 4 ? k_add_pos<4> : k_add_pos<1>, grid, dim3(IB_ROWS_THREADS), 0, ib_rows_of(&a->x), ib_rows_of(&a->pos), ib_rows_of(&a->y), rows, (int)channels);
    return ib_cuda_launched(backend, "add_pos");
}
