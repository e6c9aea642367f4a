/* The way out of 16-bit results without residual: bias, activation and rounding in the fragments, then 64 columns of 16 rows at a
 * time through the warp's scratch, so that a row leaves as 128 bytes. For sm_90 (stmatrix). */
#ifndef IB_BACKEND_CUDA_GEMM_HALF_CUH
#define IB_BACKEND_CUDA_GEMM_HALF_CUH

#include "backend/cuda/gemm.cuh"

constexpr int IB_HALF_SCRATCH_BYTES = 2048; /* of a warp */

/* 1 when a product is of this kind (16-byte accesses allowed: ib_gemm_way_out gave IB_GEMM_PLAIN). */
static inline int ib_gemm_is_half(const ib_gemm &g) { return g.y.dtype != IB_F32 && !g.residual.data && !g.residual2.data; }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* Four 8x8 matrices of 16-bit values to shared memory; lane 8i + r gives the address of row r of matrix i. */
__device__ __forceinline__ void ib_stmatrix_x4(uint32_t address, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};\n" ::"r"(address), "r"(a), "r"(b), "r"(c),
                 "r"(d)
                 : "memory");
}

template <int ACT> __device__ __forceinline__ float ib_half_act(float v)
{
    return ACT == IB_ACT_GELU ? ib_gelu(v) : ACT == IB_ACT_RELU ? ib_relu(v) : v;
}

/* Where the results of packed columns c.. (eight of one tap) of a transposed convolution go, relative to its tap (0,0). */
__device__ __forceinline__ int64_t ib_half_shuffled(const ib_gemm &g, int c, int *channel)
{
    const uint32_t tap = ib_fastdiv_quotient((uint32_t)c, g.by_channels), ky = ib_fastdiv_quotient(tap, g.by_shuffle);
    *channel = c - (int)tap * g.shuffle_channels;
    return (int64_t)ky * g.y.si + (int64_t)(tap - ky * (uint32_t)g.shuffle) * g.y.sj + *channel;
}

/* What is known of the tile: nothing; all of its columns exist and their biases wait in shared memory (zeros where there are
 * none); it is of a transposed convolution with channels a multiple of 8, and all columns exist. */
enum { IB_HALF_ANY, IB_HALF_WHOLE, IB_HALF_SHUFFLED };

/* 16 rows x 8*FRAGMENTS columns; scratch: rows of 128 bytes, chunk c of row r at c ^ (r & 7). `biases` is for
 * IB_HALF_WHOLE. */
template <typename T, int FRAGMENTS, int ACT, int KIND>
__device__ __forceinline__ void ib_gemm_emit_half_act(const ib_gemm &g, uint32_t row0, int col, const float (&acc)[FRAGMENTS][4],
                                                  uint32_t scratch, uint32_t biases, int lane)
{
    constexpr bool SHUFFLE = KIND == IB_HALF_SHUFFLED;
    const int t2 = lane % 4 * 2, put_row = lane % 16, put_chunk = lane / 16;
    const uint32_t put = scratch + put_row * 128;
    const float *bias = g.bias ? g.bias + col + t2 : NULL;
    const int left = KIND == IB_HALF_ANY ? g.cols - col : 8 * FRAGMENTS;
    T *y[4];
    bool inside[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t row = row0 + (uint32_t)(i * 4 + lane / 8);
        const ib_gemm_row r = ib_gemm_row_at(g, row);
        inside[i] = row < g.rows;
        y[i] = SHUFFLE ? (T *)g.y.data + (r.t * g.y.st + (r.i * g.y.si + r.j * g.y.sj) * g.shuffle)
                       : (T *)g.y.data + (r.t * g.y.st + r.i * g.y.si + r.j * g.y.sj) + col + lane % 8 * 8;
    }
#pragma unroll
    for (int part = 0; part < FRAGMENTS; part += 8) {
#pragma unroll
        for (int n = part; n < part + 8; n += 2) {
            uint32_t packed[2][2];
#pragma unroll
            for (int f = 0; f < 2; f++) {
                const float *a = acc[n + f];
                float2 add = make_float2(0.0f, 0.0f);
                if (KIND == IB_HALF_WHOLE) {
                    asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n"
                                 : "=f"(add.x), "=f"(add.y)
                                 : "r"(biases + ((n + f) * 8 + t2) * 4));
                } else if (SHUFFLE && bias) {
                    int channel;
                    (void)ib_half_shuffled(g, col + (n + f) * 8, &channel);
                    add = __ldg((const float2 *)(g.bias + channel + t2));
                } else if (bias && (n + f) * 8 < left) {
                    add = __ldg((const float2 *)(bias + (n + f) * 8));
                }
                packed[f][0] = ib_pack2<T>(ib_half_act<ACT>(a[0] + add.x), ib_half_act<ACT>(a[1] + add.y));
                packed[f][1] = ib_pack2<T>(ib_half_act<ACT>(a[2] + add.x), ib_half_act<ACT>(a[3] + add.y));
            }
            ib_stmatrix_x4(put + (((n - part + put_chunk) ^ (put_row & 7)) << 4), packed[0][0], packed[0][1], packed[1][0],
                           packed[1][1]);
        }
        __syncwarp();
        uint4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = i * 4 + lane / 8;
            asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];\n"
                         : "=r"(v[i].x), "=r"(v[i].y), "=r"(v[i].z), "=r"(v[i].w)
                         : "r"(scratch + row * 128 + ((lane % 8 ^ (row & 7)) << 4))
                         : "memory");
        }
        __syncwarp();
        int channel;
        const int64_t at = SHUFFLE ? ib_half_shuffled(g, col + part * 8 + lane % 8 * 8, &channel) : part * 8;
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (inside[i] && part * 8 + lane % 8 * 8 < left) *(uint4 *)(y[i] + at) = v[i];
    }
}

template <typename T, int FRAGMENTS, int KIND>
__device__ __forceinline__ void ib_gemm_emit_half(const ib_gemm &g, uint32_t row0, int col, const float (&acc)[FRAGMENTS][4],
                                                  uint32_t scratch, uint32_t biases, int lane)
{
    if (g.act == IB_ACT_GELU)
        ib_gemm_emit_half_act<T, FRAGMENTS, IB_ACT_GELU, KIND>(g, row0, col, acc, scratch, biases, lane);
    else if (g.act == IB_ACT_RELU)
        ib_gemm_emit_half_act<T, FRAGMENTS, IB_ACT_RELU, KIND>(g, row0, col, acc, scratch, biases, lane);
    else
        ib_gemm_emit_half_act<T, FRAGMENTS, IB_ACT_NONE, KIND>(g, row0, col, acc, scratch, biases, lane);
}
#endif

#endif
