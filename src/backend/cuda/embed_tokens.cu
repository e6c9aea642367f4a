/* embed_tokens: class token in front, positions added: the start of the residual stream. */
#include "backend/cuda/rows.cuh"

/* cls and pos have rows in n; row 0 of y comes from cls, row n from x's row n - 1. */
template <int V>
__global__ void k_embed_tokens(ib_rows x, ib_rows cls, ib_rows pos, ib_rows y, int64_t rows, int channels)
{
    ib_grid_begin();
    int64_t n;
    int c;
    float v[V], w[V];
    if (!ib_rows_position<V>(rows, channels, &n, &c)) return;
    if (n == 0)
        ib_rows_load<V>(cls, 0, 0, c, v);
    else
        ib_rows_load<V>(x, blockIdx.y, n - 1, c, v);
    ib_rows_load<V>(pos, n, 0, c, w);
#pragma unroll
    for (int i = 0; i < V; i++) v[i] += w[i];
    ib_rows_store<V>(y, blockIdx.y, n, c, v);
}

isobath_status ib_cuda_embed_tokens(ib_backend *backend, const ib_embed_tokens_args *a)
{
    const int64_t rows = a->y.dim[1], channels = a->y.dim[2];
    const int v = ib_rows_by_4(&a->x, channels) && ib_rows_by_4(&a->cls, channels) && ib_rows_by_4(&a->pos, channels) &&
                          ib_rows_by_4(&a->y, channels)
                      ? 4
                      : 1;
    const dim3 grid = ib_rows_grid(a->y.dim[0], rows, channels, v);
    ib_cuda_launch(ib_cuda(backend), v == 4 ? k_embed_tokens<4> : k_embed_tokens<1>, grid, dim3(IB_ROWS_THREADS), 0, ib_rows_of(&a->x), ib_rows_of(&a->cls), ib_rows_of(&a->pos), ib_rows_of(&a->y), rows, (int)channels);
    return ib_cuda_launched(backend, "embed_tokens");
}
