/* Products by tiles of AMX, in the place of k_product: the same panels (a panel's rows of pairs are what the tile
 * instructions want) and the same epilogue. 32 divides k: weights are packed so.
 *
 * A block is two tiles of rows by a panel: four tiles of sums, two of rows and two of the panel. The rows of a tile do
 * not know each other, so an element's bits do not depend on where its row stands; the last tiles of a product reach
 * back over rows that are done, whose sums are dropped.
 *
 * Without IB_CPU_AMX (path tiles, for tests on other processors) vector kernels compute the same products. */
#define TILE 16

#ifdef IB_CPU_AMX
/* Tiles 0 to 5 get `rows` rows, 6 and 7 all of them. */
static void tiles_begin(int rows)
{
    struct __attribute__((packed)) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = (uint8_t)(i < 6 ? rows : TILE);
    }
    __asm__ volatile("" : : "m"(config)); /* the intrinsic names its first bytes only */
    _tile_loadconfig(&config);
}
static void tiles_end(void) { _tile_release(); }

/* out (2 x 16 rows, row stride NR; the second 16 only where a1 is not NULL) = rows a0 and a1 times a panel. */
static void tile_block(int rows, int nv, const act_t *a0, const act_t *a1, int64_t lda, int taps, const int64_t *tap,
                       int64_t k, const act_t *b, float *out)
{
    (void)rows;
    const int64_t step = 2 * nv * VL, pitch = 2 * step; /* of a row of pairs, in values and bytes */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int s = 0; s < taps; s++)
        for (int64_t i = tap[s]; i < tap[s] + k; i += 2 * TILE, b += TILE * step) {
            _tile_loadd(6, b, pitch);
            if (nv == 2) _tile_loadd(7, b + 2 * VL, pitch);
            _tile_loadd(4, a0 + i, 2 * lda);
            _tile_dpbf16ps(0, 4, 6);
            if (nv == 2) _tile_dpbf16ps(1, 4, 7);
            if (!a1) continue;
            _tile_loadd(5, a1 + i, 2 * lda);
            _tile_dpbf16ps(2, 5, 6);
            if (nv == 2) _tile_dpbf16ps(3, 5, 7);
        }
    _tile_stored(0, out, 4 * NR);
    if (nv == 2) _tile_stored(1, out + VL, 4 * NR);
    if (!a1) return;
    _tile_stored(2, out + TILE * NR, 4 * NR);
    if (nv == 2) _tile_stored(3, out + TILE * NR + VL, 4 * NR);
}
#else
static void tiles_begin(int rows) { (void)rows; }
static void tiles_end(void) {}

static void tile_block(int rows, int nv, const act_t *a0, const act_t *a1, int64_t lda, int taps, const int64_t *tap,
                       int64_t k, const act_t *b, float *out)
{
    for (int r = 0; r < rows; r += 8)
        micro_table[ib_cpu_min(8, rows - r) - 1][nv - 1](a0 + r * lda, lda, taps, tap, k, b, out + r * NR, NR);
    if (a1) tile_block(rows, nv, a1, NULL, lda, taps, tap, k, b, out + TILE * NR);
}
#endif

static void k_product_tiles(const ib_cpu_product *p)
{
    float t[2 * TILE * NR] __attribute__((aligned(64)));
    const int64_t step = p->taps * p->k * NR, last = p->rows > TILE ? p->rows - TILE : 0; /* where the last tile begins */
    const int rows = (int)ib_cpu_min(TILE, p->rows);
    tiles_begin(rows);
    tell_rows(p->a, p->lda, p->rows, p->taps, p->tap, p->k);
    for (int64_t q = p->first_panel; q < p->first_panel + p->panels; q++) {
        tell_weights((const act_t *)p->b + q * step, p->taps, p->k, panel_vectors(p, q));
        for (int64_t row = 0; row < p->rows; row += 2 * TILE) {
            const act_t *a = p->a;
            int64_t first[2] = {ib_cpu_min(row, last), ib_cpu_min(row + TILE, last)}, two = row + TILE < p->rows;
            tile_block(rows, panel_vectors(p, q), a + first[0] * p->lda, two ? a + first[1] * p->lda : NULL, p->lda, p->taps,
                       p->tap, p->k, (const act_t *)p->b + q * step, t);
            for (int64_t i = 0, r = row; i <= two; i++, r += TILE)
                epilogue(p, r, (int)ib_cpu_min(TILE, p->rows - r), q, t + (i * TILE + r - first[i]) * NR);
        }
    }
    tiles_end();
}
