/* The queue between push and every sink: bounded in bytes, commits in order, the first error wins, no frame is lost. */
#include "sink_helper.h"

#include "sink/queue.h"

#include <stdatomic.h>

enum { W = 32, H = 32, N = 200, FRAME_BYTES = W * H * 4 };

typedef struct probe {
    atomic_int working, most, worked;
    int64_t next; /* expected by commit */
    int64_t fail_at;
    int order_broken;
} probe;

static isobath_status work(void *ctx, ib_depth_frame *frame, int thread)
{
    probe *p = ctx;
    (void)thread;
    int now = atomic_fetch_add(&p->working, 1) + 1, most = atomic_load(&p->most);
    while (now > most && !atomic_compare_exchange_weak(&p->most, &most, now)) {
    }
    usleep((useconds_t)(frame->index * 7919 % 500)); /* finishing out of order */
    atomic_fetch_sub(&p->working, 1);
    atomic_fetch_add(&p->worked, 1);
    return frame->index == p->fail_at ? ISOBATH_ERR_IO : ISOBATH_OK;
}

static isobath_status commit(void *ctx, ib_depth_frame *frame, int thread)
{
    probe *p = ctx;
    (void)thread;
    if (frame->index != p->next++) p->order_broken = 1;
    return ISOBATH_OK;
}

static ib_depth_frame *small_frame(int i)
{
    ib_depth_frame *f;
    assert_int_equal(ib_depth_frame_create(W, H, 0, 0, 0, NULL, &f), ISOBATH_OK);
    f->index = i;
    return f;
}

static void commits_in_order(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        probe p = {.fail_at = -1};
        ib_frame_queue *queue;
        ib_frame_queue_ops ops = {work, commit};
        assert_int_equal(ib_frame_queue_create(threads, 10 * FRAME_BYTES, &ops, &p, NULL, &queue), ISOBATH_OK);
        for (int i = 0; i < N; i++) {
            ib_depth_frame *f = small_frame(i);
            assert_int_equal(ib_frame_queue_push(queue, f), ISOBATH_OK);
            ib_depth_frame_unref(f);
        }
        assert_int_equal(ib_frame_queue_drain(queue), ISOBATH_OK);
        assert_int_equal(p.next, N);
        assert_false(p.order_broken);
        ib_frame_queue_destroy(queue);
    }
}

/* Returns when four frames are in work, or after 20 s. */
static isobath_status meet(void *ctx, ib_depth_frame *frame, int thread)
{
    probe *p = ctx;
    (void)frame, (void)thread;
    atomic_fetch_add(&p->working, 1);
    for (int i = 0; i < 20000 && atomic_load(&p->working) % 4; i++) usleep(1000);
    return atomic_load(&p->working) % 4 ? ISOBATH_ERR_INTERNAL : ISOBATH_OK;
}

/* Four pushes find four threads. */
static void every_thread_works(void **state)
{
    (void)state;
    probe p = {0};
    ib_frame_queue *queue;
    ib_frame_queue_ops ops = {meet, NULL};
    assert_int_equal(ib_frame_queue_create(4, 4 * FRAME_BYTES, &ops, &p, NULL, &queue), ISOBATH_OK);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            ib_depth_frame *f = small_frame(i);
            assert_int_equal(ib_frame_queue_push(queue, f), ISOBATH_OK);
            ib_depth_frame_unref(f);
        }
        assert_int_equal(ib_frame_queue_drain(queue), ISOBATH_OK);
    }
    ib_frame_queue_destroy(queue);
}

