/* output_head for f16 input on sm_90a: three products instead of nine for every output pixel, by tensor-core products of a
 * warpgroup. Sideways the resize can wait: its weights sum to one and the 3x3 is linear, so a row of taps is multiplied at the
 * input's columns and its results are resized. Down the map is resized first.
 *
 * A warpgroup walks down a strip of 64 input columns of a frame. For output row Y it holds rows Y - 1, Y and Y + 1 of the map
 * resized downwards, f16 operands in registers (such a value lies between its f16 neighbours, so it cannot leave f16's range,
 * and f16 has TF32's precision); the weights stay in shared memory, scaled as output_head_weight.cu does. The products (64 columns x
 * [tap of the row 3][channel 32], f32) go through shared memory to a thread for each output column, which resizes, adds
 * bias, ReLU, the 1x1 and the end, while the products of the next row run. Input rows come by the copy engine, three at a
 * time. One order of sums for every pixel. */
#include "backend/cuda/head.cuh"
#include "backend/cuda/gemm_mma.cuh"
#include "backend/cuda/tma.cuh"

#define COLUMNS 64 /* of the input in a strip: rows of a warpgroup's product */
#define GROUPS 2   /* warpgroups of a block, each with a strip of its own */
#define THREADS (128 * GROUPS)
#define TAPS_N 96  /* columns of the product */
#define SLOTS 3    /* input rows in shared memory */
#define LEAST_ROWS 16

/* f32 words between input columns of the products in shared memory: 16-byte reads of neighbouring columns, no bank conflicts. */
#define PITCH 100
#define HALF_BYTES (COLUMNS * 128) /* 64 channels of an input row */
#define WEIGHT_BYTES (TAPS_N * 128)

struct rows_params {
    const void *x;
    const float *scales, *last, *bias; /* [32], [32], [33] */
    float *y;
    int64_t x_t, x_h, y_t, y_h;
    int in_h, in_w, out_h, out_w;
    float scale_h, scale_w;
    float sigmoid;
    int strips, strip_columns; /* of the output */
    int pieces, piece_rows;    /* of the output, from top to bottom */
    uint32_t items;            /* frames x strips x pieces */
    int copied;                /* by the copy engine; else by threads, where it cannot read */
};

