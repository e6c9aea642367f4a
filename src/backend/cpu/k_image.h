/* Rows of images: bilinear and cubic resize, the end of the head, and the alignment arithmetic whose bits op.h fixes
 * (there every operation is rounded on its own: the build has -ffp-contract=off and no VFMA is written). */

static void k_lerp_row(const void *p0, const void *p1, int64_t ldx, int x_f32, int64_t width, int64_t c,
                       const ib_cpu_lerp *t, float w1y, void *y, int64_t ldy, int y_f32)
{
    vf wy0 = VSET1(1.0f - w1y), wy1 = VSET1(w1y);
    for (int64_t x = 0; x < width; x++) {
        int64_t a = t->i0[x] * ldx, b = t->i1[x] * ldx;
        vf w0 = VSET1(1.0f - t->w1[x]), w1 = VSET1(t->w1[x]);
        for (int64_t i = 0; i < c; i += VL) {
            int64_t n = ib_cpu_min(VL, c - i);
            vf top = w0 * any_ld(p0, a + i, x_f32, n) + w1 * any_ld(p0, b + i, x_f32, n);
            vf bottom = w0 * any_ld(p1, a + i, x_f32, n) + w1 * any_ld(p1, b + i, x_f32, n);
            any_st(y, x * ldy + i, y_f32, wy0 * top + wy1 * bottom, n);
        }
    }
}

/* Bias, ReLU, 1x1 and the last activation of output_head. */
static void k_head_row(const float *t, int64_t width, const float *bias, const float *w, float sigmoid, float *y)
{
    for (int64_t x = 0; x < width; x++, t += 32) {
        vf s = vrelu(VLD(t) + VLD(bias)) * VLD(w);
        for (int i = VL; i < 32; i += VL) s = VFMA(vrelu(VLD(t + i) + VLD(bias + i)), VLD(w + i), s);
        float v = vsum(s) + bias[32];
        if (sigmoid > 0) y[x] = sigmoid / (1 + expf(-v)) + 0 * v; /* not finite: NaN */
        else y[x] = v < 0 ? 0 : v;
    }
}

/* row[index[0..VL)] */
static inline vf gather(const float *row, const int32_t *index)
{
#if defined(__AVX512F__)
    return _mm512_i32gather_ps(_mm512_loadu_si512(index), row, 4);
#elif defined(__AVX2__)
    return _mm256_i32gather_ps(row, _mm256_loadu_si256((const __m256i *)index), 4);
#else
    return _mm_setr_ps(row[index[0]], row[index[1]], row[index[2]], row[index[3]]);
#endif
}

#if VL > 4
/* The same out of v = row[base .. base + VL), which holds them all: a shuffle, where a gather loads one by one. */
static inline vf pick(vf v, const int32_t *index, int64_t base)
{
#if defined(__AVX512F__)
    return _mm512_permutexvar_ps(_mm512_sub_epi32(_mm512_loadu_si512(index), _mm512_set1_epi32((int)base)), v);
#else
    return _mm256_permutevar8x32_ps(v, _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)index), _mm256_set1_epi32((int)base)));
#endif
}
#endif

static void k_hlerp(const float *row, int64_t width, const ib_cpu_lerp *t, float *out)
{
    int64_t x = 0;
#if VL > 4
    int64_t last = t->i1[width - 1] + 1 - VL; /* from here VL values are in the row; the tables rise */
    for (; x + VL <= width; x += VL) {
        int64_t base = ib_cpu_min(t->i0[x], last);
        if (base < 0 || t->i1[x + VL - 1] >= base + VL) break;
        vf w1 = VLD(t->w1 + x), v = VLD(row + base);
        VST(out + x, (VSET1(1.0f) - w1) * pick(v, t->i0 + x, base) + w1 * pick(v, t->i1 + x, base));
    }
#endif
    for (; x + VL <= width; x += VL) {
        vf w1 = VLD(t->w1 + x);
        VST(out + x, (VSET1(1.0f) - w1) * gather(row, t->i0 + x) + w1 * gather(row, t->i1 + x));
    }
    for (; x < width; x++) out[x] = (1.0f - t->w1[x]) * row[t->i0[x]] + t->w1[x] * row[t->i1[x]];
}

