/* What NVIDIA's management library says of the cards: load, memory, temperature, power. Loaded at run time; nothing is said without it. */
#ifndef IB_PIPELINE_REPORT_NVML_H
#define IB_PIPELINE_REPORT_NVML_H

#include <isobath/report.h>

/* Loads libnvidia-ml.so.1; NULL when it is not there or does not start. One thread at a time. */
typedef struct ib_nvml ib_nvml;
ib_nvml *ib_nvml_open(void);
void ib_nvml_close(ib_nvml *nvml); /* NULL allowed */
/* Fills at most `most` cards, in NVML's order (by PCI address), and returns how many. NULL: 0. */
int ib_nvml_read(ib_nvml *nvml, isobath_report_gpu *gpu, int most);

#endif
