/* The core for sm_90a with few values a row (K up to 640): every product of the small model but the MLP's second. A block
 * keeps a slab of W (BN rows of it, all of K) in shared memory for good and streams 64 rows of A at a time past it; three
 * warpgroups take turns at the tensor cores, so that two of them are on their way out while one multiplies. Reads from the
 * second-level cache are a third of what square tiles need. The sums are the mma core's, bit for bit. */
#ifndef IB_BACKEND_CUDA_GEMM_SLAB_CUH
#define IB_BACKEND_CUDA_GEMM_SLAB_CUH

#include "backend/cuda/gemm_half.cuh"
#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/gemm_stream.cuh"
#include "backend/cuda/tma.cuh"

constexpr int IB_SLAB_GROUPS = 3, IB_SLAB_THREADS = 128 * (IB_SLAB_GROUPS + 1);
constexpr int IB_SLAB_ROWS = 64, IB_SLAB_STAGE_BYTES = IB_SLAB_ROWS * 128, IB_SLAB_MOST_STAGES = 16, IB_SLAB_MOST_STEPS = 10;
constexpr int IB_SLAB_SCRATCH_BYTES = IB_HALF_SCRATCH_BYTES; /* of a warp, for the way out */
constexpr int IB_SLAB_SHARED_BYTES = 227 * 1024;
constexpr int IB_SLAB_BARRIER_BYTES = 512, IB_SLAB_BIAS_BYTES = 192 * 4;
/* What is left beside slab and stages: scratch, barriers, bias, alignment to 1024 bytes. */
constexpr int IB_SLAB_OTHER_BYTES =
    4 * IB_SLAB_GROUPS * IB_SLAB_SCRATCH_BYTES + IB_SLAB_BARRIER_BYTES + IB_SLAB_BIAS_BYTES + 1024;

typedef struct ib_slab_shape {
    int steps;  /* of 64 values in K */
    int stages; /* of A */
    int slabs;  /* of W */
} ib_slab_shape;

/* The ways out: 16-bit results without residual; anything else; GEGLU to 16-bit results without residual; gemm_stream.cuh;
 * transposed convolutions. */
enum { IB_SLAB_HALF, IB_SLAB_WIDE, IB_SLAB_GATED, IB_SLAB_STREAM, IB_SLAB_SHUFFLE };

/* Host: the launches, one file per type. */
void ib_gemm_run_slab_f16(const ib_cuda_backend *be, const ib_gemm &g, int way_out, int columns, const ib_slab_shape &shape,
                          const CUtensorMap &x, const CUtensorMap &w);
void ib_gemm_run_slab_bf16(const ib_cuda_backend *be, const ib_gemm &g, int way_out, int columns, const ib_slab_shape &shape,
                           const CUtensorMap &x, const CUtensorMap &w);

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* The bias of packed columns c and c + 1 of the slab (of value and gate with GEGLU), zero where there is none. */
__device__ __forceinline__ float2 ib_slab_bias(uint32_t bias, int c)
{
    float2 v;
    asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];\n" : "=f"(v.x), "=f"(v.y) : "r"(bias + c * 4));
    return v;
}

/* GEGLU: fragments alternate value and gate, so a lane has one result of a row in each; lanes trade with their neighbour to
 * hold pairs. 64 columns of the product, 32 results at a time; rows of 80 bytes. */
