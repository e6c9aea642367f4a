/* One description for every matrix product of the network: linear, 3x3 convolution (implicit GEMM) and transposed
 * convolution (GEMM with a pixel shuffle on the way out). Three cores run it: SIMT, mma.sync and wgmma.
 *
 * D[row, col] = sum over k of A[row, k] * W[col, k]; a row is an output position (t,i,j), a column a packed row of the
 * weight. k = tap*ci_pad + c: linear has one tap, the convolution nine. All cores share the way in (addresses of A) and
 * the way out (bias, activation, residuals, store), so that they differ only in the order of the sums over k.
 * Tile shapes depend on the weight alone and every sum runs over all of k in one block: a row has the same bits
 * whatever the number of rows.
 */
#ifndef IB_BACKEND_CUDA_GEMM_CUH
#define IB_BACKEND_CUDA_GEMM_CUH

#include "backend/cuda/common.cuh"

/* Division of n < 2^31 by a constant of run time. */
typedef struct ib_fastdiv {
    uint32_t divisor, multiplier, shift;
} ib_fastdiv;

static inline ib_fastdiv ib_fastdiv_make(int64_t divisor)
{
    ib_fastdiv f = {(uint32_t)divisor, 0, 0};
    while (((uint64_t)1 << f.shift) < (uint64_t)divisor) f.shift++;
    f.multiplier = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << f.shift) - (uint64_t)divisor)) / (uint64_t)divisor + 1);
    return f;
}
__device__ __forceinline__ uint32_t ib_fastdiv_quotient(uint32_t n, const ib_fastdiv &f)
{
    return (__umulhi(n, f.multiplier) + n) >> f.shift;
}

/* Where (t,i,j) of a map lies; strides in elements, channels contiguous. */
typedef struct ib_gemm_map {
    void *data; /* NULL: absent */
    int dtype;
    int64_t st, si, sj;
} ib_gemm_map;

typedef struct ib_gemm {
    /* A */
    ib_gemm_map x;
    int in_h, in_w;   /* size of the input map; a convolution reads zeros outside */
    int ci, ci_pad;   /* values per tap in x, and per tap in a row of the weight */
    int x_channels;   /* values that may be read per position: >= ci for padded rows */
    int stride;       /* of the convolution */
    int relu_in;
    int vector_in;    /* rows of x allow 16-byte accesses (8-byte ones in the SIMT core with half types) */
    /* W */
    const void *w;
    int cols, k_pad;  /* packed rows of the weight, values per row */
    /* rows */
    uint32_t rows;
    ib_fastdiv by_w, by_h; /* row = (t*out_h + i)*out_w + j */
    /* way out */
    const float *bias;     /* indexed as the packed columns, or by channel with shuffle; NULL: none */
    int act;               /* ib_act */
    int shuffle;           /* kernel size k of a transposed convolution, else 0 */
    int shuffle_channels;
    ib_fastdiv by_channels, by_shuffle;
    ib_gemm_map y, residual, residual2;
    int vector_bias;       /* the bias allows 16-byte accesses */
    int vector_out;        /* y, residuals and columns allow 16-byte accesses */
} ib_gemm;

/* Runs it with the activation type of the backend; `weight` gives w, cols and k_pad. */
isobath_status ib_cuda_gemm(ib_cuda_backend *be, ib_gemm *g, const ib_cuda_weight *weight, int taps, const char *op);

/* ---- device side -------------------------------------------------------------------------------------------------- */

typedef struct ib_gemm_row {
    int t, i, j;
} ib_gemm_row;

__device__ __forceinline__ ib_gemm_row ib_gemm_row_at(const ib_gemm &g, uint32_t row)
{
    ib_gemm_row r;
    uint32_t q = ib_fastdiv_quotient(row, g.by_w);
    r.j = (int)(row - q * g.by_w.divisor);
    r.t = (int)ib_fastdiv_quotient(q, g.by_h);
    r.i = (int)(q - (uint32_t)r.t * g.by_h.divisor);
    return r;
}

