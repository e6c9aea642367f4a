/* What the NVIDIA driver says of its cards, without the CUDA module: for `isobath doctor`. */
#ifndef IB_BACKEND_CUDA_INFO_H
#define IB_BACKEND_CUDA_INFO_H

#include "base/diag.h"
#include <stddef.h>

#define IB_CUDA_INFO_MAX 16

typedef struct ib_cuda_info {
    int version; /* CUDA version that the driver supports, 1000 * major + 10 * minor; 0: no driver */
    int count;   /* cards described below */
    struct {
        char name[96];
        char pci[16]; /* "0000:3b:00.0", as in /sys/bus/pci/devices; "" when the driver does not say */
        int major, minor; /* compute capability */
        size_t memory_bytes;
    } device[IB_CUDA_INFO_MAX];
} ib_cuda_info;

/* Asks the driver through its own library, loaded for the call. Errors: ISOBATH_ERR_UNSUPPORTED (no driver),
 * ISOBATH_ERR_DEVICE (it does not start, or there is no card). */
isobath_status ib_cuda_info_read(ib_diag *diag, ib_cuda_info *out);

#endif
