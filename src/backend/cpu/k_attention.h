/* Attention with an online softmax (flash attention): keys come in blocks of IB_CPU_KEY_BLOCK whose scores stay in the
 * first-level cache; running maximum, sum and output of every query are rescaled from block to block.
 *
 * Packed keys: [key panel][d][NR keys] (bf16: pairs of d), the product's weight layout with the keys as columns.
 * Packed values: [column panel][key][NR columns] (bf16: pairs of keys), keys padded with zeros to whole key panels. */

static int64_t padded_keys(int64_t keys) { return ib_cpu_ceil(keys, NR) * NR; }

/* Four rows of four pairs, transposed. */
static inline void transpose_4x4(const act_t *src, int64_t lds, act_t *dst, int64_t ldd)
{
    __m128 r[4];
    for (int i = 0; i < 4; i++) memcpy(&r[i], src + i * lds, 16);
    _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
    for (int i = 0; i < 4; i++) memcpy(dst + i * ldd, &r[i], 16);
}

static void k_pack_keys(void *kt, const void *kp, int64_t ldk, int64_t keys, int64_t d)
{
    act_t *out = kt;
    const act_t *k = kp;
    for (int64_t j0 = 0; j0 < keys; j0 += NR, out += d * NR) {
        int64_t n = ib_cpu_min(NR, keys - j0);
        if (n < NR) memset(out, 0, (size_t)(d * NR) * sizeof *out);
        for (int64_t j = 0; j < n; j++) {
            const act_t *row = k + (j0 + j) * ldk;
            int64_t i = 0;
            if (n - j >= 4) {
                for (; i + 4 * ACT_PAIR <= d; i += 4 * ACT_PAIR)
                    transpose_4x4(row + i, ldk, out + i * NR + j * ACT_PAIR, ACT_PAIR * NR);
                if (i == d) {
                    j += 3;
                    continue;
                }
            }
            for (; i < d; i += ACT_PAIR) memcpy(out + i * NR + j * ACT_PAIR, row + i, sizeof(pair_t));
        }
    }
}

/* Columns [0, n) of ACT_PAIR rows a and b (b NULL: zeros) of values into one row of a panel. */
static inline void pack_value_row(act_t *o, const act_t *a, const act_t *b, int64_t n)
{
#ifdef IB_CPU_BF16
    for (int64_t c = 0; c < n; c += VL) {
        __mmask16 m = tail_mask(ib_cpu_min(VL, n - c));
        vi low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, a + c));
        vi high = b ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, b + c)) : _mm512_setzero_si512();
        _mm512_storeu_si512(o + 2 * c, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
#else
    (void)b;
    for (int64_t c = 0; c < n; c += VL) any_st(o, c, 1, any_ld(a, c, 1, ib_cpu_min(VL, n - c)), VL);
#endif
}

static void k_pack_values(void *packed, const void *vp, int64_t ldv, int64_t keys, int64_t d)
{
    act_t *out = packed;
    const act_t *v = vp;
    int64_t padded = padded_keys(keys);
    for (int64_t c0 = 0; c0 < d; c0 += NR, out += padded * NR) {
        int64_t n = ib_cpu_min(NR, d - c0), width = n <= VL ? VL : NR, j = 0;
        for (; j < keys; j += ACT_PAIR)
            pack_value_row(out + j * width, v + j * ldv + c0, j + 1 < keys ? v + (j + 1) * ldv + c0 : NULL, n);
        memset(out + j * width, 0, (size_t)((padded - j) * width) * sizeof *out);
    }
}

/* Scratch of attend: scores, probabilities (bf16 has its own), output sums, maximum and sum of each query. */
#define QUERY_TILES 4
#define QUERIES (QUERY_TILES * ROW_TILE)
static int64_t padded_columns(int64_t d) { return ib_cpu_ceil(d, NR) * NR; }

static size_t k_attend_scratch(int64_t d)
{
    return (size_t)(ROW_TILE * IB_CPU_KEY_BLOCK * 2 + QUERIES * (padded_columns(d) + 2) + ROW_TILE * NR) *
           sizeof(float);
}

