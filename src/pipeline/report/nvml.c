/* NVML; see nvml.h. Its functions and structures have kept their shape since 2012 (the _v2 names since 2013), so they are declared
 * here: no header of NVIDIA's is needed to build. */
#include "pipeline/report/nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct device *handle;
typedef struct memory_info {
    unsigned long long total, free, used;
} memory_info;
typedef struct utilisation {
    unsigned gpu, memory; /* per cent of the last sample period */
} utilisation;
typedef struct pci_info {
    char legacy[16];
    unsigned domain, bus, device, ids, sub_ids;
    char bus_id[32];
    char reserve[64]; /* larger than any version of the structure */
} pci_info;

struct ib_nvml {
    void *library;
    int (*shutdown)(void);
    int (*count)(unsigned *count);
    int (*by_index)(unsigned index, handle *device);
    int (*name)(handle device, char *name, unsigned length);
    int (*pci)(handle device, pci_info *pci);
    int (*utilisation)(handle device, utilisation *use);
    int (*memory)(handle device, memory_info *memory);
    int (*temperature)(handle device, int sensor, unsigned *celsius);
    int (*power)(handle device, unsigned *milliwatts);
};

/* ISO C has no cast from an object pointer to a function pointer; POSIX says that this works. */
static int find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

ib_nvml *ib_nvml_open(void)
{
    ib_nvml *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    int (*init)(void);
    n->library = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    void *l = n->library;
    if (!l || !find(l, "nvmlInit_v2", &init) || !find(l, "nvmlShutdown", &n->shutdown) ||
        !find(l, "nvmlDeviceGetCount_v2", &n->count) || !find(l, "nvmlDeviceGetHandleByIndex_v2", &n->by_index) || init() != 0) {
        if (l) dlclose(l);
        free(n);
        return NULL;
    }
    find(l, "nvmlDeviceGetName", &n->name);
    find(l, "nvmlDeviceGetPciInfo_v3", &n->pci);
    find(l, "nvmlDeviceGetUtilizationRates", &n->utilisation);
    find(l, "nvmlDeviceGetMemoryInfo", &n->memory);
    find(l, "nvmlDeviceGetTemperature", &n->temperature);
    find(l, "nvmlDeviceGetPowerUsage", &n->power);
    return n;
}

void ib_nvml_close(ib_nvml *n)
{
    if (!n) return;
    n->shutdown();
    dlclose(n->library);
    free(n);
}

static void read_card(const ib_nvml *n, handle card, isobath_report_gpu *g)
{
    memory_info memory;
    utilisation use;
    pci_info pci = {0};
    unsigned value;
    if (n->name && n->name(card, g->name, sizeof g->name) != 0) g->name[0] = 0;
    g->name[sizeof g->name - 1] = 0;
    if (n->pci && n->pci(card, &pci) == 0) snprintf(g->pci, sizeof g->pci, "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
    if (n->utilisation && n->utilisation(card, &use) == 0) g->utilisation = use.gpu * 0.01;
    if (n->memory && n->memory(card, &memory) == 0) {
        g->memory_bytes = (double)memory.total;
        g->used_bytes = (double)memory.used;
    }
    if (n->temperature && n->temperature(card, 0, &value) == 0) g->temperature_c = value;
    if (n->power && n->power(card, &value) == 0) g->power_w = value * 1e-3;
}

int ib_nvml_read(ib_nvml *n, isobath_report_gpu *gpu, int most)
{
    unsigned count = 0;
    int got = 0;
    if (!n || n->count(&count) != 0) return 0;
    for (unsigned i = 0; i < count && got < most; i++) {
        handle card;
        if (n->by_index(i, &card) != 0) continue; /* lost, or not ours to see */
        isobath_report_gpu *g = &gpu[got++];
        *g = (isobath_report_gpu){.index = (int)i, .utilisation = -1, .memory_bytes = -1, .used_bytes = -1, .temperature_c = -1, .power_w = -1};
        read_card(n, card, g);
    }
    return got;
}
