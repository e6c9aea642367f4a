/* temporal_block for 64 channels and eight heads of 8 in half types, tensor cores: the whole transformer block of a pixel
 * in one warp's registers, from proj_in to proj_out. The composed ops move 39 MB a frame of 74x74 pixels, this 2.
 *
 * A warp has one pixel: its 32 frames are the rows of two m16 fragments. Results of a product (rows g and g + 8, columns
 * 2t and 2t + 1 of each tile of eight) are operands of the next as they lie: tiles 2i and 2i + 1 make step i of A; keys make
 * B; values need one transposition in registers. The residual stream stays in f32. All weights (176 KiB) wait in shared
 * memory as B operands, so a block stays on its multiprocessor and walks over pixels. */
#include "backend/cuda/mma.cuh"
#include "backend/cuda/temporal.cuh"
#include "backend/cuda/temporal_block.cuh"
#include <math.h>

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
/* Rows and columns of an 8x8 matrix of 16-bit values change places. */
__device__ __forceinline__ uint32_t transposed(uint32_t v)
{
    uint32_t r;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n" : "=r"(r) : "r"(v));
    return r;
}

/* d[m] += a times one tile of eight columns (all of K = 64) of a weight in column order. */
template <typename T>
__device__ __forceinline__ void tile_product(float (&d)[2][4], const uint32_t (&a)[2][4][4], const uint4 *tile)
{
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
        const uint4 b = tile[pair * 32];
#pragma unroll
        for (int m = 0; m < 2; m++) {
            ib_mma_16816<T>(d[m], a[m][2 * pair], b.x, b.y);
            ib_mma_16816<T>(d[m], a[m][2 * pair + 1], b.z, b.w);
        }
    }
}

/* stream += a (one k step) times all eight tiles of a weight in step order. */
template <typename T>
__device__ __forceinline__ void step_product(float (&stream)[2][8][4], const uint32_t (&a)[2][4], const uint4 *step)
{
#pragma unroll
    for (int tiles = 0; tiles < 4; tiles++) {
        const uint4 b = step[tiles * 32];
#pragma unroll
        for (int m = 0; m < 2; m++) {
            ib_mma_16816<T>(stream[m][2 * tiles], a[m], b.x, b.y);
            ib_mma_16816<T>(stream[m][2 * tiles + 1], a[m], b.z, b.w);
        }
    }
}

/* n = LayerNorm(stream) [+ positions] as A operand. */
template <typename T, bool POSITIONS>
__device__ __forceinline__ void normalise(uint32_t (&n)[2][4][4], const float (&stream)[2][8][4], const float *weight,
                                          const float *pe, float eps, int g, int t2)
{
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float sum = 0.0f, squares = 0.0f;
#pragma unroll
            for (int j = 0; j < 8; j++) sum += stream[m][j][2 * r] + stream[m][j][2 * r + 1];
            const float mean = ib_four_lanes(sum) / (float)C;
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const float d = stream[m][j][2 * r + e] - mean;
                    squares = fmaf(d, d, squares);
                }
            const float inverse = 1.0f / sqrtf(ib_four_lanes(squares) / (float)C + eps);
            const float *row = pe + (16 * m + 8 * r + g) * PE_PITCH + t2;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const float2 w = *(const float2 *)(weight + 8 * j + t2), b = *(const float2 *)(weight + C + 8 * j + t2);
                float v0 = fmaf((stream[m][j][2 * r] - mean) * inverse, w.x, b.x);
                float v1 = fmaf((stream[m][j][2 * r + 1] - mean) * inverse, w.y, b.y);
                if (POSITIONS) {
                    const float2 p = *(const float2 *)(row + 8 * j);
                    v0 += p.x;
                    v1 += p.y;
                }
                n[m][j / 2][j % 2 * 2 + r] = ib_pack2<T>(v0, v1);
            }
        }
}

/* One head: results of its 8 columns as half of an A operand. */
template <typename T>
__device__ __forceinline__ void attend(uint32_t (&result)[2][4], int half, const uint32_t (&n)[2][4][4], const uint4 *qkv,
                                       int frames, float scale_log2, int t2)
{
    uint32_t q[2][2], k[4], v[4];
    float d[2][4];
#pragma unroll
    for (int part = 0; part < 3; part++) {
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 4; e++) d[m][e] = 0.0f;
        tile_product<T>(d, n, qkv + part * HEADS * 2 * 32);
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const uint32_t two = ib_pack2<T>(d[m][2 * r], d[m][2 * r + 1]);
                if (part == 0)
                    q[m][r] = two;
                else if (part == 1)
                    k[2 * m + r] = two;
                else
                    v[2 * m + r] = transposed(two);
            }
    }
