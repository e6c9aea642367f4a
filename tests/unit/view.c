/* The view of a stream: its range, its size, its colours. */
#include "pipeline/stream/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void range_widens_at_once_and_narrows_slowly(void **state)
{
    (void)state;
    ib_view_range r = {0};
    ib_view_range_add(&r, 2, 4);
    assert_true(r.low == 2 && r.high == 4);
    ib_view_range_add(&r, 1, 8);
    assert_true(r.low == 1 && r.high == 8);
    ib_view_range_add(&r, 3, 4);
    assert_true(r.low > 1 && r.low < 1.2f && r.high < 8 && r.high > 7.7f);
    for (int i = 0; i < 200; i++) ib_view_range_add(&r, 3, 4);
    assert_true(r.low > 2.99f && r.low <= 3 && r.high >= 4 && r.high < 4.01f);
}

/* Odd sizes become even; the nearest is the brightest; a flat frame divides by nothing. */
static void pictures(void **state)
{
    (void)state;
    float depth[3 * 5] = {0};
    uint8_t rgb[3 * 5 * 3] = {0};
    for (int side = 0; side < 2; side++) {
        ib_sink_config c = {.width = 5, .height = 3, .grayscale = 1, .preview_side_by_side = side};
        ib_depth_frame f = {.width = 5, .height = 3, .depth = depth, .min = 0, .max = 0, .rgb = rgb, .rgb_width = 5, .rgb_height = 3};
        ib_diag diag = IB_DIAG_INIT;
        ib_view *v;
        size_t bytes;
        assert_int_equal(ib_view_create(&c, &diag, &v), ISOBATH_OK);
        assert_int_equal(ib_view_width(v), side ? 12 : 6);
        assert_int_equal(ib_view_height(v), 4);
        const uint8_t *luma = ib_view_draw(v, &f, &bytes);
        assert_int_equal(bytes, (side ? 12 : 6) * 4 * 3 / 2);
        assert_int_equal(luma[0], 16);
        depth[0] = f.max = 7;
        luma = ib_view_draw(v, &f, &bytes);
        assert_int_equal(luma[side ? 6 : 0], 235);
        assert_int_equal(luma[side ? 7 : 1], 16);
        depth[0] = 0;
        ib_view_destroy(v);
    }
    ib_diag diag = IB_DIAG_INIT;
    ib_view *v;
    assert_int_equal(ib_view_create(&(ib_sink_config){.width = 2, .height = 2, .colormap = "mauve"}, &diag, &v), ISOBATH_ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(range_widens_at_once_and_narrows_slowly), cmocka_unit_test(pictures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
