/* Constant-velocity smoothing of one coordinate; see lift.h. */
#include "track/lift.h"

#include <stdlib.h>

/* Mean and covariance (position, velocity) after the prediction and after the measurement. */
typedef struct state {
    double x, v, pxx, pxv, pvv;
} state;

static state predict(const state *s, double dt, double q)
{
    state p = {.x = s->x + dt * s->v, .v = s->v};
    p.pxx = s->pxx + 2 * dt * s->pxv + dt * dt * s->pvv + q * dt * dt * dt / 3;
    p.pxv = s->pxv + dt * s->pvv + q * dt * dt / 2;
    p.pvv = s->pvv + q * dt;
    return p;
}

int ib_smooth(ib_sample *m, size_t n, double q, double velocity_scale)
{
    if (n == 0) return 1;
    state *after = malloc(2 * n * sizeof *after), *before = after + n;
    if (!after) return 0;
    after[0] = (state){m[0].value, 0, m[0].variance, 0, velocity_scale * velocity_scale};
    for (size_t i = 1; i < n; i++) {
        state p = before[i] = predict(&after[i - 1], m[i].t_s - m[i - 1].t_s, q);
        if (m[i].variance >= 0) {
            double e = m[i].value - p.x, r = m[i].variance, s = p.pxx + r, far = e * e / (16 * s);
            if (far > 1) s += r * (far - 1); /* more than four sigma off: an outlier weighs less */
            double kx = p.pxx / s, kv = p.pxv / s;
            state a = {p.x + kx * e, p.v + kv * e, (1 - kx) * p.pxx, (1 - kx) * p.pxv, p.pvv - kv * p.pxv};
            p = a;
        }
        after[i] = p;
    }
    m[n - 1].position = after[n - 1].x;
    m[n - 1].velocity = after[n - 1].v;
    for (size_t i = n - 1; i-- > 0;) {
        const state *a = &after[i], *p = &before[i + 1];
        double dt = m[i + 1].t_s - m[i].t_s;
        /* gain = after * F' * before^-1; only the mean is smoothed */
        double axx = a->pxx + dt * a->pxv, axv = a->pxv, avx = a->pxv + dt * a->pvv, avv = a->pvv;
        double det = p->pxx * p->pvv - p->pxv * p->pxv, dx = m[i + 1].position - p->x, dv = m[i + 1].velocity - p->v;
        m[i].position = a->x;
        m[i].velocity = a->v;
        if (!(det > 0)) continue;
        double ix = (p->pvv * dx - p->pxv * dv) / det, iv = (p->pxx * dv - p->pxv * dx) / det;
        m[i].position += axx * ix + axv * iv;
        m[i].velocity += avx * ix + avv * iv;
    }
    free(after);
    return 1;
}
