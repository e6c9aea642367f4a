/* The way out of 16-bit results with one or two 16-bit residuals and no activation: as that of gemm_half.cuh, and residuals come in
 * by the same way backwards, rows of 128 bytes through the warp's scratch into fragments. They are read a part of 64 columns ahead
 * of use, the first before the products, so that their latency hides. All columns exist. For sm_90. */
#ifndef IB_BACKEND_CUDA_GEMM_SUM_CUH
#define IB_BACKEND_CUDA_GEMM_SUM_CUH

#include "backend/cuda/gemm_half.cuh"
#include "backend/cuda/mma.cuh"

/* 1 when a product is of this kind (16-byte accesses allowed: ib_gemm_way_out gave IB_GEMM_PLAIN). */
static inline int ib_gemm_is_sum(const ib_gemm &g)
{
    return g.y.dtype != IB_F32 && g.residual.data && g.residual.dtype == g.y.dtype &&
           (!g.residual2.data || g.residual2.dtype == g.y.dtype) && g.act == IB_ACT_NONE;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* 16 rows x 8*FRAGMENTS columns of a warp; lane l moves chunk l % 8 of rows l / 8 + 4i. */
template <typename T, int FRAGMENTS> struct ib_gemm_sum {
    static constexpr int PARTS = FRAGMENTS / 8;
    const T *residual[2][4]; /* NULL: none, or no such row */
    T *y[4];
    uint4 ahead[2][4];

    __device__ __forceinline__ void fetch(int r, int part)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (residual[r][i]) ahead[r][i] = *(const uint4 *)(residual[r][i] + part * 64);
    }
    __device__ __forceinline__ void begin(const ib_gemm &g, uint32_t row0, int col, int lane)
    {
        const int c = col + lane % 8 * 8;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t row = row0 + (uint32_t)(i * 4 + lane / 8);
            const ib_gemm_row at = ib_gemm_row_at(g, row);
            const ib_gemm_map &a = g.residual, &b = g.residual2;
            const bool inside = row < g.rows;
            y[i] = inside ? (T *)g.y.data + (at.t * g.y.st + at.i * g.y.si + at.j * g.y.sj) + c : NULL;
            residual[0][i] = inside ? (const T *)a.data + (at.t * a.st + at.i * a.si + at.j * a.sj) + c : NULL;
            residual[1][i] = inside && b.data ? (const T *)b.data + (at.t * b.st + at.i * b.si + at.j * b.sj) + c : NULL;
            ahead[0][i] = ahead[1][i] = make_uint4(0, 0, 0, 0);
        }
        fetch(0, 0);
        fetch(1, 0);
    }
    /* scratch: 2048 bytes of the warp's own. */
    __device__ __forceinline__ void emit(const ib_gemm &g, int col, float (&acc)[FRAGMENTS][4], uint32_t scratch, int lane)
    {
        const int residuals = g.residual2.data ? 2 : 1;
        const uint32_t put_row = (uint32_t)lane % 16, put_chunk = (uint32_t)lane / 16, put = scratch + put_row * 128;
        const float *bias = g.bias ? g.bias + col + lane % 4 * 2 : NULL;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            float(&d)[8][4] = *(float(*)[8][4])acc[part * 8];
#pragma unroll
            for (int n = 0; n < 8; n++) {
                const float2 add = bias ? __ldg((const float2 *)(bias + part * 64 + n * 8)) : make_float2(0.0f, 0.0f);
#pragma unroll
                for (int e = 0; e < 4; e++) d[n][e] += e % 2 ? add.y : add.x;
            }
#pragma unroll
            for (int r = 0; r < 2; r++) {
                if (r == residuals) break;
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int row = i * 4 + lane / 8;
                    asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};\n" ::"r"(scratch + row * 128 + ((lane % 8 ^ (row & 7)) << 4)),
                                 "r"(ahead[r][i].x), "r"(ahead[r][i].y), "r"(ahead[r][i].z), "r"(ahead[r][i].w)
                                 : "memory");
                }
                if (part + 1 < PARTS) fetch(r, part + 1);
                __syncwarp();
#pragma unroll
                for (int n = 0; n < 8; n += 2) {
                    uint32_t two[4];
                    ib_ldmatrix_x4(two, put + (((n + put_chunk) ^ (put_row & 7)) << 4));
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const float2 v = ib_unpack2<T>(two[e]);
                        d[n + e / 2][e % 2 * 2] += v.x;
                        d[n + e / 2][e % 2 * 2 + 1] += v.y;
                    }
                }
                __syncwarp();
            }
#pragma unroll
            for (int n = 0; n < 8; n += 2)
                ib_stmatrix_x4(put + (((n + put_chunk) ^ (put_row & 7)) << 4), ib_pack2<T>(d[n][0], d[n][1]),
                               ib_pack2<T>(d[n][2], d[n][3]), ib_pack2<T>(d[n + 1][0], d[n + 1][1]),
                               ib_pack2<T>(d[n + 1][2], d[n + 1][3]));
            __syncwarp();
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = i * 4 + lane / 8;
                uint4 v;
                asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];\n"
                             : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                             : "r"(scratch + row * 128 + ((lane % 8 ^ (row & 7)) << 4))
                             : "memory");
                if (y[i]) *(uint4 *)(y[i] + part * 64) = v;
            }
            __syncwarp();
        }
    }
};
#endif

#endif
