/* Items that threads work on side by side: each once, out in order, never more ahead than was said, the first failure in order for all that
 * follows, nothing lost. */
#include "base/ordered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 400 };

typedef struct item {
    int number, worked;
    isobath_status left; /* as it was told; -1: it has not left */
} item;

typedef struct probe {
    item items[N];
    int threads, ahead;
    int work_fails_at, leave_fails_at, stop_at; /* -1: never */
    atomic_int begun, left, most_ahead, inside, together, broken;
    atomic_uint used; /* bit of each thread */
} probe;

static int stopped(void *ctx)
{
    probe *p = ctx;
    return p->stop_at >= 0 && atomic_load(&p->begun) >= p->stop_at;
}

static isobath_status work(void *ctx, void *arg, int thread)
{
    probe *p = ctx;
    item *i = arg;
    int ahead = atomic_fetch_add(&p->begun, 1) + 1 - atomic_load(&p->left), most = atomic_load(&p->most_ahead);
    while (ahead > most && !atomic_compare_exchange_weak(&p->most_ahead, &most, ahead)) {
    }
    int inside = atomic_fetch_add(&p->inside, 1) + 1, together = atomic_load(&p->together);
    while (inside > together && !atomic_compare_exchange_weak(&p->together, &together, inside)) {
    }
    if (thread < 0 || thread >= (p->threads ? p->threads : 1)) atomic_store(&p->broken, 1);
    else atomic_fetch_or(&p->used, 1u << thread);
    usleep((useconds_t)(i->number * 7919 % 300)); /* they end in another order */
    i->worked++;
    atomic_fetch_sub(&p->inside, 1);
    return i->number == p->work_fails_at ? ISOBATH_ERR_IO : ISOBATH_OK;
}

static isobath_status leave(void *ctx, void *arg, isobath_status status)
{
    probe *p = ctx;
    item *i = arg;
    if (i->number != atomic_load(&p->left) || i->left != (isobath_status)-1) atomic_store(&p->broken, 1);
    i->left = status;
    if (i->number == p->leave_fails_at) status = ISOBATH_ERR_MODEL;
    usleep((useconds_t)(i->number * 31 % 60));
    atomic_fetch_add(&p->left, 1); /* one at a time: else some number comes twice */
    return status;
}

/* Pushes all items; what the drain says. */
static isobath_status run(probe *p, int threads, int ahead, int room)
{
    ib_ordered *o;
    ib_ordered_options how = {.name = "test", .threads = threads, .ahead = ahead, .room = room, .work = work, .leave = leave, .stopped = stopped, .ctx = p};
    p->threads = threads;
    p->ahead = ahead;
    for (int i = 0; i < N; i++) p->items[i] = (item){.number = i, .left = (isobath_status)-1};
    assert_int_equal(ib_ordered_create(&how, &o), ISOBATH_OK);
    for (int i = 0; i < N; i++) {
        isobath_status st = ib_ordered_push(o, &p->items[i]);
        if (p->work_fails_at < 0 && p->leave_fails_at < 0 && p->stop_at < 0) assert_int_equal(st, ISOBATH_OK);
        int in = i + 1 - atomic_load(&p->left);
        if (in > room) fail_msg("%d items are in, %d have room", in, room);
    }
    isobath_status st = ib_ordered_drain(o);
    assert_int_equal(atomic_load(&p->left), N);
    ib_ordered_destroy(o);
    assert_false(atomic_load(&p->broken));
    assert_true(atomic_load(&p->most_ahead) <= ahead);
    return st;
}

static void leaves_in_order(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 5; threads++) {
        probe p = {.work_fails_at = -1, .leave_fails_at = -1, .stop_at = -1};
        assert_int_equal(run(&p, threads, threads ? 2 * threads : 1, 3 * threads + 1), ISOBATH_OK);
        for (int i = 0; i < N; i++) assert_true(p.items[i].worked == 1 && p.items[i].left == ISOBATH_OK);
        if (threads > 1) assert_true(atomic_load(&p.together) > 1);
        if (threads) assert_int_equal(atomic_load(&p.used), (1u << threads) - 1);
    }
}

/* ahead below the number of threads: they wait, and no wake is lost. */
static void keeps_to_what_it_may_be_ahead(void **state)
{
    (void)state;
    probe p = {.work_fails_at = -1, .leave_fails_at = -1, .stop_at = -1};
    assert_int_equal(run(&p, 5, 2, 50), ISOBATH_OK);
    assert_int_equal(atomic_load(&p.together), 2);
}

static void first_failure_in_order_is_told_to_all_that_follow(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        probe p = {.work_fails_at = how == 0 ? 70 : -1, .leave_fails_at = how == 1 ? 70 : -1, .stop_at = how == 2 ? 70 : -1};
        isobath_status want = how == 0 ? ISOBATH_ERR_IO : how == 1 ? ISOBATH_ERR_MODEL : ISOBATH_ERR_INTERRUPTED;
        assert_int_equal(run(&p, 4, 8, 32), want);
        int worked = 0, first = -1;
        for (int i = 0; i < N; i++) {
            worked += p.items[i].worked;
            if (first < 0 && p.items[i].left != ISOBATH_OK) first = i;
            if (first >= 0) assert_int_equal(p.items[i].left, want);
            if (first < 0) assert_int_equal(p.items[i].worked, 1); /* what came before was whole */
        }
        if (how == 0) assert_int_equal(first, 70);
        if (how == 1) assert_int_equal(first, 71);
        if (how == 2) assert_true(first >= 70 && first <= 74); /* those that the other threads had begun */
        assert_true(worked <= 71 + 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(leaves_in_order), cmocka_unit_test(keeps_to_what_it_may_be_ahead),
                                       cmocka_unit_test(first_failure_in_order_is_told_to_all_that_follow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