/* Scores of one row to probabilities relative to the running maximum; returns the factor for what was summed before. */
static inline float soften(float *s, act_t *prob, int64_t keys, int64_t padded, float scale_log2e, float *max,
                           float *sum)
{
    for (int64_t j = keys; j < padded; j++) s[j] = -__builtin_inff();
    vf m = VLD(s);
    for (int64_t j = VL; j < padded; j += VL) m = VMAXC(VLD(s + j), m);
    float t[VL], top = *max;
    VST(t, m);
    for (int i = 0; i < VL; i++) top = t[i] > top ? t[i] : top;
    float factor = *max == top ? 1.0f : 0.0f, base = top * scale_log2e;
    if (factor == 0.0f) {
        VST(t, vexp2_act(VSET1(*max * scale_log2e - base)));
        factor = t[0];
    }
    vf total = VSET1(0.0f);
    for (int64_t j = 0; j < padded; j += VL) {
        vf e = vexp2_act(VFMA(VLD(s + j), VSET1(scale_log2e), VSET1(-base)));
        total = total + e;
        act_st(prob + j, e);
    }
    *sum = *sum * factor + vsum(total);
    *max = top;
    return factor;
}

/* Rows [0, mr) of one tile against the keys [j0, j0 + n). */
static void attend_block(const ib_cpu_attend *a, const act_t *q, int mr, int64_t j0, int64_t n, float *score,
                         act_t *prob, float *tile, float *o, float *max, float *sum)
{
    const int64_t zero = 0, padded = padded_keys(n), columns = padded_columns(a->d);
    float factor[ROW_TILE];
    tell_rows(q, a->ldq, mr, 1, &zero, a->d);
    for (int i = 0; i < mr; i++) IB_WRITES(score + i * IB_CPU_KEY_BLOCK, padded * (int64_t)sizeof *score);
    for (int64_t j = 0; j < padded; j += NR)
        micro_table[mr - 1][NV - 1](q, a->ldq, 1, &zero, a->d, (const act_t *)a->kt + (j0 + j) * a->d, score + j,
                                    IB_CPU_KEY_BLOCK);
    float scale = a->scale * 1.44269504f;
    for (int i = 0; i < mr; i++)
        factor[i] =
            soften(score + i * IB_CPU_KEY_BLOCK, prob + i * IB_CPU_KEY_BLOCK, n, padded, scale, max + i, sum + i);
    for (int64_t c = 0; c < a->d; c += NR) {
        int nv = a->d - c <= VL ? 1 : NV;
        const act_t *v = (const act_t *)a->v + padded_keys(a->keys) * c + j0 * nv * VL;
        tell_rows(prob, IB_CPU_KEY_BLOCK, mr, 1, &zero, padded);
        micro_table[mr - 1][nv - 1](prob, IB_CPU_KEY_BLOCK, 1, &zero, padded, v, tile, NR);
        for (int i = 0; i < mr; i++)
            for (int w = 0; w < nv * VL; w += VL) {
                float *acc = o + i * columns + c + w;
                VST(acc, VFMA(VLD(acc), VSET1(factor[i]), VLD(tile + i * NR + w)));
            }
    }
}

static void k_attend(const ib_cpu_attend *a)
{
    int64_t columns = padded_columns(a->d);
    float *score = a->scratch, *tile = score + 2 * ROW_TILE * IB_CPU_KEY_BLOCK, *o = tile + ROW_TILE * NR;
    act_t *prob = ACT_PAIR == 1 ? (act_t *)score : (act_t *)(score + ROW_TILE * IB_CPU_KEY_BLOCK);
    float *max = o + QUERIES * columns, *sum = max + QUERIES;
    IB_READS(a->kt, padded_keys(a->keys) * ib_cpu_ceil(a->d, ACT_PAIR) * ACT_PAIR * (int64_t)sizeof(act_t));
    IB_READS(a->v, padded_keys(a->keys) * ib_cpu_ceil(a->d, VL) * VL * (int64_t)sizeof(act_t));
    for (int64_t q0 = 0; q0 < a->rows; q0 += QUERIES) {
        int64_t rows = ib_cpu_min(QUERIES, a->rows - q0), tiles = ib_cpu_ceil(rows, ROW_TILE);
        memset(o, 0, (size_t)(rows * columns) * sizeof *o);
        for (int64_t i = 0; i < rows; i++) {
            max[i] = -__builtin_inff();
            sum[i] = 0.0f;
        }
        for (int64_t j = 0; j < a->keys; j += IB_CPU_KEY_BLOCK)
            for (int64_t t = 0; t < tiles; t++) {
                int64_t r = t * rows / tiles, mr = (t + 1) * rows / tiles - r;
                attend_block(a, (const act_t *)a->q + (q0 + r) * a->ldq, (int)mr, j,
                             ib_cpu_min(IB_CPU_KEY_BLOCK, a->keys - j), score, prob, tile, o + r * columns, max + r,
                             sum + r);
            }
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < a->d; c += VL)
                any_st(a->y, (q0 + i) * a->ldy + c, 0, VLD(o + i * columns + c) / VSET1(sum[i]),
                       ib_cpu_min(VL, a->d - c));
    }
}
