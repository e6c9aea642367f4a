/* Peaks by instruction; see cpu_peak.h. */
#include "cpu_peak.h"

#include <immintrin.h>
#include <string.h>
#include <time.h>

#define STEPS 5000000

/* Ten chains, so that the latency of none is waited for. */
#define PEAK_LOOP(type, op)                                                                                           \
    type a = zero, b = zero, c = zero, d = zero, e = zero, f = zero, g = zero, h = zero, i = zero, j = zero;          \
    for (long n = 0; n < STEPS; n++) {                                                                                \
        a = op(a), b = op(b), c = op(c), d = op(d), e = op(e), f = op(f), g = op(g), h = op(h), i = op(i), j = op(j); \
        __asm__ volatile(""                                                                                           \
                         : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j)); \
    }
#define STEP_512(a) _mm512_fmadd_ps(a, x, x)
#define STEP_BF16(a) _mm512_dpbf16_ps(a, x, x)
#define STEP_256(a) _mm256_fmadd_ps(a, x, x)
#define STEP_128(a) _mm_add_ps(_mm_mul_ps(a, x), x)

__attribute__((target("avx512f"))) static void peak_avx512(void)
{
    __m512 zero = _mm512_setzero_ps(), x = _mm512_set1_ps(0.5f);
    PEAK_LOOP(__m512, STEP_512)
}

__attribute__((target("avx512f,avx512bf16"))) static void peak_bf16(void)
{
    __m512 zero = _mm512_setzero_ps();
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f003f00);
    PEAK_LOOP(__m512, STEP_BF16)
}

__attribute__((target("avx2,fma"))) static void peak_avx2(void)
{
    __m256 zero = _mm256_setzero_ps(), x = _mm256_set1_ps(0.5f);
    PEAK_LOOP(__m256, STEP_256)
}

static void peak_sse4(void)
{
    __m128 zero = _mm_setzero_ps(), x = _mm_set1_ps(0.5f);
    PEAK_LOOP(__m128, STEP_128)
}

/* Four chains of tile products of 16x16x32; only the backend's path "amx" leads here. */
__attribute__((target("amx-tile,amx-bf16"))) static void peak_amx(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    __asm__ volatile("" : : "m"(config)); /* the intrinsic names its first bytes only */
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (long n = 0; n < STEPS / 10; n++) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_release();
}

static void peak_thread(void *ctx, int64_t i, int thread)
{
    (void)i, (void)thread;
    (*(void (**)(void))ctx)();
}

static double now(int clock)
{
    struct timespec t;
    clock_gettime((clockid_t)clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_cpu_peak(const ib_backend *b, int clock)
{
    void (*run)(void) = peak_sse4;
    double flops = 10.0 * STEPS * 8; /* of one thread */
    if (strstr(b->kind, "avx2")) run = peak_avx2, flops *= 2;
    if (strstr(b->kind, "avx512")) run = peak_avx512, flops *= 4;
    if (b->act == IB_BF16) run = peak_bf16, flops = 10.0 * STEPS * 64;
    if (strstr(b->kind, "cpu amx")) run = peak_amx, flops = 4.0 * (STEPS / 10) * (2 * 16 * 16 * 32);
    int threads = ib_pool_threads(b->pool);
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double t = now(clock);
        ib_pool_run(b->pool, threads, peak_thread, &run);
        t = now(clock) - t;
        if (t < best) best = t;
    }
    return flops * threads / best / 1e9;
}
