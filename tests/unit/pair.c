/* Products of few inputs in bf16: the rest of their weights is multiplied too, residuals and overflows stay what they were. */
#include "backend/backend.h"
#include "base/half.h"
#include "model/pair.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { M = 24, N = 5, MOST_K = IB_PAIR_INPUTS + 1 };

static ib_diag diag = IB_DIAG_INIT;

static float number(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) * 0x1p-23f - 1.0f;
}

/* Largest error of y = x W^T + bias + residual with f32 results, K inputs. */
static double worst(int64_t K, ib_dtype act, int *has_rest)
{
    static float w[M * MOST_K], bias[M], start[N * M], y[N * M], exact_x[N * MOST_K];
    static _Alignas(64) float room[N * MOST_K];
    uint32_t seed = (uint32_t)K;
    ib_backend *be;
    ib_params p;
    ib_pair pair;
    ib_tensor b;
    assert_int_equal(ib_cpu_open(&(ib_backend_options){.act = act, .isa = act == IB_BF16 ? "tiles" : NULL, .diag = &diag}, &be), ISOBATH_OK);
    ib_params_init(&p, be, NULL, NULL, &diag);
    for (int64_t i = 0; i < M * K; i++) w[i] = number(&seed);
    for (int64_t i = 0; i < M; i++) bias[i] = number(&seed);
    for (int64_t i = 0; i < N * M; i++) y[i] = start[i] = number(&seed);
    for (int64_t i = 0; i < N * K; i++) { /* values that both types hold */
        uint16_t half = ib_f32_to_bf16(number(&seed));
        exact_x[i] = ib_bf16_to_f32(half);
        if (act == IB_BF16) memcpy((uint16_t *)room + i, &half, sizeof half);
        else room[i] = exact_x[i];
    }
    assert_int_equal(ib_pair_pack(&p, w, M, K, &pair), ISOBATH_OK);
    assert_int_equal(ib_params_upload(&p, bias, M, &b), ISOBATH_OK);
    ib_tensor ty = ib_tensor_3d(y, IB_F32, 1, N, M);
    ib_linear_args args = {.x = ib_tensor_3d(room, act, 1, N, K), .bias = b, .residual = ty, .y = ty};
    assert_int_equal(ib_pair_linear(be, &pair, &args), ISOBATH_OK);
    double most = 0;
    for (int64_t n = 0; n < N; n++)
        for (int64_t m = 0; m < M; m++) {
            double sum = (double)bias[m] + start[n * M + m];
            for (int64_t k = 0; k < K; k++) sum += (double)exact_x[n * K + k] * w[m * K + k];
            most = fmax(most, fabs(y[n * M + m] - sum));
        }
    *has_rest = pair.rest != NULL;
    ib_params_free(&p);
    be->ops->close(be);
    return most;
}

static void few_inputs_keep_the_rest(void **state)
{
    (void)state;
    int rest;
    assert_true(worst(IB_PAIR_INPUTS, IB_BF16, &rest) < 1e-4 && rest);
    assert_true(worst(7, IB_BF16, &rest) < 1e-4 && rest);
    double alone = worst(IB_PAIR_INPUTS + 1, IB_BF16, &rest);
    assert_true(alone > 1e-3 && alone < 0.1 && !rest);
    assert_true(worst(IB_PAIR_INPUTS, IB_F32, &rest) < 1e-5 && !rest);
}

/* A weight that the type does not hold: what is seen is its infinity, not a NaN of infinity and its rest. */
static void overflow_stays(void **state)
{
    (void)state;
    static float w[IB_PAIR_INPUTS], y[1];
    static _Alignas(64) uint16_t x[IB_PAIR_INPUTS];
    ib_backend *be;
    ib_params p;
    ib_pair pair;
    assert_int_equal(ib_cpu_open(&(ib_backend_options){.act = IB_BF16, .isa = "tiles", .diag = &diag}, &be), ISOBATH_OK);
    ib_params_init(&p, be, NULL, NULL, &diag);
    for (int i = 0; i < IB_PAIR_INPUTS; i++) {
        w[i] = i == 3 ? 3.4e38f : 0.1f;
        x[i] = ib_f32_to_bf16(1.0f);
    }
    assert_int_equal(ib_pair_pack(&p, w, 1, IB_PAIR_INPUTS, &pair), ISOBATH_OK);
    ib_linear_args args = {.x = ib_tensor_3d(x, IB_BF16, 1, 1, IB_PAIR_INPUTS), .y = ib_tensor_3d(y, IB_F32, 1, 1, 1)};
    assert_int_equal(ib_pair_linear(be, &pair, &args), ISOBATH_OK);
    assert_true(isinf(y[0]));
    ib_params_free(&p);
    be->ops->close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_inputs_keep_the_rest),
        cmocka_unit_test(overflow_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
