/* Composed layers: each against the two layers that it stands for, on the reference backend, borders and biases included. */
#include "backend/backend.h"
#include "model/compose.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { C = 3, M = 37, K = 35, H = 3, W = 4 }; /* more than a block and a chunk */

static ib_diag diag = IB_DIAG_INIT;
static uint32_t seed;

static float *numbers(int64_t count)
{
    float *v = calloc((size_t)count, sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(seed >> 8) / 16777216.0f - 0.4f;
    }
    return v;
}

static ib_weight *weight(ib_backend *b, ib_weight_kind kind, int64_t out, int64_t in, int kernel, const float *data)
{
    ib_weight *w = NULL;
    assert_int_equal(b->ops->weight_create(b, &(ib_weight_desc){kind, out, in, kernel, data}, &w), ISOBATH_OK);
    return w;
}

static void assert_close(const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-4f)) fail_msg("value %d of %d: %g, expected %g", (int)i, (int)count, (double)a[i], (double)b[i]);
}

/* `k` of a transposed convolution; 1: a 1x1 and a resize to HO x WO. */
static void composed(int k, int64_t ho, int64_t wo)
{
    const int64_t rows = (int64_t)(k + 2) * (k + 2) * C;
    ib_backend *b;
    assert_int_equal(ib_ref_open(&(ib_backend_options){.act = IB_F32, .diag = &diag}, &b), ISOBATH_OK);
    seed = (uint32_t)k;
    float *x = numbers(H * W * K), *w0 = numbers(M * K * k * k), *b0 = numbers(M), *w1 = numbers(C * M * 9), *b1 = numbers(C);
    float *w = numbers(rows * K), *bias = numbers(rows), *z = numbers(H * W * rows);
    float *small = numbers(H * W * M), *large = numbers(ho * wo * M), *expected = numbers(ho * wo * C), *got = numbers(ho * wo * C);
    ib_tensor tx = ib_tensor_4d(x, IB_F32, 1, H, W, K), tz = ib_tensor_4d(z, IB_F32, 1, H, W, rows);
    ib_tensor tl = ib_tensor_4d(large, IB_F32, 1, ho, wo, M), te = ib_tensor_4d(expected, IB_F32, 1, ho, wo, C);
    ib_tensor tg = ib_tensor_4d(got, IB_F32, 1, ho, wo, C), ts = ib_tensor_4d(small, IB_F32, 1, H, W, M);
    ib_weight *first = weight(b, k == 1 ? IB_WEIGHT_LINEAR : IB_WEIGHT_CONVT, M, K, k == 1 ? 0 : k, w0);
    ib_weight *second = weight(b, IB_WEIGHT_CONV3X3, C, M, 0, w1);
    if (k > 1) memset(b1, 0, C * sizeof *b1); /* layerK_rn has no bias */

    ib_tensor vector0 = ib_tensor_1d(b0, IB_F32, M), vector1 = ib_tensor_1d(b1, IB_F32, C), all = ib_tensor_1d(bias, IB_F32, rows);
    if (k == 1) {
        assert_int_equal(ib_compose_taps(C, M, K, IB_F32, w0, b0, w1, w, bias, &diag), ISOBATH_OK);
        assert_int_equal(ib_linear(b, &(ib_linear_args){.x = ib_tensor_as_tokens(&tx), .w = first, .bias = vector0,
                                                        .y = ib_tensor_as_tokens(&ts)}), ISOBATH_OK);
        assert_int_equal(ib_resize_bilinear(b, &(ib_resize_bilinear_args){ts, tl}), ISOBATH_OK);
    } else {
        assert_int_equal(ib_compose_overlap(C, M, K, k, w0, b0, w1, w, bias, &diag), ISOBATH_OK);
        assert_int_equal(ib_conv_transpose(b, &(ib_conv_transpose_args){tx, first, vector0, tl}), ISOBATH_OK);
    }
    assert_int_equal(ib_conv3x3(b, &(ib_conv3x3_args){.x = tl, .w = second, .bias = vector1, .stride = 1, .y = te}), ISOBATH_OK);
    ib_weight *both = weight(b, IB_WEIGHT_LINEAR, rows, K, 0, w);
    assert_int_equal(ib_linear(b, &(ib_linear_args){.x = ib_tensor_as_tokens(&tx), .w = both, .bias = all,
                                                    .y = ib_tensor_as_tokens(&tz)}), ISOBATH_OK);
    assert_int_equal(k == 1 ? ib_resize_taps(b, &(ib_resize_taps_args){tz, vector1, tg})
                            : ib_overlap_add(b, &(ib_overlap_add_args){tz, k, tg}), ISOBATH_OK);
    assert_close(got, expected, ho * wo * C);

    ib_weight *weights[] = {first, second, both};
    for (int i = 0; i < 3; i++) b->ops->weight_destroy(b, weights[i]);
    float *const numbers_of[] = {x, w0, b0, w1, b1, w, bias, z, small, large, expected, got};
    for (size_t i = 0; i < sizeof numbers_of / sizeof *numbers_of; i++) free(numbers_of[i]);
    ib_backend_close(b);
}

static void resize_and_3x3(void **state)
{
    (void)state;
    composed(1, 2 * H, 2 * W);
    composed(1, H + 1, W + 3);
}

static void transposed_and_3x3(void **state)
{
    (void)state;
    for (int k = 2; k <= 4; k++) composed(k, k * H, k * W);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resize_and_3x3), cmocka_unit_test(transposed_and_3x3)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