template <typename T, int FRAGMENTS>
__device__ __forceinline__ void ib_slab_emit_gated(const ib_gemm &g, uint32_t row0, int col, const float (&acc)[FRAGMENTS][4],
                                                   uint32_t scratch, uint32_t bias, int lane)
{
    const int t = lane % 4, odd = lane & 1;
    const uint32_t put = scratch + lane / 4 * 80 + odd * 8 + t / 2 * 4, get = scratch + lane / 4 * 80 + t * 16;
    T *y[2];
    bool inside[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const uint32_t row = row0 + (uint32_t)(i * 8 + lane / 4);
        const ib_gemm_row r = ib_gemm_row_at(g, row);
        inside[i] = row < g.rows;
        y[i] = (T *)g.y.data + (r.t * g.y.st + r.i * g.y.si + r.j * g.y.sj) + col / 2 + t * 8;
    }
#pragma unroll
    for (int part = 0; part < FRAGMENTS; part += 8) {
#pragma unroll
        for (int n = part; n < part + 8; n += 2) {
            float result[2][2]; /* [fragment][row] */
#pragma unroll
            for (int f = 0; f < 2; f++) {
                const float2 add = ib_slab_bias(bias, (n + f) * 8 + t * 2);
                const float *a = acc[n + f];
                result[f][0] = __fmul_rn(a[0] + add.x, ib_gelu(a[1] + add.y));
                result[f][1] = __fmul_rn(a[2] + add.x, ib_gelu(a[3] + add.y));
            }
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const float other = __shfl_xor_sync(0xffffffffu, odd ? result[0][r] : result[1][r], 1);
                const uint32_t pair = odd ? ib_pack2<T>(other, result[1][r]) : ib_pack2<T>(result[0][r], other);
                asm volatile("st.shared.u32 [%0], %1;\n" ::"r"(put + r * 8 * 80 + (n - part) * 8), "r"(pair) : "memory");
            }
        }
        __syncwarp();
        uint4 v[2];
#pragma unroll
        for (int i = 0; i < 2; i++)
            asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];\n"
                         : "=r"(v[i].x), "=r"(v[i].y), "=r"(v[i].z), "=r"(v[i].w)
                         : "r"(get + i * 8 * 80)
                         : "memory");
        __syncwarp();
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (inside[i]) *(uint4 *)(y[i] + part * 4) = v[i];
    }
}

/* Four results of a row: bias, activation, residual, store. */
__device__ __forceinline__ void ib_slab_put_wide(const ib_gemm &g, float4 v, const float4 &bias, const uint4 &ahead, int64_t at)
{
    float r[4] = {v.x + bias.x, v.y + bias.y, v.z + bias.z, v.w + bias.w};
    if (g.act == IB_ACT_GELU) {
#pragma unroll
        for (int e = 0; e < 4; e++) r[e] = ib_gelu(r[e]);
    } else if (g.act == IB_ACT_RELU) {
#pragma unroll
        for (int e = 0; e < 4; e++) r[e] = ib_relu(r[e]);
    }
    if (g.residual.data) {
        if (g.residual.dtype == IB_F32) {
            r[0] += __uint_as_float(ahead.x);
            r[1] += __uint_as_float(ahead.y);
            r[2] += __uint_as_float(ahead.z);
            r[3] += __uint_as_float(ahead.w);
        } else {
            const float2 a = g.residual.dtype == IB_F16 ? ib_unpack2<ib_f16>(ahead.x) : ib_unpack2<ib_bf16>(ahead.x);
            const float2 b = g.residual.dtype == IB_F16 ? ib_unpack2<ib_f16>(ahead.y) : ib_unpack2<ib_bf16>(ahead.y);
            r[0] += a.x;
            r[1] += a.y;
            r[2] += b.x;
            r[3] += b.y;
        }
    }
    ib_gemm_store<4>(g.y, at, 1, 4, r);
}

/* Anything: 32 columns at a time through the warp's scratch in f32. A lane has four columns of the rows lane/8 + 4i; chunk c
 * of row r lies at c ^ 2r ^ (r >> 2) (mod 8). */
