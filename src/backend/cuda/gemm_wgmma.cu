/* What the copy engine can read, for the sm_90a core; instances are in gemm_wgmma_<type>.cu. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_wide.cuh"

/* Positions of all frames lie at one pitch, so that rows of A can be numbered through. */
static int is_flat(const ib_gemm &g, int64_t frames)
{
    const int64_t w = g.by_w.divisor, h = g.by_h.divisor;
    return (h == 1 || g.x.si == w * g.x.sj) && (frames == 1 || g.x.st == w * h * g.x.sj);
}

int ib_gemm_map_rows_of(const ib_cuda_backend *be, const ib_gemm &g, int rows, CUtensorMap *map)
{
    const int64_t frames = (int64_t)g.rows / ((int64_t)g.by_w.divisor * g.by_h.divisor);
    if ((size_t)g.x.data % 16 || g.x.sj * (int64_t)ib_dtype_size(be->base.act) % 16 || !is_flat(g, frames)) return 0;
    return ib_cuda_map_rows(be, g.x.data, g.x_channels, g.rows, g.x.sj, rows, map);
}

static int map_x(const ib_cuda_backend *be, const ib_gemm &g, int taps, CUtensorMap *map)
{
    const int64_t frames = (int64_t)g.rows / ((int64_t)g.by_w.divisor * g.by_h.divisor);
    if (taps == 1) return ib_gemm_map_rows_of(be, g, IB_WGMMA_BM, map);
    if ((size_t)g.x.data % 16 || g.x.sj % 8) return 0;
    /* Otherwise a step of 16 would mix taps in the mma core and not here: one shape has one order of sums. */
    if (g.x_channels % 16 || ib_gemm_way_out(g) != IB_GEMM_PLAIN) return 0;
    if (g.x.si % 8 || (frames > 1 && g.x.st % 8)) return 0;
    const int64_t dim[4] = {frames, g.in_h, g.in_w, g.x_channels};
    const int64_t stride[3] = {frames > 1 ? g.x.st : g.x.si * g.in_h, g.x.si, g.x.sj};
    return ib_cuda_map_windows(be, g.x.data, dim, stride, g.stride, IB_WGMMA_BM, map);
}

int ib_gemm_launch_wgmma(const ib_cuda_backend *be, const ib_gemm &g, int taps, int columns)
{
    if (ib_gemm_way_out(g) == IB_GEMM_GENERAL) return 0; /* a scattered way out gains nothing here */
    const int wide = g.cols % IB_WIDE_BN == 0 && (g.k_pad >= IB_WIDE_LEAST_K || g.cols >= IB_WIDE_MANY_COLUMNS);
    const int copied = wide ? IB_WIDE_BN / 4 : columns; /* rows of W that one copy moves */
    CUtensorMap x, w;
    if (!map_x(be, g, taps, &x) || !ib_cuda_map_rows(be, g.w, g.k_pad, g.cols, g.k_pad, copied, &w)) return 0;
    if (wide) {
        be->base.act == IB_F16 ? ib_gemm_run_wide_f16(be, g, taps, x, w) : ib_gemm_run_wide_bf16(be, g, taps, x, w);
        return 1;
    }
    if (be->base.act == IB_F16)
        ib_gemm_run_wgmma_f16(be, g, taps, columns, x, w);
    else
        ib_gemm_run_wgmma_bf16(be, g, taps, columns, x, w);
    return 1;
}