/* Frames in work count: with room for two no more than two are worked on, with less than one still one is. */
static void bounded_in_bytes(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        int most;
    } cases[] = {{2 * FRAME_BYTES, 2}, {1, 1}};
    for (int c = 0; c < 2; c++) {
        probe p = {.fail_at = -1};
        ib_frame_queue *queue;
        ib_frame_queue_ops ops = {work, NULL};
        assert_int_equal(ib_frame_queue_create(4, cases[c].bytes, &ops, &p, NULL, &queue), ISOBATH_OK);
        for (int i = 0; i < 60; i++) {
            ib_depth_frame *f = small_frame(i);
            assert_int_equal(ib_frame_queue_push(queue, f), ISOBATH_OK);
            ib_depth_frame_unref(f);
        }
        assert_int_equal(ib_frame_queue_drain(queue), ISOBATH_OK);
        assert_int_equal(atomic_load(&p.worked), 60);
        assert_in_range(atomic_load(&p.most), 1, cases[c].most);
        ib_frame_queue_destroy(queue);
    }
}

typedef struct pairs {
    atomic_int seen[60], alone, together, wrong;
    int64_t fail_at;
    atomic_int open; /* 0: nobody goes on */
} pairs;

static void see(pairs *p, const ib_depth_frame *f)
{
    atomic_fetch_add(&p->seen[f->index], 1);
    while (!atomic_load(&p->open)) usleep(1000);
}

static isobath_status see_one(void *ctx, ib_depth_frame *frame, int thread)
{
    (void)thread;
    atomic_fetch_add(&((pairs *)ctx)->alone, 1);
    see(ctx, frame);
    return ISOBATH_OK;
}

static isobath_status see_two(void *ctx, ib_depth_frame *const frame[2], int thread)
{
    pairs *p = ctx;
    (void)thread;
    atomic_fetch_add(&p->together, 1);
    if (frame[0]->depth || frame[1]->depth || frame[1]->index != frame[0]->index + 1) atomic_store(&p->wrong, 1);
    see(p, frame[0]);
    see(p, frame[1]);
    return p->fail_at >= frame[0]->index && p->fail_at <= frame[1]->index ? ISOBATH_ERR_IO : ISOBATH_OK;
}

/* Two waiting frames without depth go to one thread, in order; others and those of a format that commits one by one. */
static void packed_frames_in_pairs(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        pairs p = {.fail_at = k == 2 ? 31 : -1};
        ib_frame_queue *queue;
        ib_frame_queue_ops ops = {see_one, k == 1 ? see_one : NULL, see_two};
        ib_depth_frame_pool *pool;
        assert_int_equal(ib_depth_frame_pool_create(NULL, &pool), ISOBATH_OK);
        assert_int_equal(ib_frame_queue_create(1 + k, 100 * FRAME_BYTES, &ops, &p, NULL, &queue), ISOBATH_OK);
        for (int i = 0; i < 60; i++) { /* from 40 on every fifth with depth */
            ib_depth_frame *f;
            assert_int_equal(ib_depth_frame_take(pool, W, H, i >= 40 && i % 5 == 0, 0, 0, 0, NULL, &f), ISOBATH_OK);
            f->index = i;
            assert_int_equal(ib_frame_queue_push(queue, f), ISOBATH_OK);
            ib_depth_frame_unref(f);
            if (i == 0) while (!atomic_load(&p.seen[0])) usleep(1000); /* a thread has it, alone */
        }
        assert_true(ib_frame_queue_done(queue) == 0);
        atomic_store(&p.open, 1);
        assert_int_equal(ib_frame_queue_drain(queue), k == 2 ? ISOBATH_ERR_IO : ISOBATH_OK);
        for (int i = 0; i < 60 && k < 2; i++) assert_int_equal(atomic_load(&p.seen[i]), 1 + k);
        assert_int_equal(atomic_load(&p.wrong), 0);
        if (k == 0) { /* 0; 1 2 .. 37 38; 39; 40; 41 42; 43 44; 45; 46 47 ... */
            assert_int_equal(atomic_load(&p.together), 19 + 8);
            assert_int_equal(ib_frame_queue_done(queue), 60);
        }
        if (k == 1) assert_int_equal(atomic_load(&p.together), 0);
        ib_frame_queue_destroy(queue);
        ib_depth_frame_pool_close(pool);
    }
}

