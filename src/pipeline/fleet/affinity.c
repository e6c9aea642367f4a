/* Processors beside a card; see affinity.h. */
#include "pipeline/fleet/affinity.h"

#include "backend/cuda_info.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ib_cpu_list_parse(const char *text, cpu_set_t *out)
{
    CPU_ZERO(out);
    const char *c = text;
    while (*c && *c != '\n') {
        char *end;
        if (*c < '0' || *c > '9') return 0;
        long first = strtol(c, &end, 10), last = first;
        if (*end == '-') {
            if (end[1] < '0' || end[1] > '9') return 0;
            last = strtol(end + 1, &end, 10);
        }
        if (last < first || last >= CPU_SETSIZE) return 0;
        for (long i = first; i <= last; i++) CPU_SET((size_t)i, out);
        if (*end == ',') end++;
        else if (*end && *end != '\n') return 0;
        c = end;
    }
    return CPU_COUNT(out) > 0;
}

int ib_affinity_near_pci(const char *folder, const char *pci)
{
    char path[512], text[1024] = "";
    cpu_set_t local, mine, both;
    snprintf(path, sizeof path, "%s/%s/local_cpulist", folder, pci);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    char *line = fgets(text, sizeof text, f);
    fclose(f);
    if (!line || !ib_cpu_list_parse(text, &local) || sched_getaffinity(0, sizeof mine, &mine) != 0) return 0;
    CPU_AND(&both, &local, &mine);
    if (CPU_COUNT(&both) == 0 || CPU_EQUAL(&both, &mine) || sched_setaffinity(0, sizeof both, &both) != 0) return 0;
    return CPU_COUNT(&both);
}

int ib_affinity_near_cuda(int ordinal)
{
    ib_cuda_info info;
    if (ib_cuda_info_read(NULL, &info) != ISOBATH_OK || ordinal >= info.count || !*info.device[ordinal].pci) return 0;
    return ib_affinity_near_pci("/sys/bus/pci/devices", info.device[ordinal].pci);
}
