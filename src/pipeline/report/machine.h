/* Facts about the machine: processor, memory, disk. */
#ifndef IB_PIPELINE_REPORT_MACHINE_H
#define IB_PIPELINE_REPORT_MACHINE_H

#include <stddef.h>

/* The processor's name, and those of its instruction sets that matter here, as the system lists them. */
void ib_machine_cpu(char *name, size_t name_size, char *features, size_t features_size);
/* Bytes of memory in all and available without swapping; of the control group when it has less. 0: unknown. */
void ib_machine_memory(size_t *bytes, size_t *available);
/* Bytes that an ordinary user may still write to the disk of `folder`, or of its nearest parent that exists. -1: unknown. */
double ib_machine_disk(const char *folder);

#endif