/* Reads N values of a map as f32; vector accesses when `vector`, else one by one up to `limit`. */
template <int N>
__device__ __forceinline__ void ib_gemm_add_residual(const ib_gemm_map &m, int64_t offset, int vector, int limit,
                                                     float (&v)[N])
{
    constexpr int F = N < 4 ? N : 4;
    if (m.dtype == IB_F32) {
        const float *p = (const float *)m.data + offset;
        if (vector) {
#pragma unroll
            for (int n = 0; n < N; n += F) {
                ib_vec<float, F> x = ib_load<float, F>(p + n);
#pragma unroll
                for (int e = 0; e < F; e++) v[n + e] += x.v[e];
            }
        } else {
#pragma unroll
            for (int n = 0; n < N; n++)
                if (n < limit) v[n] += p[n];
        }
        return;
    }
    const uint16_t *p = (const uint16_t *)m.data + offset;
    if (vector) {
        ib_vec<uint16_t, N> x = ib_load<uint16_t, N>(p);
#pragma unroll
        for (int n = 0; n < N; n++)
            v[n] += m.dtype == IB_F16 ? __half2float(__ushort_as_half(x.v[n]))
                                      : __uint_as_float((uint32_t)x.v[n] << 16);
    } else {
#pragma unroll
        for (int n = 0; n < N; n++)
            if (n < limit)
                v[n] += m.dtype == IB_F16 ? __half2float(__ushort_as_half(p[n]))
                                          : __uint_as_float((uint32_t)p[n] << 16);
    }
}

template <int N>
__device__ __forceinline__ void ib_gemm_store(const ib_gemm_map &m, int64_t offset, int vector, int limit,
                                              const float (&v)[N])
{
    constexpr int F = N < 4 ? N : 4;
    if (m.dtype == IB_F32) {
        float *p = (float *)m.data + offset;
        if (vector) {
#pragma unroll
            for (int n = 0; n < N; n += F) {
                ib_vec<float, F> x;
#pragma unroll
                for (int e = 0; e < F; e++) x.v[e] = v[n + e];
                ib_store<float, F>(p + n, x);
            }
        } else {
#pragma unroll
            for (int n = 0; n < N; n++)
                if (n < limit) p[n] = v[n];
        }
        return;
    }
    ib_vec<uint32_t, N / 2> packed;
#pragma unroll
    for (int n = 0; n < N; n += 2)
        packed.v[n / 2] = m.dtype == IB_F16 ? ib_pack2<ib_f16>(v[n], v[n + 1]) : ib_pack2<ib_bf16>(v[n], v[n + 1]);
    uint16_t *p = (uint16_t *)m.data + offset;
    if (vector) {
        *reinterpret_cast<ib_vec<uint32_t, N / 2> *>(p) = packed;
    } else {
#pragma unroll
        for (int n = 0; n < N; n++)
            if (n < limit) p[n] = (uint16_t)(packed.v[n / 2] >> (n % 2 * 16));
    }
}

/* Activation, residuals and store of N adjacent result columns (after bias; of M, not 2M, with GEGLU). */
template <int N>
__device__ __forceinline__ void ib_gemm_finish(const ib_gemm &g, const ib_gemm_row &r, int col, int limit, float (&v)[N])
{
    const int vector = g.vector_out && limit >= N;
    if (g.residual.data)
        ib_gemm_add_residual<N>(g.residual, r.t * g.residual.st + r.i * g.residual.si + r.j * g.residual.sj + col,
                                vector, limit, v);
    if (g.residual2.data)
        ib_gemm_add_residual<N>(g.residual2, r.t * g.residual2.st + r.i * g.residual2.si + r.j * g.residual2.sj + col,
                                vector, limit, v);
    ib_gemm_store<N>(g.y, r.t * g.y.st + r.i * g.y.si + r.j * g.y.sj + col, vector, limit, v);
}

