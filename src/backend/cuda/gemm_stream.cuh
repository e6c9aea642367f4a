/* The way out of the residual stream: f32 results with an f32 residual, no activation, straight from fragments. A lane's two
 * columns of a row are 8 bytes, four lanes a sector. Residuals are read four fragments at a time, two such groups ahead of
 * the stores and the first two before the products, so that their latency hides. */
#ifndef IB_BACKEND_CUDA_GEMM_STREAM_CUH
#define IB_BACKEND_CUDA_GEMM_STREAM_CUH

#include "backend/cuda/gemm.cuh"

/* 1 when a product is of this kind (16-byte accesses allowed: ib_gemm_way_out gave IB_GEMM_PLAIN). */
static inline int ib_gemm_is_stream(const ib_gemm &g)
{
    return g.y.dtype == IB_F32 && g.residual.data && g.residual.dtype == IB_F32 && !g.residual2.data && g.act == IB_ACT_NONE;
}

/* M blocks of 64 rows, of which a warp has 16 each, by 8*FRAGMENTS columns. */
template <int M, int FRAGMENTS> struct ib_gemm_stream {
    static constexpr int GROUP = 4, PER_BLOCK = FRAGMENTS / GROUP, GROUPS = M * PER_BLOCK, AHEAD = 2;
    float *y[M][2];
    const float *residual[M][2]; /* rows g and g + 8 */
    const float *bias;
    bool inside[M][2];
    int left; /* columns that exist from the lane's first on */
    float2 ahead[AHEAD][GROUP][2];

    __device__ __forceinline__ void fetch(int group)
    {
        const int m = group / PER_BLOCK, first = group % PER_BLOCK * GROUP;
#pragma unroll
        for (int n = 0; n < GROUP; n++)
#pragma unroll
            for (int r = 0; r < 2; r++)
                if (inside[m][r] && (first + n) * 8 < left)
                    ahead[group % AHEAD][n][r] = *(const float2 *)(residual[m][r] + (first + n) * 8);
    }
    /* row0: of the warp in the first block of rows; col: of the tile. */
    __device__ __forceinline__ void begin(const ib_gemm &g, uint32_t row0, int col, int lane)
    {
        const int c = col + lane % 4 * 2;
        left = g.cols - c;
        bias = g.bias ? g.bias + c : NULL;
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const uint32_t row = row0 + (uint32_t)(m * 64 + r * 8 + lane / 4);
                const ib_gemm_row at = ib_gemm_row_at(g, row);
                inside[m][r] = row < g.rows;
                y[m][r] = (float *)g.y.data + (at.t * g.y.st + at.i * g.y.si + at.j * g.y.sj) + c;
                residual[m][r] =
                    (const float *)g.residual.data + (at.t * g.residual.st + at.i * g.residual.si + at.j * g.residual.sj) + c;
            }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) fetch(i);
    }
    __device__ __forceinline__ void emit(const float (&acc)[M][FRAGMENTS][4])
    {
#pragma unroll
        for (int group = 0; group < GROUPS; group++) {
            const int m = group / PER_BLOCK, first = group % PER_BLOCK * GROUP;
#pragma unroll
            for (int n = 0; n < GROUP; n++) {
                const bool exists = (first + n) * 8 < left;
                const float2 add = bias && exists ? __ldg((const float2 *)(bias + (first + n) * 8)) : make_float2(0.0f, 0.0f);
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const float *a = acc[m][first + n] + 2 * r;
                    const float2 own = ahead[group % AHEAD][n][r];
                    if (inside[m][r] && exists)
                        *(float2 *)(y[m][r] + (first + n) * 8) = make_float2(a[0] + add.x + own.x, a[1] + add.y + own.y);
                }
            }
            if (group + AHEAD < GROUPS) fetch(group + AHEAD);
        }
    }
};

#endif
