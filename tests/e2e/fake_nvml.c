/* Stands in for libnvidia-ml.so.1 in the tests of `isobath status`: two cards, the second of which does not tell its power. */
#include <stdio.h>

typedef struct device {
    const char *name;
    unsigned bus, load, celsius, milliwatts;
    unsigned long long total, used;
} device;

static device cards[] = {{"Fake H100 \"80GB\"", 0x17, 97, 61, 412500, 80ull << 30, 12ull << 30},
                         {"Fake GTX 1660 Ti", 0x65, 3, 35, 0, 6ull << 30, 1ull << 28}};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **out);
int nvmlDeviceGetName(device *d, char *name, unsigned length);
int nvmlDeviceGetPciInfo_v3(device *d, unsigned *pci);
int nvmlDeviceGetUtilizationRates(device *d, unsigned *rates);
int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *memory);
int nvmlDeviceGetTemperature(device *d, int sensor, unsigned *celsius);
int nvmlDeviceGetPowerUsage(device *d, unsigned *milliwatts);

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = 3; /* the third is lost */
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **out)
{
    if (index >= 2) return 15; /* NVML_ERROR_GPU_IS_LOST */
    *out = &cards[index];
    return 0;
}

int nvmlDeviceGetName(device *d, char *name, unsigned length)
{
    snprintf(name, length, "%s", d->name);
    return 0;
}

int nvmlDeviceGetPciInfo_v3(device *d, unsigned *pci)
{
    pci[4] = 0; /* domain, behind 16 characters; bus; device */
    pci[5] = d->bus;
    pci[6] = 0;
    return 0;
}

int nvmlDeviceGetUtilizationRates(device *d, unsigned *rates)
{
    rates[0] = d->load;
    rates[1] = 0;
    return 0;
}

int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *memory)
{
    memory[0] = d->total;
    memory[1] = d->total - d->used;
    memory[2] = d->used;
    return 0;
}

int nvmlDeviceGetTemperature(device *d, int sensor, unsigned *celsius)
{
    *celsius = d->celsius;
    return sensor;
}

int nvmlDeviceGetPowerUsage(device *d, unsigned *milliwatts)
{
    *milliwatts = d->milliwatts;
    return d->milliwatts ? 0 : 3; /* NVML_ERROR_NOT_SUPPORTED */
}
