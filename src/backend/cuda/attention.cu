/* Encoder attention with mma.sync: flash attention (Dao et al.), head size 64, half types, f32 softmax statistics.
 *
 * One block: 128 queries of one head of one frame, four warps of 32 rows each. Keys and values come in tiles of 64
 * through a two-stage cp.async pipeline, always in the same order from the first key on; keys beyond N are masked in
 * the last tile. So a row's bits depend on its own frame only.
 *
 * Shared memory rows hold 64 values = eight 16-byte chunks; chunk c of row r lies at c ^ (r & 7), which keeps both the
 * copies and ldmatrix free of bank conflicts.
 */
#include "backend/cuda/attention.cuh"
#include "backend/cuda/mma.cuh"
#include <math.h>

#define BM 128 /* queries per block */
#define BN 64  /* keys per tile */
#define D 64   /* head size */
#define THREADS 128
#define ROW_BYTES (D * 2)

struct attention_params {
    const void *qkv;
    void *y;
    int64_t qkv_t, qkv_n, y_t, y_n; /* strides in elements */
    int n, c, y_aligned;
    float scale_log2; /* log2(e) / sqrt(D) */
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ __forceinline__ uint32_t swizzled(uint32_t base, int row, int chunk)
{
    return base + (uint32_t)(row * ROW_BYTES + ((chunk ^ (row & 7)) << 4));
}

/* Rows [first, first + rows) of a head's 64 columns into shared memory; rows from n on become zero. */
template <typename T, int rows>
__device__ __forceinline__ void load_tile(uint32_t dst, const T *src, int64_t stride, int first, int n)
{
#pragma unroll
    for (int i = 0; i < rows * 8 / THREADS; i++) {
        int item = i * THREADS + (int)threadIdx.x, row = item >> 3, chunk = item & 7;
        int valid = first + row < n;
        ib_cp_async16(swizzled(dst, row, chunk), src + (valid ? first + row : 0) * stride + chunk * 8, valid);
    }
}
#endif

template <typename T> __global__ void __launch_bounds__(THREADS) k_attention_mma(attention_params p)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    __shared__ alignas(128) uint8_t smem[BM * ROW_BYTES + 4 * BN * ROW_BYTES]; /* 48 KiB: q, two k, two v */
    const uint32_t sq = ib_smem_address(smem), sk = sq + BM * ROW_BYTES, sv = sk + 2 * BN * ROW_BYTES;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t2 = (lane & 3) * 2;
    const int q0 = (int)blockIdx.x * BM, head = blockIdx.y, n = p.n;
    const T *q = (const T *)p.qkv + (int64_t)blockIdx.z * p.qkv_t + head * D, *k = q + p.c, *v = k + p.c;
    const int tiles = (n + BN - 1) / BN;

    load_tile<T, BM>(sq, q, p.qkv_n, q0, n);
    load_tile<T, BN>(sk, k, p.qkv_n, 0, n);
    load_tile<T, BN>(sv, v, p.qkv_n, 0, n);
    ib_cp_async_commit();

    float o[2][8][4], row_max[2][2], row_sum[2][2]; /* [16-row tile][8-column tile][fragment]; [tile][row g, g + 8] */
    uint32_t qf[2][4][4];
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) o[m][j][e] = 0.0f;
        row_max[m][0] = row_max[m][1] = -INFINITY;
        row_sum[m][0] = row_sum[m][1] = 0.0f;
    }

    for (int tile = 0; tile < tiles; tile++) {
        const uint32_t stage = (uint32_t)(tile & 1) * BN * ROW_BYTES;
        ib_cp_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the other stage any more */
        if (tile + 1 < tiles) {
            load_tile<T, BN>(sk + (BN * ROW_BYTES - stage), k, p.qkv_n, (tile + 1) * BN, n);
            load_tile<T, BN>(sv + (BN * ROW_BYTES - stage), v, p.qkv_n, (tile + 1) * BN, n);
        }
        ib_cp_async_commit();
        if (tile == 0) {
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int ks = 0; ks < 4; ks++)
                    ib_ldmatrix_x4(qf[m][ks], swizzled(sq, warp * 32 + m * 16 + (lane & 15), ks * 2 + (lane >> 4)));
        }

        float s[2][8][4]; /* scores: 32 rows x 64 keys */
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[m][j][e] = 0.0f;
#pragma unroll
        for (int ks = 0; ks < 4; ks++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                uint32_t b[4];
                ib_ldmatrix_x4(b,
                               swizzled(sk + stage, j * 16 + (lane & 7) + (lane >> 4) * 8, ks * 2 + ((lane >> 3) & 1)));
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    ib_mma_16816<T>(s[m][2 * j], qf[m][ks], b[0], b[1]);
                    ib_mma_16816<T>(s[m][2 * j + 1], qf[m][ks], b[2], b[3]);
                }
            }
        if (tile * BN + BN > n) {
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (tile * BN + j * 8 + t2 + (e & 1) >= n) s[0][j][e] = s[1][j][e] = -INFINITY;
        }

        uint32_t pf[2][4][4]; /* weights as the A operand of the second product */
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float top = row_max[m][r];
#pragma unroll
                for (int j = 0; j < 8; j++) top = fmaxf(top, fmaxf(s[m][j][2 * r], s[m][j][2 * r + 1]));
                top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
                top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
                const float offset = top == -INFINITY ? 0.0f : top * p.scale_log2; /* no -inf minus -inf */
                const float keep = ib_exp2_fast(row_max[m][r] * p.scale_log2 - offset);
                float sum = 0.0f;
                row_max[m][r] = top;
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    float e0 = ib_exp2_fast(s[m][j][2 * r] * p.scale_log2 - offset);
                    float e1 = ib_exp2_fast(s[m][j][2 * r + 1] * p.scale_log2 - offset);
                    sum += e0 + e1;
                    pf[m][j >> 1][(j & 1) * 2 + r] = ib_pack2<T>(e0, e1);
                    o[m][j][2 * r] *= keep;
                    o[m][j][2 * r + 1] *= keep;
                }
                row_sum[m][r] = row_sum[m][r] * keep + sum; /* this lane's columns; lanes are summed at the end */
            }
