/* The thread pool, the channel and the first-error record. */
#include "base/channel.h"
#include "base/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct visits {
    atomic_int count[1000];
    atomic_int bad_thread;
    int threads;
} visits;

static void visit(void *ctx, int64_t i, int thread)
{
    visits *v = ctx;
    atomic_fetch_add(&v->count[i], 1);
    if (thread < 0 || thread >= v->threads) atomic_store(&v->bad_thread, 1);
}

static void pool_runs_every_index_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        ib_pool *pool;
        assert_int_equal(ib_pool_create(threads, NULL, &pool), ISOBATH_OK);
        static visits v;
        memset(&v, 0, sizeof v);
        v.threads = threads;
        for (int round = 0; round < 50; round++) ib_pool_run(pool, 1 + round * 20, visit, &v);
        for (int i = 0; i < 1000; i++) assert_int_equal(atomic_load(&v.count[i]), i == 0 ? 50 : 50 - (i + 19) / 20);
        assert_int_equal(v.bad_thread, 0);
        ib_pool_destroy(pool);
    }
    ib_pool *pool;
    assert_int_equal(ib_pool_create(0, NULL, &pool), ISOBATH_ERR_USAGE);
    assert_int_equal(ib_pool_create(IB_POOL_MOST + 1, NULL, &pool), ISOBATH_ERR_USAGE);
}

static void *consume(void *arg)
{
    int *sum = NULL;
    static int total;
    total = 0;
    for (sum = ib_channel_pop(arg); sum; sum = ib_channel_pop(arg)) total = total * 2 % 1000003 + *sum;
    return &total;
}

static void channel_keeps_order_and_bound(void **state)
{
    (void)state;
    static int items[2000];
    ib_channel *c;
    assert_int_equal(ib_channel_create(100, NULL, &c), ISOBATH_OK);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, consume, c), 0);
    int want = 0;
    for (int i = 0; i < 2000; i++) {
        items[i] = i % 97;
        want = want * 2 % 1000003 + items[i];
        assert_int_equal(ib_channel_push(c, &items[i], (size_t)(i % 130)), 1); /* one larger than the bound fits alone */
    }
    ib_channel_close(c);
    void *got;
    pthread_join(t, &got);
    assert_int_equal(*(int *)got, want);
    ib_channel_destroy(c, NULL);
}

static int dropped;
static void drop(void *item)
{
    (void)item;
    dropped++;
}

static void *push_blocked(void *arg)
{
    static int x;
    return ib_channel_push(arg, &x, 10) ? arg : NULL;
}

static void channel_stop_frees_everyone(void **state)
{
    (void)state;
    ib_channel *c;
    int x = 0;
    assert_int_equal(ib_channel_create(10, NULL, &c), ISOBATH_OK);
    assert_int_equal(ib_channel_push(c, &x, 10), 1);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, push_blocked, c), 0);
    ib_channel_stop(c);
    void *got;
    pthread_join(t, &got);
    assert_null(got);
    assert_null(ib_channel_pop(c));
    ib_channel_destroy(c, drop);
    assert_int_equal(dropped, 1);
}

static void first_error_wins(void **state)
{
    (void)state;
    ib_diag d = IB_DIAG_INIT;
    assert_int_equal(ib_fail(&d, ISOBATH_ERR_IO, "%s: %d", "first", 1), ISOBATH_ERR_IO);
    assert_int_equal(ib_fail(&d, ISOBATH_ERR_MODEL, "second"), ISOBATH_ERR_MODEL);
    assert_int_equal(ib_diag_status(&d), ISOBATH_ERR_IO);
    assert_string_equal(d.text, "first: 1");
    assert_int_equal(ib_fail(NULL, ISOBATH_ERR_IO, "dropped"), ISOBATH_ERR_IO);
    for (int s = 0; s <= 10; s++) assert_string_not_equal(isobath_status_name((isobath_status)s), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_runs_every_index_once), cmocka_unit_test(channel_keeps_order_and_bound),
        cmocka_unit_test(channel_stop_frees_everyone), cmocka_unit_test(first_error_wins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
