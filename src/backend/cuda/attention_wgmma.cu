/* Encoder attention with warpgroup products (sm_90a): flash attention, head size 64, half types, f32 statistics.
 *
 * One block: 64 queries per warpgroup of one head of one frame. Keys and values come in tiles of 64 through a ring of
 * four stages filled by the copy engine; thread 0 feeds it two tiles ahead. The next tile's scores and the products
 * with this tile's values are issued together, and the softmax of the scores runs beside the latter. Tiles in order
 * from the first key on: a row's bits depend on its own frame.
 */
#include "backend/cuda/attention.cuh"
#include "backend/cuda/mma.cuh"
#include "backend/cuda/tma.cuh"
#include <math.h>

#define GROUPS 2 /* warpgroups of a block; four of them fill a multiprocessor */
#define BM (64 * GROUPS)
#define BN 64
#define D 64
#define THREADS (128 * GROUPS)
#define STAGES 4
#define TILE_BYTES (64 * 128) /* 64 rows of 64 values, 128-byte swizzle: chunk c of row r lies at c ^ (r & 7) */
/* q (a tile per warpgroup), per stage k and v, barriers; and room to align to 1024. */
#define SMEM_BYTES ((GROUPS + 2 * STAGES) * TILE_BYTES + 128 + 1024)

struct wgmma_params {
    void *y;
    int64_t y_t, y_n;
    int n, c, y_aligned;
    float scale_log2;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* d (64x64) = (SCALE_D 0) or += (1) a (registers, 64x16) b (16x64 in shared memory). TRANSPOSE 0: a row of b's tile is
 * a column of the result (keys); 1: a row of b's tile is one k (values). b: the low half of a descriptor. */
#define WGMMA_64(TYPE, SCALE_D, TRANSPOSE, OUT)                                                     \
    asm volatile("{\n.reg .pred p;\n.reg .b64 desc;\nsetp.ne.b32 p, " SCALE_D ", 0;\n"              \
                 "mov.b64 desc, {%36, 0x40000040};\n"                                               \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " {" IB_R16_A IB_R16_B \
                 "}, {%32,%33,%34,%35}, desc, p, 1, 1, " TRANSPOSE ";\n}\n"                         \
                 : OUT                                                                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b))
#define FRESH_4(i) "=f"(d[i][0]), "=f"(d[i][1]), "=f"(d[i][2]), "=f"(d[i][3])
#define FRESH_32 FRESH_4(0), FRESH_4(1), FRESH_4(2), FRESH_4(3), FRESH_4(4), FRESH_4(5), FRESH_4(6), FRESH_4(7)
template <typename T> struct products;
#define PRODUCTS(T, TYPE)                                                                                   \
    template <> struct products<T> {                                                                        \
        static __device__ __forceinline__ void first(float (&d)[8][4], const uint32_t (&a)[4], uint32_t b)  \
        {                                                                                                   \
            WGMMA_64(TYPE, "0", "0", FRESH_32);                                                             \
        }                                                                                                   \
        static __device__ __forceinline__ void keys(float (&d)[8][4], const uint32_t (&a)[4], uint32_t b)   \
        {                                                                                                   \
            WGMMA_64(TYPE, "1", "0", IB_D32(0));                                                            \
        }                                                                                                   \
        static __device__ __forceinline__ void values(float (&d)[8][4], const uint32_t (&a)[4], uint32_t b) \
        {                                                                                                   \
            WGMMA_64(TYPE, "1", "1", IB_D32(0));                                                            \
        }                                                                                                   \
    };
PRODUCTS(ib_f16, "f16")
PRODUCTS(ib_bf16, "bf16")

/* Low half of a tile's descriptor; the high half is the same for all: 8-row groups 1024 bytes apart, 128-byte swizzle.
 */
__device__ __forceinline__ uint32_t descriptor(uint32_t address) { return (address & 0x3ffffu) >> 4 | 1u << 16; }