/* 16-channel steps of the product: KS; parts of 64 channels that rows are kept in. */
static __host__ __device__ constexpr int halves_of(int ks) { return (ks + 3) / 4; }
static constexpr int slot_bytes(int ks) { return halves_of(ks) * HALF_BYTES; }
static constexpr int group_bytes(int ks) { return SLOTS * slot_bytes(ks) + COLUMNS * PITCH * 4; }
/* Weights, both groups, vectors of 32, barriers, alignment to 1024 bytes. */
static constexpr int shared_bytes(int ks)
{
    return 3 * halves_of(ks) * WEIGHT_BYTES + GROUPS * group_bytes(ks) + 2 * 32 * 4 + 64 + 1024;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define A4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
/* d (64 x 96) += A (64 x 16, registers) B (96 x 16)^T */
__device__ __forceinline__ void product_step(float (&d)[TAPS_N / 8][4], const uint32_t (&a)[4], uint64_t b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n96k16.f32.f16.f16 {" IB_R16_A IB_R16_B
                 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47}, {%48,%49,%50,%51}, %52, 1, 1, 1, 0;\n"
                 : A4(0), A4(1), A4(2), A4(3), A4(4), A4(5), A4(6), A4(7), A4(8), A4(9), A4(10), A4(11)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

__device__ __forceinline__ void group_sync(int group) { asm volatile("bar.sync %0, 128;\n" ::"r"(1 + group) : "memory"); }

/* What a warpgroup works on. */
struct rows_item {
    int t, first_column, columns, row, end, source; /* output columns and rows; first input column */
};

/* Input rows of the strip in shared memory: row y in slot y % SLOTS. */
template <int KS> struct rows_ring {
    uint32_t base, full;
    int first, last, next; /* input rows: first and last that are needed, first that was not asked for */

    __device__ __forceinline__ uint32_t slot(int y) const { return base + (uint32_t)(y % SLOTS) * (halves_of(KS) * HALF_BYTES); }

    /* Asks for rows up to y + SLOTS - 1, where row y is the oldest that is still needed; all threads of the group. */
    __device__ __forceinline__ void ask(const rows_params &p, const CUtensorMap *map, const rows_item &item, int y, int tid)
    {
        for (; next <= min(y + SLOTS - 1, last); next++) {
            const uint32_t to = slot(next);
            if (p.copied) {
                if (tid != 0) continue;
                const uint32_t barrier = full + 8 * (uint32_t)(next % SLOTS);
                ib_mbarrier_expect(barrier, halves_of(KS) * HALF_BYTES);
                for (int half = 0; half < halves_of(KS); half++)
                    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
                                 "%4, %5, %6}], [%2];\n" ::"r"(to + half * HALF_BYTES),
                                 "l"(map), "r"(barrier), "r"(half * 64), "r"(item.source), "r"(next), "r"(item.t)
                                 : "memory");
            } else {
                const ib_f16 *row = (const ib_f16 *)p.x + item.t * p.x_t + next * p.x_h;
                for (int i = tid; i < COLUMNS * KS * 16; i += 128) {
                    const int column = i / (KS * 16), c = i % (KS * 16), x = item.source + column;
                    const ib_f16 v = x < p.in_w ? row[(int64_t)x * (KS * 16) + c] : __ushort_as_half(0);
                    asm volatile("st.shared.u16 [%0], %1;\n" ::"r"(to + c / 64 * HALF_BYTES +
                                                                   ib_swizzle(column, c % 64 / 8) + c % 8 * 2),
                                 "h"(__half_as_ushort(v))
                                 : "memory");
                }
            }
        }
    }
    /* Until row y is there. Rows that threads have written are behind a barrier of the group. */
    __device__ __forceinline__ void wait(const rows_params &p, int y) const
    {
        if (p.copied) ib_mbarrier_wait(full + 8 * (uint32_t)(y % SLOTS), (uint32_t)((y / SLOTS - begin_turn(y)) & 1));
    }
    /* Turns of the slot before the first that was asked for. */
    __device__ __forceinline__ int begin_turn(int y) const { return (first + (y % SLOTS - first % SLOTS + SLOTS) % SLOTS) / SLOTS; }
};

/* Row oy of the map resized downwards as A operands; zeros outside of the image. */
template <int KS>
__device__ __forceinline__ void resized_row(uint32_t (&a)[KS][4], const rows_params &p, const rows_ring<KS> &ring, int oy, int warp,
                                            int lane)
{
    if (oy < 0 || oy >= p.out_h) {
#pragma unroll
        for (int ks = 0; ks < KS; ks++)
#pragma unroll
            for (int e = 0; e < 4; e++) a[ks][e] = 0;
        return;
    }
    int y0, y1;
    float wy;
    ib_bilinear_axis_device(oy, p.in_h, p.scale_h, &y0, &y1, &wy);
    ring.wait(p, y0);
    ring.wait(p, y1);
    const float vy = 1.0f - wy;
    const uint32_t top = ring.slot(y0), bottom = ring.slot(y1);
    const int column = warp * 16 + lane % 16;
#pragma unroll
    for (int ks = 0; ks < KS; ks++) {
        const uint32_t at = ks / 4 * HALF_BYTES + ib_swizzle(column, ks % 4 * 2 + lane / 16);
        uint32_t u[4], v[4];
        ib_ldmatrix_x4(u, top + at);
        ib_ldmatrix_x4(v, bottom + at);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float2 f = ib_unpack2<ib_f16>(u[e]), g = ib_unpack2<ib_f16>(v[e]);
            a[ks][e] = ib_pack2<ib_f16>(fmaf(vy, f.x, wy * g.x), fmaf(vy, f.y, wy * g.y));
        }
    }
}

/* An output column: where its taps read the products, and how much of the right one; nothing of a tap outside. A tap outside reads
 * at the column itself, which takes part anyway. */
