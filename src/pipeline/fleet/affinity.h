/* Keeps a worker process on the processors beside its card. */
#ifndef IB_PIPELINE_FLEET_AFFINITY_H
#define IB_PIPELINE_FLEET_AFFINITY_H

#include <sched.h>

/* Reads "0-3,8,10-11" into *out. 0: text is no such list. */
int ib_cpu_list_parse(const char *text, cpu_set_t *out);

/* Restricts the process to those of its processors that are local to PCI device `pci` ("0000:3b:00.0"), as
 * FOLDER/PCI/local_cpulist says (folder: /sys/bus/pci/devices). Nothing happens when the file says nothing or leaves no processor.
 * Returns the number of processors it now has, 0 when nothing was changed. */
int ib_affinity_near_pci(const char *folder, const char *pci);

/* The same for a CUDA device. */
int ib_affinity_near_cuda(int ordinal);

#endif
