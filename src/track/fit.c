/* Scale and shift of relative depth from known distances; see lift.h. */
#include "track/lift.h"

#include <math.h>
#include <stdlib.h>

enum { PAIRS = 4000, MOST = 4000 }; /* pairs tried, points whose median residual is taken */

/* Median of the relative errors in disparity, over at most MOST points evenly spread. */
static double cost(const ib_known *k, size_t n, double scale, double shift, double *scratch)
{
    size_t step = (n + MOST - 1) / MOST, m = 0;
    for (size_t i = 0; i < n; i += step) scratch[m++] = fabs((scale * k[i].disparity + shift) * k[i].metres - 1);
    return ib_median(scratch, m);
}

/* Least squares of relative errors over the inliers; with one disparity only, the scale alone. */
static void refine(const ib_known *k, size_t n, int with_shift, double *scale, double *shift)
{
    double dd = 0, d1 = 0, one = 0, dy = 0, y = 0;
    for (size_t i = 0; i < n; i++) {
        if (!k[i].inlier) continue;
        double w = k[i].metres * k[i].metres, d = k[i].disparity, g = 1 / k[i].metres;
        dd += w * d * d, d1 += w * d, one += w, dy += w * d * g, y += w * g;
    }
    double det = dd * one - d1 * d1;
    if (with_shift && det > 1e-9 * dd * one) {
        *scale = (dy * one - y * d1) / det;
        *shift = (dd * y - d1 * dy) / det;
    } else if (!with_shift && dd > 0) {
        *scale = dy / dd;
        *shift = 0;
    }
}

int ib_scale_fit(ib_known *k, size_t n, double *scale, double *shift)
{
    *scale = *shift = 0;
    if (n == 0) return 0;
    double *scratch = malloc(sizeof *scratch * (n < MOST ? n : MOST));
    if (!scratch) return 0;
    double best = INFINITY, low = k[0].disparity, high = low;
    for (size_t i = 1; i < n; i++) low = fmin(low, k[i].disparity), high = fmax(high, k[i].disparity);
    int with_shift = high - low > 1e-3 * high;
    /* candidates: single points, or pairs by a fixed sequence (all of them when there are few) */
    size_t pairs = n * (n - 1) / 2, tries = !with_shift ? (n < PAIRS ? n : PAIRS) : n < 80 ? pairs : PAIRS;
    uint64_t state = 1;
    for (size_t t = 0, i = 0, j = 0; t < tries; t++) {
        if (!with_shift) {
            i = t;
        } else if (n < 80) {
            if (++j >= n) i++, j = i + 1;
        } else {
            state = state * 6364136223846793005u + 1442695040888963407u;
            i = (size_t)(state >> 33) % n;
            state = state * 6364136223846793005u + 1442695040888963407u;
            j = (size_t)(state >> 33) % n;
        }
        double s, o = 0;
        if (with_shift) {
            double d = k[i].disparity - k[j].disparity;
            if (fabs(d) < 1e-3 * high) continue;
            s = (1 / k[i].metres - 1 / k[j].metres) / d;
            o = 1 / k[i].metres - s * k[i].disparity;
        } else {
            s = 1 / (k[i].metres * k[i].disparity);
        }
        if (!(s > 0)) continue;
        double c = cost(k, n, s, o, scratch);
        if (c < best) best = c, *scale = s, *shift = o;
    }
    free(scratch);
    if (!(*scale > 0)) return 0;
    double limit = fmax(2.5 * 1.4826 * best, 0.01);
    for (size_t i = 0; i < n; i++) k[i].inlier = fabs((*scale * k[i].disparity + *shift) * k[i].metres - 1) <= limit;
    double s = *scale, o = *shift;
    refine(k, n, with_shift, &s, &o);
    if (s > 0) *scale = s, *shift = o;
    for (size_t i = 0; i < n; i++) k[i].residual = 1 / (*scale * k[i].disparity + *shift) - k[i].metres;
    return 1;
}