struct rows_column {
    uint32_t left[3], right[3];
    float left_weight[3], right_weight[3];
};
__device__ __forceinline__ rows_column column_at(const rows_params &p, const rows_item &item, uint32_t products, int ox)
{
    rows_column k;
#pragma unroll
    for (int d = 0; d < 3; d++) {
        const int at = ox + d - 1;
        const bool inside = at >= 0 && at < p.out_w;
        int x0, x1;
        float wx;
        ib_bilinear_axis_device(inside ? at : ox, p.in_w, p.scale_w, &x0, &x1, &wx);
        k.left[d] = products + (uint32_t)((x0 - item.source) * PITCH + d * 32) * 4;
        k.right[d] = products + (uint32_t)((x1 - item.source) * PITCH + d * 32) * 4;
        k.left_weight[d] = inside ? 1.0f - wx : 0.0f;
        k.right_weight[d] = inside ? wx : 0.0f;
    }
    return k;
}

__device__ __forceinline__ float4 shared4(uint32_t address)
{
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];\n" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address));
    return v;
}

/* The pixel of a column from the products of its row. `vectors`: the 3x3's biases over its scales, then the 1x1's weights
 * times them: powers of two, so relu(scale v + bias) end = relu(v + bias / scale) (end scale). */
__device__ __forceinline__ float pixel(const rows_column &k, uint32_t vectors)
{
    float sum = 0.0f;
#pragma unroll
    for (int c = 0; c < 32; c += 4) {
        float4 v = shared4(vectors + c * 4);
        const float4 end = shared4(vectors + 128 + c * 4);
#pragma unroll
        for (int d = 0; d < 3; d++) {
            const float4 l = shared4(k.left[d] + c * 4), r = shared4(k.right[d] + c * 4);
            v.x = fmaf(k.right_weight[d], r.x, fmaf(k.left_weight[d], l.x, v.x));
            v.y = fmaf(k.right_weight[d], r.y, fmaf(k.left_weight[d], l.y, v.y));
            v.z = fmaf(k.right_weight[d], r.z, fmaf(k.left_weight[d], l.z, v.z));
            v.w = fmaf(k.right_weight[d], r.w, fmaf(k.left_weight[d], l.w, v.w));
        }
        sum = fmaf(ib_relu(v.x), end.x, sum);
        sum = fmaf(ib_relu(v.y), end.y, sum);
        sum = fmaf(ib_relu(v.z), end.z, sum);
        sum = fmaf(ib_relu(v.w), end.w, sum);
    }
    return sum;
}
#endif

