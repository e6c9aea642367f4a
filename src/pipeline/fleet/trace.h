/* What the threads of a run and of its worker processes did when, for people who look for the time that a device waits: one file that
 * Perfetto and chrome://tracing open. Where the environment variable ISOBATH_TRACE names a file, every process of a run with worker processes
 * appends to it; without it nothing here does anything. docs/SPEED.md, "Several devices", says how to read it. */
#ifndef IB_PIPELINE_FLEET_TRACE_H
#define IB_PIPELINE_FLEET_TRACE_H

#include "base/clock.h"

/* Any thread, but for open and close; NULL is allowed everywhere: nothing is noted. */
typedef struct ib_trace ib_trace;

/* `process`: what it is called; NULL: as it said before. `first`: the file begins anew. NULL without ISOBATH_TRACE, and when it cannot be written. */
ib_trace *ib_trace_open(const char *process, int first);
void ib_trace_close(ib_trace *trace);
/* The calling thread did something from start_us (ib_now_us) until now; `window`: its number, -1: none. Names are literals. */
void ib_trace_span(ib_trace *trace, const char *name, int64_t start_us, int64_t window);
/* A quantity has this value from now on. */
void ib_trace_count(ib_trace *trace, const char *name, int64_t value);

#endif
