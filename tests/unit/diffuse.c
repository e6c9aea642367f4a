/* base/diffuse.h: what the rounding of a kernel does to a smooth image, what it leaves alone, values that are not finite. */
#include "base/diffuse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static float nearest(float x, ib_dtype type)
{
    return type == IB_F16 ? ib_f16_to_f32(ib_f32_to_f16(x)) : ib_bf16_to_f32(ib_f32_to_bf16(x));
}

static float random_weight(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}

/* Root mean square of what rounding adds to the answer to a slope of `dy` and `dx` a position around 1. */
static double smooth_error(const float *w, const float *rounded, int64_t kernels, int side, double dy, double dx)
{
    double square = 0;
    for (int64_t k = 0; k < kernels; k++) {
        double sum = 0;
        for (int i = 0; i < side * side; i++)
            sum += ((double)rounded[k * side * side + i] - w[k * side * side + i]) * (1 + dy * (i / side) + dx * (i % side));
        square += sum * sum;
    }
    return sqrt(square / (double)kernels);
}

static void smooth_images_lose_less(void **state)
{
    (void)state;
    enum { KERNELS = 2000 };
    uint32_t seed = 1;
    const int sides[2] = {3, 14};
    for (int type = IB_F16; type <= IB_BF16; type++)
        for (int s = 0; s < 2; s++) {
            int n = sides[s] * sides[s];
            size_t bytes = (size_t)KERNELS * (size_t)n * sizeof(float);
            float *w = malloc(bytes), *diffused = malloc(bytes), *plain = malloc(bytes);
            for (int64_t i = 0; i < (int64_t)KERNELS * n; i++) {
                w[i] = diffused[i] = random_weight(&seed);
                plain[i] = nearest(w[i], (ib_dtype)type);
            }
            ib_diffuse_kernels(diffused, KERNELS, sides[s], (ib_dtype)type);
            const double slopes[3][2] = {{0, 0}, {0.05, 0}, {0.03, -0.02}};
            for (int i = 0; i < 3; i++) { /* measured: 2.7 to 3 times for 3x3, 10 to 12 for patches */
                double before = smooth_error(w, plain, KERNELS, sides[s], slopes[i][0], slopes[i][1]);
                double after = smooth_error(w, diffused, KERNELS, sides[s], slopes[i][0], slopes[i][1]);
                assert_true(after < before / (s ? 8 : 2.5));
            }
            for (int64_t i = 0; i < (int64_t)KERNELS * n; i++) { /* the type holds it, and it is near */
                assert_true(diffused[i] == nearest(diffused[i], (ib_dtype)type));
                assert_true(fabsf(diffused[i] - w[i]) <= 3.71f * 0.5f * (type == IB_F16 ? 0x1p-10f : 0x1p-7f));
            }
            free(w);
            free(diffused);
            free(plain);
        }
}

static void weights_that_fit_stay(void **state)
{
    (void)state;
    float w[9], before[9];
    uint32_t seed = 7;
    for (int i = 0; i < 9; i++) before[i] = w[i] = nearest(random_weight(&seed), IB_BF16);
    ib_diffuse_kernels(w, 1, 3, IB_BF16);
    assert_memory_equal(w, before, sizeof w);
    for (int i = 0; i < 9; i++) before[i] = w[i] = random_weight(&seed);
    ib_diffuse_kernels(w, 1, 3, IB_F32);
    assert_memory_equal(w, before, sizeof w);
}

/* An overflow stays visible and does not reach its neighbours. */
static void not_finite_values_stay_alone(void **state)
{
    (void)state;
    float w[9] = {NAN, 0.1f, 0.2f, INFINITY, 0.3f, 1e5f, 0.4f, -INFINITY, 0.5f};
    ib_diffuse_kernels(w, 1, 3, IB_F16);
    assert_true(isnan(w[0]) && isinf(w[3]) && isinf(w[5]) && w[7] == -INFINITY);
    const float expected[9] = {0, 0.1f, 0.2f, 0, 0.3f, 0, 0.4f, 0, 0.5f};
    for (int i = 0; i < 9; i++)
        if (expected[i] > 0) assert_true(fabsf(w[i] - expected[i]) < 1e-3f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smooth_images_lose_less),
        cmocka_unit_test(weights_that_fit_stay),
        cmocka_unit_test(not_finite_values_stay_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
