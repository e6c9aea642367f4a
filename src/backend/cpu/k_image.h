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

/* v[index[0..VL)]: a shuffle, where a gather loads one by one. */
#if defined(__AVX512F__)
static inline vf pick(vf v, vi index) { return _mm512_permutexvar_ps(index, v); }
#elif defined(__AVX2__)
static inline vf pick(vf v, vi index) { return _mm256_permutevar8x32_ps(v, index); }
#endif

/* Whole vectors of some rows: what the tables say is looked up once for all of them. Returns how many columns are done. */
static inline __attribute__((always_inline)) int64_t hlerp_rows(const float *const *row, int rows, int64_t width, const ib_cpu_pick *p, float *const *out)
{
    const ib_cpu_lerp *t = &p->t;
    int64_t x = 0;
    for (; x + VL <= width; x += VL) {
        vf w1 = VLD(t->w1 + x), w0 = VSET1(1.0f) - w1;
#if VL > 4
        int32_t base = p->base[x / VL];
        if (__builtin_expect(base >= 0, 1)) {
            vi first = vldu8(p->first + x), second = vldu8(p->second + x);
            for (int r = 0; r < rows; r++) {
                vf v = VLD(row[r] + base);
                __asm__("" : "+v"(v)); /* loaded once, not by each shuffle */
                VST(out[r] + x, w0 * pick(v, first) + w1 * pick(v, second));
            }
            continue;
        }
#endif
        for (int r = 0; r < rows; r++) VST(out[r] + x, w0 * gather(row[r], t->i0 + x) + w1 * gather(row[r], t->i1 + x));
    }
    return x;
}

static void k_hlerp(const float *const *row, int rows, int64_t width, const ib_cpu_pick *p, float *const *out)
{
    const ib_cpu_lerp *t = &p->t;
    const float *from[IB_CPU_PICK_ROWS];
    float *to[IB_CPU_PICK_ROWS];
    for (int r = 0; r < rows; r++) { /* copies that nothing is stored through */
        from[r] = row[r];
        to[r] = out[r];
    }
    int64_t done = rows == IB_CPU_PICK_ROWS ? hlerp_rows(from, IB_CPU_PICK_ROWS, width, p, to) : hlerp_rows(from, rows, width, p, to);
    for (int r = 0; r < rows; r++)
        for (int64_t x = done; x < width; x++) to[r][x] = (1.0f - t->w1[x]) * from[r][t->i0[x]] + t->w1[x] * from[r][t->i1[x]];
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

/* What does not change along a row. */
typedef struct row_constants {
    const float *top[2], *bottom[2];
    vf v0, v1, scale[2], shift[2], weight[2], factor;
} row_constants;

/* VL values from column x on. */
static inline __attribute__((always_inline)) vf row_values(const row_constants *c, int maps, int64_t x)
{
    vf v = vrelu((c->v0 * VLD(c->top[0] + x) + c->v1 * VLD(c->bottom[0] + x)) * c->scale[0] + c->shift[0]);
    if (maps == 1) return v;
    vf b = vrelu((c->v0 * VLD(c->top[1] + x) + c->v1 * VLD(c->bottom[1] + x)) * c->scale[1] + c->shift[1]);
    return v * c->weight[0] + b * c->weight[1];
}

/* At least VL wide. The last vector overlaps the one before it. */
static inline __attribute__((always_inline)) int render_row_as(const ib_cpu_row *row, int maps, int cut)
{
    const struct {
        const float *ahead[2];
        float *out;
        uint16_t *q;
        int64_t width;
    } r = {{row->ahead[0], row->ahead[1]}, row->out, row->q, row->width};
    const row_constants c = {.top = {row->top[0], row->top[1]}, .bottom = {row->bottom[0], row->bottom[1]}, .v0 = VSET1(1.0f - row->w1),
                             .v1 = VSET1(row->w1), .scale = {VSET1(row->scale[0]), VSET1(row->scale[1])},
                             .shift = {VSET1(row->shift[0]), VSET1(row->shift[1])}, .weight = {VSET1(row->weight[0]), VSET1(row->weight[1])},
                             .factor = VSET1(row->factor)};
    vi low, high;
    memcpy(&low, row->range, sizeof low);
    memcpy(&high, row->range + IB_CPU_RANGE, sizeof high);
    int64_t x = 0;
    for (; x + 2 * VL <= r.width; x += 2 * VL) {
        for (int i = 0; i < maps; i++)
            for (int k = 0; k < 2 * VL && r.ahead[i]; k += 16) _mm_prefetch((const char *)(r.ahead[i] + x + k), _MM_HINT_T0);
        vf u = row_values(&c, maps, x), v = row_values(&c, maps, x + VL);
        if (cut) vst16_two(r.q + x, u * c.factor, v * c.factor);
        else {
            VST(r.out + x, u);
            VST(r.out + x + VL, v);
        }
        low = VMINU(low, VMINU((vi)u, (vi)v));
        high = VMAXU(high, VMAXU((vi)u, (vi)v));
    }
    for (; x < r.width; x += VL) {
        int64_t at = ib_cpu_min(x, r.width - VL);
        vf v = row_values(&c, maps, at);
        if (cut) vst16(r.q + at, v * c.factor);
        else VST(r.out + at, v);
        low = VMINU(low, (vi)v);
        high = VMAXU(high, (vi)v);
    }
    if (vabove(high, row->most)) return 0;
    memcpy(row->range, &low, sizeof low);
    memcpy(row->range + IB_CPU_RANGE, &high, sizeof high);
    return 1;
}

static int render_wide_row(const ib_cpu_row *r)
{
    if (r->out) return r->maps == 1 ? render_row_as(r, 1, 0) : render_row_as(r, 2, 0);
    return r->maps == 1 ? render_row_as(r, 1, 1) : render_row_as(r, 2, 1);
}

static int k_render_row(const ib_cpu_row *row)
{
    if (row->width >= VL) return render_wide_row(row);
    ib_cpu_row r = *row; /* filled up with the last values */
    float map[4][VL], out[VL];
    uint16_t q[VL];
    for (int i = 0; i < 2 * r.maps; i++) {
        const float *from = i % 2 ? r.bottom[i / 2] : r.top[i / 2];
        for (int x = 0; x < VL; x++) map[i][x] = from[ib_cpu_min(x, r.width - 1)];
    }
    for (int i = 0; i < r.maps; i++) {
        r.top[i] = map[2 * i];
        r.bottom[i] = map[2 * i + 1];
    }
    r.out = row->out ? out : NULL;
    r.q = q;
    r.width = VL;
    int fits = render_wide_row(&r);
    if (row->out) memcpy(row->out, out, (size_t)row->width * sizeof *out);
    else memcpy(row->q, q, (size_t)row->width * sizeof *q);
    return fits;
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
