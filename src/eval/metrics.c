/* Depth metrics; see metrics.h. */
#include "eval/metrics.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

void ib_eval_resize(const float *in, int in_h, int in_w, float *out, int h, int w)
{
    if (in_h == h && in_w == w) {
        memcpy(out, in, (size_t)h * (size_t)w * sizeof *out);
        return;
    }
    double ry = (double)in_h / h, rx = (double)in_w / w;
    for (int y = 0; y < h; y++) {
        double sy = (y + 0.5) * ry - 0.5;
        int y0 = (int)floor(sy);
        double fy = sy - y0;
        int ya = y0 < 0 ? 0 : y0 >= in_h ? in_h - 1 : y0, yb = y0 + 1 < 0 ? 0 : y0 + 1 >= in_h ? in_h - 1 : y0 + 1;
        const float *a = in + (ptrdiff_t)ya * in_w, *b = in + (ptrdiff_t)yb * in_w;
        for (int x = 0; x < w; x++) {
            double sx = (x + 0.5) * rx - 0.5;
            int x0 = (int)floor(sx);
            double fx = sx - x0;
            int xa = x0 < 0 ? 0 : x0 >= in_w ? in_w - 1 : x0, xb = x0 + 1 < 0 ? 0 : x0 + 1 >= in_w ? in_w - 1 : x0 + 1;
            double top = a[xa] * (1 - fx) + a[xb] * fx, bottom = b[xa] * (1 - fx) + b[xb] * fx;
            out[(ptrdiff_t)y * w + x] = (float)(top * (1 - fy) + bottom * fy);
        }
    }
}

static int is_valid(float gt, double max_depth) { return gt > IB_EVAL_MIN_DEPTH && gt < max_depth; }

int64_t ib_eval_fit_add(ib_eval_fit *fit, const float *pred, const float *gt, int64_t n, double max_depth)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!is_valid(gt[i], max_depth)) continue;
        double p = pred[i] > IB_EVAL_MIN_DEPTH ? pred[i] : IB_EVAL_MIN_DEPTH, g = 1.0 / ((double)gt[i] + 1e-8);
        fit->n += 1;
        fit->p += p;
        fit->g += g;
        fit->pp += p * p;
        fit->pg += p * g;
        count++;
    }
    return count;
}

int ib_eval_fit_solve(const ib_eval_fit *fit, double *scale, double *shift)
{
    double det = fit->n * fit->pp - fit->p * fit->p;
    if (!(det > 1e-12 * fit->n * fit->pp)) return 0;
    *scale = (fit->n * fit->pg - fit->p * fit->g) / det;
    *shift = (fit->pp * fit->g - fit->p * fit->pg) / det;
    return isfinite(*scale) && isfinite(*shift);
}

void ib_eval_depth(const float *pred, int64_t n, int metric, double scale, double shift, double max_depth,
                   double *depth)
{
    for (int64_t i = 0; i < n; i++) {
        double d = pred[i];
        if (!metric) {
            double p = d > IB_EVAL_MIN_DEPTH ? d : IB_EVAL_MIN_DEPTH, a = scale * p + shift;
            d = 1.0 / (a > IB_EVAL_MIN_DEPTH ? a : IB_EVAL_MIN_DEPTH);
        }
        depth[i] = d > max_depth ? max_depth : d > IB_EVAL_MIN_DEPTH ? d : IB_EVAL_MIN_DEPTH;
    }
}

ib_eval_frame ib_eval_compare(const double *depth, const float *gt, int64_t n, double max_depth)
{
    ib_eval_frame f = {0};
    double relative = 0, squares = 0;
    int64_t close = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!is_valid(gt[i], max_depth)) continue;
        double g = gt[i], d = depth[i], ratio = d > g ? d / g : g / d;
        relative += fabs(d - g) / g;
        squares += (d - g) * (d - g);
        close += ratio < 1.25;
        f.n++;
    }
    if (f.n == 0) return f;
    f.abs_rel = relative / (double)f.n;
    f.rmse = sqrt(squares / (double)f.n);
    f.delta1 = (double)close / (double)f.n;
    return f;
}

/* b = inverse(m) for a rigid motion with any uniform scale folded in: a general 3x3 inverse and a translation. */
static int invert_motion(const double m[16], double b[16])
{
    double c00 = m[5] * m[10] - m[6] * m[9], c01 = m[6] * m[8] - m[4] * m[10], c02 = m[4] * m[9] - m[5] * m[8];
    double det = m[0] * c00 + m[1] * c01 + m[2] * c02;
    if (!isfinite(1.0 / det)) return 0;
    double r[9] = {c00, m[2] * m[9] - m[1] * m[10], m[1] * m[6] - m[2] * m[5],
                   c01, m[0] * m[10] - m[2] * m[8], m[2] * m[4] - m[0] * m[6],
                   c02, m[1] * m[8] - m[0] * m[9],  m[0] * m[5] - m[1] * m[4]};
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 3; x++) b[4 * y + x] = r[3 * y + x] / det;
        b[4 * y + 3] = -(b[4 * y] * m[3] + b[4 * y + 1] * m[7] + b[4 * y + 2] * m[11]);
        b[12 + y] = 0;
    }
    b[15] = 1;
    return 1;
}

int ib_eval_reprojection(const double *from, const ib_camera *a, const double *to, const ib_camera *b, int height,
                         int width, double *splat, double *error)
{
    double inverse[16], t[12];
    if (!invert_motion(b->world_from_camera, inverse)) return 0;
    const double *p = a->world_from_camera;
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 4; x++) {
            t[4 * y + x] = x == 3 ? inverse[4 * y + 3] : 0;
            for (int k = 0; k < 3; k++) t[4 * y + x] += inverse[4 * y + k] * p[4 * k + x];
        }
    memset(splat, 0, (size_t)height * (size_t)width * sizeof *splat);
    for (int v = 0; v < height; v++)
        for (int u = 0; u < width; u++) {
            double z = from[(ptrdiff_t)v * width + u], x = (u - a->cx) * z / a->fx, y = (v - a->cy) * z / a->fy;
            double x2 = t[0] * x + t[1] * y + t[2] * z + t[3], y2 = t[4] * x + t[5] * y + t[6] * z + t[7];
            double z2 = t[8] * x + t[9] * y + t[10] * z + t[11];
            if (!(z2 > 0)) continue;
            double u2 = rint(b->fx * x2 / z2 + b->cx), v2 = rint(b->fy * y2 / z2 + b->cy);
            if (u2 >= 0 && u2 < width && v2 >= 0 && v2 < height) splat[(ptrdiff_t)v2 * width + (ptrdiff_t)u2] = z2;
        }
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < (int64_t)height * width; i++) {
        if (!(to[i] > 0) || !(splat[i] > 0)) continue;
        sum += fabs(to[i] - splat[i]) / to[i];
        n++;
    }
    *error = n ? sum / (double)n : 0;
    return n > 0;
}