/* After a failure push and drain return it, and what came before it was committed (leaks are AddressSanitizer's). */
static void first_error_is_kept(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        probe p = {.fail_at = 20};
        ib_frame_queue *queue;
        ib_frame_queue_ops ops = {work, commit};
        assert_int_equal(ib_frame_queue_create(threads, 4 * FRAME_BYTES, &ops, &p, NULL, &queue), ISOBATH_OK);
        isobath_status st = ISOBATH_OK;
        int pushed = 0;
        for (; pushed < N && st == ISOBATH_OK; pushed++) {
            ib_depth_frame *f = small_frame(pushed);
            st = ib_frame_queue_push(queue, f);
            ib_depth_frame_unref(f);
        }
        assert_int_equal(st, ISOBATH_ERR_IO);
        assert_in_range(pushed, 21, 20 + 4 + 2 + threads);
        assert_int_equal(ib_frame_queue_drain(queue), ISOBATH_ERR_IO);
        assert_int_equal(ib_frame_queue_drain(queue), ISOBATH_ERR_IO);
        assert_in_range(p.next, 20 - threads, 20); /* commits stop at the failure */
        assert_false(p.order_broken);
        ib_frame_queue_destroy(queue);
    }
}

/* Destroying a full queue ends at once and frees everything. */
static void destroyed_while_full(void **state)
{
    (void)state;
    for (int k = 0; k < 20; k++) {
        probe p = {.fail_at = -1};
        ib_frame_queue *queue;
        ib_frame_queue_ops ops = {work, k & 1 ? commit : NULL};
        assert_int_equal(ib_frame_queue_create(1 + k % 4, 50 * FRAME_BYTES, &ops, &p, NULL, &queue), ISOBATH_OK);
        for (int i = 0; i < 40; i++) {
            ib_depth_frame *f = small_frame(i);
            assert_int_equal(ib_frame_queue_push(queue, f), ISOBATH_OK);
            ib_depth_frame_unref(f);
        }
        ib_frame_queue_destroy(queue);
        assert_true(atomic_load(&p.worked) <= 40);
    }
}

/* Frames that all have let go of are taken again, the last one first; one that is still out when the pool is closed lives on. */
static void frames_are_used_again(void **state)
{
    (void)state;
    ib_depth_frame_pool *pool;
    ib_depth_frame *f[3], *again[3];
    assert_int_equal(ib_depth_frame_pool_create(NULL, &pool), ISOBATH_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(ib_depth_frame_take(pool, 8, 4, 1, 1, 16, 8, NULL, &f[i]), ISOBATH_OK);
    assert_true(f[0] != f[1] && f[1] != f[2] && f[0] != f[2]);
    ib_depth_frame_ref(f[1]);
    for (int i = 0; i < 3; i++) ib_depth_frame_unref(f[i]);
    assert_int_equal(ib_depth_frame_take(pool, 8, 4, 1, 1, 16, 8, NULL, &again[0]), ISOBATH_OK);
    assert_int_equal(ib_depth_frame_take(pool, 8, 4, 1, 1, 16, 8, NULL, &again[1]), ISOBATH_OK);
    assert_int_equal(ib_depth_frame_take(pool, 8, 4, 1, 1, 16, 8, NULL, &again[2]), ISOBATH_OK);
    assert_true(again[0] == f[2] && again[1] == f[0] && again[2] != f[1]);
    assert_true(again[2]->width == 8 && again[2]->rgb_height == 8 && again[2]->rgb);
    ib_depth_frame_unref(again[0]);
    ib_depth_frame_pool_close(pool);
    f[1]->depth[31] = 1;
    ib_depth_frame_unref(f[1]);
    ib_depth_frame_unref(again[1]);
    ib_depth_frame_unref(again[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames_are_used_again),
        cmocka_unit_test(commits_in_order), cmocka_unit_test(every_thread_works),
        cmocka_unit_test(bounded_in_bytes),
        cmocka_unit_test(first_error_is_kept),
        cmocka_unit_test(destroyed_while_full), cmocka_unit_test(packed_frames_in_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
