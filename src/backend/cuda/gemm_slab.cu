/* What the slab core of sm_90a is made for; instances are in gemm_slab_<type>.cu. */
#include "backend/cuda/gemm_launch.cuh"
#include "backend/cuda/gemm_slab.cuh"
#include "backend/cuda/gemm_wgmma.cuh"

/* Columns of a slab: the widest that divides W and leaves room for four stages of A; 0: none. */
static int slab_columns(int cols, int steps)
{
    static const int widths[] = {192, 128, 64};
    for (int i = 0; i < 3; i++)
        if (cols % widths[i] == 0 &&
            steps * widths[i] * 128 + 4 * IB_SLAB_STAGE_BYTES + IB_SLAB_OTHER_BYTES <= IB_SLAB_SHARED_BYTES)
            return widths[i];
    return 0;
}

int ib_gemm_launch_slab(const ib_cuda_backend *be, const ib_gemm &g)
{
    ib_slab_shape shape = {(g.k_pad + 63) / 64, 0, 0};
    const int columns = slab_columns(g.cols, shape.steps), way_out = ib_gemm_way_out(g);
    const int shuffle = g.shuffle && g.vector_out && g.vector_bias && g.shuffle_channels % 8 == 0 && g.act == IB_ACT_NONE;
    if ((way_out == IB_GEMM_GENERAL && !shuffle) || shape.steps > IB_SLAB_MOST_STEPS || columns == 0 || g.residual2.data) return 0;
    shape.slabs = g.cols / columns;
    /* Every slab has the same number of blocks: no more than an eighth of the multiprocessors may go without. */
    if (shape.slabs > be->sm_count || be->sm_count % shape.slabs > be->sm_count / 8) return 0;
    const int half_out = g.y.dtype != IB_F32 && !g.residual.data;
    if (way_out == IB_GEMM_GATED && !half_out) return 0;
    shape.stages = (IB_SLAB_SHARED_BYTES - IB_SLAB_OTHER_BYTES - shape.steps * columns * 128) / IB_SLAB_STAGE_BYTES;
    if (shape.stages > IB_SLAB_MOST_STAGES) shape.stages = IB_SLAB_MOST_STAGES;
    CUtensorMap x, w;
    if (!ib_gemm_map_rows_of(be, g, IB_SLAB_ROWS, &x) || !ib_cuda_map_rows(be, g.w, g.k_pad, g.cols, g.k_pad, columns, &w))
        return 0;
    const int out = shuffle                    ? IB_SLAB_SHUFFLE
                    : way_out == IB_GEMM_GATED ? IB_SLAB_GATED
                    : half_out                 ? IB_SLAB_HALF
                    : ib_gemm_is_stream(g)     ? IB_SLAB_STREAM
                                               : IB_SLAB_WIDE;
    if (be->base.act == IB_F16)
        ib_gemm_run_slab_f16(be, g, out, columns, shape, x, w);
    else
        ib_gemm_run_slab_bf16(be, g, out, columns, shape, x, w);
    return 1;
}