#pragma unroll
    for (int m = 0; m < 2; m++) {
        float s[4][4] = {}, o[4] = {};
        uint32_t weights[2][4];
        float inverse[2];
#pragma unroll
        for (int j = 0; j < 4; j++) ib_mma_1688<T>(s[j], q[m][0], q[m][1], k[j]);
        ib_temporal_softmax<T>(s, weights, inverse, frames, scale_log2, t2);
        ib_mma_16816<T>(o, weights[0], v[0], v[1]);
        ib_mma_16816<T>(o, weights[1], v[2], v[3]);
#pragma unroll
        for (int r = 0; r < 2; r++)
            result[m][half * 2 + r] = ib_pack2<T>(o[2 * r] * inverse[r], o[2 * r + 1] * inverse[r]);
    }
}

/* stream[..] += a vector over channels. */
__device__ __forceinline__ void add_vector(float (&stream)[2][8][4], const float *vector, int t2)
{
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float2 b = *(const float2 *)(vector + 8 * j + t2);
#pragma unroll
        for (int m = 0; m < 2; m++) {
            stream[m][j][0] += b.x;
            stream[m][j][1] += b.y;
            stream[m][j][2] += b.x;
            stream[m][j][3] += b.y;
        }
    }
}

#endif

template <typename T> __global__ void __launch_bounds__(WARPS * 32, 1) k_temporal_block(const __grid_constant__ block_params p)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    extern __shared__ uint4 weights[];
    float *vectors = (float *)(weights + AT_END);
    put_weights(weights, vectors, p);
    __syncthreads();
    ib_grid_begin();
    const int lane = threadIdx.x & 31, g = lane >> 2, t2 = (lane & 3) * 2;
    const uint4 *w = weights + lane;
    const float scale_log2 = 1.44269504088896340736f * 0.35355339059327376220f; /* 8^-0.5 */
    for (int pixel = blockIdx.x * WARPS + threadIdx.x / 32; pixel < p.pixels; pixel += gridDim.x * WARPS) {
        float stream[2][8][4];
        uint32_t n[2][4][4];
        const T *from = (const T *)p.g + pixel * p.g_p + t2;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int frame = 16 * m + 8 * (e & 1) + g;
#pragma unroll
                for (int i = 0; i < 4; i++)
                    n[m][i][e] = frame < p.frames
                                     ? *(const uint32_t *)(from + frame * p.g_t + 16 * i + (e >> 1) * 8)
                                     : 0;
            }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float d[2][4] = {};
            tile_product<T>(d, n, w + AT_PROJ_IN + j * 2 * 32);
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int e = 0; e < 4; e++) stream[m][j][e] = d[m][e];
        }
        add_vector(stream, vectors + V_PROJ_IN, t2);

#pragma unroll 1
        for (int block = 0; block < 2; block++) {
            normalise<T, true>(n, stream, vectors + V_NORM + 2 * block * C, vectors + V_PE + block * FRAMES * PE_PITCH, p.eps,
                               g, t2);
            add_vector(stream, vectors + V_OUT + block * C, t2);
#pragma unroll 1
            for (int pair = 0; pair < HEADS / 2; pair++) {
                uint32_t result[2][4];
                const uint4 *qkv = w + AT_QKV + block * 3 * C * C / 8 + pair * 2 * 2 * 32;
                attend<T>(result, 0, n, qkv, p.frames, scale_log2, t2);
                attend<T>(result, 1, n, qkv + 2 * 32, p.frames, scale_log2, t2);
                step_product<T>(stream, result, w + AT_OUT + block * C * C / 8 + pair * 4 * 32);
            }
        }

        normalise<T, false>(n, stream, vectors + V_NORM + 4 * C, vectors + V_PE, p.eps, g, t2);
        add_vector(stream, vectors + V_FF_OUT, t2);
#pragma unroll 1
        for (int step = 0; step < HIDDEN / 16; step++) {
            uint32_t hidden[2][4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int tile = step * 2 + half;
                float value[2][4] = {}, gate[2][4] = {};
                tile_product<T>(value, n, w + AT_FF_VALUE + tile * 2 * 32);
                tile_product<T>(gate, n, w + AT_FF_GATE + tile * 2 * 32);
                const float2 bv = *(const float2 *)(vectors + V_FF_IN + tile * 8 + t2);
                const float2 bg = *(const float2 *)(vectors + V_FF_IN + HIDDEN + tile * 8 + t2);
#pragma unroll
                for (int m = 0; m < 2; m++)
#pragma unroll
                    for (int r = 0; r < 2; r++)
                        hidden[m][half * 2 + r] =
                            ib_pack2<T>(__fmul_rn(value[m][2 * r] + bv.x, ib_gelu(gate[m][2 * r] + bg.x)),
                                        __fmul_rn(value[m][2 * r + 1] + bv.y, ib_gelu(gate[m][2 * r + 1] + bg.y)));
            }
            step_product<T>(stream, hidden, w + AT_FF_OUT + step * 4 * 32);
        }

