/* Robust line; see fit.h. */
#include "join/fit.h"

#include "base/select.h"
#include <math.h>

enum { MIN_SAMPLES = 16, STEPS = 20 };
static const double huber_k = 1.345, tukey_c = 4.685; /* 95% efficient for normal errors */

static double spread(const float *x, const float *y, size_t n, const ib_fit *fit, double *scratch)
{
    for (size_t i = 0; i < n; i++) scratch[i] = fabs(fit->scale * x[i] + fit->shift - y[i]);
    return 1.4826 * ib_select_nth(scratch, n, n / 2);
}

static double weight(double error, double sigma, int tukey)
{
    double r = fabs(error) / sigma;
    if (!tukey) return r <= huber_k ? 1 : huber_k / r;
    if (r >= tukey_c) return 0;
    double u = 1 - (r / tukey_c) * (r / tukey_c);
    return u * u;
}

/* How the weights and the line of one step are made. */
typedef enum stage { PLAIN, HUBER, TUKEY, SYMMETRIC } stage;

/* One weighted fit. 0: no line. */
static int step(const float *x, const float *y, size_t n, ib_fit_model model, double sigma, stage how, ib_fit *fit)
{
    double w = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    ib_fit old = *fit;
    for (size_t i = 0; i < n; i++) {
        double v = how == PLAIN ? 1 : weight(old.scale * x[i] + old.shift - y[i], sigma, how >= TUKEY);
        w += v, mx += v * x[i], my += v * y[i];
        xx += v * x[i] * x[i], yy += v * (double)y[i] * y[i], xy += v * (double)x[i] * y[i];
    }
    if (!(w > 0)) return 0;
    mx /= w, my /= w, xx /= w, yy /= w, xy /= w;
    double floor_x = 1e-10 * xx, floor_y = 1e-10 * yy; /* rounding of one value */
    if (model == IB_FIT_BOTH) xx -= mx * mx, yy -= my * my, xy -= mx * my;
    if (!(xx > floor_x) || !(yy > floor_y) || !(xy > 0)) return 0;
    fit->scale = how == SYMMETRIC ? sqrt(yy / xx) : xy / xx;
    fit->shift = model == IB_FIT_BOTH ? my - fit->scale * mx : 0;
    return isfinite(fit->scale) && isfinite(fit->shift);
}

static int iterate(const float *x, const float *y, size_t n, ib_fit_model model, double level, double *scratch,
                   ib_fit *fit)
{
    if (!step(x, y, n, model, 0, PLAIN, fit)) return 0;
    for (stage how = HUBER; how <= SYMMETRIC; how++)
        for (int i = 0; i < STEPS; i++) {
            double sigma = spread(x, y, n, fit, scratch);
            if (!(sigma > 1e-9 * level)) return 1; /* exact */
            ib_fit old = *fit;
            if (!step(x, y, n, model, sigma, how, fit)) return 0;
            if (fabs(fit->scale / old.scale - 1) + fabs(fit->shift - old.shift) / level < 1e-7) break;
        }
    return 1;
}

int ib_line_fit(const float *x, const float *y, size_t n, ib_fit_model model, double *scratch, ib_fit *out)
{
    *out = (ib_fit){.scale = 1};
    if (n < MIN_SAMPLES) return 0;
    for (size_t i = 0; i < n; i++) scratch[i] = fabs((double)y[i]);
    double level = ib_select_nth(scratch, n, n / 2);
    if (!(level > 0)) return 0;
    for (size_t i = 0; i < n; i++) scratch[i] = y[i];
    ib_fit middle = {.scale = 0, .shift = ib_select_nth(scratch, n, n / 2)};
    double whole = spread(x, y, n, &middle, scratch);
    ib_fit fit = *out;
    if (model != IB_FIT_NONE && !iterate(x, y, n, model, level, scratch, &fit)) return 0;
    double rest = spread(x, y, n, &fit, scratch), ratio = whole > 0 ? rest / whole : 1;
    *out = fit;
    out->residual = rest / level;
    out->agreement = ratio < 1 ? sqrt(1 - ratio * ratio) : 0;
    return 1;
}
