/* Encoder attention in fp32 arithmetic: the true-fp32 mode, and the half types on cards without usable tensor cores.
 *
 * One block: 128 queries of one head of one frame, 128 threads. Thread (rg, cg) = (row group, column group) of a warp
 * holds rows warp*32 + rg + 4i (i < 8) and keys cg + 8j, so that a step over four head columns is 8 x KEYS/8 x 4
 * multiply-adds on 8 + KEYS/8 16-byte reads; for the second product the weights go through shared memory, transposed,
 * within a warp. Keys of the next tile are fetched while this one's values are multiplied, and the other way round
 * (cp.async where there is one). Tiles of KEYS keys in fixed order from the first one on; a row's bits depend on its
 * own frame only.
 *
 * Rows of q, k and v in shared memory hold 16 chunks of four values; chunk c of row r lies at c ^ (r & 7).
 */
#include "backend/cuda/attention.cuh"
#include "backend/cuda/mma.cuh"
#include <math.h>

#define BM 128
#define D 64 /* head sizes below it are padded with zeros */
#define THREADS 128

struct simt_params {
    const void *qkv;
    void *y;
    int64_t qkv_t, qkv_n, y_t, y_n;
    int n, c, d, vector; /* d: real head size; vector: rows may be read four values at a time */
    float scale_log2;
};

/* Where chunk `col / 4` of a row lies. */
__device__ __forceinline__ int at(int row, int col) { return row * D + (((col >> 2) ^ (row & 7)) << 2); }

/* Rows [first, first + rows) as f32; zeros outside. Asynchronous where possible: close with commit, wait, barrier. */
template <typename T, int rows>
__device__ __forceinline__ void load_rows(float *dst, const T *src, int64_t stride, int first, const simt_params &p)
{
#pragma unroll 4
    for (int item = threadIdx.x; item < rows * (D / 4); item += THREADS) {
        const int row = item / (D / 4), col = item % (D / 4) * 4, inside = first + row < p.n;
        const T *from = src + (int64_t)(inside ? first + row : 0) * stride + col;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
        if (sizeof(T) == 4 && p.vector && col + 4 <= p.d) {
            ib_cp_async16(ib_smem_address(dst + at(row, col)), from, inside);
            continue;
        }
#endif
        float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (inside) {
            if (p.vector && col + 4 <= p.d) {
                ib_load_f32<T, 4>(from, v);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (col + i < p.d) v[i] = ib_to_f32(from[i]);
            }
        }
        *reinterpret_cast<float4 *>(dst + at(row, col)) = make_float4(v[0], v[1], v[2], v[3]);
    }
}

/* Ends a group of loads; waits until at most `pending` of the latest groups are under way. */
__device__ __forceinline__ void loads_commit()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    ib_cp_async_commit();
#endif
}
template <int pending> __device__ __forceinline__ void loads_wait()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    ib_cp_async_wait<pending>();
#endif
}