template <int FRAGMENTS>
__device__ __forceinline__ void ib_slab_emit_wide(const ib_gemm &g, uint32_t row0, int col, const float (&acc)[FRAGMENTS][4],
                                                  uint32_t scratch, uint32_t bias, int lane)
{
    const int own = lane / 4, turn = (own * 2 ^ own >> 2) & 7, t = lane % 4;
    const uint32_t put = scratch + own * 128 + (t & 1) * 8;
    int64_t at[4], from[4]; /* elements of y and the residual */
    bool inside[4];
    uint4 ahead[4];
    const int c = col + lane % 8 * 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t row = row0 + (uint32_t)(i * 4 + lane / 8);
        const ib_gemm_row r = ib_gemm_row_at(g, row);
        inside[i] = row < g.rows;
        at[i] = r.t * g.y.st + r.i * g.y.si + r.j * g.y.sj + c;
        from[i] = r.t * g.residual.st + r.i * g.residual.si + r.j * g.residual.sj + c;
        ahead[i] = make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int part = 0; part < FRAGMENTS; part += 4) {
        if (g.residual.data) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (!inside[i]) continue;
                const int64_t e = from[i] + part * 8;
                if (g.residual.dtype == IB_F32) {
                    ahead[i] = *(const uint4 *)((const float *)g.residual.data + e);
                } else {
                    const uint2 two = *(const uint2 *)((const uint16_t *)g.residual.data + e);
                    ahead[i].x = two.x;
                    ahead[i].y = two.y;
                }
            }
        }
        float4 add;
        asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];\n"
                     : "=f"(add.x), "=f"(add.y), "=f"(add.z), "=f"(add.w)
                     : "r"(bias + (part * 8 + lane % 8 * 4) * 4));
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const float *a = acc[part + n];
            const uint32_t to = put + (((n * 2 + t / 2) ^ turn) << 4);
            asm volatile("st.shared.v2.f32 [%0], {%1,%2};\n" ::"r"(to), "f"(a[0]), "f"(a[1]) : "memory");
            asm volatile("st.shared.v2.f32 [%0], {%1,%2};\n" ::"r"(to + 8 * 128), "f"(a[2]), "f"(a[3]) : "memory");
        }
        __syncwarp();
        float4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = i * 4 + lane / 8, in8 = row & 7;
            asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];\n"
                         : "=f"(v[i].x), "=f"(v[i].y), "=f"(v[i].z), "=f"(v[i].w)
                         : "r"(scratch + row * 128 + ((lane % 8 ^ ((in8 * 2 ^ in8 >> 2) & 7)) << 4))
                         : "memory");
        }
        __syncwarp();
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (inside[i]) ib_slab_put_wide(g, v[i], add, ahead[i], at[i] + part * 8);
    }
}
#endif

