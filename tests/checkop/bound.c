/* How large rounding errors may be. README.md derives every bound; nothing here is fitted to a backend. */
#include "checkop.h"

#include <math.h>
#include <stdlib.h>

#define U 0x1p-24 /* unit roundoff of f32, in which everything accumulates */

double ck_peak(double k)
{
    double typical = CK_LAMBDA * sqrt(k);
    return U * (typical < k ? typical : k);
}

double ck_rms(double k) { return U * sqrt(k); }

void ck_bound_sum(ck_case *c, double k, double slope)
{
    float *s = ck_absolute(c);
    int64_t n = ck_elements(ck_result(c));
    /* 4 U: evaluating the activation itself. */
    double extra = slope > 1 ? 4 * U : 0;
    for (int64_t i = 0; i < n; i++) {
        c->peak[i] = (slope * ck_peak(k) + extra) * (double)s[i];
        c->rms[i] = (slope * ck_rms(k) + extra) * (double)s[i];
    }
    free(s);
}

ck_moments ck_moments_of(const float *x, int64_t count, int64_t run, int64_t pitch, double eps)
{
    double mean = 0, absolute = 0, var = 0;
    for (int64_t i = 0; i < count; i++) {
        double v = (double)x[i / run * pitch + i % run];
        mean += v;
        absolute += fabs(v);
    }
    mean /= (double)count;
    absolute /= (double)count;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)x[i / run * pitch + i % run] - mean;
        var += d * d;
    }
    var /= (double)count;
    ck_moments m = {.mean = mean, .inverse = 1 / sqrt(var + eps)};
    for (int j = 0; j < 2; j++) {
        double growth = j == 0 ? ck_peak((double)count) : ck_rms((double)count);
        m.mean_error[j] = growth * absolute + U * fabs(mean);
        double var_error = var * (growth + 2 * U) + m.mean_error[j] * m.mean_error[j];
        m.inverse_error[j] = var_error / (2 * (var + eps)) + 3 * U;
    }
    return m;
}

void ck_bound_normalised(ck_case *c, int64_t i, const ck_moments *m, double x, double weight, double rest)
{
    double d = fabs(x - m->mean), factor = fabs(weight) * m->inverse;
    for (int j = 0; j < 2; j++) {
        double difference = m->mean_error[j] + U * d;
        double e = factor * (difference + d * m->inverse_error[j]) + 3 * U * (factor * d + rest);
        (j == 0 ? c->peak : c->rms)[i] = e;
    }
}

void ck_bound_attention(const float *q, const float *k, const float *v, int64_t n, int64_t pitch, int size,
                        double scale, double act_unit, double *peak, double *rms)
{
    double *p = ck_alloc((size_t)n * 3 * sizeof *p), *e_peak = p + n, *e_rms = p + 2 * n;
    double max = -INFINITY, total = 0;
    for (int64_t j = 0; j < n; j++) {
        double s = 0, a = 0;
        for (int d = 0; d < size; d++) {
            double product = (double)q[d] * (double)k[j * pitch + d];
            s += product;
            a += fabs(product);
        }
        p[j] = s * scale;
        e_peak[j] = ck_peak(size) * a * scale;
        e_rms[j] = ck_rms(size) * a * scale;
        if (p[j] > max) max = p[j];
    }
    for (int64_t j = 0; j < n; j++) {
        double argument = 2 * U * (fabs(p[j]) + fabs(p[j] - max)) + 4 * U; /* scaling, log2(e), exp itself */
        e_peak[j] += argument;
        e_rms[j] += argument;
        p[j] = exp(p[j] - max);
        total += p[j];
    }
    for (int d = 0; d < size; d++) {
        double y = 0, absolute = 0, square = 0, through_peak = 0, through_rms = 0;
        for (int64_t j = 0; j < n; j++) y += p[j] / total * (double)v[j * pitch + d];
        for (int64_t j = 0; j < n; j++) {
            double weight = p[j] / total, value = (double)v[j * pitch + d];
            absolute += weight * fabs(value);
            square += weight * weight * value * value;
            through_peak += weight * e_peak[j] * fabs(value - y);
            through_rms += weight * e_rms[j] * fabs(value - y);
        }
        double rounded = fmin(absolute, CK_LAMBDA * sqrt(square)); /* probabilities rounded to act */
        peak[d] = through_peak + 2 * ck_peak((double)n + 2) * absolute + act_unit * rounded;
        rms[d] = through_rms + 2 * ck_rms((double)n + 2) * absolute + act_unit * sqrt(square);
    }
    free(p);
}
