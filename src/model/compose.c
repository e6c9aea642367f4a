/* Composed layers; see compose.h. Products in f32 over at most BLOCK terms, blocks in double. */
#include "model/compose.h"

#include "base/diffuse.h"
#include "base/pool.h"

#include <stdlib.h>

#define BLOCK 32
#define CHUNK 32 /* columns at a time, which stay in registers */
#define MOST_THREADS 8

typedef struct compose_job {
    int64_t C, M, K, rows; /* rows of the result */
    int k;                 /* 1: a 1x1; else the transposed convolution's kernel */
    const float *w0;       /* [place][M][K] */
    const float *b0, *w1;
    float *w, *b;
    double *sums; /* [thread][K] */
} compose_job;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* sum[0..n) += v[9 m] from[m][0..n), m in [0, count), for n <= CHUNK columns of rows of K. */
static inline void add_block(const float *v, const float *from, int64_t K, int64_t count, int64_t n, double *sum)
{
    float block[CHUNK] = {0};
    if (n == CHUNK) {
        for (int64_t m = 0; m < count; m++)
            for (int i = 0; i < CHUNK; i++) block[i] += v[9 * m] * from[m * K + i];
    } else {
        for (int64_t m = 0; m < count; m++)
            for (int64_t i = 0; i < n; i++) block[i] += v[9 * m] * from[m * K + i];
    }
    for (int64_t i = 0; i < n; i++) sum[i] += (double)block[i];
}

/* Adds a tap of the 3x3, rows c, behind one place. */
static void add_part(const compose_job *j, int64_t c, int tap, const float *place, double *sum, double *bias)
{
    const float *w1 = j->w1 + c * j->M * 9 + tap;
    for (int64_t m = 0; m < j->M; m++) *bias += (double)w1[9 * m] * (double)j->b0[m];
    for (int64_t i = 0; i < j->K; i += CHUNK)
        for (int64_t m = 0; m < j->M; m += BLOCK)
            add_block(w1 + 9 * m, place + m * j->K + i, j->K, least(j->M - m, BLOCK), least(j->K - i, CHUNK), sum + i);
}

/* Row (tap, c), or (u, v, c): output position u of a cell takes tap ky of place a = u + ky - 2. */
static void row(void *ctx, int64_t r, int thread)
{
    const compose_job *j = ctx;
    const int64_t c = r % j->C, size = j->M * j->K;
    const int n = j->k + 2, u = (int)(r / j->C) / n, v = (int)(r / j->C) % n;
    double *sum = j->sums + (int64_t)thread * j->K, bias = 0;
    for (int64_t i = 0; i < j->K; i++) sum[i] = 0;
    if (j->k == 1) {
        add_part(j, c, (int)(r / j->C), j->w0, sum, &bias);
    } else {
        for (int tap = 0; tap < 9; tap++) {
            const int a = u + tap / 3 - 2, b = v + tap % 3 - 2;
            if (a < 0 || a >= j->k || b < 0 || b >= j->k) continue;
            add_part(j, c, tap, j->w0 + (a * j->k + b) * size, sum, &bias);
        }
    }
    for (int64_t i = 0; i < j->K; i++) j->w[r * j->K + i] = (float)sum[i];
    j->b[r] = (float)bias;
}

static isobath_status run(compose_job *j, ib_diag *diag)
{
    const int threads = (int)least(ib_cpu_count(), MOST_THREADS);
    ib_pool *pool = NULL;
    IB_TRY(ib_pool_create(threads, diag, &pool));
    j->sums = malloc((size_t)(threads * j->K) * sizeof *j->sums);
    isobath_status st = j->sums ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for composed weights");
    if (st == ISOBATH_OK) ib_pool_run(pool, j->rows, row, j);
    free(j->sums);
    ib_pool_destroy(pool);
    return st;
}

isobath_status ib_compose_taps(int64_t C, int64_t M, int64_t K, ib_dtype type, const float *w0, const float *b0,
                               const float *w1, float *w, float *b, ib_diag *diag)
{
    compose_job job = {.C = C, .M = M, .K = K, .rows = 9 * C, .k = 1, .w0 = w0, .b0 = b0, .w1 = w1, .w = w, .b = b};
    IB_TRY(run(&job, diag));
    for (int64_t i = 0; i < C * K; i++) {
        float kernel[9];
        for (int tap = 0; tap < 9; tap++) kernel[tap] = w[tap * C * K + i];
        ib_diffuse_kernels(kernel, 1, 3, type);
        for (int tap = 0; tap < 9; tap++) w[tap * C * K + i] = kernel[tap];
    }
    return ISOBATH_OK;
}

isobath_status ib_compose_overlap(int64_t C, int64_t M, int64_t K, int k, const float *w0, const float *b0,
                                  const float *w1, float *w, float *b, ib_diag *diag)
{
    const int64_t places = (int64_t)k * k;
    float *by_place = malloc((size_t)(places * M * K) * sizeof *by_place); /* [place][M][K] */
    if (!by_place) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for composed weights");
    for (int64_t i = 0; i < K * M; i++)
        for (int64_t p = 0; p < places; p++) by_place[(p * M + i % M) * K + i / M] = w0[i * places + p];
    compose_job job = {.C = C, .M = M, .K = K, .rows = (k + 2) * (k + 2) * C, .k = k, .w0 = by_place, .b0 = b0, .w1 = w1,
                       .w = w, .b = b};
    isobath_status st = run(&job, diag);
    free(by_place);
    return st;
}