template <typename T, int WAY_OUT, int BN>
__global__ void __launch_bounds__(IB_SLAB_THREADS, 1)
    k_gemm_slab(const __grid_constant__ ib_gemm g, const __grid_constant__ CUtensorMap x_map,
                const __grid_constant__ CUtensorMap w_map, const __grid_constant__ ib_slab_shape shape)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int STEP = BN * 128; /* bytes of the slab per step */
    extern __shared__ unsigned char raw[];
    unsigned char *shared = raw + (1024 - (ib_smem_address(raw) & 1023)) % 1024;
    const int steps = shape.steps, stages = shape.stages;
    const uint32_t slab = ib_smem_address(shared), ring = slab + steps * STEP, scratches = ring + stages * IB_SLAB_STAGE_BYTES;
    const uint32_t full = scratches + 4 * IB_SLAB_GROUPS * IB_SLAB_SCRATCH_BYTES, empty = full + 8 * IB_SLAB_MOST_STAGES;
    const uint32_t ready = empty + 8 * IB_SLAB_MOST_STAGES, bias = full + IB_SLAB_BARRIER_BYTES;
    const int tid = (int)threadIdx.x, warp = tid / 32, lane = tid % 32;
    const uint32_t tiles = (g.rows + IB_SLAB_ROWS - 1) / IB_SLAB_ROWS;
    const uint32_t first = blockIdx.x / (uint32_t)shape.slabs, hop = gridDim.x / (uint32_t)shape.slabs;
    const int col0 = (int)(blockIdx.x % (uint32_t)shape.slabs) * BN;

    if (tid == 0) {
        ib_tma_prefetch_map(&x_map);
        ib_tma_prefetch_map(&w_map);
        for (int s = 0; s < stages; s++) {
            ib_mbarrier_init(full + 8 * s, 1);
            ib_mbarrier_init(empty + 8 * s, 4);
        }
        for (int s = 0; s < steps; s++) ib_mbarrier_init(ready + 8 * s, 1);
        ib_mbarrier_fence_init();
    }
    if (tid < BN) {
        const int c = WAY_OUT == IB_SLAB_SHUFFLE ? 0 : col0 + tid, from = WAY_OUT == IB_SLAB_GATED ? c / 2 + c % 2 * (g.cols / 2) : c;
        asm volatile("st.shared.f32 [%0], %1;\n" ::"r"(bias + tid * 4), "f"(g.bias ? g.bias[from] : 0.0f) : "memory");
    }
    __syncthreads();

    if (warp >= 4 * IB_SLAB_GROUPS) { /* the feeder: one thread of a warpgroup that gives its registers to the others */
        asm volatile("setmaxnreg.dec.sync.aligned.u32 32;\n");
        if (tid == 128 * IB_SLAB_GROUPS) {
            int s = 0;
            uint32_t parity = 1; /* of the phase before the first: passes */
            for (int step = 0; step < steps; step++) {
                ib_mbarrier_expect(ready + 8 * step, STEP);
                ib_tma_rows(slab + step * STEP, &w_map, ready + 8 * step, step * 64, col0);
            }
            ib_grid_begin();
            for (uint32_t tile = first; tile < tiles; tile += hop)
                for (int step = 0; step < steps; step++) {
                    ib_mbarrier_wait(empty + 8 * s, parity);
                    ib_mbarrier_expect(full + 8 * s, IB_SLAB_STAGE_BYTES);
                    ib_tma_rows(ring + s * IB_SLAB_STAGE_BYTES, &x_map, full + 8 * s, step * 64, (int)(tile * IB_SLAB_ROWS));
                    if (++s == stages) {
                        s = 0;
                        parity ^= 1;
                    }
                }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 160;\n");
        ib_grid_begin();
        const int group = warp / 4, next = (group + 1) % IB_SLAB_GROUPS;
        const uint32_t scratch = scratches + warp * IB_SLAB_SCRATCH_BYTES;
        const uint64_t b = ib_wgmma_descriptor(slab);
        int s = 0; /* the stage and its phase, counted over all tiles of the block */
        uint32_t parity = 0, turn = 0;
        for (uint32_t tile = first; tile < tiles; tile += hop, turn++) {
            if (turn % IB_SLAB_GROUPS != (uint32_t)group) {
                s += steps;
                while (s >= stages) {
                    s -= stages;
                    parity ^= 1;
                }
                continue;
            }
            float acc[1][BN / 8][4];
#pragma unroll
            for (int n = 0; n < BN / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) acc[0][n][e] = 0.0f;
            const uint32_t row0 = tile * IB_SLAB_ROWS + (uint32_t)(warp % 4 * 16);
            ib_gemm_stream<1, BN / 8> stream;
            if (WAY_OUT == IB_SLAB_STREAM) stream.begin(g, row0, col0, lane);
            /* Products go strictly in turns: a barrier's parity tells phases apart only for who saw the one before. */
            if (turn > 0) asm volatile("bar.sync %0, 256;\n" ::"r"(1 + group) : "memory");
            int before = 0;
            for (int step = 0; step < steps; step++) {
                if (turn < IB_SLAB_GROUPS) ib_mbarrier_wait(ready + 8 * step, 0);
                ib_mbarrier_wait(full + 8 * s, parity);
                const uint64_t da = ib_wgmma_descriptor(ring + s * IB_SLAB_STAGE_BYTES), db = b + step * (STEP / 16);
                ib_wgmma_fence();
#pragma unroll
                for (int ks = 0; ks < 4; ks++) ib_wgmma<T, BN>::shared(acc[0], da + 2 * ks, db + 2 * ks);
                ib_wgmma_commit();
                ib_wgmma_wait<1>(); /* the products of the step before are done: its stage may be refilled */
                if (step > 0 && lane == 0) ib_mbarrier_arrive(empty + 8 * before);
                before = s;
                if (++s == stages) {
                    s = 0;
                    parity ^= 1;
                }
            }
            if (tile + hop < tiles) asm volatile("bar.arrive %0, 256;\n" ::"r"(1 + next) : "memory");
            ib_wgmma_wait<0>();
            if (lane == 0) ib_mbarrier_arrive(empty + 8 * before);
            if (WAY_OUT == IB_SLAB_STREAM)
                stream.emit(acc);
            else if (WAY_OUT == IB_SLAB_GATED)
                ib_slab_emit_gated<T, BN / 8>(g, row0, col0, acc[0], scratch, bias, lane);
            else if (WAY_OUT == IB_SLAB_SHUFFLE)
                ib_gemm_emit_half_act<T, BN / 8, IB_ACT_NONE, IB_HALF_SHUFFLED>(g, row0, col0, acc[0], scratch, bias, lane);
            else if (WAY_OUT == IB_SLAB_WIDE)
                ib_slab_emit_wide<BN / 8>(g, row0, col0, acc[0], scratch, bias, lane);
            else
                ib_gemm_emit_half<T, BN / 8, IB_HALF_WHOLE>(g, row0, col0, acc[0], scratch, bias, lane);
        }
    }
#endif
}

