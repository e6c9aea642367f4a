/* The self-test of the fast type; see precision.h. */
#include "pipeline/precision.h"

#include "backend/cuda_info.h"
#include "base/hash.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISTINCT 4        /* frames of the made picture; the window repeats them */
#define SAMPLES (1 << 18) /* values compared, evenly spaced over the window */
#define FIRST_LINE "isobath-precision-1"

/* Errors that are called wrong: ten times what fp16 and bf16 lose at most (docs/MODEL.md, "Accuracy"). */
static double median_bound(ib_dtype type) { return type == IB_BF16 ? 3e-2 : 5e-3; }
static double p9999_bound(ib_dtype type) { return type == IB_BF16 ? 2.7e-1 : 3e-2; }

/* Slopes, edges and fine texture that move, in integers: the same picture everywhere. */
static void draw(uint8_t *rgb, int width, int height, int t)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, rgb += 3) {
            int u = x * 256 / width, v = y * 256 / height, dx = u - 90 - 8 * t, dy = v - 120;
            int disc = dx * dx + dy * dy < 48 * 48, tile = ((u + 4 * t) / 24 + v / 24) & 1;
            rgb[0] = (uint8_t)(disc ? 230 - (u & 31) : 40 + v / 2 + 30 * tile);
            rgb[1] = (uint8_t)(disc ? 120 + (v & 15) : 60 + (u + v) / 4);
            rgb[2] = (uint8_t)(disc ? 60 : 200 - v / 2 + (u * 7 + v * 13) % 17);
        }
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* One window in one type; *sample gets every stride-th value, malloc'ed. */
static isobath_status run(const ib_checkpoint *checkpoint, const ib_vda_config *config, int device, ib_dtype act, ib_pool *pool,
                          const ib_trial_frames *frames, int input_size, ib_diag *diag, float **sample, int64_t *count,
                          int64_t *nonfinite)
{
    ib_trial trial;
    double seconds;
    *sample = NULL;
    IB_TRY(ib_trial_open(checkpoint, config, device, act, pool, frames, input_size, diag, &trial));
    int64_t values = (int64_t)IB_PLAN_WINDOW * trial.shape.width * trial.shape.height;
    float *depth = malloc((size_t)values * sizeof *depth);
    isobath_status st = depth ? ib_trial_first(&trial, frames, depth, &seconds)
                              : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the precision self-test");
    if (st == ISOBATH_OK) {
        int64_t stride = values / SAMPLES + 1;
        *count = 0;
        for (int64_t i = 0; i < values; i += stride) depth[(*count)++] = depth[i];
        *nonfinite = trial.nonfinite;
        *sample = depth;
    } else {
        free(depth);
    }
    ib_trial_close(&trial);
    return st;
}

static void judge(const float *exact, float *fast, int64_t count, ib_dtype type, ib_precision_verdict *v)
{
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (exact[i] < low) low = exact[i];
        if (exact[i] > high) high = exact[i];
        fast[i] = fabsf(fast[i] - exact[i]);
    }
    qsort(fast, (size_t)count, sizeof *fast, compare_floats);
    double range = high > low ? (double)high - low : 1;
    v->median = fast[count / 2] / range;
    v->p9999 = fast[count - 1 - count / 10000] / range;
    v->sound = v->median <= median_bound(type) && v->p9999 <= p9999_bound(type);
}

isobath_status ib_precision_test(const ib_checkpoint *checkpoint, const ib_vda_config *config, int device, ib_dtype fast,
                                 ib_pool *pool, int width, int height, int input_size, ib_diag *diag, ib_precision_verdict *out)
{
    *out = (ib_precision_verdict){0};
    ib_trial_frames frames = {.width = width, .height = height};
    size_t bytes = (size_t)width * (size_t)height * 3;
    uint8_t *pictures = malloc(DISTINCT * bytes);
    if (!pictures) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the precision self-test");
    for (int t = 0; t < DISTINCT; t++) draw(pictures + (size_t)t * bytes, width, height, t);
    for (int i = 0; i < IB_PLAN_WINDOW; i++) frames.rgb[i] = pictures + (size_t)(i % DISTINCT) * bytes;
    float *a = NULL, *b = NULL;
    int64_t count = 0, exact_nonfinite = 0;
    isobath_status st = run(checkpoint, config, device, fast, pool, &frames, input_size, diag, &a, &count, &out->nonfinite);
    if (st == ISOBATH_OK && !out->nonfinite) {
        st = run(checkpoint, config, device, IB_F32, pool, &frames, input_size, diag, &b, &count, &exact_nonfinite);
        if (st == ISOBATH_OK && !exact_nonfinite) judge(b, a, count, fast, out);
    }
    free(pictures);
    free(a);
    free(b);
    return st;
}

/* ---- the cache: a file of a few lines per key ---------------------------------------------------------------------- */

static int path_of(const char *folder, const char *key, char *path, size_t size)
{
    char hex[65];
    if (ib_sha256_memory(key, strlen(key), NULL, hex) != ISOBATH_OK) return 0;
    return snprintf(path, size, "%s/precision-%.16s.txt", folder, hex) < (int)size;
}

int ib_precision_recall(const char *folder, const char *key, ib_precision_verdict *out)
{
    char path[4352], text[2048], want[1024];
    *out = (ib_precision_verdict){.cached = 1};
    FILE *f = path_of(folder, key, path, sizeof path) ? fopen(path, "rb") : NULL;
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    int head = snprintf(want, sizeof want, FIRST_LINE "\n%s\n", key), end = 0;
    if (head >= (int)sizeof want || strlen(text) != n || strncmp(text, want, (size_t)head) != 0) return 0;
    long long nonfinite;
    if (sscanf(text + head, "sound %d nonfinite %lld median %lf p9999 %lf%n", &out->sound, &nonfinite, &out->median, &out->p9999,
               &end) != 4 || (out->sound != 0 && out->sound != 1) || strcmp(text + head + end, "\n") != 0)
        return 0;
    out->nonfinite = nonfinite;
    return 1;
}

int ib_precision_keep(const char *folder, const char *key, const ib_precision_verdict *v)
{
    char path[4352], tmp[4400];
    if (!path_of(folder, key, path, sizeof path)) return 0;
    snprintf(tmp, sizeof tmp, "%s.%ld.tmp", path, (long)getpid());
    FILE *f = fopen(tmp, "wb");
    if (!f) return 0;
    fprintf(f, FIRST_LINE "\n%s\nsound %d nonfinite %lld median %.3e p9999 %.3e\n", key, v->sound, (long long)v->nonfinite, v->median,
            v->p9999);
    int bad = ferror(f);
    if (fclose(f) != 0 || bad || rename(tmp, path) != 0) {
        unlink(tmp);
        return 0;
    }
    return 1;
}

void ib_precision_key(const char *kind, int device, const char *model_sha256, int net_width, int net_height, char *key, size_t size)
{
    char driver[128] = "";
    ib_cuda_info info;
    if (ib_cuda_info_read(NULL, &info) != ISOBATH_OK || device >= info.count) memset(&info, 0, sizeof info);
    FILE *f = fopen("/proc/driver/nvidia/version", "r"); /* the driver's own version; CUDA's alone changes less often */
    if (f && !fgets(driver, sizeof driver, f)) driver[0] = 0;
    if (f) fclose(f);
    driver[strcspn(driver, "\n")] = 0;
    snprintf(key, size, "%s; isobath %s; card %s; driver %d %s; model %s; %dx%d", kind, ISOBATH_VERSION,
             device >= 0 && device < info.count ? info.device[device].name : "-", info.version, driver, model_sha256, net_width,
             net_height);
}