/* The way out for N adjacent columns of one row, `col` a multiple of N, `acc` the sums. */
template <int N>
__device__ __forceinline__ void ib_gemm_emit(const ib_gemm &g, const ib_gemm_row &r, int col, float (&acc)[N])
{
    const int limit = g.cols - col; /* columns that exist from here on */
    if (limit <= 0) return;
    if (g.shuffle) { /* column = (ky*k + kx)*channels + c */
        if (g.vector_out) {
            uint32_t tap = ib_fastdiv_quotient((uint32_t)col, g.by_channels);
            int c = col - (int)tap * g.shuffle_channels;
            uint32_t ky = ib_fastdiv_quotient(tap, g.by_shuffle);
            ib_gemm_row up = {r.t, r.i * g.shuffle + (int)ky, r.j * g.shuffle + (int)(tap - ky * (uint32_t)g.shuffle)};
            if (g.bias) {
#pragma unroll
                for (int n = 0; n < N; n++) acc[n] += __ldg(g.bias + c + n);
            }
            ib_gemm_finish<N>(g, up, c, N, acc);
        } else {
#pragma unroll
            for (int n = 0; n < N; n++) {
                if (n >= limit) continue;
                uint32_t tap = ib_fastdiv_quotient((uint32_t)(col + n), g.by_channels);
                int c = col + n - (int)tap * g.shuffle_channels;
                uint32_t ky = ib_fastdiv_quotient(tap, g.by_shuffle);
                ib_gemm_row up = {r.t, r.i * g.shuffle + (int)ky, r.j * g.shuffle + (int)(tap - ky * (uint32_t)g.shuffle)};
                float one[2] = {acc[n] + (g.bias ? __ldg(g.bias + c) : 0.0f), 0.0f};
                ib_gemm_finish<2>(g, up, c, 1, one);
            }
        }
        return;
    }
    if (g.act == IB_ACT_GEGLU) { /* columns alternate value, gate; the bias has all values, then all gates */
        float out[N / 2];
        alignas(16) float bias[N] = {};
        const int half = g.cols / 2, out_col = col / 2;
        if (N == 8 && g.bias && g.vector_bias && half % 4 == 0) {
            *(float4 *)bias = __ldg((const float4 *)(g.bias + out_col));
            *(float4 *)(bias + N / 2) = __ldg((const float4 *)(g.bias + half + out_col));
        } else if (g.bias) {
#pragma unroll
            for (int n = 0; n < N / 2; n++)
                if (out_col + n < half) {
                    bias[n] = __ldg(g.bias + out_col + n);
                    bias[N / 2 + n] = __ldg(g.bias + half + out_col + n);
                }
        }
#pragma unroll
        for (int n = 0; n < N / 2; n++)
            out[n] = __fmul_rn(acc[2 * n] + bias[n], ib_gelu(acc[2 * n + 1] + bias[N / 2 + n]));
        ib_gemm_finish<N / 2>(g, r, out_col, limit / 2, out);
        return;
    }
    if (g.bias) {
#pragma unroll
        for (int n = 0; n < N; n++)
            if (n < limit) acc[n] += __ldg(g.bias + col + n);
    }
    if (g.act == IB_ACT_GELU) {
#pragma unroll
        for (int n = 0; n < N; n++) acc[n] = ib_gelu(acc[n]);
    } else if (g.act == IB_ACT_RELU) {
#pragma unroll
        for (int n = 0; n < N; n++) acc[n] = ib_relu(acc[n]);
    }
    ib_gemm_finish<N>(g, r, col, limit, acc);
}

/* ---- the way out of fragments ---- */

/* Shared memory that a warp needs to bring 16 rows of `most` results (16 or 32) from fragments into rows, in bytes. */
constexpr int ib_gemm_scratch_bytes(int most) { return 16 * (most + 4) * 4; }

/* The row of a block of 16 that a lane writes (lane/2), up to 16 columns at a time. */
typedef struct ib_gemm_lane {
    ib_gemm_row row;
    int64_t y, residual; /* offsets of its first column */
    bool inside;
} ib_gemm_lane;

__device__ __forceinline__ ib_gemm_lane ib_gemm_lane_of(const ib_gemm &g, const ib_gemm_row &row, bool inside)
{
    ib_gemm_lane l;
    l.row = row;
    l.inside = inside;
    l.y = l.row.t * g.y.st + l.row.i * g.y.si + l.row.j * g.y.sj;
    l.residual = l.row.t * g.residual.st + l.row.i * g.residual.si + l.row.j * g.residual.sj;
    return l;
}

/* The lane's row of the 16 from `first` on. */
__device__ __forceinline__ ib_gemm_lane ib_gemm_lane_at(const ib_gemm &g, uint32_t first, int lane)
{
    const uint32_t row = first + (uint32_t)(lane / 2);
    return ib_gemm_lane_of(g, ib_gemm_row_at(g, row), row < g.rows);
}

/* The residual of 8 columns, fetched ahead of use: it may be y itself, so the compiler cannot move its loads above
 * earlier stores. */
typedef struct ib_gemm_ahead {
    uint4 v[2];
} ib_gemm_ahead;

/* Ways out of fragments: anything; 16-byte accesses and nothing but bias, activation and residuals; the same for GEGLU. */
enum { IB_GEMM_GENERAL, IB_GEMM_PLAIN, IB_GEMM_GATED };

static inline int ib_gemm_way_out(const ib_gemm &g)
{
    if (!g.vector_out || !g.vector_bias || g.shuffle) return IB_GEMM_GENERAL;
    if (g.act == IB_ACT_GEGLU) return g.cols % 16 == 0 ? IB_GEMM_GATED : IB_GEMM_GENERAL;
    return g.cols % 8 == 0 ? IB_GEMM_PLAIN : IB_GEMM_GENERAL;
}