template <typename T, int WAY_OUT, int BN>
static void ib_slab_launch_one(const ib_cuda_backend *be, const ib_gemm &g, const ib_slab_shape &shape, const CUtensorMap &x,
                               const CUtensorMap &w)
{
    const int64_t tiles = ib_ceil_div(g.rows, IB_SLAB_ROWS), most = be->sm_count / shape.slabs;
    const int64_t each = tiles < most ? tiles : most > 0 ? most : 1; /* blocks of a slab */
    const int bytes = shape.steps * BN * 128 + shape.stages * IB_SLAB_STAGE_BYTES + IB_SLAB_OTHER_BYTES;
    auto kernel = k_gemm_slab<T, WAY_OUT, BN>;
    /* Errors surface as the launch's own. */
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    ib_cuda_launch(be, kernel, (unsigned)(each * shape.slabs), IB_SLAB_THREADS, bytes, g, x, w, shape);
}

template <typename T, int WAY_OUT>
static void ib_slab_launch_tile(const ib_cuda_backend *be, const ib_gemm &g, int columns, const ib_slab_shape &shape,
                                const CUtensorMap &x, const CUtensorMap &w)
{
    if (columns == 192)
        ib_slab_launch_one<T, WAY_OUT, 192>(be, g, shape, x, w);
    else if (columns == 128)
        ib_slab_launch_one<T, WAY_OUT, 128>(be, g, shape, x, w);
    else
        ib_slab_launch_one<T, WAY_OUT, 64>(be, g, shape, x, w);
}

template <typename T>
static void ib_slab_launch(const ib_cuda_backend *be, const ib_gemm &g, int way_out, int columns, const ib_slab_shape &shape,
                           const CUtensorMap &x, const CUtensorMap &w)
{
    if (way_out == IB_SLAB_HALF)
        ib_slab_launch_tile<T, IB_SLAB_HALF>(be, g, columns, shape, x, w);
    else if (way_out == IB_SLAB_WIDE)
        ib_slab_launch_tile<T, IB_SLAB_WIDE>(be, g, columns, shape, x, w);
    else if (way_out == IB_SLAB_SHUFFLE)
        ib_slab_launch_tile<T, IB_SLAB_SHUFFLE>(be, g, columns, shape, x, w);
    else if (way_out == IB_SLAB_STREAM)
        ib_slab_launch_tile<T, IB_SLAB_STREAM>(be, g, columns, shape, x, w);
    else
        ib_slab_launch_tile<T, IB_SLAB_GATED>(be, g, columns, shape, x, w);
}

#endif
