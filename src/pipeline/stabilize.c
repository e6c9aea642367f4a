/* Temporal alignment frame to frame; see stabilize.h. */
#include "pipeline/stabilize.h"

#include <math.h>
#include <stdlib.h>

#define ROUNDS 5
#define SAMPLES 65536 /* of a map that are looked at */

int ib_robust_fit(const float *const *x, const float *const *y, int maps, int64_t n, int64_t step, int scale_only, double *scale,
                  double *shift)
{
    double s = 1, t = 0, width = HUGE_VAL;
    for (int round = 0; round < ROUNDS; round++) {
        double sw = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, residuals = 0, seen = 0;
        for (int m = 0; m < maps; m++)
            for (int64_t i = 0; i < n; i += step) {
                double a = (double)x[m][i], b = (double)y[m][i], r = (b - (s * a + t)) / width, w = 1 / (1 + r * r);
                sw += w;
                sx += w * a;
                sy += w * b;
                sxx += w * a * a;
                sxy += w * a * b;
            }
        double spread = sw * sxx - sx * sx;
        if (scale_only ? !(sxx > 0) : !(spread > 1e-9 * sw * sxx)) return 0;
        s = scale_only ? sxy / sxx : (sw * sxy - sx * sy) / spread;
        t = scale_only ? 0 : (sy - s * sx) / sw;
        for (int m = 0; m < maps; m++)
            for (int64_t i = 0; i < n; i += step, seen++) residuals += fabs((double)y[m][i] - (s * (double)x[m][i] + t));
        width = residuals / seen;
        if (width <= 0) break; /* exact */
    }
    *scale = s;
    *shift = t;
    return isfinite(s) && isfinite(t);
}

isobath_status ib_stabilizer_init(ib_stabilizer *z, int64_t count, int scale_only, double time_constant_s, ib_diag *diag)
{
    *z = (ib_stabilizer){.count = count, .scale_only = scale_only, .time_constant_s = time_constant_s};
    z->previous = malloc((size_t)count * sizeof *z->previous);
    return z->previous ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the temporal alignment");
}

void ib_stabilizer_free(ib_stabilizer *z)
{
    free(z->previous);
    z->previous = NULL;
}

void ib_stabilizer_restart(ib_stabilizer *z) { z->has = 0; }

void ib_stabilizer_set(ib_stabilizer *z, const float *depth, float scale, float shift, int64_t pts_us)
{
    for (int64_t i = 0; i < z->count; i++) {
        float v = depth[i] * scale + shift;
        z->previous[i] = v < 0 ? 0 : v;
    }
    z->previous_us = pts_us;
    z->has = 1;
}

ib_alignment ib_stabilize(ib_stabilizer *z, const float *depth, int64_t pts_us)
{
    ib_alignment al = {.scale = 1, .fit_scale = 1};
    int64_t step = z->count / SAMPLES + 1;
    if (z->has) {
        double s, t, dt = (double)(pts_us - z->previous_us) * 1e-6, a = exp(-(dt > 0 ? dt : 0) / z->time_constant_s);
        if (ib_robust_fit(&depth, &(const float *){z->previous}, 1, z->count, step, z->scale_only, &s, &t) && s > 0.25 && s < 4) {
            al.fit_scale = s;
            al.fit_shift = t;
            al.scale = (float)pow(s, a);
            al.shift = (float)(a * t);
        } else {
            al.guarded = 1;
        }
    }
    ib_stabilizer_set(z, depth, al.scale, al.shift, pts_us);
    return al;
}