/* 64 rows from (row, t) on, 64 columns from c on. */
__device__ __forceinline__ void load_tile(uint32_t dst, const CUtensorMap *map, uint32_t barrier, int c, int row, int t)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
        "[%2];\n" ::"r"(dst),
        "l"(map), "r"(barrier), "r"(c), "r"(row), "r"(t)
        : "memory");
}

/* One stage of the ring. */
__device__ __forceinline__ void load_keys_values(uint32_t dst, const CUtensorMap *map, uint32_t barrier, int c,
                                                 int head, int tile, int t)
{
    ib_mbarrier_expect(barrier, 2 * TILE_BYTES);
    load_tile(dst, map, barrier, c + head * D, tile * BN, t);
    load_tile(dst + TILE_BYTES, map, barrier, 2 * c + head * D, tile * BN, t);
}

/* After a wait: the compiler may not move reads of these results before it. */
template <int n> __device__ __forceinline__ void settle(float (&d)[n][4])
{
#pragma unroll
    for (int i = 0; i < n; i++) asm volatile("" : IB_D4(i)::"memory");
}

/* A store that never happens (sums of weights are not negative): the assembler keeps it, and so all that `sum` needs, before
 * the wait that follows. Without it the softmax moves behind that wait and nothing overlaps. */
__device__ __forceinline__ void finish(float sum, uint32_t address)
{
    asm volatile("{\n.reg .pred p;\nsetp.lt.f32 p, %0, 0f00000000;\n@p st.shared.f32 [%1], %0;\n}\n" ::"f"(sum), "r"(address)
                 : "memory");
}

/* Starts s = q k^T for the tile of keys at `address`. */
template <typename T>
__device__ __forceinline__ void scores(float (&s)[8][4], const uint32_t (&qf)[4][4], uint32_t address)
{
    const uint32_t keys = descriptor(address);
    ib_wgmma_fence();
    products<T>::first(s, qf[0], keys);
#pragma unroll
    for (int ks = 1; ks < 4; ks++) products<T>::keys(s, qf[ks], keys + 2 * ks);
    ib_wgmma_commit();
}

/* Starts o += weights times the tile of values at `address`. */
template <typename T>
__device__ __forceinline__ void add_values(float (&o)[8][4], const uint32_t (&pf)[4][4], uint32_t address)
{
    const uint32_t values = descriptor(address);
    ib_wgmma_fence();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) products<T>::values(o, pf[ks], values + 128 * ks); /* 16 rows of 128 bytes */
    ib_wgmma_commit();
}

/* Scores of the keys from `first` on become weights 2^(s - max); `keep` is what earlier results are to be multiplied
 * by. */
__device__ __forceinline__ void weigh(float (&s)[8][4], float (&row_max)[2], float (&keep)[2], float (&row_sum)[2],
                                      int first, int n, float scale_log2)
{
    const int t2 = (threadIdx.x & 3) * 2;
    if (first + BN > n) {
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (first + j * 8 + t2 + (e & 1) >= n) s[j][e] = -INFINITY;
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = row_max[r];
#pragma unroll
        for (int j = 0; j < 8; j++) top = fmaxf(top, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float offset = top == -INFINITY ? 0.0f : top * scale_log2; /* no -inf minus -inf */
        keep[r] = ib_exp2_fast(row_max[r] * scale_log2 - offset);
        row_max[r] = top;
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++) {
#pragma unroll
            for (int e = 0; e < 2; e++) s[j][2 * r + e] = ib_exp2_fast(s[j][2 * r + e] * scale_log2 - offset);
            sum += s[j][2 * r] + s[j][2 * r + 1];
        }
        row_sum[r] = row_sum[r] * keep[r] + sum; /* this lane's columns; lanes are summed at the end */
    }
}

