/* Chooses the core and the tile of a matrix product from the weight's shape and the device's path, and launches it. */
#include "backend/cuda/gemm_launch.cuh"

/* Columns of a tile: the least padding, wide tiles first. */
static int tile_columns(int cols, int narrowest)
{
    if (cols <= 32 && narrowest <= 32) return 32;
    return ib_ceil_div(cols, 64) % 2 && cols <= 320 ? 64 : 128;
}

isobath_status ib_cuda_gemm(ib_cuda_backend *be, ib_gemm *g, const ib_cuda_weight *weight, int taps, const char *op)
{
    g->w = weight->data;
    g->cols = (int)weight->rows;
    g->k_pad = (int)weight->k_pad;
    g->vector_bias = (size_t)g->bias % 16 == 0;
    if (g->rows == 0) return ISOBATH_OK;
    const int simt = be->base.act == IB_F32 || be->path == IB_CUDA_SIMT;
    const int bn = g->vector_in ? tile_columns(g->cols, simt ? 64 : 32) : 64;
    const ib_dtype act = be->base.act;
    if (act == IB_F32 && be->path == IB_CUDA_WGMMA && ib_gemm_launch_split(be, *g, taps, tile_columns(g->cols, 64)))
        return ib_cuda_launched(&be->base, op);
    if (simt) {
        if (act == IB_F32)
            ib_gemm_launch_simt_f32(be->stream, *g, taps, bn);
        else if (act == IB_F16)
            ib_gemm_launch_simt_f16(be->stream, *g, taps, bn);
        else
            ib_gemm_launch_simt_bf16(be->stream, *g, taps, bn);
    } else if (be->path < IB_CUDA_WGMMA || !g->vector_in ||
               (!(taps == 9 && ib_gemm_launch_patch(be, *g)) && !(taps == 1 && ib_gemm_launch_slab(be, *g)) &&
                !ib_gemm_launch_wgmma(be, *g, taps, bn))) {
        act == IB_F16 ? ib_gemm_launch_mma_f16(be->stream, *g, taps, bn)
                      : ib_gemm_launch_mma_bf16(be->stream, *g, taps, bn);
    }
    return ib_cuda_launched(&be->base, op);
}
