/* Composed layers; see compose.h. Products in f32 over at most BLOCK terms, blocks in double. */
#include "model/compose.h"

#include "base/pool.h"

#include <stdlib.h>

#define BLOCK 32
#define MOST_THREADS 8

/* A row of a product: out[0..K) = sum over `parts` of sum over m of w1[c, m, tap] w0[place, m, 0..K), bias likewise. */
typedef struct compose_job {
    int64_t C, M, K, rows; /* rows of the result */
    int k;                 /* 1: taps of a 1x1; else the transposed convolution's kernel */
    const float *w0;       /* [place][M][K] */
    const float *b0, *w1;
    float *w, *b;
    float *scratch; /* [thread][2K] as f32, the second half as double */
} compose_job;

/* Adds one tap behind one place. */
static void add_part(const compose_job *j, int64_t c, int tap, const float *place, double *sum, float *block, double *bias)
{
    for (int64_t first = 0; first < j->M; first += BLOCK) {
        const int64_t end = first + BLOCK < j->M ? first + BLOCK : j->M;
        for (int64_t i = 0; i < j->K; i++) block[i] = 0;
        for (int64_t m = first; m < end; m++) {
            const float v = j->w1[(c * j->M + m) * 9 + tap], *from = place + m * j->K;
            *bias += (double)v * (double)j->b0[m];
            for (int64_t i = 0; i < j->K; i++) block[i] += v * from[i];
        }
        for (int64_t i = 0; i < j->K; i++) sum[i] += (double)block[i];
    }
}

/* Row (tap, c), or (u, v, c): output position u of a cell takes tap ky of place a = u + ky - 2. */
static void row(void *ctx, int64_t r, int thread)
{
    const compose_job *j = ctx;
    const int64_t c = r % j->C, size = j->M * j->K;
    const int n = j->k + 2, u = (int)(r / j->C) / n, v = (int)(r / j->C) % n;
    double *sum = (double *)(void *)j->scratch + (int64_t)thread * 2 * j->K, bias = 0;
    float *block = (float *)(sum + j->K);
    for (int64_t i = 0; i < j->K; i++) sum[i] = 0;
    if (j->k == 1) {
        add_part(j, c, (int)(r / j->C), j->w0, sum, block, &bias);
    } else {
        for (int tap = 0; tap < 9; tap++) {
            const int a = u + tap / 3 - 2, b = v + tap % 3 - 2;
            if (a >= 0 && a < j->k && b >= 0 && b < j->k) add_part(j, c, tap, j->w0 + (a * j->k + b) * size, sum, block, &bias);
        }
    }
    for (int64_t i = 0; i < j->K; i++) j->w[r * j->K + i] = (float)sum[i];
    j->b[r] = (float)bias;
}

static isobath_status run(compose_job *j, ib_diag *diag)
{
    const int threads = ib_cpu_count() < MOST_THREADS ? ib_cpu_count() : MOST_THREADS;
    ib_pool *pool = NULL;
    IB_TRY(ib_pool_create(threads, diag, &pool));
    j->scratch = malloc((size_t)(threads * 2 * j->K) * sizeof(double));
    isobath_status st = j->scratch ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for composed weights");
    if (st == ISOBATH_OK) ib_pool_run(pool, j->rows, row, j);
    free(j->scratch);
    ib_pool_destroy(pool);
    return st;
}

isobath_status ib_compose_taps(int64_t C, int64_t M, int64_t K, const float *w0, const float *b0, const float *w1, float *w, float *b,
                               ib_diag *diag)
{
    return run(&(compose_job){.C = C, .M = M, .K = K, .rows = 9 * C, .k = 1, .w0 = w0, .b0 = b0, .w1 = w1, .w = w, .b = b}, diag);
}

isobath_status ib_compose_overlap(int64_t C, int64_t M, int64_t K, int k, const float *w0, const float *b0, const float *w1, float *w,
                                  float *b, ib_diag *diag)
{
    const int64_t places = (int64_t)k * k;
    float *by_place = malloc((size_t)(places * M * K) * sizeof *by_place); /* [place][M][K] */
    if (!by_place) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for composed weights");
    for (int64_t i = 0; i < K * M; i++)
        for (int64_t p = 0; p < places; p++) by_place[(p * M + i % M) * K + i / M] = w0[i * places + p];
    isobath_status st = run(&(compose_job){.C = C, .M = M, .K = K, .rows = (k + 2) * (k + 2) * C, .k = k, .w0 = by_place, .b0 = b0,
                                           .w1 = w1, .w = w, .b = b}, diag);
    free(by_place);
    return st;
}
