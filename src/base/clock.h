/* Monotonic time, and busy-time counters that several threads read. */
#ifndef IB_BASE_CLOCK_H
#define IB_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

static inline int64_t ib_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Microseconds that a stage has been busy; one writer, any readers. */
typedef atomic_int_fast64_t ib_busy;

static inline void ib_busy_add(ib_busy *busy, int64_t since_us)
{
    atomic_fetch_add_explicit(busy, ib_now_us() - since_us, memory_order_relaxed);
}

#endif
