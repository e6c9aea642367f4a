/* Percentiles of times in bounded memory: a histogram with buckets 1% wide, from 10 us to more than an hour. */
#ifndef IB_PIPELINE_STREAM_LATENCY_H
#define IB_PIPELINE_STREAM_LATENCY_H

#include <math.h>
#include <stdint.h>

#define IB_LATENCY_BUCKETS 2000

typedef struct ib_latency {
    uint32_t bucket[IB_LATENCY_BUCKETS]; /* bucket i: up to 10 us * 1.01^i */
    int64_t count, max_us;
} ib_latency;

static inline void ib_latency_add(ib_latency *l, int64_t us)
{
    int i = us <= 10 ? 0 : (int)ceil(log((double)us / 10) / log(1.01));
    l->bucket[i < IB_LATENCY_BUCKETS ? i : IB_LATENCY_BUCKETS - 1]++;
    l->count++;
    if (us > l->max_us) l->max_us = us;
}

/* The time, in milliseconds, that a share `p` (0..1) of the values does not exceed; 0 when there are none. */
static inline double ib_latency_ms(const ib_latency *l, double p)
{
    int64_t need = (int64_t)ceil(p * (double)l->count), seen = 0;
    for (int i = 0; i < IB_LATENCY_BUCKETS; i++) {
        seen += l->bucket[i];
        if (l->count && seen >= need && seen > 0) {
            double us = 10 * pow(1.01, i);
            return (us < (double)l->max_us ? us : (double)l->max_us) * 1e-3;
        }
    }
    return 0;
}

#endif
