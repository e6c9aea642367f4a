/* What threads are called in top -H, debuggers and /proc/PID/task/TID/comm: docs/ARCHITECTURE.md, "A run, thread by thread". */
#ifndef IB_BASE_THREAD_NAME_H
#define IB_BASE_THREAD_NAME_H

#include <pthread.h>

/* Names the calling thread; at most 15 letters. */
static inline void ib_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }

#endif
