/* Telling a running process from a later one that has its number: for status files and whoever asks whether their writer lives. */
#ifndef IB_PIPELINE_REPORT_STATUS_PROCESS_H
#define IB_PIPELINE_REPORT_STATUS_PROCESS_H

#include <stdint.h>

/* When a process started, in the kernel's ticks since boot; -1: there is no such process (or it is a zombie). */
int64_t ib_process_start(int64_t pid);
/* What tells one running kernel (its boot) and one container of process numbers from another. */
void ib_process_place(char boot[64], int64_t *space);

#endif
