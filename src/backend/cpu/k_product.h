/* Products of activation rows with packed weight panels: one register-tile kernel serves linear layers, convolutions
 * (as nine taps over a padded band) and both products of attention.
 *
 * A register tile is ROW_TILE rows x NV vectors of columns. Each step broadcasts one value (bf16: one pair) of each row
 * and multiplies it with NV vectors of the panel. Every lane is a chain of its own over taps and k, so the bits of an
 * element do not depend on the tile that it is computed in. */
#define NV 2
#define NR (NV * VL)
#if defined(__AVX512F__)
#define ROW_TILE 14
#elif defined(__AVX2__)
#define ROW_TILE 6
#else
#define ROW_TILE 5
#endif

/* One multiply-add of a row's value(s) at p with a panel vector. */
#ifdef IB_CPU_BF16
typedef uint32_t pair_t;
static inline __attribute__((always_inline)) IB_UNWATCHED vf mul_add(vf acc, pair_t a, vf b)
{
    return _mm512_dpbf16_ps(acc, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}
#else
typedef float pair_t;
static inline __attribute__((always_inline)) IB_UNWATCHED vf mul_add(vf acc, pair_t a, vf b) { return VFMA(VSET1(a), b, acc); }
#endif
typedef pair_t unaligned_pair __attribute__((aligned(2), may_alias));
typedef float panel_float __attribute__((may_alias));

/* out (mr x nv*VL, row stride ldo) = sum over taps and k of a*b. Who calls it tells sanitizers: tell_rows. */
static inline __attribute__((always_inline)) IB_UNWATCHED void micro(int mr, int nv, const act_t *a, int64_t lda, int taps,
                                                                     const int64_t *tap, int64_t k, const panel_float *b,
                                                                     float *out, int64_t ldo)
{
    vf acc[ROW_TILE][NV];
#pragma GCC unroll 14
    for (int i = 0; i < mr; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) acc[i][v] = VSET1(0.0f);
    }
    for (int s = 0; s < taps; s++) {
        const act_t *as = a + tap[s];
#pragma GCC unroll 2
        for (int64_t j = 0; j < k; j += ACT_PAIR) {
            vf bv[NV];
#pragma GCC unroll 2
            for (int v = 0; v < nv; v++) bv[v] = VLD((const float *)b + v * VL);
            b += nv * VL;
#pragma GCC unroll 14
            for (int i = 0; i < mr; i++) {
#pragma GCC unroll 2
                for (int v = 0; v < nv; v++)
                    acc[i][v] = mul_add(acc[i][v], *(const unaligned_pair *)(as + i * lda + j), bv[v]);
            }
        }
    }
#pragma GCC unroll 14
    for (int i = 0; i < mr; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) VST(out + i * ldo + v * VL, acc[i][v]);
    }
}

typedef void (*micro_fn)(const void *a, int64_t lda, int taps, const int64_t *tap, int64_t k, const void *b, float *out,
                         int64_t ldo);

#define MICRO(mr, nv)                                                                                                 \
    static __attribute__((noinline)) IB_UNWATCHED void micro_##mr##_##nv(const void *a, int64_t lda, int taps,        \
                                                                         const int64_t *tap, int64_t k, const void *b, \
                                                                         float *out, int64_t ldo)                     \
    {                                                                                                                 \
        micro(mr, nv, a, lda, taps, tap, k, b, out, ldo);                                                             \
    }
#define MICRO_PAIR(mr) MICRO(mr, 1) MICRO(mr, 2)
#define MICRO_NAMES(mr)                \
    {                                  \
        micro_##mr##_1, micro_##mr##_2 \
    }
MICRO_PAIR(1)
MICRO_PAIR(2)
MICRO_PAIR(3)
MICRO_PAIR(4) MICRO_PAIR(5)
#if ROW_TILE >= 6
    MICRO_PAIR(6)
#endif
#if ROW_TILE >= 14
        MICRO_PAIR(7) MICRO_PAIR(8) MICRO_PAIR(9) MICRO_PAIR(10) MICRO_PAIR(11) MICRO_PAIR(12) MICRO_PAIR(13)
            MICRO_PAIR(14)
#endif

                static const micro_fn micro_table[ROW_TILE][NV] = {
                    MICRO_NAMES(1),  MICRO_NAMES(2),  MICRO_NAMES(3),  MICRO_NAMES(4),  MICRO_NAMES(5),
#if ROW_TILE >= 6
                    MICRO_NAMES(6),
#endif
#if ROW_TILE >= 14
                    MICRO_NAMES(7),  MICRO_NAMES(8),  MICRO_NAMES(9),  MICRO_NAMES(10), MICRO_NAMES(11),
                    MICRO_NAMES(12), MICRO_NAMES(13), MICRO_NAMES(14),
#endif
};

/* What micro reads of rows, and of a weight's panel of `vectors` vectors of columns. */
static inline void tell_rows(const act_t *a, int64_t lda, int64_t rows, int taps, const int64_t *tap, int64_t k)
{
    (void)a, (void)lda, (void)tap, (void)k;
    for (int64_t i = 0; i < rows; i++)
        for (int s = 0; s < taps; s++)
            IB_READS(a + i * lda + tap[s], (k + ACT_PAIR - 1) / ACT_PAIR * ACT_PAIR * (int64_t)sizeof *a);
}

