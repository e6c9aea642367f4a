/* Norms and plain conversions: one token or a run of channels at a time. */

static void k_layernorm(const float *x, int64_t c, const float *weight, const float *bias, const float *pos, float eps,
                        void *y, int y_f32)
{
    vf s0 = VSET1(0.0f), s1 = s0;
    int64_t i = 0, whole = c / VL * VL;
    for (; i + 2 * VL <= c; i += 2 * VL) {
        s0 = s0 + VLD(x + i);
        s1 = s1 + VLD(x + i + VL);
    }
    for (; i < c; i += VL) s0 = s0 + any_ld(x, i, 1, ib_cpu_min(VL, c - i));
    float mean = vsum(s0 + s1) / (float)c;
    s0 = s1 = VSET1(0.0f);
    for (i = 0; i + 2 * VL <= c; i += 2 * VL) {
        vf d0 = VLD(x + i) - VSET1(mean), d1 = VLD(x + i + VL) - VSET1(mean);
        s0 = VFMA(d0, d0, s0);
        s1 = VFMA(d1, d1, s1);
    }
    if (i < whole) {
        vf d = VLD(x + i) - VSET1(mean);
        s0 = VFMA(d, d, s0);
    }
    if (whole < c) { /* lanes beyond the row count nothing */
        float t[VL] = {0};
        for (int64_t j = whole; j < c; j++) t[j - whole] = x[j] - mean;
        s1 = VFMA(VLD(t), VLD(t), s1);
    }
    float rstd = 1.0f / __builtin_sqrtf(vsum(s0 + s1) / (float)c + eps);
    for (i = 0; i < c; i += VL) {
        int64_t n = ib_cpu_min(VL, c - i);
        vf v = (any_ld(x, i, 1, n) - VSET1(mean)) * VSET1(rstd);
        v = VFMA(v, any_ld(weight, i, 1, n), any_ld(bias, i, 1, n));
        if (pos) v = v + any_ld(pos, i, 1, n);
        any_st(y, i, y_f32, v, n);
    }
}

static void k_channel_sums(const void *x, int64_t pixels, int64_t c, const float *shift, float *sum, float *square)
{
    for (int64_t i = 0; i < c; i += VL) {
        int64_t n = ib_cpu_min(VL, c - i);
        vf s = VSET1(0.0f), q = s, m = any_ld(shift, i, 1, n);
        for (int64_t p = 0; p < pixels; p++) {
            vf d = any_ld(x, p * c + i, 0, n) - m;
            s = s + d;
            q = VFMA(d, d, q);
        }
        any_st(sum, i, 1, s, n);
        any_st(square, i, 1, q, n);
    }
}

static void k_channel_affine(const void *x, int64_t pixels, int64_t c, const float *mean, const float *scale,
                             const float *bias, void *y, int64_t ldy)
{
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t i = 0; i < c; i += VL) {
            int64_t n = ib_cpu_min(VL, c - i);
            vf v = any_ld(x, p * c + i, 0, n) - any_ld(mean, i, 1, n);
            v = VFMA(v, any_ld(scale, i, 1, n), any_ld(bias, i, 1, n));
            any_st(y, p * ldy + i, 0, v, n);
        }
}

static void k_convert(const void *x, int x_f32, const void *b, int b_f32, int64_t n, void *out, int out_f32)
{
    for (int64_t i = 0; i < n; i += VL) {
        int64_t m = ib_cpu_min(VL, n - i);
        vf v = any_ld(x, i, x_f32, m);
        if (b) v = v + any_ld(b, i, b_f32, m);
        any_st(out, i, out_f32, v, m);
    }
}

static int64_t k_count_nonfinite(const void *x, ib_dtype dtype, int64_t n)
{
    int64_t bad = 0;
    const uint32_t *w = x;
    const uint16_t *h = x;
    uint16_t exponent = dtype == IB_F16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < n;) {
        int64_t end = ib_cpu_min(n, i + 30000);
        if (dtype == IB_F32) {
            uint32_t count = 0;
            for (; i < end; i++) count += (w[i] & 0x7f800000u) == 0x7f800000u;
            bad += count;
        } else {
            uint16_t count = 0;
            for (; i < end; i++) count = (uint16_t)(count + ((h[i] & exponent) == exponent));
            bad += count;
        }
    }
    return bad;
}
