/* compare_depth A B [MEDIAN P9999 WORST]: two results of one video, in any format that isobath reads, value by value. Prints the
 * differences in units of B's range; exits 1 when one is above its bound, or when the results are not of one size and length. */
#include "depthio/depth_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PER_FRAME 4096 /* differences kept of every frame for the quantiles, evenly spaced */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_depth_reader *r[2] = {NULL, NULL};
    double bound[3] = {INFINITY, INFINITY, INFINITY};
    if (argc != 3 && argc != 6) {
        fprintf(stderr, "usage: compare_depth A B [MEDIAN P9999 WORST]\n");
        return 2;
    }
    for (int i = 0; i < argc - 3; i++) bound[i] = atof(argv[3 + i]);
    for (int i = 0; i < 2; i++)
        if (ib_depth_reader_open(argv[1 + i], &diag, &r[i]) != ISOBATH_OK) {
            fprintf(stderr, "compare_depth: %s\n", diag.text);
            return 1;
        }
    const ib_depth_reader_info *a = ib_depth_reader_get_info(r[0]), *b = ib_depth_reader_get_info(r[1]);
    if (a->frames != b->frames || a->width != b->width || a->height != b->height || a->frames < 1) {
        fprintf(stderr, "compare_depth: %lld frames of %dx%d, and %lld of %dx%d\n", (long long)a->frames, a->width, a->height,
                (long long)b->frames, b->width, b->height);
        return 1;
    }
    int64_t n = (int64_t)a->width * a->height, kept = 0, step = n / PER_FRAME + 1;
    float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    float *all = malloc((size_t)a->frames * (PER_FRAME + 1) * sizeof *all), low = INFINITY, high = -INFINITY, worst = 0;
    if (!x || !y || !all) return 1;
    for (int64_t f = 0; f < a->frames; f++) {
        if (ib_depth_reader_read(r[0], f, x) != ISOBATH_OK || ib_depth_reader_read(r[1], f, y) != ISOBATH_OK) {
            fprintf(stderr, "compare_depth: %s\n", diag.text);
            return 1;
        }
        for (int64_t i = 0; i < n; i++) {
            float d = fabsf(x[i] - y[i]);
            if (!(d <= worst)) worst = d;
            if (y[i] < low) low = y[i];
            if (y[i] > high) high = y[i];
            if (i % step == 0) all[kept++] = d;
        }
    }
    qsort(all, (size_t)kept, sizeof *all, compare_floats);
    double range = high > low ? (double)high - low : 1;
    double got[3] = {all[kept / 2] / range, all[kept - 1 - kept / 10000] / range, worst / range};
    int bad = 0;
    for (int i = 0; i < 3; i++) bad |= !(got[i] <= bound[i]);
    printf("%lld frames, range %.4g: median %.2e  99.99%% %.2e  worst %.2e of the range%s\n", (long long)a->frames, range, got[0], got[1],
           got[2], bad ? "  OUT OF BOUNDS" : "");
    free(x);
    free(y);
    free(all);
    for (int i = 0; i < 2; i++) ib_depth_reader_close(r[i]);
    return bad;
}
