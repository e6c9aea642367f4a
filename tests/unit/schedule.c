/* The schedule against simulated devices: every window once and in order, memory bounded, nobody idle for long, whatever the
 * speeds, deaths and delays. */
#include "pipeline/fleet/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct device {
    double speed_us;     /* per window */
    int64_t next_us;     /* its next answer; -1: nothing in work */
    int64_t join_us;     /* starts (again) then; -1: it works, or is gone */
    int hung;
    int64_t hung_us;
    int has[IB_SCHEDULE_DEEP], count;
    int64_t busy_us;
    int windows;
    int64_t last; /* the window that it got last */
} device;

typedef struct simulation {
    int devices, segment, slots, total, hint;
    double jitter;        /* times vary by this factor */
    int death_per_mille;  /* that a device dies instead of answering */
    int hang_at;          /* the device that answers this window hangs; -1: none does */
    int64_t watchdog_us;
    int feed_us;          /* time between new windows, 0: all there when memory allows */
    int ahead;            /* windows that memory allows to be known */
    int deep;             /* windows that a device may have; 0: the default */
    int key_every;        /* a segment that begins at one of these windows decodes nothing for nothing; 0: all do */
    device device[IB_MAX_DEVICES];
    /* results */
    int64_t end_us;
    int most_slots, lost, repeated, stalled;
    int64_t for_nothing; /* frames decoded before those of a segment */
} simulation;

static uint32_t seed;
static uint32_t noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static int64_t duration(const simulation *m, const device *d)
{
    return (int64_t)(d->speed_us * (1 + m->jitter * ((double)(noise() % 1000) / 1000))) + 1;
}

static int32_t lead_of(const simulation *m, int64_t window)
{
    return m->key_every ? (int32_t)(window % m->key_every) * 22 : -1;
}

static void run(simulation *m)
{
    ib_schedule s;
    int used = 0, popped = 0;
    int64_t now = 0, feed = 0;
    assert_int_equal(ib_schedule_init(&s, m->devices, m->segment, m->hint ? m->total : -1, m->ahead, NULL), ISOBATH_OK);
    for (int d = 0; d < m->devices; d++) {
        m->device[d].next_us = -1;
        if (m->deep) s.device[d].depth = m->deep;
        ib_schedule_join(&s, d, 0);
        m->device[d].join_us = -1;
    }
    while (popped < m->total && !m->stalled) {
        while (s.appended < m->total && feed <= now && ib_schedule_append(&s, lead_of(m, s.appended))) feed = now + m->feed_us;
        s.ended = s.appended == m->total;
        while (ib_schedule_ready(&s)) { /* the runner takes results at once and gives the slot back */
            assert_int_equal(ib_schedule_pop(&s), popped++);
            used--;
        }
        for (int d = 0; d < m->devices; d++) { /* the watchdog */
            device *v = &m->device[d];
            if (!v->hung || now - v->hung_us < m->watchdog_us) continue;
            ib_schedule_leave(&s, d);
            used -= v->count;
            v->count = v->hung = 0;
            v->join_us = now + 1000;
        }
        int moved = 0;
        for (int d = 0; d < m->devices; d++) {
            device *v = &m->device[d];
            for (int64_t i; (i = ib_schedule_next(&s, d, m->slots - used, now)) >= 0; moved = 1) {
                used++;
                if (used > m->most_slots) m->most_slots = used;
                v->has[v->count++] = (int)i;
                if (i != v->last + 1) m->for_nothing += lead_of(m, i);
                v->last = i;
                if (v->next_us < 0 && !v->hung) v->next_us = now + duration(m, v);
            }
        }
        if (popped == m->total) break;
        int64_t next = -1; /* the next thing that happens */
        int who = -1;
        for (int d = 0; d < m->devices; d++) {
            int64_t t = m->device[d].next_us >= 0 ? m->device[d].next_us : m->device[d].join_us;
            if (t >= 0 && (next < 0 || t < next)) next = t, who = d;
        }
        if (s.appended < m->total && s.appended - s.out < s.capacity && (next < 0 || feed < next)) next = feed, who = -1;
        for (int d = 0; d < m->devices; d++) /* the watchdog bites even when nothing else happens */
            if (m->device[d].hung && next < 0 && s.median_count < 3) next = m->device[d].hung_us + m->watchdog_us, who = -1;
        int64_t late = now + IB_SCHEDULE_LATE * ib_schedule_median_us(&s); /* time goes on while somebody hangs */
        if (next < 0 && s.median_count >= 3 && late < 1000000000) next = late + 1000, who = -1;
        if (next < 0) {
            m->stalled = 1;
            print_error("stands still: out %d of %d, %d slots used of %d, moved %d\n", popped, m->total, used, m->slots, moved);
            break;
        }
        now = next > now ? next : now;
        if (who < 0) continue;
        device *v = &m->device[who];
        if (v->next_us < 0) { /* comes back */
            v->join_us = -1;
            ib_schedule_join(&s, who, now);
            continue;
        }
        v->next_us = -1;
        if ((int)(noise() % 1000) < m->death_per_mille) {
            m->lost += ib_schedule_leave(&s, who);
            used -= v->count;
            v->count = 0;
            v->join_us = now + 3 * (int64_t)v->speed_us;
            continue;
        }
        if (v->has[0] == m->hang_at) {
            m->hang_at = -1;
            v->hung = 1;
            v->hung_us = now;
            continue;
        }
        if (!ib_schedule_done(&s, who, now)) used--, m->repeated++;
        v->windows++;
        memmove(v->has, v->has + 1, sizeof v->has - sizeof *v->has);
        if (--v->count) v->next_us = now + duration(m, v);
    }
    m->end_us = now;
    ib_schedule_free(&s);
}

