/* The bits of `render` and `fit_sums`, which every backend and every version must give: a result that was begun on one
 * machine is finished on another. The expected bits were computed once by a NumPy program written from the text of op.h
 * (float32 arrays, one rounding per operation; FNV-1a over the bytes of the frame). */
#include "backend/backend.h"
#include "backend/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define h 5
#define w 7
#define H 11
#define W 37

/* Raw frame k: bytes of a linear congruential generator with seed k + 1, in [0, 1). */
static ib_tensor raw_frame(float *values, uint32_t k)
{
    uint32_t s = k + 1;
    for (int i = 0; i < h * w; i++) {
        s = s * 1664525u + 1013904223u;
        values[i] = (float)(s >> 8) / 16777216.0f;
    }
    return ib_tensor_2d(values, IB_F32, h, w);
}

static uint64_t fnv(const void *data, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return hash;
}

static ib_backend *open_ref(ib_diag *diag)
{
    ib_backend *ref;
    assert_int_equal(ib_ref_open(&(ib_backend_options){.act = IB_F32, .diag = diag}, &ref), ISOBATH_OK);
    return ref;
}

static void render_bits(void **state)
{
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref = open_ref(&diag);
    float a[h * w], b[h * w], y[H * W], low, high;
    ib_render_args args = {raw_frame(a, 0),
                           raw_frame(b, 1),
                           1.25f,
                           -0.3f,
                           0.8f,
                           -0.1f,
                           3 / 7.,
                           ib_tensor_2d(y, IB_F32, H, W),
                           &low,
                           &high};
    assert_int_equal(ib_render(ref, &args), ISOBATH_OK);
    assert_true(fnv(y, sizeof y) == 0x231e326cce0aee48u);
    assert_true(low == 0x1.0c8e94p-6f && high == 0x1.616090p-1f);
    args.b.data = NULL;
    assert_int_equal(ib_render(ref, &args), ISOBATH_OK);
    assert_true(fnv(y, sizeof y) == 0x401498fca1ab00e3u);
    assert_true(low == 0 && high == 0x1.dbacaep-1f);
    ib_backend_close(ref);
}

/* NaN stays in the frame and shows in the range; the clamp does not hide it. */
static void render_nan(void **state)
{
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref = open_ref(&diag);
    float a[4] = {1, 2, 3, 4}, y[4], low, high;
    memset(&a[2], 0xff, sizeof a[2]);
    ib_render_args args = {.a = ib_tensor_2d(a, IB_F32, 2, 2),
                           .a_scale = 1,
                           .y = ib_tensor_2d(y, IB_F32, 2, 2),
                           .min_out = &low,
                           .max_out = &high};
    assert_int_equal(ib_render(ref, &args), ISOBATH_OK);
    assert_true(y[2] != y[2]);
    assert_true(low != low && high != high);
    ib_backend_close(ref);
}

static void fit_bits(void **state)
{
    (void)state;
    static const double expected[5] = {2.0 * H * W, 0x1.760071f880000p+8, 0x1.894151cc06079p+7, 0x1.49286e19c0000p+8,
                                       0x1.3ab20d813e73ap+7};
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref = open_ref(&diag);
    float frame[4][h * w];
    double sums[5];
    ib_fit_sums_args args = {{raw_frame(frame[0], 0), raw_frame(frame[1], 1)},
                             {raw_frame(frame[2], 2), raw_frame(frame[3], 3)},
                             1.25f,
                             -0.3f,
                             H,
                             W,
                             sums};
    assert_int_equal(ib_fit_sums(ref, &args), ISOBATH_OK);
    for (int i = 0; i < 5; i++) assert_true(sums[i] == expected[i]);
    ib_backend_close(ref);
}

/* What row has, cut; 0: it cannot be. */
static int cut_row(const float *row, int64_t width, float factor, uint16_t *q)
{
    for (int64_t x = 0; x < width; x++) {
        float v = row[x] * factor;
        if (!(v < 65536.0f)) return 0;
        q[x] = __builtin_bswap16((uint16_t)(int)v);
    }
    return 1;
}

