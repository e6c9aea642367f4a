/* Decoders of the card that are kept for their owner's next ones: who gets which, and that none is lost or given to two. */
#include "media/nvcuvid/keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { INFO = 176, MOST = 16 };

static int made, open_now, fails, asked;
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

/* "H.264" (0x04), "4:2:0" (0x01): its largest width, behind what is asked for. */
static int caps(void *answer)
{
    uint32_t *a = answer;
    asked++;
    if (fails) return fails;
    a[7] = a[0] * 1000 + a[2];
    return 0;
}

static const ib_keep_driver driver = {caps, create, destroy};

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
    made = open_now = fails = asked = 0;
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

static uint32_t width_of(const void *owner, uint32_t codec, uint32_t depth, int want)
{
    uint32_t c[22] = {codec, 1, depth};
    ib_keep_work_for(owner);
    assert_int_equal(ib_keep_caps(&driver, c), want);
    ib_keep_work_for(NULL);
    return c[7];
}

static void the_card_is_asked_once(void **state)
{
    int me = 0, you = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(width_of(&me, 4, 0, 0), 4000);
        assert_int_equal(width_of(&me, 8, 2, 0), 8002);
        assert_int_equal(width_of(&me, 4, 2, 0), 4002);
        assert_int_equal(width_of(&you, 4, 0, 0), 4000);
    }
    assert_int_equal(asked, 4);
    width_of(NULL, 4, 0, 0);
    width_of(NULL, 4, 0, 0);
    assert_int_equal(asked, 6);
    fails = 3; /* an error is no answer */
    width_of(&me, 5, 0, 3);
    fails = 0;
    assert_int_equal(width_of(&me, 5, 0, 0), 5000);
    ib_keep_release(&driver, &me);
    ib_keep_release(&driver, &me);
    assert_int_equal(width_of(&you, 4, 0, 0), 4000);
    assert_int_equal(asked, 8);
    width_of(&me, 4, 0, 0);
    assert_int_equal(asked, 9);
    ib_keep_release(&driver, &me);
    ib_keep_release(&driver, &you);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(the_next_one_is_the_one_before, begin), cmocka_unit_test_setup(other_pictures_other_owners, begin),
                                       cmocka_unit_test_setup(nobody_keeps_nothing, begin), cmocka_unit_test_setup(the_card_is_asked_once, begin)};
    return cmocka_run_group_tests_name("media_keep", tests, NULL, NULL);
}
