/* The bits of `render` and `fit_sums`, which every backend and every version must give: a result that was begun on one
 * machine is finished on another. The expected bits were computed once by a NumPy program written from the text of op.h
 * (float32 arrays, one rounding per operation; FNV-1a over the bytes of the frame). */
#include "backend/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(render_bits), cmocka_unit_test(render_nan),
                                       cmocka_unit_test(fit_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