/* Row by row on every path: the rows of the whole frame, their range, and each of them cut; with -0, NaN and values that cannot be cut. */
static void rows_are_those_of_the_frame(void **state)
{
    (void)state;
    static const char *const paths[] = {"sse4", "avx2", "avx512"};
    static const int64_t sizes[][4] = {{5, 7, 11, 37}, {1, 1, 1, 1}, {9, 40, 4, 3}, {30, 41, 60, 64}, {12, 64, 31, 100}, {8, 50, 8, 50}, {3, 900, 5, 20}};
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref = open_ref(&diag), *cpu;
    int64_t rows = 0, not_cut = 0, nans = 0;
    for (int p = 0; p < 3; p++) {
        if (ib_cpu_open(&(ib_backend_options){.act = IB_F32, .isa = paths[p], .diag = &diag}, &cpu) != ISOBATH_OK) continue;
        for (size_t k = 0; k < 7 * 2 * 5; k++) {
            const int64_t *size = sizes[k % 7], n = size[0] * size[1], width = size[3];
            int odd = (int)(k / 14);
            float *map[2], *y = malloc((size_t)(size[2] * width) * sizeof *y), *row = malloc((size_t)width * sizeof *row), low, high;
            uint16_t *q = malloc((size_t)width * sizeof *q), *want = malloc((size_t)width * sizeof *want);
            uint32_t seed = (uint32_t)k;
            for (int m = 0; m < 2; m++) {
                map[m] = malloc((size_t)n * sizeof *map[m]);
                for (int64_t i = 0; i < n; i++) map[m][i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 16777216.0f;
                if (odd == 1) map[m][n / 2] = __builtin_nanf("");
                if (odd == 2) map[m][n - 1] = 200;
                for (int64_t i = 0; odd == 3 && i < n; i++) map[m][i] = -0.0f;
                if (odd == 4) map[m][0] = __builtin_inff();
            }
            ib_render_args a = {.a = ib_tensor_2d(map[0], IB_F32, size[0], size[1]), .a_scale = 1.25f, .a_shift = odd == 3 ? -0.0f : -0.3f,
                                .b_scale = 0.8f, .b_shift = odd == 3 ? -0.0f : -0.1f, .weight = 3 / 7., .y = ib_tensor_2d(y, IB_F32, size[2], width),
                                .min_out = &low, .max_out = &high};
            if (k / 7 % 2) a.b = ib_tensor_2d(map[1], IB_F32, size[0], size[1]);
            assert_int_equal(ib_render(ref, &a), ISOBATH_OK);
            for (int cut = 0; cut < 2; cut++) {
                float min, max;
                assert_int_equal(ib_rows_begin(cpu, &a), ISOBATH_OK);
                for (int64_t i = 0; i < size[2]; i++, rows++) {
                    const float *expected = y + i * width;
                    int fits = cut ? ib_rows_next_cut(cpu, 512.0f, q) : 1;
                    if (!cut) ib_rows_next(cpu, row);
                    if (!cut) assert_memory_equal(row, expected, (size_t)width * sizeof *row);
                    else assert_int_equal(fits, cut_row(expected, width, 512.0f, want));
                    if (cut && fits) assert_memory_equal(q, want, (size_t)width * sizeof *q);
                    not_cut += !fits;
                }
                ib_rows_range(cpu, &min, &max);
                nans += min != min;
                if (low != low) assert_true(min != min && max != max);
                else assert_true(min == low && max == high && !__builtin_signbit(min) && !__builtin_signbit(max));
            }
            free(map[0]);
            free(map[1]);
            free(y);
            free(row);
            free(q);
            free(want);
        }
        ib_backend_close(cpu);
    }
    assert_true(rows > 1000 && not_cut > 50 && nans > 10);
    ib_backend_close(ref);
    ib_diag_destroy(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(render_bits), cmocka_unit_test(render_nan), cmocka_unit_test(fit_bits),
                                       cmocka_unit_test(rows_are_those_of_the_frame)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