template <typename T, int KEYS> __global__ void __launch_bounds__(THREADS, 2) k_attention_simt(simt_params p)
{
    constexpr int NJ = KEYS / 8;
    extern __shared__ float4 simt_smem[];
    float *sq = (float *)simt_smem, *sk = sq + BM * D, *sv = sk + KEYS * D, *sw = sv + KEYS * D;
    const int warp = threadIdx.x >> 5, rg = (threadIdx.x >> 3) & 3, cg = threadIdx.x & 7;
    const int q0 = (int)blockIdx.x * BM, n = p.n;
    const T *q = (const T *)p.qkv + (int64_t)blockIdx.z * p.qkv_t + (int64_t)blockIdx.y * p.d;
    const T *k = q + p.c, *v = k + p.c;

    float o[8][8], row_max[8], row_sum[8]; /* o columns: cg*4 + 0..3 and 32 + cg*4 + 0..3 */
#pragma unroll
    for (int i = 0; i < 8; i++) {
        row_max[i] = -INFINITY;
        row_sum[i] = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++) o[i][j] = 0.0f;
    }
    load_rows<T, BM>(sq, q, p.qkv_n, q0, p);
    load_rows<T, KEYS>(sk, k, p.qkv_n, 0, p);
    loads_commit();
    const float *qrow = sq + (warp * 32 + rg) * D, *krow = sk + cg * D;
    const int own =
        warp * 8 + rg * 2; /* weights: [key][chunk of four rows ^ (key & 7)]; this thread's rows, i in order */

    for (int first = 0; first < n; first += KEYS) {
        load_rows<T, KEYS>(sv, v, p.qkv_n, first, p);
        loads_commit();
        loads_wait<1>();
        __syncthreads(); /* keys are there */

        float s[8][NJ];
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < NJ; j++) s[i][j] = 0.0f;
#pragma unroll 2
        for (int d = 0; d < D / 4; d++) {
            float4 qv[8];
            const int even = (d ^ rg) << 2, odd = (d ^ (rg + 4)) << 2, key = (d ^ cg) << 2;
#pragma unroll
            for (int i = 0; i < 8; i++)
                qv[i] = *reinterpret_cast<const float4 *>(qrow + i * 4 * D + (i & 1 ? odd : even));
#pragma unroll
            for (int j = 0; j < NJ; j++) {
                const float4 kv = *reinterpret_cast<const float4 *>(krow + j * 8 * D + key);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    s[i][j] = fmaf(qv[i].x, kv.x, s[i][j]);
                    s[i][j] = fmaf(qv[i].y, kv.y, s[i][j]);
                    s[i][j] = fmaf(qv[i].z, kv.z, s[i][j]);
                    s[i][j] = fmaf(qv[i].w, kv.w, s[i][j]);
                }
            }
        }
        __syncthreads(); /* nobody reads these keys any more */
        if (first + KEYS < n) load_rows<T, KEYS>(sk, k, p.qkv_n, first + KEYS, p);
        loads_commit();
        if (first + KEYS > n) {
#pragma unroll
            for (int j = 0; j < NJ; j++)
                if (first + cg + 8 * j >= n)
#pragma unroll
                    for (int i = 0; i < 8; i++) s[i][j] = -INFINITY;
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float top = row_max[i], sum = 0.0f;
#pragma unroll
            for (int j = 0; j < NJ; j++) top = fmaxf(top, s[i][j]);
#pragma unroll
            for (int mask = 1; mask < 8; mask <<= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, mask));
            const float base = top == -INFINITY ? 0.0f : top; /* no -inf minus -inf */
            const float keep = exp2f((row_max[i] - base) * p.scale_log2);
            row_max[i] = top;
#pragma unroll
            for (int j = 0; j < NJ; j++) {
                s[i][j] = exp2f((s[i][j] - base) * p.scale_log2);
                sum += s[i][j];
            }
            row_sum[i] = row_sum[i] * keep + sum;
#pragma unroll
            for (int j = 0; j < 8; j++) o[i][j] *= keep;
        }
#pragma unroll
        for (int j = 0; j < NJ; j++) {
            float4 *to = reinterpret_cast<float4 *>(sw + (cg + 8 * j) * BM);
            to[own ^ cg] = make_float4(s[0][j], s[1][j], s[2][j], s[3][j]);
            to[(own + 1) ^ cg] = make_float4(s[4][j], s[5][j], s[6][j], s[7][j]);
        }
        loads_wait<1>();
        __syncthreads(); /* values are there, and the weights of this warp */