/* The weights as operands of the products with values. */
template <typename T> __device__ __forceinline__ void pack(uint32_t (&pf)[4][4], const float (&s)[8][4])
{
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
        for (int r = 0; r < 2; r++) pf[j >> 1][(j & 1) * 2 + r] = ib_pack2<T>(s[j][2 * r], s[j][2 * r + 1]);
}
#endif

template <typename T>
__global__ void __launch_bounds__(THREADS, 4 / GROUPS)
    k_attention_wgmma(const __grid_constant__ CUtensorMap map, const wgmma_params p)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    uint8_t *smem = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const uint32_t sq = ib_smem_address(smem), ring = sq + GROUPS * TILE_BYTES;
    const uint32_t full = ring + 2 * STAGES * TILE_BYTES, empty = full + 8 * STAGES, ready = empty + 8 * STAGES;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t2 = (lane & 3) * 2;
    const int group = warp / 4;
    const int q0 = (int)blockIdx.x * BM, head = blockIdx.y, frame = blockIdx.z, n = p.n;
    const int tiles = (n + BN - 1) / BN;
    const int groups = min(GROUPS, (n - q0 + 63) / 64); /* warpgroups with rows to compute */

    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; s++) {
            ib_mbarrier_init(full + 8 * s, 1);
            ib_mbarrier_init(empty + 8 * s, groups * 4);
        }
        ib_mbarrier_init(ready, 1);
        ib_mbarrier_fence_init();
        ib_grid_begin();
        ib_mbarrier_expect(ready, groups * TILE_BYTES);
        for (int i = 0; i < groups; i++) load_tile(sq + i * TILE_BYTES, &map, ready, head * D, q0 + i * 64, frame);
        for (int tile = 0; tile < 2 && tile < tiles; tile++)
            load_keys_values(ring + tile * 2 * TILE_BYTES, &map, full + 8 * tile, p.c, head, tile, frame);
    }
    __syncthreads(); /* the barriers exist */
    ib_grid_begin();
    if (group >= groups) return;
    ib_mbarrier_wait(ready, 0);

    uint32_t qf[4][4];
#pragma unroll
    for (int ks = 0; ks < 4; ks++) {
        const int row = warp * 16 + (lane & 15), chunk = ks * 2 + (lane >> 4);
        ib_ldmatrix_x4(qf[ks], sq + row * 128 + ((chunk ^ (row & 7)) << 4));
    }
    float o[8][4], row_max[2] = {-INFINITY, -INFINITY}, row_sum[2] = {0.0f, 0.0f};
    uint32_t pf[4][4];
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) o[j][e] = 0.0f;

    float s[8][4], keep[2];
    ib_mbarrier_wait(full, 0);
    scores<T>(s, qf, ring);
    ib_wgmma_wait<0>();
    settle(s);
    weigh(s, row_max, keep, row_sum, 0, n, p.scale_log2);
    pack<T>(pf, s);
    for (int tile = 0; tile + 1 < tiles; tile++) {
        if (threadIdx.x == 0 && tile + 2 < tiles) { /* two ahead: everybody left that stage a tile ago */
            const int next = tile + 2, at = next % STAGES, turn = next / STAGES;
            if (turn > 0) ib_mbarrier_wait(empty + 8 * at, (uint32_t)(turn - 1) & 1);
            load_keys_values(ring + at * 2 * TILE_BYTES, &map, full + 8 * at, p.c, head, next, frame);
        }
        __syncwarp();
        ib_mbarrier_wait(full + 8 * ((tile + 1) % STAGES), (uint32_t)((tile + 1) / STAGES) & 1);
        scores<T>(s, qf, ring + ((tile + 1) % STAGES) * 2 * TILE_BYTES);
        add_values<T>(o, pf, ring + (tile % STAGES) * 2 * TILE_BYTES + TILE_BYTES);
        ib_wgmma_wait<1>(); /* the scores; the values go on beside the softmax */
        settle(s);
        weigh(s, row_max, keep, row_sum, (tile + 1) * BN, n, p.scale_log2);
        finish(row_sum[0] + row_sum[1], sq);
        ib_wgmma_wait<0>();
        settle(o);
        if (lane == 0) ib_mbarrier_arrive(empty + 8 * (tile % STAGES));
        if (__any_sync(0xffffffffu, keep[0] != 1.0f || keep[1] != 1.0f)) { /* times one changes nothing */
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) o[j][e] *= keep[e >> 1];
        }
        pack<T>(pf, s);
    }
    add_values<T>(o, pf, ring + ((tiles - 1) % STAGES) * 2 * TILE_BYTES + TILE_BYTES);
    ib_wgmma_wait<0>();
    settle(o);

    /* Each warp writes its rows over its own queries, then stores them 16 bytes at a time. All its lanes have read theirs. */
    __syncwarp();
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = row_sum[r];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const float inverse = 1.0f / sum;
        const int row = warp * 16 + r * 8 + g;