template <int KS>
__global__ void __launch_bounds__(THREADS, 1)
    k_head_rows(const __grid_constant__ rows_params p, const __grid_constant__ CUtensorMap x_map,
                const __grid_constant__ CUtensorMap w_map)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int HALVES = halves_of(KS);
    extern __shared__ unsigned char raw[];
    const uint32_t weights = (ib_smem_address(raw) + 1023) / 1024 * 1024;
    const int group = (int)threadIdx.x / 128, tid = (int)threadIdx.x % 128, warp = tid / 32, lane = tid % 32;
    const uint32_t own = weights + 3 * HALVES * WEIGHT_BYTES + group * (SLOTS * HALVES * HALF_BYTES);
    const uint32_t all_products = weights + 3 * HALVES * WEIGHT_BYTES + GROUPS * (SLOTS * HALVES * HALF_BYTES);
    const uint32_t products = all_products + group * (COLUMNS * PITCH * 4);
    const uint32_t vectors = all_products + GROUPS * (COLUMNS * PITCH * 4), barriers = vectors + 256;
    rows_ring<KS> ring = {own, barriers + 8 + group * 8 * SLOTS};

    if (threadIdx.x == 0) {
        for (int i = 0; i < 1 + GROUPS * SLOTS; i++) ib_mbarrier_init(barriers + 8 * i, 1);
        ib_mbarrier_fence_init();
        ib_mbarrier_expect(barriers, 3 * HALVES * WEIGHT_BYTES);
        for (int i = 0; i < 3 * HALVES; i++)
            ib_tma_rows(weights + i * WEIGHT_BYTES, &w_map, barriers, i % HALVES * 64, i / HALVES * TAPS_N);
    }
    if (threadIdx.x < 32) {
        const float scale = p.scales[threadIdx.x];
        asm volatile("st.shared.f32 [%0], %1;\n" ::"r"(vectors + threadIdx.x * 4), "f"(p.bias[threadIdx.x] / scale) : "memory");
        asm volatile("st.shared.f32 [%0], %1;\n" ::"r"(vectors + 128 + threadIdx.x * 4), "f"(p.last[threadIdx.x] * scale) : "memory");
    }
    const float bias_last = p.bias[32];
    __syncthreads();
    ib_grid_begin();

    const uint32_t number = blockIdx.x * GROUPS + (uint32_t)group;
    if (number >= p.items) return;
    rows_item item;
    item.row = (int)(number % (uint32_t)p.pieces) * p.piece_rows;
    item.end = min(item.row + p.piece_rows, p.out_h);
    item.first_column = (int)(number / (uint32_t)p.pieces % (uint32_t)p.strips) * p.strip_columns;
    item.columns = min(p.strip_columns, p.out_w - item.first_column);
    item.t = (int)(number / (uint32_t)(p.pieces * p.strips));
    int unused;
    float weight;
    ib_bilinear_axis_device(max(item.first_column - 1, 0), p.in_w, p.scale_w, &item.source, &unused, &weight);
    ib_bilinear_axis_device(max(item.row - 1, 0), p.in_h, p.scale_h, &ring.first, &unused, &weight);
    ib_bilinear_axis_device(min(item.end, p.out_h - 1), p.in_h, p.scale_h, &unused, &ring.last, &weight);
    ring.next = ring.first;

    ring.ask(p, &x_map, item, ring.first, tid);
    group_sync(group);
    const bool column = tid < item.columns;
    const rows_column k = column_at(p, item, products, item.first_column + (column ? tid : 0));
    float *y = p.y + item.t * p.y_t + item.first_column + tid;
    const uint64_t b = ib_wgmma_descriptor(weights);
    const uint32_t put = products + (uint32_t)((warp * 16 + lane / 4) * PITCH + lane % 4 * 2) * 4;

    uint32_t a[3][KS][4]; /* rows of the map, in turns */
    float acc[TAPS_N / 8][4];
    resized_row<KS>(a[0], p, ring, item.row - 1, warp, lane);
    resized_row<KS>(a[1], p, ring, item.row, warp, lane);
    {
        /* The rows of a[2] may lie one further than what fits beside those of a[0]. */
        int y0;
        ib_bilinear_axis_device(min(item.row + 1, p.out_h - 1), p.in_h, p.scale_h, &y0, &unused, &weight);
        group_sync(group);
        ring.ask(p, &x_map, item, y0, tid);
        if (!p.copied) group_sync(group);
    }
    resized_row<KS>(a[2], p, ring, item.row + 1, warp, lane);
    ib_mbarrier_wait(barriers, 0);

    for (int first = item.row; first < item.end; first += 3) {
#pragma unroll
        for (int turn = 0; turn < 3; turn++) {
            const int row = first + turn;
            if (row >= item.end) break;
            ib_wgmma_clear(acc);
            ib_wgmma_fence();
#pragma unroll
            for (int dy = 0; dy < 3; dy++)
#pragma unroll
                for (int ks = 0; ks < KS; ks++)
                    product_step(acc, a[(turn + dy) % 3][ks], b + (dy * HALVES + ks / 4) * (WEIGHT_BYTES / 16) + ks % 4 * 2);
            ib_wgmma_commit();
            if (row > item.row && column)
                y[(row - 1) * p.y_h] = head_end(pixel(k, vectors) + bias_last, p.sigmoid);
            int y0;
            ib_bilinear_axis_device(min(row + 2, p.out_h - 1), p.in_h, p.scale_h, &y0, &unused, &weight);
            ib_wgmma_wait<0>();
            group_sync(group); /* the products before are read, and the input rows of row + 1 */
            ring.ask(p, &x_map, item, y0, tid);
#pragma unroll
            for (int n = 0; n < TAPS_N / 8; n++) {
                asm volatile("st.shared.v2.f32 [%0], {%1,%2};\n" ::"r"(put + n * 32), "f"(acc[n][0]), "f"(acc[n][1]) : "memory");
                asm volatile("st.shared.v2.f32 [%0], {%1,%2};\n" ::"r"(put + 8 * PITCH * 4 + n * 32), "f"(acc[n][2]), "f"(acc[n][3])
                             : "memory");
            }
            if (p.copied && row + 1 < item.end) resized_row<KS>(a[turn], p, ring, row + 2, warp, lane);
            group_sync(group);
            if (!p.copied && row + 1 < item.end) resized_row<KS>(a[turn], p, ring, row + 2, warp, lane);
        }
    }
    if (column) y[(item.end - 1) * p.y_h] = head_end(pixel(k, vectors) + bias_last, p.sigmoid);
