/* 16-bit quantisation; see quant.h. */
#include "sink/quant.h"

#include <math.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

isobath_status ib_quant_init(const ib_sink_config *config, ib_diag *diag, ib_quant *quant)
{
    double a = config->range_min, b = config->range_max;
    *quant = (ib_quant){.kind = config->kind};
    if (a == 0 && b == 0) return ISOBATH_OK;
    if (!isfinite(a) || !isfinite(b) || b <= a || (config->kind == IB_DEPTH_METRIC && a < 0))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--range %g:%g: expected two finite numbers, the second larger%s", a, b,
                       config->kind == IB_DEPTH_METRIC ? ", none negative" : "");
    quant->fixed = 1;
    quant->range_min = a;
    quant->step = (b - a) / (config->kind == IB_DEPTH_METRIC ? 65535.0 : 65536.0);
    return ISOBATH_OK;
}

/* Steps of exponent 0 per unit of depth: one, or a thousand millimetres. */
static double unit_steps(const ib_quant *quant) { return quant->kind == IB_DEPTH_METRIC ? 1000.0 : 1.0; }

int ib_quant_exponent(const ib_quant *quant, float max)
{
    int lowest = quant->kind == IB_DEPTH_METRIC ? 0 : IB_QUANT_MIN_EXPONENT;
    if (quant->fixed) return 0;
    double x = (double)max * unit_steps(quant); /* exact: 24 + 10 bits */
    if (!(x >= 0) || !isfinite(x)) return lowest;
    int e;
    frexp(x, &e); /* x < 2^e, x >= 2^(e-1) */
    return x == 0 || e - 16 < lowest ? lowest : e - 16;
}

double ib_quant_scale(const ib_quant *quant, int exponent)
{
    return quant->fixed ? quant->step : ldexp(1.0, exponent) / unit_steps(quant);
}

double ib_quant_offset(const ib_quant *quant)
{
    if (!quant->fixed) return 0.5;
    return quant->range_min / quant->step + (quant->kind == IB_DEPTH_METRIC ? -0.5 : 0.5);
}

int ib_quant_has_invalid(const ib_quant *quant) { return quant->kind == IB_DEPTH_METRIC; }

static int64_t apply_fixed(const ib_quant *quant, const float *depth, int64_t n, uint16_t *q)
{
    int metric = quant->kind == IB_DEPTH_METRIC;
    double levels = metric ? 65535.0 : 65536.0;
    int64_t clamped = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = depth[i];
        if (!(d >= 0) || !isfinite(d)) return -1;
        if (metric && d == 0) {
            q[i] = 0;
            continue;
        }
        double x = floor((d - quant->range_min) / quant->step);
        if (x == levels && d <= quant->range_min + quant->step * levels) x = levels - 1; /* B itself is inside */
        if (x < 0 || x >= levels) {
            clamped++;
            x = x < 0 ? 0 : levels - 1;
        }
        q[i] = (uint16_t)((int)x + metric);
    }
    return clamped;
}

/* (uint16_t)(depth * factor); *bad: a value outside 0 to 65535. Returns how many values were done, in eights. */
static int64_t apply_eights(const float *depth, int64_t n, float factor, uint16_t *q, int *bad)
{
    int64_t i = 0;
#ifdef __SSE2__
    const __m128 top = _mm_set1_ps(65536.0f), zero = _mm_setzero_ps(), by = _mm_set1_ps(factor);
    const __m128i half = _mm_set1_epi32(32768), flip = _mm_set1_epi16(-32768);
    __m128 all = _mm_cmpeq_ps(zero, zero);
    for (; i + 8 <= n; i += 8) {
        __m128 a = _mm_mul_ps(_mm_loadu_ps(depth + i), by), b = _mm_mul_ps(_mm_loadu_ps(depth + i + 4), by);
        __m128 ok_a = _mm_and_ps(_mm_cmpge_ps(a, zero), _mm_cmplt_ps(a, top)), ok_b = _mm_and_ps(_mm_cmpge_ps(b, zero), _mm_cmplt_ps(b, top));
        all = _mm_and_ps(all, _mm_and_ps(ok_a, ok_b));
        /* packs knows signed values only: 32768 down and up again */
        __m128i x = _mm_sub_epi32(_mm_cvttps_epi32(_mm_and_ps(a, ok_a)), half), y = _mm_sub_epi32(_mm_cvttps_epi32(_mm_and_ps(b, ok_b)), half);
        _mm_storeu_si128((__m128i *)(q + i), _mm_xor_si128(_mm_packs_epi32(x, y), flip));
    }
    *bad = _mm_movemask_ps(all) != 15;
#else
    (void)depth, (void)n, (void)factor, (void)q;
    *bad = 0;
#endif
    return i;
}

int64_t ib_quant_apply(const ib_quant *quant, int exponent, const float *depth, int64_t n, uint16_t *q)
{
    if (quant->fixed) return apply_fixed(quant, depth, n, q);
    int bad = 0;
    if (quant->kind == IB_DEPTH_METRIC) {
        double factor = ldexp(1000.0, -exponent);
        for (int64_t i = 0; i < n; i++) {
            double x = (double)depth[i] * factor;
            int ok = x >= 0 && x < 65536.0;
            bad |= !ok;
            q[i] = (uint16_t)(int)(ok ? x : 0);
        }
    } else {
        /* a power of two: exact in float, and what underflows is below one step anyway */
        float factor = ldexpf(1.0f, -exponent);
        for (int64_t i = apply_eights(depth, n, factor, q, &bad); i < n; i++) {
            float x = depth[i] * factor;
            int ok = x >= 0 && x < 65536.0f;
            bad |= !ok;
            q[i] = (uint16_t)(int)(ok ? x : 0);
        }
    }
    return bad ? -1 : 0;
}