#pragma unroll
        for (int j = 0; j < 8; j++)
            *reinterpret_cast<uint32_t *>(smem + row * 128 + ((j ^ (row & 7)) << 4) + t2 * 2) =
                ib_pack2<T>(o[j][2 * r] * inverse, o[j][2 * r + 1] * inverse);
    }
    __syncwarp();
    T *y = (T *)p.y + (int64_t)frame * p.y_t + head * D;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = warp * 16 + i * 4 + (lane >> 3), chunk = lane & 7;
        if (q0 + row < n)
            ib_attention_store8<T>(y + (q0 + row) * p.y_n + chunk * 8, smem + row * 128 + ((chunk ^ (row & 7)) << 4),
                                   p.y_aligned);
    }
#endif
}

/* (T,N,3C) for copies of 64 rows of 64 values. */
static int encode(const ib_cuda_backend *be, const ib_tensor *qkv, CUtensorMap *map)
{
    typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                  const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                                  CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
    const cuuint64_t dims[3] = {(cuuint64_t)qkv->dim[2], (cuuint64_t)qkv->dim[1], (cuuint64_t)qkv->dim[0]};
    const cuuint64_t row = (cuuint64_t)qkv->dim[2] * 2; /* strides of dimensions of size one need not make sense */
    const cuuint64_t strides[2] = {qkv->dim[1] > 1 ? (cuuint64_t)qkv->stride[1] * 2 : row,
                                   qkv->dim[0] > 1 ? (cuuint64_t)qkv->stride[0] * 2 : row};
    const cuuint32_t box[3] = {64, 64, 1}, steps[3] = {1, 1, 1};
    return ((encode_fn)be->encode_tiled)(
               map, qkv->dtype == IB_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3,
               qkv->data, dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

isobath_status ib_cuda_attention_wgmma(ib_backend *backend, const ib_attention_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    CUtensorMap map;
    if (!encode(be, &a->qkv, &map))
        return ib_fail(backend->diag, ISOBATH_ERR_DEVICE, "cuda attention: the driver refused a tensor map");
    const int64_t n = a->qkv.dim[1];
    const wgmma_params p = {a->y.data,
                            a->y.stride[0],
                            a->y.stride[1],
                            (int)n,
                            a->heads * D,
                            ib_cuda_aligned(&a->y, 16),
                            1.44269504088896340736f / sqrtf((float)D)};
    dim3 grid((unsigned)ib_ceil_div(n, BM), (unsigned)a->heads, (unsigned)a->qkv.dim[0]);
    void (*kernel)(CUtensorMap, wgmma_params) =
        a->qkv.dtype == IB_F16 ? k_attention_wgmma<ib_f16> : k_attention_wgmma<ib_bf16>;
    IB_TRY(ib_cuda_check(backend, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SMEM_BYTES),
                         "attention: shared memory"));
    ib_cuda_launch(be, kernel, grid, THREADS, SMEM_BYTES, map, p);
    return ib_cuda_launched(backend, "attention");
}
