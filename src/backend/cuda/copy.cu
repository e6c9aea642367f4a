/* copy: y = x with conversion of type, any strides. */
#include "backend/cuda/rows.cuh"

template <int V> __global__ void k_copy(ib_rows x, ib_rows y, int64_t rows, int channels)
{
    ib_grid_begin();
    int64_t n;
    int c;
    float v[V];
    if (!ib_rows_position<V>(rows, channels, &n, &c)) return;
    ib_rows_load<V>(x, blockIdx.y, n, c, v);
    ib_rows_store<V>(y, blockIdx.y, n, c, v);
}

isobath_status ib_cuda_copy(ib_backend *backend, const ib_copy_args *a)
{
    const int64_t rows = a->x.dim[1], channels = a->x.dim[2];
    const int v = ib_rows_least(ib_rows_step(&a->x, channels), ib_rows_step(&a->y, channels));
    const dim3 grid = ib_rows_grid(a->x.dim[0], rows, channels, v);
    ib_cuda_launch(ib_cuda(backend), v == 8 ? k_copy<8> : v == 4 ? k_copy<4> : k_copy<1>, grid, dim3(IB_ROWS_THREADS), 0,
                   ib_rows_of(&a->x), ib_rows_of(&a->y), rows, (int)channels);
    return ib_cuda_launched(backend, "copy");
}