#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int r = 0; r < 2; r++)
                    n[m][j / 2][j % 2 * 2 + r] = ib_pack2<T>(stream[m][j][2 * r], stream[m][j][2 * r + 1]);
        const T *x = (const T *)p.x + pixel * p.x_p + t2;
        T *y = (T *)p.y + pixel * p.y_p + t2;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float d[2][4] = {};
            const float2 b = *(const float2 *)(vectors + V_PROJ_OUT + 8 * j + t2);
            tile_product<T>(d, n, w + AT_PROJ_OUT + j * 2 * 32);
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const int frame = 16 * m + 8 * r + g;
                    if (frame >= p.frames) continue;
                    const float2 own = ib_unpack2<T>(*(const uint32_t *)(x + frame * p.x_t + 8 * j));
                    *(uint32_t *)(y + frame * p.y_t + 8 * j) =
                        ib_pack2<T>(d[m][2 * r] + b.x + own.x, d[m][2 * r + 1] + b.y + own.y);
                }
        }
    }
#endif
}

template <typename T> static isobath_status launch(ib_cuda_backend *be, const block_params &p)
{
    const int64_t blocks = ib_ceil_div(p.pixels, WARPS);
    IB_TRY(ib_cuda_check(&be->base,
                         cudaFuncSetAttribute(k_temporal_block<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, SMEM_BYTES),
                         "temporal_block: shared memory"));
    ib_cuda_launch(be, k_temporal_block<T>, (unsigned)(blocks < be->sm_count ? blocks : be->sm_count), WARPS * 32, SMEM_BYTES,
                   p);
    return ib_cuda_launched(&be->base, "temporal_block");
}

static const float *vector(const ib_tensor &t) { return (const float *)t.data; }

isobath_status ib_cuda_temporal_block(ib_backend *backend, const ib_temporal_block_args *a, int *done)
{
    ib_cuda_backend *be = ib_cuda(backend);
    int most = 0;
    *done = 0;
    IB_TRY(ib_cuda_check(backend, cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, be->device),
                         "temporal_block: shared memory"));
    if (be->path < IB_CUDA_MMA || backend->act == IB_F32 || a->y.dim[2] != C || a->heads != HEADS || most < SMEM_BYTES ||
        !ib_cuda_aligned(&a->x, 4) || !ib_cuda_aligned(&a->residual, 4) || !ib_cuda_aligned(&a->y, 4))
        return ISOBATH_OK;
    block_params p = {};
    p.g = a->x.data;
    p.x = a->residual.data;
    p.y = a->y.data;
    p.g_t = a->x.stride[0];
    p.g_p = a->x.stride[1];
    p.x_t = a->residual.stride[0];
    p.x_p = a->residual.stride[1];
    p.y_t = a->y.stride[0];
    p.y_p = a->y.stride[1];
    p.frames = (int)a->y.dim[0];
    p.pixels = (int)a->y.dim[1];
    p.eps = a->eps;
    p.proj_in = ib_cuda_w(a->proj_in)->data;
    p.proj_out = ib_cuda_w(a->proj_out)->data;
    p.ff_in = ib_cuda_w(a->ff_in)->data;
    p.ff_out = ib_cuda_w(a->ff_out)->data;
    p.proj_in_b = vector(a->proj_in_bias);
    p.proj_out_b = vector(a->proj_out_bias);
    p.ff_in_b = vector(a->ff_in_bias);
    p.ff_out_b = vector(a->ff_out_bias);
    for (int i = 0; i < 2; i++) {
        p.qkv[i] = ib_cuda_w(a->attn[i].qkv)->data;
        p.out[i] = ib_cuda_w(a->attn[i].out)->data;
        p.norm_w[i] = vector(a->attn[i].norm_weight);
        p.norm_b[i] = vector(a->attn[i].norm_bias);
        p.out_b[i] = vector(a->attn[i].out_bias);
        p.pe[i] = vector(a->attn[i].pos);
    }
    p.norm_w[2] = vector(a->ff_norm_weight);
    p.norm_b[2] = vector(a->ff_norm_bias);
    *done = 1;
    if (p.frames == 0 || p.pixels == 0) return ISOBATH_OK;
    return backend->act == IB_F16 ? launch<ib_f16>(be, p) : launch<ib_bf16>(be, p);
}