#endif
}

/* Output columns of a strip: the most whose input, taps and both neighbours included, is sure to lie in 64 columns. */
static int strip_columns(float scale)
{
    int n = 128;
    while (n > 1 && (int)((n + 1) * scale) + 4 > COLUMNS) n--;
    return n;
}

template <int KS> static void launch(const ib_cuda_backend *be, const rows_params &p, const CUtensorMap &x, const CUtensorMap &w)
{
    (void)cudaFuncSetAttribute(k_head_rows<KS>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes(KS));
    ib_cuda_launch(be, k_head_rows<KS>, (unsigned)ib_ceil_div(p.items, GROUPS), THREADS, shared_bytes(KS), p, x, w);
}

int ib_cuda_head_launch_rows(const ib_cuda_backend *be, const ib_output_head_args *a)
{
    const int64_t frames = a->x.dim[0], ci = a->x.dim[3];
    const float *packed = (const float *)ib_cuda_w(a->w)->data;
    rows_params p = {a->x.data, packed + head_scales(ci), packed + head_last(ci), (const float *)a->bias.data, (float *)a->y.data,
                     a->x.stride[0], a->x.stride[1], a->y.stride[0], a->y.stride[1], (int)a->x.dim[1], (int)a->x.dim[2],
                     (int)a->y.dim[1], (int)a->y.dim[2], ib_cuda_bilinear_scale(a->x.dim[1], a->y.dim[1]),
                     ib_cuda_bilinear_scale(a->x.dim[2], a->y.dim[2]), a->sigmoid};
    if (be->base.act != IB_F16 || a->x.dtype != IB_F16 || be->path != IB_CUDA_WGMMA || p.scale_h > 1.0f || p.scale_w > 1.0f ||
        (ci != 64 && ci != 128) || frames == 0) /* with fewer channels the products are too short to pay for the way out */
        return 0;
    CUtensorMap x = {}, w;
    if (!ib_cuda_map_rows(be, packed + head_rows(ci), ci, 9 * 32, ci, TAPS_N, &w)) return 0;
    /* Where the copy engine cannot read, threads do: the same bits. */
    p.copied = ib_cuda_aligned(&a->x, 16) && ib_cuda_map_patch(be, a->x.data, a->x.dim, a->x.stride, COLUMNS, 1, &x);
    p.strip_columns = strip_columns(p.scale_w);
    p.strips = (int)ib_ceil_div(p.out_w, p.strip_columns);
    p.strip_columns = (int)ib_ceil_div(p.out_w, p.strips);
    /* As many pieces as keep every multiprocessor busy at once, if they do not get too short. */
    const int64_t room = (int64_t)GROUPS * be->sm_count / (frames * p.strips), most = ib_ceil_div(p.out_h, LEAST_ROWS);
    p.pieces = (int)(room < 4 ? 4 : room);
    if (p.pieces > most) p.pieces = (int)most;
    p.piece_rows = (int)ib_ceil_div(p.out_h, p.pieces);
    p.pieces = (int)ib_ceil_div(p.out_h, p.piece_rows);
    p.items = (uint32_t)(frames * p.strips * p.pieces);
    ci == 64 ? launch<4>(be, p, x, w) : launch<8>(be, p, x, w);
    return 1;
}
