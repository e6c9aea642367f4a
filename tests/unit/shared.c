/* Places for results in memory shared with worker processes: all come, each can be written to, and each device gets its own. */
#include "pipeline/fleet/shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PLACES 9

static ib_shared *create(int raws)
{
    ib_shared_layout l = ib_shared_layout_for(64, 48, 0, 0, 10000, PLACES);
    ib_shared *s;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_shared_create(&l, 0, raws, &diag, &s) != ISOBATH_OK) fail_msg("%s", diag.text);
    for (int i = 0; i < 5000 && ib_shared_free_raws(s) < PLACES; i++) usleep(1000); /* they come one after the other */
    assert_int_equal(ib_shared_free_raws(s), PLACES);
    assert_int_equal(ib_shared_check(s, &diag), ISOBATH_OK);
    return s;
}

/* Also those whose memory is not taken at the start. */
static void all_places_come(void **state)
{
    (void)state;
    for (int raws = 0; raws <= PLACES + 1; raws += 5) {
        ib_shared *s = create(raws);
        for (int i = 0; i < PLACES; i++) {
            int place = ib_shared_take_raw(s, 0);
            assert_true(place >= 0 && place < PLACES);
            memset(ib_shared_raw(s, place), 1, 10000);
        }
        assert_int_equal(ib_shared_take_raw(s, 0), -1);
        ib_shared_unref(s);
    }
}

/* A device's own first, the lowest of those that were not used, else what was used last; of others when there is nothing else. */
static void each_device_keeps_its_own(void **state)
{
    (void)state;
    ib_shared *s = create(PLACES);
    ib_shared_deal(s, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ib_shared_take_raw(s, 0), 2 * i);
        assert_int_equal(ib_shared_take_raw(s, 1), 2 * i + 1);
    }
    ib_shared_give_raw(s, 4);
    ib_shared_give_raw(s, 1);
    ib_shared_give_raw(s, 2);
    assert_int_equal(ib_shared_take_raw(s, 0), 2);
    assert_int_equal(ib_shared_take_raw(s, 1), 1);
    assert_int_equal(ib_shared_take_raw(s, 0), 4);
    assert_int_equal(ib_shared_take_raw(s, 1), 7);
    assert_int_equal(ib_shared_take_raw(s, 1), 6); /* the other's */
    assert_int_equal(ib_shared_take_raw(s, 0), 8);
    assert_int_equal(ib_shared_take_raw(s, 0), -1);
    ib_shared_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_places_come), cmocka_unit_test(each_device_keeps_its_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
