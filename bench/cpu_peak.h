/* The multiply-add peak of a processor, measured: what "share" in docs/SPEED.md is a share of. */
#ifndef IB_BENCH_CPU_PEAK_H
#define IB_BENCH_CPU_PEAK_H

#include "backend/backend.h"

/* GFLOP/s of independent chains of multiply-adds in registers on every thread of b's pool, best of three, with the
 * instructions of b's kind ("cpu amx ...": tile products). `clock`: of clock_gettime. */
double bench_cpu_peak(const ib_backend *b, int clock);

#endif
