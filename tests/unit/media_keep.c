/* Decoders of the card that are kept for their owner's next ones: who gets which, and that none is lost or given to two. */
#include "media/nvcuvid/keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { INFO = 176, MOST = 16 };

static int made, open_now, fails;
static uint8_t alive[MOST];

static int create(void **decoder, void *info)
{
    (void)info;
    if (fails) return fails;
    assert_true(made < MOST);
    alive[made] = 1;
    *decoder = &alive[made++];
    open_now++;
    return 0;
}

static int destroy(void *decoder)
{
    uint8_t *a = decoder;
    assert_int_equal(*a, 1);
    *a = 0;
    open_now--;
    return 0;
}

static const ib_keep_driver driver = {create, destroy};

/* A decoder for pictures of this size. */
static void *take(const void *owner, unsigned long width)
{
    uint64_t info[INFO / 8] = {width};
    void *d = NULL;
    ib_keep_work_for(owner);
    assert_int_equal(ib_keep_create(&driver, &d, info), 0);
    ib_keep_work_for(NULL);
    return d;
}

static void give(void *decoder) { assert_int_equal(ib_keep_destroy(&driver, decoder), 0); }

static int begin(void **state)
{
    (void)state;
    memset(alive, 0, sizeof alive);
    made = open_now = fails = 0;
    return 0;
}

static void the_next_one_is_the_one_before(void **state)
{
    int me = 0;
    (void)state;
    void *d = take(&me, 64);
    for (int i = 0; i < 5; i++) {
        give(d);
        assert_ptr_equal(take(&me, 64), d);
    }
    assert_true(made == 1 && open_now == 1);
    void *second = take(&me, 64); /* the first one is in use */
    assert_true(second != d && made == 2);
    give(d);
    give(second); /* one is enough */
    assert_int_equal(open_now, 1);
    ib_keep_release(&driver, &me);
    assert_int_equal(open_now, 0);
}

static void other_pictures_other_owners(void **state)
{
    int me = 0, you = 0;
    (void)state;
    void *small = take(&me, 64), *yours = take(&you, 64);
    give(small);
    assert_true(take(&you, 64) != small && made == 3 && open_now == 3);
    void *large = take(&me, 128); /* what is kept is of no use any more */
    assert_true(alive[0] == 0 && made == 4 && open_now == 3);
    give(yours);
    ib_keep_release(&driver, &you); /* one of its is in use */
    assert_int_equal(open_now, 2);
    give(&alive[2]);
    assert_int_equal(open_now, 1);
    ib_keep_release(&driver, &me);
    assert_int_equal(open_now, 1);
    give(large);
    assert_int_equal(open_now, 0);
}

static void nobody_keeps_nothing(void **state)
{
    int me = 0;
    uint64_t info[INFO / 8] = {64};
    void *d = take(NULL, 64);
    (void)state;
    give(d);
    assert_int_equal(open_now, 0);
    fails = 2;
    ib_keep_work_for(&me);
    assert_int_equal(ib_keep_create(&driver, &d, info), 2);
    ib_keep_work_for(NULL);
    ib_keep_release(&driver, &me);
    assert_int_equal(open_now, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(the_next_one_is_the_one_before, begin), cmocka_unit_test_setup(other_pictures_other_owners, begin),
                                       cmocka_unit_test_setup(nobody_keeps_nothing, begin)};
    return cmocka_run_group_tests_name("media_keep", tests, NULL, NULL);
}