static inline void tell_weights(const void *b, int taps, int64_t k, int vectors)
{
    (void)b, (void)taps, (void)k, (void)vectors;
    IB_READS_WHOLE(b, taps * ((k + ACT_PAIR - 1) / ACT_PAIR) * vectors * VL * (int64_t)sizeof(float));
}

/* Columns [c, c + n) of one row: bias and activation were done, residuals are added and the result is stored. */
static inline void finish(const ib_cpu_product *p, int64_t row, int64_t c, int64_t n, vf v)
{
    if (p->res) v = v + any_ld(p->res, row * p->ldres + c, p->res_f32, n);
    if (p->res2) v = v + any_ld(p->res2, row * p->ldres2 + c, 0, n);
    any_st(p->y, row * p->ldy + c, p->y_f32, v, n);
}

static inline vf gelu_for(const ib_cpu_product *p, vf x) { return p->y_f32 ? vgelu(x) : vgelu_act(x); }

/* Bias, activation, residuals and store of a tile of `mr` rows of panel `panel`, whose sums are in t (row stride NR). */
static void epilogue(const ib_cpu_product *p, int64_t row, int mr, int64_t panel, const float *t)
{
    int64_t width = p->act == IB_ACT_GEGLU ? VL : NR, c0 = panel * width;
    for (int64_t c = c0; c < ib_cpu_min(p->columns, c0 + width); c += VL) {
        int64_t n = ib_cpu_min(VL, p->columns - c);
        const float *s = t + (c - c0);
        vf bias = p->bias ? any_ld(p->bias, c, 1, n) : VSET1(0.0f);
        if (p->act == IB_ACT_GEGLU) { /* the panel's second vector holds the gates */
            vf gate_bias = !p->bias ? VSET1(0.0f) : any_ld(p->bias, p->columns + c, 1, n);
            for (int i = 0; i < mr; i++)
                finish(p, row + i, c, n, (VLD(s + i * NR) + bias) * gelu_for(p, VLD(s + i * NR + VL) + gate_bias));
        } else if (p->act == IB_ACT_GELU) {
            for (int i = 0; i < mr; i++) finish(p, row + i, c, n, gelu_for(p, VLD(s + i * NR) + bias));
        } else if (p->act == IB_ACT_RELU) {
            for (int i = 0; i < mr; i++) finish(p, row + i, c, n, vrelu(VLD(s + i * NR) + bias));
        } else {
            for (int i = 0; i < mr; i++) finish(p, row + i, c, n, VLD(s + i * NR) + bias);
        }
    }
}

/* Vectors that the panel holds: the last one of a weight may have only one. GEGLU panels always have both. */
static inline int panel_vectors(const ib_cpu_product *p, int64_t panel)
{
    return p->act != IB_ACT_GEGLU && p->columns - panel * NR <= VL ? 1 : NV;
}

#ifndef IB_CPU_TILES
static void k_product(const ib_cpu_product *p)
{
    float t[ROW_TILE * NR] __attribute__((aligned(64)));
    int64_t tiles = ib_cpu_ceil(p->rows, ROW_TILE), step = p->taps * p->k * NR;
    tell_rows(p->a, p->lda, p->rows, p->taps, p->tap, p->k);
    for (int64_t q = p->first_panel; q < p->first_panel + p->panels; q++) {
        const act_t *b = (const act_t *)p->b + q * step;
        int nv = panel_vectors(p, q);
        tell_weights(b, p->taps, p->k, nv);
        for (int64_t i = 0; i < tiles; i++) { /* rows in tiles of nearly equal height */
            int64_t row = i * p->rows / tiles, mr = (i + 1) * p->rows / tiles - row;
            micro_table[mr - 1][nv - 1]((const act_t *)p->a + row * p->lda, p->lda, p->taps, p->tap, p->k, b, t, NR);
            epilogue(p, row, (int)mr, q, t);
        }
    }
}
#endif

static void k_pad_row(void *dst, const void *src, int64_t width, int64_t c, int64_t cpad, int relu)
{
    act_t *d = dst;
    const act_t *s = src;
    memset(d, 0, (size_t)cpad * sizeof *d);
    memset(d + (width + 1) * cpad, 0, (size_t)cpad * sizeof *d);
    d += cpad;
    if (!s) {
        memset(d, 0, (size_t)(width * cpad) * sizeof *d);
        return;
    }
    int64_t runs = c == cpad ? 1 : width, length = c == cpad ? width * c : c;
    for (int64_t x = 0; x < runs; x++, d += cpad, s += c) {
        if (c != cpad) memset(d + c, 0, (size_t)(cpad - c) * sizeof *d);
        if (!relu) {
            memcpy(d, s, (size_t)length * sizeof *d);
            continue;
        }
        int64_t i = 0;
        for (; i + VL <= length; i += VL) act_st(d + i, vrelu(act_ld(s + i)));
        if (i < length) act_stn(d + i, vrelu(act_ldn(s + i, length - i)), length - i);
    }
}
