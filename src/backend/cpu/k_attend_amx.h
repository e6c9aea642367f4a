/* Attention with AMX: the products of k_attend by tiles of 16x16, everything else as there. Packed keys and values are the same:
 * a panel's rows of pairs are what the tile instructions want. Heads whose size is no multiple of 32 go to k_attend.
 *
 * Without IB_CPU_AMX (path onednn, for tests on other processors) the vector kernel computes the same products. */
#define TILE 16
#define AMX_QUERIES (4 * TILE)

#ifdef IB_CPU_AMX
static void tiles_begin(void)
{
    struct __attribute__((packed)) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = TILE;
    }
    _tile_loadconfig(&config);
}
static void tiles_end(void) { _tile_release(); }

/* out (16 x 32) of one panel or two (b1 NULL: one) = a (16 rows of k) times the panels (k x 32 each); 32 divides k. */
static void tile_product(const act_t *a, int64_t lda, int64_t k, const act_t *b0, const act_t *b1, float *out0, float *out1, int64_t ldo)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < k; i += 32) {
        const act_t *p = b0 + i * NR;
        _tile_loadd(4, a + i, 2 * lda);
        _tile_loadd(5, p, 2 * 2 * NR);
        _tile_loadd(6, p + 2 * VL, 2 * 2 * NR);
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 6);
        if (!b1) continue;
        p = b1 + i * NR;
        _tile_loadd(5, p, 2 * 2 * NR);
        _tile_loadd(7, p + 2 * VL, 2 * 2 * NR);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 7);
    }
    _tile_stored(0, out0, 4 * ldo);
    _tile_stored(1, out0 + VL, 4 * ldo);
    if (!b1) return;
    _tile_stored(2, out1, 4 * ldo);
    _tile_stored(3, out1 + VL, 4 * ldo);
}
#else
static void tiles_begin(void) {}
static void tiles_end(void) {}

static void tile_product(const act_t *a, int64_t lda, int64_t k, const act_t *b0, const act_t *b1, float *out0, float *out1, int64_t ldo)
{
    const int64_t zero = 0;
    for (int r = 0; r < TILE; r += 8) {
        micro_table[7][NV - 1](a + r * lda, lda, 1, &zero, k, b0, out0 + r * ldo, ldo);
        if (b1) micro_table[7][NV - 1](a + r * lda, lda, 1, &zero, k, b1, out1 + r * ldo, ldo);
    }
}
#endif

static size_t k_attend_amx_scratch(int64_t d)
{
    size_t floats = (size_t)(TILE * IB_CPU_KEY_BLOCK * 2 + AMX_QUERIES * (padded_columns(d) + 2) + TILE * 2 * NR + TILE * d / 2);
    size_t plain = k_attend_scratch(d), bytes = floats * sizeof(float) + 64;
    return bytes > plain ? bytes : plain;
}

/* Rows [0, mr) of a tile of queries, copied to q with zeros below, against the keys [j0, j0 + n). */
static void attend_tile(const ib_cpu_attend *a, const act_t *q, int mr, int64_t j0, int64_t n, float *score, act_t *prob, float *tile,
                        float *o, float *max, float *sum)
{
    const int64_t padded = padded_keys(n), columns = padded_columns(a->d);
    const act_t *keys = a->kt, *values = a->v;
    const float scale = a->scale * 1.44269504f;
    float factor[TILE];
    for (int64_t j = 0; j < padded; j += 2 * NR)
        tile_product(q, a->d, a->d, keys + (j0 + j) * a->d, j + NR < padded ? keys + (j0 + j + NR) * a->d : NULL, score + j, score + j + NR,
                     IB_CPU_KEY_BLOCK);
    for (int i = 0; i < mr; i++)
        factor[i] = soften(score + i * IB_CPU_KEY_BLOCK, prob + i * IB_CPU_KEY_BLOCK, n, padded, scale, max + i, sum + i);
    for (int64_t c = 0; c < a->d; c += 2 * NR) {
        const act_t *v = values + padded_keys(a->keys) * c + j0 * NR;
        int two = c + NR < a->d;
        tile_product(prob, IB_CPU_KEY_BLOCK, padded, v, two ? v + padded_keys(a->keys) * NR : NULL, tile, tile + NR, 2 * NR);
        for (int i = 0; i < mr; i++)
            for (int w = 0; w < (two ? 2 * NR : NR); w += VL) {
                float *acc = o + i * columns + c + w;
                VST(acc, VFMA(VLD(acc), VSET1(factor[i]), VLD(tile + i * 2 * NR + w)));
            }
    }
}

static void k_attend_amx(const ib_cpu_attend *a)
{
    if (a->d % 32) {
        k_attend(a);
        return;
    }
    const int64_t columns = padded_columns(a->d);
    float *score = a->scratch, *tile = score + 2 * TILE * IB_CPU_KEY_BLOCK, *o = tile + TILE * 2 * NR;
    act_t *prob = (act_t *)(score + TILE * IB_CPU_KEY_BLOCK);
    float *max = o + AMX_QUERIES * columns, *sum = max + AMX_QUERIES;
    act_t *q = (act_t *)(sum + AMX_QUERIES);
    memset(prob, 0, (size_t)(TILE * IB_CPU_KEY_BLOCK) * sizeof *prob); /* rows below the last query */
    tiles_begin();
    for (int64_t q0 = 0; q0 < a->rows; q0 += AMX_QUERIES) {
        int64_t rows = ib_cpu_min(AMX_QUERIES, a->rows - q0);
        memset(o, 0, (size_t)(rows * columns) * sizeof *o);
        for (int64_t i = 0; i < rows; i++) {
            max[i] = -__builtin_inff();
            sum[i] = 0.0f;
        }
        for (int64_t j = 0; j < a->keys; j += IB_CPU_KEY_BLOCK)
            for (int64_t r = 0; r < rows; r += TILE) {
                int64_t mr = ib_cpu_min(TILE, rows - r);
                for (int64_t i = 0; i < mr; i++) memcpy(q + i * a->d, (const act_t *)a->q + (q0 + r + i) * a->ldq, (size_t)a->d * sizeof *q);
                memset(q + mr * a->d, 0, (size_t)((TILE - mr) * a->d) * sizeof *q);
                attend_tile(a, q, (int)mr, j, ib_cpu_min(IB_CPU_KEY_BLOCK, a->keys - j), score, prob, tile, o + r * columns, max + r, sum + r);
            }
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < a->d; c += VL)
                any_st(a->y, (q0 + i) * a->ldy + c, 0, VLD(o + i * columns + c) / VSET1(sum[i]), VL);
    }
    tiles_end();
}