__device__ __forceinline__ void ib_gemm_fetch_ahead(const ib_gemm &g, const ib_gemm_lane &l, int col, int cols,
                                                    ib_gemm_ahead &a)
{
    if (!g.residual.data || !l.inside || col >= cols) return;
    const char *p = (const char *)g.residual.data + (l.residual + col) * (g.residual.dtype == IB_F32 ? 4 : 2);
    a.v[0] = *(const uint4 *)p;
    if (g.residual.dtype == IB_F32) a.v[1] = *((const uint4 *)p + 1);
}

/* Residuals and store of 8 columns, by vectors. */
__device__ __forceinline__ void ib_gemm_put(const ib_gemm &g, const ib_gemm_lane &l, int col, const ib_gemm_ahead &ahead,
                                            float (&v)[8])
{
    if (g.residual.data) {
        const uint32_t *r = (const uint32_t *)ahead.v;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            if (g.residual.dtype == IB_F32) {
                v[n] += __uint_as_float(r[n]);
            } else {
                const float2 two =
                    g.residual.dtype == IB_F16 ? ib_unpack2<ib_f16>(r[n / 2]) : ib_unpack2<ib_bf16>(r[n / 2]);
                v[n] += n % 2 ? two.y : two.x;
            }
        }
    }
    if (g.residual2.data)
        ib_gemm_add_residual<8>(g.residual2,
                                l.row.t * g.residual2.st + l.row.i * g.residual2.si + l.row.j * g.residual2.sj + col, 1,
                                8, v);
    ib_gemm_store<8>(g.y, l.y + col, 1, 8, v);
}

/* The way out of 8 columns in IB_GEMM_PLAIN. */
__device__ __forceinline__ void ib_gemm_emit_plain(const ib_gemm &g, const ib_gemm_lane &l, int col,
                                                   const ib_gemm_ahead &ahead, float (&v)[8])
{
    if (!l.inside || col >= g.cols) return;
    if (g.bias) {
        alignas(16) float bias[8];
        *(float4 *)bias = __ldg((const float4 *)(g.bias + col));
        *(float4 *)(bias + 4) = __ldg((const float4 *)(g.bias + col) + 1);
#pragma unroll
        for (int n = 0; n < 8; n++) v[n] += bias[n];
    }
    if (g.act == IB_ACT_GELU) {
#pragma unroll
        for (int n = 0; n < 8; n++) v[n] = ib_gelu(v[n]);
    } else if (g.act == IB_ACT_RELU) {
#pragma unroll
        for (int n = 0; n < 8; n++) v[n] = ib_relu(v[n]);
    }
    ib_gemm_put(g, l, col, ahead, v);
}

/* The way out for FRAGMENTS m16n8 fragments of a warp side by side: 16 rows x 8*FRAGMENTS columns from `col` on. The
 * results go through the warp's scratch, MOST (16 or 32) of a row at a time, so that a lane holds 8 or 16 adjacent ones. */