static void every_window_once_in_order(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        seed = (uint32_t)round;
        simulation m = {.devices = 1 + (int)(noise() % 6), .segment = 1 + (int)(noise() % 9), .total = 1 + (int)(noise() % 120),
                        .hint = (int)(noise() % 2), .jitter = noise() % 4, .death_per_mille = noise() % 3 ? 0 : (int)(noise() % 200),
                        .hang_at = -1, .feed_us = noise() % 2 ? 0 : (int)(noise() % 500), .ahead = 2 + (int)(noise() % 80)};
        m.watchdog_us = 100000;
        m.deep = noise() % 2 ? 1 + (int)(noise() % IB_SCHEDULE_DEEP) : 0;
        m.key_every = noise() % 2 ? 1 + (int)(noise() % 20) : 0;
        m.slots = m.devices == 1 ? 2 : 4 + (int)(noise() % 30);
        for (int d = 0; d < m.devices; d++) m.device[d].speed_us = 100 * (1 + noise() % 20);
        if (m.devices > 1 && noise() % 4 == 0) m.hang_at = (int)(noise() % 120);
        int hang = m.hang_at;
        run(&m);
        if (m.stalled) fail_msg("round %d: %d devices, segments of %d, %d windows, hangs at %d", round, m.devices, m.segment, m.total, hang);
        assert_true(m.most_slots <= m.slots);
    }
}

/* Sum of the work over what the devices could have done in the time. */
static double efficiency(simulation *m)
{
    double could = 0;
    run(m);
    assert_false(m->stalled);
    for (int d = 0; d < m->devices; d++) could += (double)m->end_us / m->device[d].speed_us;
    return m->total / could;
}

static void devices_stay_busy(void **state)
{
    (void)state;
    seed = 1;
    simulation same = {.devices = 4, .segment = 8, .total = 400, .hint = 1, .hang_at = -1, .ahead = 40, .slots = 36};
    for (int d = 0; d < 4; d++) same.device[d].speed_us = 1000;
    double e = efficiency(&same);
    print_message("4 devices alike: %.3f\n", e);
    assert_true(e > 0.97);
    simulation mixed = {.devices = 3, .segment = 8, .total = 400, .hint = 1, .hang_at = -1, .ahead = 40, .slots = 36, .jitter = 0};
    for (int d = 0; d < 3; d++) mixed.device[d].speed_us = d == 0 ? 400 : 1000 * (1 + d);
    e = efficiency(&mixed);
    print_message("a fast and two slow ones: %.3f\n", e);
    assert_true(e > 0.90);
}

/* Key frames every 11 windows and 7 frames: segments begin near them, and a device that decodes ahead still shares the end. */
static void segments_begin_at_key_frames(void **state)
{
    (void)state;
    seed = 3;
    simulation m = {.devices = 2, .segment = 12, .total = 400, .hint = 1, .hang_at = -1, .ahead = 100, .slots = 36, .deep = IB_SCHEDULE_DEEP, .key_every = 11};
    for (int d = 0; d < 2; d++) m.device[d].speed_us = 1000;
    double e = efficiency(&m), part = (double)m.for_nothing / (400 * 22);
    print_message("2 devices that decode: %.3f, %.3f of the frames decoded for nothing\n", e, part);
    assert_true(e > 0.97 && part < 0.2);
}

/* One device hangs for good with the oldest windows: others finish its segment, once each. */
static void a_late_segment_goes_to_a_second_device(void **state)
{
    (void)state;
    seed = 7;
    simulation m = {.devices = 3, .segment = 4, .total = 100, .hint = 1, .hang_at = 50, .ahead = 30, .slots = 16, .watchdog_us = 1000000};
    for (int d = 0; d < 3; d++) m.device[d].speed_us = 1000;
    run(&m);
    assert_false(m.stalled);
    int answered = m.device[0].windows + m.device[1].windows + m.device[2].windows;
    assert_int_equal(answered - m.repeated, 100);
    assert_true(m.end_us < 100 * 1000); /* two of three do it in about 50,000 and the wait */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_window_once_in_order), cmocka_unit_test(devices_stay_busy), cmocka_unit_test(segments_begin_at_key_frames),
                                       cmocka_unit_test(a_late_segment_goes_to_a_second_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
