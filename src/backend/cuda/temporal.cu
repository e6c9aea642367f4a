/* Temporal attention with mma.sync: at each pixel and head, softmax(q k^T / sqrt(D)) v over at most 32 frames.
 *
 * A block takes a few pixels and several heads, so that each frame's row is read in long contiguous pieces; a warp
 * computes 16 queries of a (pixel, head) at a time, in registers: 16 x 32 scores, softmax, 16 x D results. Rows of
 * shared memory (one frame of q, k or v of one item) are padded to an odd number of 16-byte chunks: no bank conflicts.
 */
#include "backend/cuda/mma.cuh"
#include "backend/cuda/temporal.cuh"
#include <math.h>

#define THREADS 256
#define FRAMES IB_TEMPORAL_MAX_FRAMES
#define SMEM_LIMIT (56 * 1024)

/* How a block is cut; computed on the host. */
struct temporal_tiling {
    int pixels_log2, heads; /* per block */
    int aligned;            /* rows allow 16-byte accesses; changes no bits */
    int pitch, item_bytes;  /* of a row; of q, k and v of one (pixel, head) */
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
/* 16 query frames from `tq` on of one item, whose q, k and v lie at `item_offset`; the result replaces those rows of q.
 */
template <typename T>
__device__ __forceinline__ void attend(uint8_t *smem, uint32_t item_offset, int pitch, int tq, int d, int tk,
                                       float scale_log2)
{
    const int lane = threadIdx.x & 31, g = lane >> 2, t2 = (lane & 3) * 2;
    const uint32_t sq = ib_smem_address(smem) + item_offset + tq * pitch;
    const uint32_t sk = ib_smem_address(smem) + item_offset + FRAMES * pitch, sv = sk + FRAMES * pitch;
    const uint32_t a_row = (uint32_t)((lane & 15) * pitch + (lane >> 4) * 16);
    const uint32_t b_row = (uint32_t)(((lane & 7) + (lane >> 4) * 8) * pitch + ((lane >> 3) & 1) * 16);
    const int pairs = d / 16, odd = d & 8;

    float s[4][4]; /* 16 queries x 32 keys */
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[j][e] = 0.0f;
    for (int ks = 0; ks < pairs; ks++) {
        uint32_t a[4], b[2][4];
        ib_ldmatrix_x4(a, sq + a_row + ks * 32);
        ib_ldmatrix_x4(b[0], sk + b_row + ks * 32);
        ib_ldmatrix_x4(b[1], sk + 16 * pitch + b_row + ks * 32);
#pragma unroll
        for (int j = 0; j < 4; j++) ib_mma_16816<T>(s[j], a, b[j >> 1][(j & 1) * 2], b[j >> 1][(j & 1) * 2 + 1]);
    }
    if (odd) { /* the last eight columns; of a only the first two matrices are used */
        uint32_t a[4], b[4];
        ib_ldmatrix_x4(a, sq + (lane & 15) * pitch + pairs * 32);
        ib_ldmatrix_x4(b, sk + lane * pitch + pairs * 32);
#pragma unroll
        for (int j = 0; j < 4; j++) ib_mma_1688<T>(s[j], a[0], a[1], b[j]);
    }
    uint32_t pf[2][4];
    float inverse[2];
    ib_temporal_softmax<T>(s, pf, inverse, tk, scale_log2, t2);

    __syncwarp(); /* these rows of q have been read by all lanes */
    uint8_t *out = smem + item_offset + (tq + g) * pitch + t2 * 2;
    for (int j = 0; j < d / 8; j++) {
        /* 32 keys x 8 columns: a matrix per eight keys */
        uint32_t b[4];
        ib_ldmatrix_x4_trans(b, sv + lane * pitch + j * 16);
        float o[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        ib_mma_16816<T>(o, pf[0], b[0], b[1]);
        ib_mma_16816<T>(o, pf[1], b[2], b[3]);
#pragma unroll
        for (int r = 0; r < 2; r++)
            *reinterpret_cast<uint32_t *>(out + r * 8 * pitch + j * 16) =
                ib_pack2<T>(o[2 * r] * inverse[r], o[2 * r + 1] * inverse[r]);
    }
}
#endif

template <typename T>
__global__ void __launch_bounds__(THREADS, 4) k_temporal_mma(ib_temporal_params p, temporal_tiling tiling)
{
    ib_grid_begin();
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    extern __shared__ uint4 temporal_smem[];
    uint8_t *smem = (uint8_t *)temporal_smem;
    const int pixels = 1 << tiling.pixels_log2, pitch = tiling.pitch;
    const int64_t p0 = (int64_t)blockIdx.x * pixels;
    const int head0 = (int)blockIdx.y * tiling.heads, tq0 = (int)blockIdx.z * FRAMES;

    /* Thread -> one 16-byte column of a row; rows are (frame, pixel), pixel fastest. */
    const int chunks = tiling.heads * p.d / 8, rows_at_once = THREADS / chunks;
    const int column = (int)threadIdx.x % chunks, row0 = (int)threadIdx.x / chunks;
    const int head = column * 8 / p.d, within = column * 8 - head * p.d;
    const uint32_t column_offset = (uint32_t)(head * tiling.item_bytes + within * 2);
    const int64_t column_source = (int64_t)(head0 + head) * p.d + within;
    const int rows = row0 < rows_at_once ? FRAMES * pixels : 0;

    const T *const source[3] = {(const T *)p.q + tq0 * p.q_t, (const T *)p.k, (const T *)p.v};
    const int64_t stride_t[3] = {p.q_t, p.k_t, p.v_t}, stride_p[3] = {p.q_p, p.k_p, p.v_p};
    const int frames[3] = {p.tq - tq0, p.tk, p.tk};
#pragma unroll
    for (int array = 0; array < 3; array++) {
        const uint32_t dst = ib_smem_address(smem) + column_offset + array * FRAMES * pitch;
        const T *src = source[array] + column_source + p0 * stride_p[array];
        for (int row = row0; row < rows; row += rows_at_once) {
            const int pixel = row & (pixels - 1), t = row >> tiling.pixels_log2;
            const int valid = t < frames[array] && p0 + pixel < p.pixels;
            const T *from = valid ? src + t * stride_t[array] + pixel * stride_p[array] : source[array];
            const uint32_t offset = (uint32_t)(pixel * tiling.heads * tiling.item_bytes + t * pitch);
            if (tiling.aligned) {
                ib_cp_async16(dst + offset, from, valid);
            } else {
                T *to = (T *)(smem + column_offset + array * FRAMES * pitch + offset);
                for (int e = 0; e < 8; e++) to[e] = valid ? from[e] : ib_from_f32<T>(0.0f);
            }
        }
    }
    ib_cp_async_commit();
    ib_cp_async_wait<0>();
    __syncthreads();

    for (int half = threadIdx.x >> 5; half < 2 * pixels * tiling.heads; half += THREADS / 32)
        attend<T>(smem, (uint32_t)((half >> 1) * tiling.item_bytes), pitch, (half & 1) * 16, p.d, p.tk, p.scale_log2);
    __syncthreads();

    T *y = (T *)p.y + tq0 * p.y_t + p0 * p.y_p + column_source;
    for (int row = row0; row < rows; row += rows_at_once) {
        const int pixel = row & (pixels - 1), t = row >> tiling.pixels_log2;
        if (t >= p.tq - tq0 || p0 + pixel >= p.pixels) continue;
        const uint8_t *from = smem + column_offset + pixel * tiling.heads * tiling.item_bytes + t * pitch;
        T *to = y + t * p.y_t + pixel * p.y_p;
        if (tiling.aligned)
            *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(from);
        else
            for (int e = 0; e < 8; e++) to[e] = ((const T *)from)[e];
    }
#endif
}

static temporal_tiling choose_tiling(int heads, int d)
{
    temporal_tiling tiling;
    int chunks = d / 8;
    tiling.pitch = (chunks | 1) * 16;
    tiling.item_bytes = 3 * FRAMES * tiling.pitch;
    tiling.heads = heads;
    while (tiling.heads % 2 == 0 && (tiling.heads * tiling.item_bytes > SMEM_LIMIT || tiling.heads * chunks > THREADS))
        tiling.heads /= 2;
    tiling.pixels_log2 = 0;
    while ((tiling.heads * tiling.item_bytes << (tiling.pixels_log2 + 1)) <= SMEM_LIMIT) tiling.pixels_log2++;
    return tiling;
}

template <typename T>
static isobath_status launch(ib_backend *backend, const ib_temporal_params &p, const temporal_tiling &tiling)
{
    const int bytes = tiling.heads * tiling.item_bytes << tiling.pixels_log2;
    IB_TRY(ib_cuda_check(
        backend, cudaFuncSetAttribute(k_temporal_mma<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, SMEM_LIMIT),
        "temporal attention: shared memory"));
    dim3 grid((unsigned)ib_ceil_div(p.pixels, (int64_t)1 << tiling.pixels_log2), (unsigned)(p.heads / tiling.heads),
              (unsigned)ib_ceil_div(p.tq, FRAMES));
    ib_cuda_launch(ib_cuda(backend), k_temporal_mma<T>, grid, THREADS, bytes, p, tiling);
    return ib_cuda_launched(backend, "temporal attention");
}

isobath_status ib_cuda_temporal_attention(ib_backend *backend, const ib_temporal_attention_args *a)
{
    const ib_dtype type = a->q.dtype;
    const int d = (int)(a->q.dim[2] / a->heads);
    const int same_half =
        (type == IB_F16 || type == IB_BF16) && a->k.dtype == type && a->v.dtype == type && a->y.dtype == type;
    if (ib_cuda(backend)->path < IB_CUDA_MMA || !same_half || d % 8 != 0) return ib_cuda_temporal_simt(backend, a);
    temporal_tiling tiling = choose_tiling(a->heads, d);
    tiling.aligned = ib_cuda_aligned(&a->q, 16) && ib_cuda_aligned(&a->k, 16) && ib_cuda_aligned(&a->v, 16) &&
                     ib_cuda_aligned(&a->y, 16);
    if (tiling.heads * tiling.item_bytes > SMEM_LIMIT || tiling.heads * (d / 8) > THREADS)
        return ib_cuda_temporal_simt(backend, a);
    const ib_temporal_params p = ib_temporal_params_of(a);
    return type == IB_F16 ? launch<ib_f16>(backend, p, tiling) : launch<ib_bf16>(backend, p, tiling);
}
