/* What the NVIDIA driver says of its cards; see cuda_info.h. The functions used have not changed since CUDA 4. */
#include "backend/cuda_info.h"

#include <dlfcn.h>
#include <string.h>

typedef struct driver {
    int (*init)(unsigned flags);
    int (*version)(int *version);
    int (*count)(int *count);
    int (*name)(char *name, int length, int device);
    int (*attribute)(int *value, int attribute, int device);
    int (*memory)(size_t *bytes, int device);
    int (*pci)(char *id, int length, int device); /* NULL allowed */
} driver;

enum { COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76 }; /* CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_* */

/* ISO C has no cast from an object pointer to a function pointer; POSIX says that this works. */
static int find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static isobath_status ask(const driver *d, ib_diag *diag, ib_cuda_info *out)
{
    int count = 0, error = d->init(0);
    d->version(&out->version);
    if (error == 0) error = d->count(&count);
    if (error == 100) return ib_fail(diag, ISOBATH_ERR_DEVICE, "cuda: the driver sees no card");
    if (error != 0) return ib_fail(diag, ISOBATH_ERR_DEVICE, "cuda: the driver does not start (cuInit says %d)", error);
    out->count = count < IB_CUDA_INFO_MAX ? count : IB_CUDA_INFO_MAX;
    for (int i = 0; i < out->count; i++) {
        d->name(out->device[i].name, sizeof out->device[i].name, i);
        d->attribute(&out->device[i].major, COMPUTE_MAJOR, i);
        d->attribute(&out->device[i].minor, COMPUTE_MINOR, i);
        d->memory(&out->device[i].memory_bytes, i);
        char *pci = out->device[i].pci;
        if (!d->pci || d->pci(pci, sizeof out->device[i].pci, i) != 0) *pci = 0;
        for (; *pci; pci++)
            if (*pci >= 'A' && *pci <= 'F') *pci += 'a' - 'A';
    }
    return ISOBATH_OK;
}

isobath_status ib_cuda_info_read(ib_diag *diag, ib_cuda_info *out)
{
    memset(out, 0, sizeof *out);
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    driver d;
    if (!library)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "cuda: no NVIDIA driver on this machine (libcuda.so.1 does not load)");
    isobath_status st;
    find(library, "cuDeviceGetPCIBusId", &d.pci);
    if (find(library, "cuInit", &d.init) && find(library, "cuDriverGetVersion", &d.version) &&
        find(library, "cuDeviceGetCount", &d.count) && find(library, "cuDeviceGetName", &d.name) &&
        find(library, "cuDeviceGetAttribute", &d.attribute) && find(library, "cuDeviceTotalMem_v2", &d.memory))
        st = ask(&d, diag, out);
    else
        st = ib_fail(diag, ISOBATH_ERR_DEVICE, "cuda: libcuda.so.1 is not the driver's library");
    dlclose(library);
    return st;
}
