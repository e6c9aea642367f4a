/* Where a backend's time goes: a table of ops that times every call of another one. */
#ifndef IB_BENCH_OP_PROFILE_H
#define IB_BENCH_OP_PROFILE_H

#include "backend/backend.h"

/* Puts the timing table in the place of b's own; one backend in a process. Only for backends whose ops have ended when
 * they return. `clock`: of clock_gettime. Errors: ISOBATH_ERR_MEMORY. */
isobath_status bench_profile_attach(ib_backend *b, int clock);
double bench_profile_now(void); /* seconds of that clock */
void bench_profile_reset(void);
/* Rows of op and shape in order of time: calls, ms and GFLOP/s, share of `peak` (GFLOP/s); everything divided by
 * `frames`. `seconds`: of the whole, what no op took is the last row. */
void bench_profile_print(double seconds, double frames, double peak);

#endif
