/* Frames in two lanes: every frame once, memory of its own for each lane, joined also after an error, the plan's size. */
#include "backend/backend.h"
#include "model/lanes.h"
#include "op/transfer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { FRAME_BYTES = 1000, MOST = 32 };

typedef struct job {
    ib_arena *arena;
    int seen[MOST];       /* calls that computed this frame */
    char *place[MOST];    /* the scratch of its call */
    int64_t most, fail_at;
    int lane, joins, calls[IB_LANES];
} job;

static job *watched; /* of the faked lane op */

static isobath_status take_lane(ib_backend *b, int lane)
{
    (void)b;
    watched->joins += lane == IB_LANES_JOIN;
    watched->lane = lane;
    return ISOBATH_OK;
}

static isobath_status compute(void *ctx, int64_t first, int64_t count)
{
    job *j = ctx;
    ib_tensor t;
    IB_TRY(ib_arena_3d(j->arena, IB_F32, count, FRAME_BYTES / 4, 1, &t));
    if (j->lane >= 0) j->calls[j->lane]++;
    if (count > j->most) j->most = count;
    for (int64_t i = first; i < first + count; i++) {
        if (i == j->fail_at) return ISOBATH_ERR_DEVICE;
        j->seen[i]++;
        j->place[i] = t.data;
    }
    return ISOBATH_OK;
}

/* With the ref backend's memory; `lanes`: 0 not wanted, 1 not there, 2 there. The plan comes from the null backend, as in vda.c. */
static isobath_status run(job *j, int lanes, int64_t total, int64_t batch)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_backend_options o = {.act = IB_F32, .diag = &diag};
    ib_backend *b, *null_backend;
    ib_arena plan, arena;
    job rehearsal = {.arena = &plan, .fail_at = -1, .lane = -1};
    assert_int_equal(ib_null_open(&o, &null_backend), ISOBATH_OK);
    assert_int_equal(ib_arena_init(&plan, null_backend, (size_t)1 << 30, NULL), ISOBATH_OK);
    assert_int_equal(ib_lanes_run(null_backend, &plan, total, batch, lanes > 0, compute, &rehearsal), ISOBATH_OK);
    assert_int_equal(ib_ref_open(&o, &b), ISOBATH_OK);
    assert_int_equal(ib_arena_init(&arena, b, plan.peak, NULL), ISOBATH_OK); /* not a byte more */
    ib_op_table table = *b->ops;
    const ib_op_table *own = b->ops;
    table.lane = lanes == 2 ? take_lane : NULL;
    b->ops = &table;
    watched = j;
    j->arena = &arena;
    j->lane = IB_LANES_JOIN;
    isobath_status status = ib_lanes_run(b, &arena, total, batch, lanes > 0, compute, j);
    assert_int_equal(arena.used, 0);
    b->ops = own;
    ib_arena_free(&arena);
    ib_backend_close(b);
    ib_arena_free(&plan);
    ib_backend_close(null_backend);
    return status;
}

static void every_frame_once(void **state)
{
    (void)state;
    for (int lanes = 0; lanes < 3; lanes++)
        for (int64_t total = 1; total <= MOST; total++)
            for (int64_t batch = 1; batch <= 12; batch++) {
                job j = {.fail_at = -1};
                assert_int_equal(run(&j, lanes, total, batch), ISOBATH_OK);
                for (int i = 0; i < MOST; i++) assert_int_equal(j.seen[i], i < total);
                assert_true(j.most <= (lanes == 2 ? (batch + 1) / 2 : batch));
                assert_int_equal(j.lane, IB_LANES_JOIN);
                assert_int_equal(j.joins, lanes == 2 && batch > 1 && total > (batch + 1) / 2);
            }
}

/* Frames of different lanes never share memory; within a lane every call has the same. */
static void memory_of_its_own(void **state)
{
    (void)state;
    job j = {.fail_at = -1};
    assert_int_equal(run(&j, 2, 22, 8), ISOBATH_OK); /* four frames at a time */
    assert_int_equal(j.calls[0], 3);
    assert_int_equal(j.calls[1], 3);
    for (int i = 8; i < 22; i++) assert_ptr_equal(j.place[i], j.place[i - 8]);
    assert_true(j.place[4] >= j.place[0] + 4 * FRAME_BYTES);
}

static void an_error_ends_both(void **state)
{
    (void)state;
    job j = {.fail_at = 9};
    assert_int_equal(run(&j, 2, 22, 8), ISOBATH_ERR_DEVICE);
    assert_int_equal(j.joins, 1);
    assert_int_equal(j.seen[12], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_frame_once), cmocka_unit_test(memory_of_its_own),
                                       cmocka_unit_test(an_error_ends_both)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