static void k_vlerp(const float *h0, const float *h1, float w1, int64_t width, int affine, float scale, float shift,
                    float *out)
{
    for (int64_t x = 0; x < width; x += VL) {
        int64_t n = ib_cpu_min(VL, width - x);
        vf v = VSET1(1.0f - w1) * any_ld(h0, x, 1, n) + VSET1(w1) * any_ld(h1, x, 1, n);
        if (affine) v = vrelu(v * VSET1(scale) + VSET1(shift));
        any_st(out, x, 1, v, n);
    }
}

static void k_blend(float *v, const float *b, int64_t width, float w0, float w1)
{
    for (int64_t x = 0; x < width; x += VL) {
        int64_t n = ib_cpu_min(VL, width - x);
        any_st(v, x, 1, any_ld(v, x, 1, n) * VSET1(w0) + any_ld(b, x, 1, n) * VSET1(w1), n);
    }
}

static int k_range(const float *v, int64_t width, float *lo, float *hi)
{
    vf low = VSET1(*lo), high = VSET1(*hi);
    vi bad = (vi)VSET1(0.0f);
    for (int64_t x = 0; x < width; x += VL) {
        float last[VL]; /* the end of the row, filled up with one of its values */
        for (int64_t i = 0; i < VL && x + VL > width; i++) last[i] = v[x + i < width ? x + i : x];
        vf w = VLD(x + VL > width ? last : v + x);
        bad |= (vi)(w != w);
        low = VMINC(low, w); /* a NaN in w changes neither */
        high = VMAXC(high, w);
    }
    float t[VL];
    int32_t nan[VL], any = 0;
    memcpy(nan, &bad, sizeof nan);
    VST(t, low);
    for (int i = 0; i < VL; i++) {
        *lo = t[i] < *lo ? t[i] : *lo;
        any |= nan[i];
    }
    VST(t, high);
    for (int i = 0; i < VL; i++) *hi = t[i] > *hi ? t[i] : *hi;
    return any != 0;
}

static void k_row_sums(const float *p, const float *r, int64_t width, double *sums)
{
    double lane[4][16] = {{0}};
    for (int64_t x = 0; x < width; x += 16) {
        float pv[16] = {0}, rv[16] = {0};
        int64_t n = ib_cpu_min(16, width - x);
        memcpy(pv, p + x, (size_t)n * 4);
        memcpy(rv, r + x, (size_t)n * 4);
        for (int j = 0; j < 16; j++) { /* lanes beyond the row add +0, which changes no bit */
            double a = pv[j], b = rv[j];
            lane[0][j] += a;
            lane[1][j] += a * a;
            lane[2][j] += b;
            lane[3][j] += a * b;
        }
    }
    for (int s = 0; s < 4; s++) {
        for (int h = 8; h; h /= 2)
            for (int i = 0; i < h; i++) lane[s][i] += lane[s][i + h];
        sums[s] = lane[s][0];
    }
}

static void k_cubic_h(const uint8_t *row, int64_t width, const int32_t *index, const float *coef, const float *unit,
                      float *out)
{
    for (int64_t x = 0; x < width; x++, index += 4, coef += 4, out += 3) {
        const uint8_t *a = row + 3 * (int64_t)index[0], *b = row + 3 * (int64_t)index[1];
        const uint8_t *c = row + 3 * (int64_t)index[2], *d = row + 3 * (int64_t)index[3];
        for (int i = 0; i < 3; i++)
            out[i] = unit[a[i]] * coef[0] + unit[b[i]] * coef[1] + unit[c[i]] * coef[2] + unit[d[i]] * coef[3];
    }
}

static void k_cubic_v(const float *const row[4], const float coef[4], int64_t n, const float *mean, const float *std,
                      float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        int64_t m = ib_cpu_min(VL, n - i);
        vf v = any_ld(row[0], i, 1, m) * VSET1(coef[0]) + any_ld(row[1], i, 1, m) * VSET1(coef[1]) +
               any_ld(row[2], i, 1, m) * VSET1(coef[2]) + any_ld(row[3], i, 1, m) * VSET1(coef[3]);
        any_st(out, i, 1, (v - any_ld(mean, i, 1, m)) / any_ld(std, i, 1, m), m);
    }
}