#pragma unroll
        for (int ks = 0; ks < 4; ks++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                uint32_t b[4];
                ib_ldmatrix_x4_trans(b, swizzled(sv + stage, ks * 16 + (lane & 15), j * 2 + (lane >> 4)));
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    ib_mma_16816<T>(o[m][2 * j], pf[m][ks], b[0], b[1]);
                    ib_mma_16816<T>(o[m][2 * j + 1], pf[m][ks], b[2], b[3]);
                }
            }
    }

    /* Each warp writes its rows over its own queries, then stores them 16 bytes at a time. */
    T *y = (T *)p.y + (int64_t)blockIdx.z * p.y_t + head * D;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float sum = row_sum[m][r];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const float inverse = 1.0f / sum;
            const int row = warp * 32 + m * 16 + r * 8 + g;
#pragma unroll
            for (int j = 0; j < 8; j++)
                *reinterpret_cast<uint32_t *>(smem + (swizzled(sq, row, j) - sq) + t2 * 2) =
                    ib_pack2<T>(o[m][j][2 * r] * inverse, o[m][j][2 * r + 1] * inverse);
        }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int row = warp * 32 + i * 4 + (lane >> 3), chunk = lane & 7;
        if (q0 + row < n)
            ib_attention_store8<T>(y + (q0 + row) * p.y_n + chunk * 8, smem + (swizzled(sq, row, chunk) - sq),
                                   p.y_aligned);
    }
#endif
}

/* qkv with 16-byte aligned rows. */
static isobath_status attend(ib_backend *backend, const ib_attention_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    if (be->path >= IB_CUDA_WGMMA) return ib_cuda_attention_wgmma(backend, a);
    const int64_t n = a->qkv.dim[1];
    const attention_params p = {a->qkv.data,
                                a->y.data,
                                a->qkv.stride[0],
                                a->qkv.stride[1],
                                a->y.stride[0],
                                a->y.stride[1],
                                (int)n,
                                a->heads * D,
                                ib_cuda_aligned(&a->y, 16),
                                1.44269504088896340736f / sqrtf((float)D)};
    const dim3 grid((unsigned)ib_ceil_div(n, BM), (unsigned)a->heads, (unsigned)a->qkv.dim[0]);
    if (a->qkv.dtype == IB_F16)
        k_attention_mma<ib_f16><<<grid, THREADS, 0, be->stream>>>(p);
    else
        k_attention_mma<ib_bf16><<<grid, THREADS, 0, be->stream>>>(p);
    return ib_cuda_launched(backend, "attention");
}

/* qkv that lies anyhow: as many heads of a frame as fit go to the workspace first, so that the bits stay the same. */
static isobath_status attend_packed(ib_backend *backend, const ib_attention_args *a)
{
    const int64_t n = a->qkv.dim[1], c = (int64_t)a->heads * D;
    const int64_t most = (int64_t)(IB_CUDA_WORKSPACE_BYTES / (size_t)(n * 3 * D * 2));
    if (most < 1)
        return ib_fail(backend->diag, ISOBATH_ERR_UNSUPPORTED, "cuda attention: %lld unaligned tokens are too many",
                       (long long)n);
    for (int64_t t = 0; t < a->qkv.dim[0]; t++)
        for (int64_t head = 0; head < a->heads; head += most) {
            const int64_t heads = a->heads - head < most ? a->heads - head : most;
            const ib_tensor from = ib_tensor_slice(&a->qkv, t, 1), to = ib_tensor_slice(&a->y, t, 1);
            ib_attention_args part;
            part.qkv = ib_tensor_3d(ib_cuda(backend)->workspace, a->qkv.dtype, 1, n, 3 * heads * D);
            part.heads = (int)heads;
            part.y = ib_tensor_narrow(&to, 2, head * D, heads * D);
            for (int64_t i = 0; i < 3; i++) {
                ib_copy_args copy;
                copy.x = ib_tensor_narrow(&from, 2, i * c + head * D, heads * D);
                copy.y = ib_tensor_narrow(&part.qkv, 2, i * heads * D, heads * D);
                IB_TRY(ib_cuda_copy(backend, &copy));
            }
            IB_TRY(attend(backend, &part));
        }
    return ISOBATH_OK;
}

isobath_status ib_cuda_attention(ib_backend *backend, const ib_attention_args *a)
{
    const int half = a->qkv.dtype == IB_F16 || a->qkv.dtype == IB_BF16;
    if (ib_cuda(backend)->path < IB_CUDA_MMA || !half || a->qkv.dim[2] != 3 * (int64_t)a->heads * D)
        return ib_cuda_attention_simt(backend, a);
    return ib_cuda_aligned(&a->qkv, 16) ? attend(backend, a) : attend_packed(backend, a);
}
