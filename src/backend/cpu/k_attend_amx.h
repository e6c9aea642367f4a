/* Attention with AMX: k_attend with products by tiles (k_tiles.h) over the same packed keys and values. Two tiles of
 * queries go together, so that a tile of keys or values serves both. Heads whose size is no multiple of 32 go to k_attend. */
#define AMX_KEYS 256 /* per step of the softmax: scores and probabilities stay in the first-level cache */
#define AMX_ROWS (2 * TILE)
/* Distances off the powers of two, whose addresses would share the cache's sets: of panels of scores, rows of probabilities. */
#define SCORE_PITCH (AMX_ROWS * NR + VL)
#define PROB_PITCH (AMX_KEYS + 2 * VL)

typedef struct attend_scratch {
    float score[AMX_KEYS / NR * SCORE_PITCH]; /* [panel of keys][query][key] */
    float tile[AMX_ROWS * NR];
    float max[AMX_ROWS], sum[AMX_ROWS], factor[AMX_ROWS];
    act_t prob[AMX_ROWS * PROB_PITCH];
    float rest[]; /* sums of the values, (AMX_ROWS, d); then the queries, (AMX_ROWS, d) */
} attend_scratch;

static size_t k_attend_amx_scratch(int64_t d)
{
    size_t plain = k_attend_scratch(d), bytes = sizeof(attend_scratch) + (size_t)(AMX_ROWS * d) * (sizeof(float) + sizeof(act_t));
    return bytes > plain ? bytes : plain;
}

/* `soften` over panels of scores. */
static inline float soften_panels(float *s, act_t *prob, int64_t keys, int64_t padded, float scale_log2e, float *max, float *sum)
{
    for (int64_t j = keys; j < padded; j++) s[j / NR * SCORE_PITCH + j % NR] = -__builtin_inff();
    vf m = VLD(s), total = VSET1(0.0f);
    for (int64_t j = 0; j < padded; j += NR, s += SCORE_PITCH) m = VMAXC(VLD(s + VL), VMAXC(VLD(s), m));
    s -= padded / NR * SCORE_PITCH;
    float top = _mm512_reduce_max_ps(m);
    if (!(top > *max)) top = *max;
    const vf base = VSET1(-top * scale_log2e), scale = VSET1(scale_log2e);
    float factor = *max == top ? 1.0f : _mm512_cvtss_f32(vexp2_act(VFMA(VSET1(*max), scale, base)));
    for (int64_t j = 0; j < padded; j += NR, s += SCORE_PITCH) {
        vf e0 = vexp2_act(VFMA(VLD(s), scale, base)), e1 = vexp2_act(VFMA(VLD(s + VL), scale, base));
        total = total + e0 + e1;
        act_st(prob + j, e0);
        act_st(prob + j + VL, e1);
    }
    *sum = *sum * factor + vsum(total);
    *max = top;
    return factor;
}

/* The queries at q (AMX_ROWS of them, `rows` real ones) against the keys [j0, j0 + n). */
static void attend_tiles(const ib_cpu_attend *a, attend_scratch *w, float *o, const act_t *q, int rows, int64_t j0, int64_t n)
{
    const int64_t zero = 0, padded = padded_keys(n), d = a->d;
    const act_t *keys = (const act_t *)a->kt + j0 * d, *values = (const act_t *)a->v + j0 * NR;
    const act_t *q1 = rows > TILE ? q + TILE * d : NULL, *p1 = rows > TILE ? w->prob + TILE * PROB_PITCH : NULL;
    for (int64_t j = 0; j < padded / NR; j++)
        tile_block(TILE, 2, q, q1, d, 1, &zero, d, keys + j * NR * d, w->score + j * SCORE_PITCH);
    for (int i = 0; i < rows; i++)
        w->factor[i] = soften_panels(w->score + i * NR, w->prob + i * PROB_PITCH, n, padded, a->scale * 1.44269504f, w->max + i, w->sum + i);
    for (int64_t c = 0; c < d; c += NR) {
        tile_block(TILE, 2, w->prob, p1, PROB_PITCH, 1, &zero, padded, values + padded_keys(a->keys) * c, w->tile);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < NR; v += VL) {
                float *acc = o + i * d + c + v;
                VST(acc, VFMA(VLD(acc), VSET1(w->factor[i]), VLD(w->tile + i * NR + v)));
            }
    }
}

static void k_attend_amx(const ib_cpu_attend *a)
{
    if (a->d % 32) {
        k_attend(a);
        return;
    }
    attend_scratch *w = a->scratch;
    float *o = w->rest;
    act_t *q = (act_t *)(o + AMX_ROWS * a->d);
    memset(w->prob, 0, sizeof w->prob); /* rows below the last query */
    tiles_begin(TILE);
    for (int64_t q0 = 0; q0 < a->rows; q0 += AMX_ROWS) {
        int rows = (int)ib_cpu_min(AMX_ROWS, a->rows - q0);
        memset(o, 0, (size_t)(rows * a->d) * sizeof *o);
        for (int i = 0; i < AMX_ROWS; i++) {
            const act_t *from = (const act_t *)a->q + (q0 + i) * a->ldq;
            if (i < rows) memcpy(q + i * a->d, from, (size_t)a->d * sizeof *q);
            else memset(q + i * a->d, 0, (size_t)a->d * sizeof *q);
            w->max[i] = -__builtin_inff();
            w->sum[i] = 0.0f;
        }
        for (int64_t j = 0; j < a->keys; j += AMX_KEYS) attend_tiles(a, w, o, q, rows, j, ib_cpu_min(AMX_KEYS, a->keys - j));
        for (int i = 0; i < rows; i++)
            for (int64_t c = 0; c < a->d; c += VL)
                any_st(a->y, (q0 + i) * a->ldy + c, 0, VLD(o + i * a->d + c) / VSET1(w->sum[i]), VL);
    }
    tiles_end();
}
