/* Winograd's F(4x4,3x3) for convolutions in f32: a 4x4 tile of outputs costs 36 products per pair of channels instead
 * of 144. The points are 0, +-3/4, +-3/2 and infinity: all constants are exact in f32, and the error is twice that of
 * the direct sum (root mean square over uniform data), a third of what the textbook's points 0, +-1, +-2 give. */
#define WA2 0.5625f /* a^2, a = 3/4 */
#define WB2 2.25f   /* b^2, b = 3/2 */
#define WA 0.75f
#define WB 1.5f

/* v = B^T d */
static inline __attribute__((always_inline)) void wino_in_1d(const vf d[6], vf v[6])
{
    vf s = VFMA(VSET1(-WB2), d[2], d[4]), q = VSET1(WA) * VFMA(VSET1(-WB2), d[1], d[3]);
    vf u = VFMA(VSET1(-WA2), d[2], d[4]), r = VSET1(WB) * VFMA(VSET1(-WA2), d[1], d[3]);
    v[0] = VFMA(VSET1(WA2 * WB2), d[0], VFMA(VSET1(-(WA2 + WB2)), d[2], d[4]));
    v[1] = s + q;
    v[2] = s - q;
    v[3] = u + r;
    v[4] = u - r;
    v[5] = VFMA(VSET1(WA2 * WB2), d[1], VFMA(VSET1(-(WA2 + WB2)), d[3], d[5]));
}

/* y = A^T m */
static inline __attribute__((always_inline)) void wino_out_1d(const vf m[6], vf y[4])
{
    vf a = m[1] + m[2], b = m[3] + m[4], c = m[1] - m[2], d = m[3] - m[4];
    y[0] = m[0] + a + b;
    y[1] = VFMA(VSET1(WA), c, VSET1(WB) * d);
    y[2] = VFMA(VSET1(WA2), a, VSET1(WB2) * b);
    y[3] = VFMA(VSET1(WA * WA2), c, VFMA(VSET1(WB * WB2), d, m[5]));
}

static void k_wino_input(const void *const row[6], int x_f32, int64_t x0, int64_t width, int64_t c, int relu, float *v,
                         int64_t pitch)
{
    static const float zeros[VL];
    const char *base[36];
    int64_t step[36], size = x_f32 ? 4 : (int64_t)sizeof(act_t);
    for (int k = 0; k < 36; k++) {
        int64_t x = x0 - 1 + k % 6;
        int inside = row[k / 6] && x >= 0 && x < width;
        base[k] = inside ? (const char *)row[k / 6] + x * c * size : (const char *)zeros;
        step[k] = inside ? size : 0;
    }
    for (int64_t i = 0; i < c; i += VL) {
        vf d[6], t[6][6]; /* t: columns transformed, by row */
        for (int x = 0; x < 6; x++) {
            vf column[6];
#pragma GCC unroll 6
            for (int y = 0; y < 6; y++) {
                int k = 6 * y + x;
                d[y] = any_ld(base[k] + i * step[k], 0, x_f32, VL);
                if (relu) d[y] = vrelu(d[y]);
            }
            wino_in_1d(d, column);
#pragma GCC unroll 6
            for (int y = 0; y < 6; y++) t[y][x] = column[y];
        }
        for (int y = 0; y < 6; y++) {
            wino_in_1d(t[y], d);
#pragma GCC unroll 6
            for (int x = 0; x < 6; x++) VST(v + (6 * y + x) * pitch + i, d[x]);
        }
    }
}

static int k_wino_output(const float *m, int64_t pitch, int vectors, float *out, int64_t ldo)
{
    vf check = VSET1(0.0f);
    for (int i = 0; i < vectors * VL; i += VL) {
        vf in[6], y[4], t[4][6];
        for (int x = 0; x < 6; x++) {
#pragma GCC unroll 6
            for (int k = 0; k < 6; k++) in[k] = VLD(m + (6 * k + x) * pitch + i);
            wino_out_1d(in, y);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) t[k][x] = y[k];
        }
        for (int k = 0; k < 4; k++) {
            wino_out_1d(t[k], y);
#pragma GCC unroll 4
            for (int x = 0; x < 4; x++) {
                VST(out + (4 * k + x) * ldo + i, y[x]);
                check = VFMA(y[x], VSET1(0.0f), check); /* NaN as soon as a value is not finite */
            }
        }
    }
    return vsum(check) == 0.0f;
}

/* Columns [x, x + count) of one output row of a tile, from sums of NR columns each. */
static void k_wino_finish(const ib_cpu_product *p, int64_t count, int64_t panel, const float *sums)
{
    epilogue(p, 0, (int)count, panel, sums);
}

#ifndef IB_CPU_BF16
static void k_panel(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, int vectors, float *out)
{
    const int64_t zero = 0, tiles = ib_cpu_ceil(rows, ROW_TILE);
    tell_rows(a, lda, rows, 1, &zero, k);
    tell_weights(b, 1, k, vectors);
    for (int64_t row = 0; row < rows; row++) IB_WRITES(out + row * NR, vectors * VL * (int64_t)sizeof *out);
    for (int64_t i = 0; i < tiles; i++) {
        int64_t row = i * rows / tiles, mr = (i + 1) * rows / tiles - row;
        micro_table[mr - 1][vectors - 1](a + row * lda, lda, 1, &zero, k, b, out + row * NR, NR);
    }
}
#endif