#pragma unroll 4
        for (int key = 0; key < KEYS; key++) {
            const float4 *from = reinterpret_cast<const float4 *>(sw + key * BM);
            const float4 w0 = from[own ^ (key & 7)], w1 = from[(own + 1) ^ (key & 7)];
            const float4 v0 = *reinterpret_cast<const float4 *>(sv + at(key, cg * 4));
            const float4 v1 = *reinterpret_cast<const float4 *>(sv + at(key, 32 + cg * 4));
            const float w[8] = {w0.x, w0.y, w0.z, w0.w, w1.x, w1.y, w1.z, w1.w};
#pragma unroll
            for (int i = 0; i < 8; i++) {
                o[i][0] = fmaf(w[i], v0.x, o[i][0]);
                o[i][1] = fmaf(w[i], v0.y, o[i][1]);
                o[i][2] = fmaf(w[i], v0.z, o[i][2]);
                o[i][3] = fmaf(w[i], v0.w, o[i][3]);
                o[i][4] = fmaf(w[i], v1.x, o[i][4]);
                o[i][5] = fmaf(w[i], v1.y, o[i][5]);
                o[i][6] = fmaf(w[i], v1.z, o[i][6]);
                o[i][7] = fmaf(w[i], v1.w, o[i][7]);
            }
        }
        __syncthreads(); /* nobody reads these values any more */
    }

    T *y = (T *)p.y + (int64_t)blockIdx.z * p.y_t + (int64_t)blockIdx.y * p.d;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float sum = row_sum[i];
#pragma unroll
        for (int mask = 1; mask < 8; mask <<= 1) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
        const int row = q0 + warp * 32 + rg + 4 * i;
        if (row >= n) continue;
#pragma unroll
        for (int part = 0; part < 2; part++) {
            const int col = part * 32 + cg * 4;
            T *to = y + (int64_t)row * p.y_n + col;
            float v4[4];
#pragma unroll
            for (int e = 0; e < 4; e++) v4[e] = o[i][part * 4 + e] / sum;
            if (p.vector && col + 4 <= p.d) {
                ib_store_f32<T, 4>(to, v4);
            } else {
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (col + e < p.d) to[e] = ib_from_f32<T>(v4[e]);
            }
        }
    }
}

/* KEYS = 64 is the faster tile; 32 fits the 64 KiB of shared memory of sm_75. The tile changes bits, so the choice
 * hangs on the code that runs, not on what is free. */
template <typename T> static isobath_status launch(ib_backend *backend, const ib_attention_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int64_t c = a->qkv.dim[2] / 3, d = c / a->heads;
    simt_params p = {a->qkv.data,
                     a->y.data,
                     a->qkv.stride[0],
                     a->qkv.stride[1],
                     a->y.stride[0],
                     a->y.stride[1],
                     (int)a->qkv.dim[1],
                     (int)c,
                     (int)d,
                     d % 4 == 0 && ib_cuda_aligned(&a->qkv, 4 * sizeof(T)) && ib_cuda_aligned(&a->y, 4 * sizeof(T)),
                     1.44269504088896340736f / sqrtf((float)d)};
    dim3 grid((unsigned)ib_ceil_div(p.n, BM), (unsigned)a->heads, (unsigned)a->qkv.dim[0]);
    const int keys = be->path >= IB_CUDA_MMA ? 64 : 32;
    const int bytes = (int)sizeof(float) * (BM * D + 2 * keys * D + keys * BM);
    const void *kernel = keys == 64 ? (const void *)k_attention_simt<T, 64> : (const void *)k_attention_simt<T, 32>;
    IB_TRY(ib_cuda_check(backend, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
                         "attention: shared memory"));
    if (keys == 64)
        k_attention_simt<T, 64><<<grid, THREADS, bytes, be->stream>>>(p);
    else
        k_attention_simt<T, 32><<<grid, THREADS, bytes, be->stream>>>(p);
    return ib_cuda_launched(backend, "attention");
}

isobath_status ib_cuda_attention_simt(ib_backend *backend, const ib_attention_args *a)
{
    if (a->qkv.dim[2] / 3 / a->heads > D)
        return ib_fail(backend->diag, ISOBATH_ERR_UNSUPPORTED, "cuda attention: head size %lld, at most %d is built",
                       (long long)(a->qkv.dim[2] / 3 / a->heads), D);
    isobath_status status = ISOBATH_OK;
    IB_CUDA_DISPATCH(a->qkv.dtype, T, status = launch<T>(backend, a));
    return status;
}