template <int FRAGMENTS, int WAY_OUT, int MOST>
__device__ __forceinline__ void ib_gemm_emit_fragments(const ib_gemm &g, const ib_gemm_lane &l, int col,
                                                       const float (&acc)[FRAGMENTS][4], float *scratch, int lane)
{
    constexpr bool GATED = WAY_OUT == IB_GEMM_GATED;
    constexpr int PITCH = MOST + 4;
    constexpr int WIDTH = GATED ? 4 : 8;                               /* results of a fragment in a row */
    constexpr int RESULTS = FRAGMENTS * WIDTH < MOST ? FRAGMENTS * WIDTH : MOST; /* of a row, at a time */
    constexpr int STEP = RESULTS / WIDTH, GROUPS = RESULTS / 16;        /* fragments at a time; of 8 columns a lane */
    const int cols = GATED ? g.cols / 2 : g.cols, first = GATED ? col / 2 : col, lane_first = lane % 2 * 8 * GROUPS;
    const float *read = scratch + lane / 2 * PITCH + lane_first;
    ib_gemm_ahead ahead[GROUPS], next[GROUPS];
    if (WAY_OUT != IB_GEMM_GENERAL) {
#pragma unroll
        for (int e = 0; e < GROUPS; e++) ib_gemm_fetch_ahead(g, l, first + lane_first + e * 8, cols, ahead[e]);
    }
#pragma unroll FRAGMENTS / STEP
    for (int n = 0; n < FRAGMENTS; n += STEP) {
        const int part = first + n * WIDTH;
#pragma unroll
        for (int i = 0; i < STEP; i++) {
            const float *a = acc[n + i];
            float *p = scratch + lane / 4 * PITCH + i * WIDTH;
            if (GATED) { /* a lane has value and gate of one column, in two rows */
                const int c = part + i * WIDTH + lane % 4;
                const bool biased = g.bias && c < cols;
                const float value = biased ? __ldg(g.bias + c) : 0.0f, gate = biased ? __ldg(g.bias + cols + c) : 0.0f;
                p[lane % 4] = __fmul_rn(a[0] + value, ib_gelu(a[1] + gate));
                p[lane % 4 + 8 * PITCH] = __fmul_rn(a[2] + value, ib_gelu(a[3] + gate));
            } else {
                *(float2 *)(p + lane % 4 * 2) = make_float2(a[0], a[1]);
                *(float2 *)(p + lane % 4 * 2 + 8 * PITCH) = make_float2(a[2], a[3]);
            }
        }
        if (WAY_OUT != IB_GEMM_GENERAL && n + STEP < FRAGMENTS) {
#pragma unroll
            for (int e = 0; e < GROUPS; e++)
                ib_gemm_fetch_ahead(g, l, part + RESULTS + lane_first + e * 8, cols, next[e]);
        }
        __syncwarp();
        alignas(16) float v[GROUPS][8];
#pragma unroll
        for (int e = 0; e < GROUPS; e++) {
            *(float4 *)v[e] = *(const float4 *)(read + e * 8);
            *(float4 *)(v[e] + 4) = *(const float4 *)(read + e * 8 + 4);
        }
        __syncwarp();
#pragma unroll
        for (int e = 0; e < GROUPS; e++) {
            const int c = part + lane_first + e * 8;
            if (WAY_OUT == IB_GEMM_PLAIN)
                ib_gemm_emit_plain(g, l, c, ahead[e], v[e]);
            else if (GATED && l.inside && c < cols)
                ib_gemm_put(g, l, c, ahead[e], v[e]);
            else if (WAY_OUT == IB_GEMM_GENERAL && l.inside)
                ib_gemm_emit<8>(g, l.row, c, v[e]);
            if (WAY_OUT != IB_GEMM_GENERAL) ahead[e] = next[e];
        }
    }
}

/* ---- the way in ---- */

/* A thread's view of one row of A: where it starts and which taps fall inside the map. */
template <int TAPS> struct ib_gemm_source {
    int64_t base; /* element offset of tap (0,0), channel 0 */
    int y0, x0;   /* its position; rows beyond the end get a position that no tap can be inside of */

    __device__ __forceinline__ void set(const ib_gemm &g, uint32_t row)
    {
        ib_gemm_row r = ib_gemm_row_at(g, row);
        if (TAPS == 1) {
            base = r.t * g.x.st + r.i * g.x.si + r.j * g.x.sj;
            y0 = row < g.rows ? 0 : -1;
            x0 = 0;
        } else {
            y0 = row < g.rows ? r.i * g.stride - 1 : -8;
            x0 = r.j * g.stride - 1;
            base = r.t * g.x.st + (int64_t)y0 * g.x.si + (int64_t)x0 * g.x.sj;
        }
    }
    __device__ __forceinline__ bool inside(const ib_gemm &g, int dy, int dx) const
    {
        if (TAPS == 1) return y0 >= 0;
        return (unsigned)(y0 + dy) < (unsigned)g.in_h && (unsigned)(x0 + dx) < (unsigned)g.in_w;
    }
};

/* Position of a thread's column of A in k: tap and channel, advanced tile by tile. */
template <int TAPS> struct ib_gemm_k {
    int tap, c;

    __device__ __forceinline__ void start(const ib_gemm &g, int k)
    {
        tap = 0;
        c = k;
        settle(g);
    }
    __device__ __forceinline__ void advance(const ib_gemm &g, int step)
    {
        c += step;
        settle(g);
    }
    __device__ __forceinline__ void settle(const ib_gemm &g)
    {
        if (TAPS > 1)
            while (c >= g.ci_pad) {
                c -= g.ci_pad;
                tap++;
            }
    }
    /* Row and column of the tap. */
    __device__ __forceinline__ int dy() const { return TAPS == 1 ? 0 : (tap >= 6 ? 2 : tap >= 3 ? 1 : 0); }
    __device__ __forceinline__ int dx() const { return TAPS == 1 ? 0 : tap - dy() * 3; }
    /* Channels from c on that exist in x; 0 past the last tap. */
    __device__ __forceinline__ int left(const ib_gemm &g) const { return tap < TAPS ? g.x_channels - c : 0; }
};

#endif
