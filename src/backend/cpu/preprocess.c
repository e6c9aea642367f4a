/* RGB frames to network input: OpenCV's cubic resize (a = -0.75, half-pixel centres, replicated border), normalised. */
#include "backend/cpu/cpu.h"

#define ROWS_PER_JOB 16

typedef struct preprocess_job {
    const ib_preprocess_args *a;
    ib_cpu *cpu;
    int64_t blocks;
    int32_t *index_x, *index_y; /* 4 clamped source positions per output position */
    float *coef_x, *coef_y;     /* and their weights */
    float *unit;                /* v/255 */
    float *mean, *std;          /* of a row: 3 values repeated */
} preprocess_job;

/* Source positions and weights of one axis: the position in double, its fraction and the cubic weights in f32. */
static void cubic_axis(int64_t in, int64_t out, int32_t *index, float *coef)
{
    const float a = -0.75f;
    double scale = (double)in / (double)out;
    for (int64_t i = 0; i < out; i++) {
        double f = ((double)i + 0.5) * scale - 0.5;
        int64_t s = (int64_t)__builtin_floor(f);
        float x = (float)(f - (double)s), y = 1.0f - x;
        float *c = coef + 4 * i;
        c[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
        c[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
        c[2] = ((a + 2) * y - (a + 3)) * y * y + 1;
        c[3] = 1.0f - c[0] - c[1] - c[2];
        for (int64_t k = 0; k < 4; k++) {
            int64_t p = s - 1 + k;
            index[4 * i + k] = (int32_t)(p < 0 ? 0 : p >= in ? in - 1 : p);
        }
    }
}

static void preprocess_rows(void *ctx, int64_t i, int thread)
{
    const preprocess_job *j = ctx;
    const ib_tensor *x = &j->a->x, *y = &j->a->y;
    int64_t t = i / j->blocks, first = i % j->blocks * ROWS_PER_JOB, n = 3 * y->dim[2], held[4] = {-1, -1, -1, -1};
    char *at = ib_cpu_local(j->cpu, thread);
    float *cache[4]; /* horizontally resized source rows, by row number modulo 4 */
    for (int k = 0; k < 4; k++) cache[k] = ib_cpu_take(&at, (size_t)n * 4);
    for (int64_t row = first; row < ib_cpu_min(first + ROWS_PER_JOB, y->dim[1]); row++) {
        const float *rows[4];
        for (int k = 0; k < 4; k++) {
            int64_t source = j->index_y[4 * row + k], slot = source & 3;
            if (held[slot] != source) {
                j->cpu->k->cubic_h(ib_cpu_at(x, t * x->stride[0] + source * x->stride[1]), y->dim[2], j->index_x,
                                   j->coef_x, j->unit, cache[slot]);
                held[slot] = source;
            }
            rows[k] = cache[slot];
        }
        j->cpu->k->cubic_v(rows, j->coef_y + 4 * row, n, j->mean, j->std, ib_cpu_at(y, (t * y->dim[1] + row) * n));
    }
}

isobath_status ib_cpu_preprocess(ib_backend *b, const ib_preprocess_args *a)
{
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    preprocess_job j = {.a = a, .cpu = ib_cpu_of(b), .blocks = ib_cpu_ceil(a->y.dim[1], ROWS_PER_JOB)};
    int64_t h = a->y.dim[1], w = a->y.dim[2];
    size_t row = ib_cpu_round((size_t)w * 12), axis_x = ib_cpu_round((size_t)w * 16),
           axis_y = ib_cpu_round((size_t)h * 16);
    IB_TRY(ib_cpu_reserve(j.cpu, 4 * row, 2 * axis_x + 2 * axis_y + 256 * 4 + 2 * row));
    char *at = j.cpu->shared;
    j.index_x = ib_cpu_take(&at, axis_x);
    j.coef_x = ib_cpu_take(&at, axis_x);
    j.index_y = ib_cpu_take(&at, axis_y);
    j.coef_y = ib_cpu_take(&at, axis_y);
    j.unit = ib_cpu_take(&at, 256 * 4);
    j.mean = ib_cpu_take(&at, row);
    j.std = ib_cpu_take(&at, row);
    cubic_axis(a->x.dim[2], w, j.index_x, j.coef_x);
    cubic_axis(a->x.dim[1], h, j.index_y, j.coef_y);
    for (int v = 0; v < 256; v++) j.unit[v] = (float)v / 255.0f;
    for (int64_t i = 0; i < 3 * w; i++) {
        j.mean[i] = (float)mean[i % 3];
        j.std[i] = (float)std[i % 3];
    }
    ib_pool_run(b->pool, a->x.dim[0] * j.blocks, preprocess_rows, &j);
    return ISOBATH_OK;
}
